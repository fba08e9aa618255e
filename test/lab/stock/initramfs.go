package stock

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// initramfs is an archive in the form newc (Documentation/driver-api/early-userspace/
// buffer-format.rst), which the kernel unpacks as its root.
type initramfs struct {
	w    *bufio.Writer
	seen map[string]bool
	next int // inode
	err  error
}

// libraryDirs are where Debian has shared libraries.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib"}

func newInitramfs(w io.Writer) *initramfs {
	return &initramfs{w: bufio.NewWriter(w), seen: map[string]bool{}}
}

// directory adds a directory and those above it.
func (a *initramfs) directory(path string) {
	path = filepath.Clean(path)
	if path == "/" || a.seen[path] {
		return
	}
	a.directory(filepath.Dir(path))
	a.seen[path] = true
	a.entry(path, 0o040755, nil)
}

// add adds a file with this content.
func (a *initramfs) add(path string, mode fs.FileMode, content []byte) {
	a.directory(filepath.Dir(path))
	if !a.seen[path] {
		a.seen[path] = true
		a.entry(path, 0o100000|uint32(mode.Perm()), content)
	}
}

// copy adds a file of the host's under a path of the machine's.
func (a *initramfs) copy(path, from string) {
	content, err := os.ReadFile(from)
	a.note(err)
	a.add(path, 0o755, content)
}

// program adds a program of the host's at its own place, with its libraries.
func (a *initramfs) program(path string) {
	a.copy(path, path)
	file, err := elf.Open(path)
	if err != nil {
		return // a script, or no program at all
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(p.Open())
			a.note(err)
			a.library(strings.TrimRight(string(name), "\x00"))
		}
	}
	libraries, err := file.ImportedLibraries()
	a.note(err)
	for _, name := range libraries {
		for _, dir := range libraryDirs {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				a.library(filepath.Join(dir, name))
				break
			}
		}
	}
}

// library adds a shared library, with those it needs.
func (a *initramfs) library(path string) {
	if !a.seen[path] {
		a.program(path)
	}
}

// tree adds a directory with all that is in it.
func (a *initramfs) tree(dir string) {
	a.note(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			a.program(path)
		}
		return err
	}))
}

func (a *initramfs) entry(path string, mode uint32, content []byte) {
	a.next++
	name := strings.TrimPrefix(path, "/")
	fmt.Fprintf(a.w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.next, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	fmt.Fprintf(a.w, "%s\x00", name)
	a.pad(110 + len(name) + 1)
	_, err := a.w.Write(content)
	a.note(err)
	a.pad(len(content))
}

// pad fills up to a multiple of four bytes.
func (a *initramfs) pad(n int) {
	_, err := a.w.Write(make([]byte, (4-n%4)%4))
	a.note(err)
}

func (a *initramfs) note(err error) {
	if a.err == nil {
		a.err = err
	}
}

// close ends the archive and returns the first error of all.
func (a *initramfs) close() error {
	a.entry("/TRAILER!!!", 0, nil)
	a.note(a.w.Flush())
	return a.err
}
