package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where the agent builds the root: on a tmpfs over /run, which the host has too.
const (
	stage   = "/run"
	newRoot = "/run/root"
)

// initialise is the guest's process 1: it makes a root that may be written to
// out of the host's, starts the server, and reaps what loses its parent. When
// the server ends, so does the machine.
func initialise(name, modules string) error {
	backend, ok := backends[name]
	err := fmt.Errorf("which backend is %q?", name)
	if ok {
		err = makeRoot(backend, modules)
	}
	if err == nil {
		err = superviseServer(name, modules)
	}
	// Process 1 must not return: that is a kernel panic, which would hide why.
	fmt.Fprintln(os.Stderr, "agent:", err)
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func superviseServer(name, modules string) error {
	os.Clearenv() // the kernel put its own parameters there
	for variable, value := range backends[name].variables {
		_ = os.Setenv(variable, value)
	}
	_ = os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	_ = os.Setenv("HOME", "/root")
	server := exec.Command("/proc/self/exe", "serve", name, modules)
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
		if pid == server.Process.Pid {
			return errors.New("the server has ended")
		}
	}
}

// makeRoot lays memory over the host's root: the guest sees the host's files at
// their own paths, and what it writes is gone with it.
func makeRoot(backend backend, modules string) error {
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return err
	}
	if err := mountAll(mounts{{"tmpfs", stage, "tmpfs", 0, "mode=0755"}}); err != nil {
		return err
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(stage, dir), 0o755); err != nil {
			return err
		}
	}
	lower, err := backend.openRoot(modules)
	if err != nil {
		return err
	}
	err = mountAll(mounts{
		{"overlay", newRoot, "overlay", 0, "lowerdir=" + lower + ",upperdir=" + stage + "/upper,workdir=" + stage + "/work"},
		{"proc", newRoot + "/proc", "proc", 0, ""},
		{"sysfs", newRoot + "/sys", "sysfs", 0, ""},
		{"devtmpfs", newRoot + "/dev", "devtmpfs", 0, ""},
		{"tmpfs", newRoot + "/run", "tmpfs", 0, "mode=0755"},
	})
	if err != nil {
		return err
	}
	if err := enter(newRoot); err != nil {
		return err
	}
	for _, dir := range []string{"/dev/pts", "/dev/shm", "/data"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return mountAll(mounts{
		{"devpts", "/dev/pts", "devpts", 0, "ptmxmode=0666,mode=0620"},
		{"tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777"},
	})
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// enter makes dir the root, as switch_root does.
func enter(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter %s: %w", dir, err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", dir, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	return unix.Chdir("/")
}

type mounts []struct {
	source, target, kind string
	flags                uintptr
	options              string
}

func mountAll(all mounts) error {
	for _, m := range all {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}
