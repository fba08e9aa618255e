package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kernelPackage is Debian's kernel for virtual machines; it depends on the
// newest one's package. That is unpacked into the cache and not installed: its
// scripts would touch the boot loader.
const kernelPackage = "linux-image-cloud-amd64"

// fetchPatience is for a download of about 30 MB.
const fetchPatience = 5 * time.Minute

// gateSetting is what PacketGate promises; Debian sets the families together.
const gateSetting = "CONFIG_NF_TABLES_IPV4=y"

// wanted are modules that a kernel must have to be used at all, in plain files:
// those that it starts with, and what tests are about.
var wanted = append(slices.Clone(earlyModules), "nf_tables", "ip_vs", "softdog", "veth", "bridge")

// image is a kernel of Debian, unpacked.
type image struct {
	base    string // what its package calls /
	release string // as uname has it
}

func (i image) kernel() string  { return filepath.Join(i.base, "boot", "vmlinuz-"+i.release) }
func (i image) modules() string { return filepath.Join(i.base, "lib", "modules") }

// debianKernel is this host's own kernel package, if it fits, or one from the
// cache, or one that is downloaded into it.
var debianKernel = sync.OnceValues(func() (image, error) {
	if found, ok := kernelIn("/"); ok {
		return found, nil
	}
	dir, err := cacheDir()
	if err != nil {
		return image{}, err
	}
	unlock, err := lock(filepath.Join(dir, "kernel.lock"))
	if err != nil {
		return image{}, err
	}
	defer unlock() // another test has waited for the same download
	unpacked, _ := filepath.Glob(filepath.Join(dir, "kernel-*", "boot"))
	for _, boot := range slices.Backward(unpacked) {
		if found, ok := kernelIn(filepath.Dir(boot)); ok {
			_ = os.Chtimes(found.base, time.Time{}, time.Now()) // it is not old: see removeOld
			return found, nil
		}
	}
	found, err := fetchKernel(dir)
	if err != nil {
		return image{}, fmt.Errorf("get Debian's kernel package %s (run apt-get update, with a network, or install it): %w", kernelPackage, err)
	}
	return found, nil
})

// kernelIn looks below a directory for a kernel that fits.
func kernelIn(base string) (image, bool) {
	files, _ := filepath.Glob(filepath.Join(base, "boot", "vmlinuz-*"))
	for _, file := range slices.Backward(files) {
		found := image{base: base, release: strings.TrimPrefix(filepath.Base(file), "vmlinuz-")}
		config, _ := os.ReadFile(filepath.Join(base, "boot", "config-"+found.release))
		if _, err := found.files(wanted); err == nil && strings.Contains(string(config), gateSetting) {
			return found, true
		}
	}
	return image{}, false
}

// files returns the files of modules and of what they depend on, in the order
// of loading.
func (i image) files(modules []string) ([]string, error) {
	var list []string
	for _, module := range modules {
		out, err := exec.Command("modprobe", "--show-depends", "--dirname", i.base, "--set-version", i.release, module).Output()
		if err != nil {
			return nil, fmt.Errorf("find module %s of %s: %w", module, i.release, err)
		}
		for line := range strings.Lines(string(out)) {
			words := strings.Fields(line)
			switch {
			case len(words) < 2 || words[0] == "builtin" || slices.Contains(list, words[1]):
			case filepath.Ext(words[1]) == ".ko":
				list = append(list, words[1])
			default:
				return nil, fmt.Errorf("%s is compressed", words[1])
			}
		}
	}
	return list, nil
}

// fetchKernel downloads the package and unpacks it.
func fetchKernel(dir string) (image, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchPatience)
	defer cancel()
	temporary, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return image{}, err
	}
	defer os.RemoveAll(temporary)
	step := func(program string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = temporary
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", cmd, err, tail(string(out), 3))
		}
		return string(out), err
	}
	depends, err := step("apt-cache", "depends", kernelPackage)
	if err != nil {
		return image{}, err
	}
	_, rest, _ := strings.Cut(depends, "Depends: linux-image-")
	release, _, found := strings.Cut(rest, "\n")
	if !found {
		return image{}, errors.New("apt-cache knows no version of it")
	}
	for _, command := range [][]string{
		{"apt-get", "download", "-q", "linux-image-" + release},
		{"sh", "-c", "dpkg-deb -x *.deb unpacked"},
		{"depmod", "-b", filepath.Join(temporary, "unpacked"), release},
	} {
		if _, err := step(command[0], command[1:]...); err != nil {
			return image{}, err
		}
	}
	base := filepath.Join(dir, "kernel-"+release)
	if err := os.Rename(filepath.Join(temporary, "unpacked"), base); err != nil {
		return image{}, err
	}
	fetched, ok := kernelIn(base)
	if !ok {
		return image{}, fmt.Errorf("%s lacks one of the modules %s, or %s", base, strings.Join(wanted, " "), gateSetting)
	}
	return fetched, nil
}

// lock waits until no other process has it.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}
