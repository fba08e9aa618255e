package stock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// metaPackage depends on the newest kernel without drivers for real hardware.
const metaPackage = "linux-image-cloud-amd64"

// debianKernel is an unpacked kernel package.
type debianKernel struct {
	dir     string // with boot and lib/modules
	version string
	image   string
}

// findKernel returns the kernel in the user's cache; it is downloaded unless it is
// there.
func findKernel() (debianKernel, error) {
	cache, err := cacheDir()
	if err != nil {
		return debianKernel{}, err
	}
	if k, err := unpacked(filepath.Join(cache, "stock")); err == nil {
		return k, nil
	}
	temporary, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return debianKernel{}, err
	}
	defer os.RemoveAll(temporary)
	if err := download(temporary); err != nil {
		return debianKernel{}, fmt.Errorf("get Debian's kernel (hint: apt-get update; is a mirror reached?): %w", err)
	}
	// Of several that download it at one time the first one's stays.
	if err := os.Rename(filepath.Join(temporary, "stock"), filepath.Join(cache, "stock")); err != nil && !errors.Is(err, os.ErrExist) {
		if k, there := unpacked(filepath.Join(cache, "stock")); there == nil {
			return k, nil
		}
		return debianKernel{}, err
	}
	return unpacked(filepath.Join(cache, "stock"))
}

func cacheDir() (string, error) {
	parent, err := os.UserCacheDir()
	if err != nil { // no HOME
		parent = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	dir := filepath.Join(parent, "hafence-stock-kernel")
	return dir, os.MkdirAll(dir, 0o700)
}

// unpacked recognises a whole one: its list of dependencies is made last.
func unpacked(dir string) (debianKernel, error) {
	versions, err := os.ReadDir(filepath.Join(dir, "lib", "modules"))
	if err != nil {
		return debianKernel{}, err
	}
	for _, v := range versions {
		k := debianKernel{dir: dir, version: v.Name(), image: filepath.Join(dir, "boot", "vmlinuz-"+v.Name())}
		if _, err := os.Stat(filepath.Join(dir, "lib", "modules", v.Name(), "modules.dep.bin")); err == nil {
			return k, nil
		}
	}
	return debianKernel{}, os.ErrNotExist
}

// download leaves the package's files in dir/stock.
func download(dir string) error {
	out, err := exec.Command("apt-cache", "depends", metaPackage).Output()
	if err != nil {
		return fmt.Errorf("apt-cache depends %s: %w", metaPackage, err)
	}
	_, name, found := bytes.Cut(out, []byte("Depends: "))
	if !found {
		return fmt.Errorf("%s depends on nothing", metaPackage)
	}
	pkg := strings.Fields(string(name))[0]
	steps := [][]string{
		{"apt-get", "download", "-q", pkg},
		{"sh", "-c", "dpkg -x *.deb stock && depmod -b stock " + strings.TrimPrefix(pkg, "linux-image-")},
	}
	for _, step := range steps {
		cmd := exec.Command(step[0], step[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(step, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// moduleFiles are the files of modules and of what they need, in the order of loading,
// each with its parameters.
func (k debianKernel) moduleFiles(modules []string) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	for _, module := range modules {
		name, parameters, _ := strings.Cut(module, " ")
		out, err := exec.Command("modprobe", "-d", k.dir, "-S", k.version, "--show-depends", name).Output()
		if err != nil {
			return nil, fmt.Errorf("find the module %s in %s: %w", name, k.version, err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		for i, line := range lines {
			path, found := strings.CutPrefix(line, "insmod ")
			path, _, _ = strings.Cut(path, " ")
			if !found || seen[path] {
				continue
			}
			seen[path] = true
			if i == len(lines)-1 && parameters != "" {
				path += " " + parameters
			}
			files = append(files, path)
		}
	}
	return files, nil
}
