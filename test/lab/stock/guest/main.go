// Command guest is process 1 of a machine of package stock: it loads modules, runs one
// program, says how that ended, and powers the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// order is what the machine is to do; see package stock.
type order struct {
	Modules []string // files, in the order of loading
	Args    []string
	Env     []string
	Dir     string
}

func main() {
	code, err := perform()
	if err != nil {
		fmt.Println("guest:", err)
		code = 1
	}
	// The exit status as the host looks for it.
	fmt.Printf("\nstock machine ended: %d\n", code)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func perform() (code int, err error) {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/dev/shm"}} {
		if err := os.MkdirAll(m[1], 0o755); err != nil {
			return 1, err
		}
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return 1, fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	text, err := os.ReadFile("/order.json")
	if err != nil {
		return 1, err
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return 1, err
	}
	for _, module := range o.Modules {
		if err := load(module); err != nil {
			return 1, err
		}
	}
	if err := loopbackUp(); err != nil {
		return 1, err
	}
	cmd := exec.Command(o.Args[0], o.Args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = o.Env, o.Dir, os.Stdout, os.Stdout
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// load loads a module file, with its parameters behind blanks.
func load(module string) error {
	path, parameters, _ := strings.Cut(module, " ")
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), parameters, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
