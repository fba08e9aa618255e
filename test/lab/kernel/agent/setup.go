package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel/wire"
)

// setUp is idempotent, except for the links.
func (s *server) setUp(setup wire.Setup) error {
	if setup.Hostname != "" {
		if err := unix.Sethostname([]byte(setup.Hostname)); err != nil {
			return fmt.Errorf("set the host name: %w", err)
		}
	}
	if setup.Data != "" {
		if err := s.backend.mountData(setup.Data); err != nil {
			return err
		}
	}
	if err := run("ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	if err := s.loadModules(setup.Modules); err != nil {
		return err
	}
	for i, link := range setup.Links {
		if err := s.bringUp(i, link); err != nil {
			return err
		}
	}
	return nil
}

// loadModules shows modprobe the modules where it looks for them.
func (s *server) loadModules(modules []string) error {
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	if err := os.MkdirAll("/lib/modules", 0o755); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(s.modules, release), "/lib/modules/"+release); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for _, module := range modules {
		if err := run("modprobe", strings.Fields(module)...); err != nil {
			return err
		}
		if strings.HasPrefix(module, "softdog") {
			if err := preferSoftdog(); err != nil {
				return err
			}
		}
	}
	return nil
}

func kernelRelease() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}

// preferSoftdog makes /dev/watchdog the softdog. User-mode Linux has a watchdog
// of its own there, which knows no timeout and would reset nothing.
func preferSoftdog() error {
	const device, softdog, harddog = "/dev/watchdog", "/dev/watchdog1", "/dev/harddog"
	if _, err := os.Stat(softdog); err != nil {
		return nil // the softdog is the only one, or was made it before
	}
	if _, err := os.Stat(harddog); err == nil {
		return nil
	}
	if err := os.Rename(device, harddog); err != nil {
		return err
	}
	return os.Symlink("watchdog1", device)
}

// bringUp names the n-th interface ethN, as it is on every other kernel.
func (s *server) bringUp(n int, link wire.Link) error {
	name := fmt.Sprintf("eth%d", n)
	if given := fmt.Sprintf(s.backend.link, n); given != name {
		if err := run("ip", "link", "set", given, "name", name); err != nil {
			return err
		}
	}
	for _, address := range link.Addresses {
		if err := run("ip", "address", "add", address, "dev", name); err != nil {
			return err
		}
	}
	return run("ip", "link", "set", name, "up")
}

func run(program string, args ...string) error {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
