package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// earlyModules are what a machine in QEMU needs before it sees the host's files.
var earlyModules = []string{"virtio_pci", "virtio_console", "virtio_net", "virtiofs", "overlay"}

// cpioAlignment is that of every part of an archive: see the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst, "newc".
const cpioAlignment = 4

// initramfs returns the path of the initial file system for a kernel: the agent as
// /init, and early modules in the order of loading.
func initramfs(i image) (string, error) {
	return cached("initramfs-"+i.release, ".cpio", func(target, _ string) error {
		agentPath, err := agent()
		if err != nil {
			return err
		}
		modules, err := i.files(earlyModules)
		if err != nil {
			return err
		}
		file, err := os.Create(target)
		if err != nil {
			return err
		}
		archive := &archive{out: bufio.NewWriter(file)}
		archive.add("init", 0o100755, agentPath)
		archive.add("early", 0o040755, "")
		for n, module := range modules {
			archive.add(fmt.Sprintf("early/%02d-%s", n, filepath.Base(module)), 0o100644, module)
		}
		archive.add("TRAILER!!!", 0, "")
		return errors.Join(archive.err, archive.out.Flush(), file.Close())
	})
}

// archive writes what the kernel unpacks. The first error stays.
type archive struct {
	out   *bufio.Writer
	err   error
	inode int
}

// add writes a file of the host's, or nothing, under another name.
func (a *archive) add(name string, mode uint32, path string) {
	var content []byte
	if path != "" && a.err == nil {
		content, a.err = os.ReadFile(path)
	}
	if a.err != nil {
		return
	}
	a.inode++
	const magic, owner, group, links, when, major, minor, checksum = "070701", 0, 0, 1, 0, 0, 0, 0
	header := magic
	for _, field := range []int{a.inode, int(mode), owner, group, links, when, len(content), major, minor, major, minor, len(name) + 1, checksum} {
		header += fmt.Sprintf("%08X", field)
	}
	a.write(header + name + "\x00")
	a.write(string(content))
}

func (a *archive) write(part string) {
	if a.err != nil {
		return
	}
	padding := make([]byte, (cpioAlignment-len(part)%cpioAlignment)%cpioAlignment)
	_, a.err = io.WriteString(a.out, part+string(padding))
}
