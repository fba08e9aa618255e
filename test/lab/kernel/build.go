package kernel

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// What is made when first needed: all of it goes into the user's cache, under names
// that carry the hash of what it is made of.
//
//go:embed shim/shim.c agent/*.go wire/*.go initramfs.go
var sources embed.FS

// agentPackage is built with the module's own go.mod.
const agentPackage = "github.com/hafence/hafence/test/lab/kernel/agent"

// keepBuilt is how long a program of earlier sources stays in the cache.
const keepBuilt = 7 * 24 * time.Hour

// shim returns the path of the library that linux.uml is started with.
func shim() (string, error) {
	return cached("shim", ".so", func(target, sources string) error {
		return run("cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", target, filepath.Join(sources, "shim", "shim.c"), "-ldl")
	})
}

// agent returns the path of the static program that runs in every machine.
func agent() (string, error) {
	return cached("agent", "", func(target, _ string) error {
		return run("go", "build", "-trimpath", "-o", target, agentPackage)
	})
}

// cached returns the built file, made by build unless it is there. Tests that
// build it at the same time each make their own, and the last one stays.
func cached(name, suffix string, build func(target, sources string) error) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	hash, err := hashSources()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+"-"+hash+suffix)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	temporary, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	if err := os.CopyFS(filepath.Join(temporary, "sources"), sources); err != nil {
		return "", err
	}
	target := filepath.Join(temporary, name)
	if err := build(target, filepath.Join(temporary, "sources")); err != nil {
		return "", fmt.Errorf("build the kernel lab's %s: %w", name, err)
	}
	removeOld(dir)
	return path, os.Rename(target, path)
}

// cacheDir is where a guest finds it too: not below /dev, /proc, /run or /sys.
func cacheDir() (string, error) {
	parent, err := os.UserCacheDir()
	if err != nil { // no HOME
		parent = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	dir := filepath.Join(parent, "hafence-kernel-lab")
	return dir, os.MkdirAll(dir, 0o700)
}

func hashSources() (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version())
	err := fs.WalkDir(sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := sources.ReadFile(path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil))[:16], err
}

// removeOld forgets what no one has needed for long. It fails quietly: it is
// only about room on a disk.
func removeOld(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if stat, err := entry.Info(); err == nil && time.Since(stat.ModTime()) > keepBuilt {
			_ = os.RemoveAll(filepath.Join(dir, entry.Name()))
		}
	}
}

func run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || err == nil {
		return err
	}
	return fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(string(out)))
}
