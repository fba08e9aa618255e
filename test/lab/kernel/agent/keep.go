package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// shares are what a machine in QEMU sees of the host. A program finds its files
// at once where they are remembered, but not what the host changes; below /data it
// sees that after a second at the latest.
var shares = []share{
	{socket: "/dev/shm/root", source: "KEEP_ROOT", cache: "always"},
	{socket: "/dev/shm/data", source: "KEEP_DATA", cache: "auto"},
}

// share is a directory of the host for the machine.
type share struct {
	socket string // where QEMU finds its server, whose mount namespace it is in
	source string // the variable with the directory
	cache  string // what the machine remembers
}

// What the host says over the lifeline, and what is answered when it is done.
const (
	commandPause  = 'p'
	commandResume = 'r'
)

// The keeper's descriptors beside the standard ones.
const (
	lifelineFD = 3 // to the test: its end is the machine's end
	serialFD   = 4 // the machine's serial line, passed on as descriptor 3
)

// keep runs one machine as process 1 of a PID namespace and a mount namespace
// of its own. When the keeper ends, the kernel kills whatever is left in there,
// whoever its parent is; and the keeper ends when the lifeline is closed, which
// the kernel does for a test that was killed. KEEP_CPU and KEEP_PRELOAD say
// where the machine runs and with which shim; KEEP_FILES is the program that
// serves it the host's files, see shares.
func keep(command []string) error {
	if len(command) == 0 {
		return errors.New("keep: which program?")
	}
	if err := privateMemory(); err != nil {
		return err
	}
	lifeline := os.NewFile(lifelineFD, "lifeline")
	if err := moveToCPU(); err != nil {
		return err
	}
	for _, s := range shares {
		if err := s.serve(); err != nil {
			return err
		}
	}
	machine, err := launch(command)
	if err != nil {
		return err
	}
	go obey(lifeline, machine)
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WUNTRACED|syscall.WCONTINUED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for %s: %w", command[0], err)
		case pid != machine: // a server of its files, or a helper that lost its parent
		case status.Stopped():
			_, _ = lifeline.Write([]byte{commandPause})
		case status.Continued():
			_, _ = lifeline.Write([]byte{commandResume})
		case status.Signaled():
			os.Exit(128 + int(status.Signal()))
		default:
			os.Exit(status.ExitStatus())
		}
	}
}

// privateMemory gives the machine a /dev/shm that vanishes with it: its RAM and
// the directory with its management socket live there.
func privateMemory() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("machine", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	return nil
}

// moveToCPU moves this thread, from which the children are started.
func moveToCPU() error {
	runtime.LockOSThread()
	cpu, err := strconv.Atoi(os.Getenv("KEEP_CPU"))
	if err != nil {
		return fmt.Errorf("KEEP_CPU: %w", err)
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to CPU %d: %w", cpu, err)
	}
	return nil
}

// serve starts virtiofsd, behind a socket that listens already, so that the
// machine need not wait for it.
func (s share) serve() error {
	source := os.Getenv(s.source)
	if source == "" {
		return nil
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.socket})
	if err != nil {
		return err
	}
	socket, err := listener.File()
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Getenv("KEEP_FILES"), "--fd=3", "-o", "sandbox=chroot,log_level=warn", "-o", "source="+source, "-o", "cache="+s.cache)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{socket}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("serve %s: %w", source, err)
	}
	return nil
}

// launch starts the machine in a process group of its own.
func launch(command []string) (pid int, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(serialFD, "serial")}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=/dev/shm", "HOME=/dev/shm"}
	if shim := os.Getenv("KEEP_PRELOAD"); shim != "" {
		cmd.Env = append(cmd.Env, "LD_PRELOAD="+shim)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the machine: %w", err)
	}
	return cmd.Process.Pid, nil
}

// obey pauses and resumes the machine, and ends it with the lifeline. Only the
// main process is stopped: a stopped guest process would be a panic.
func obey(lifeline *os.File, machine int) {
	for command := make([]byte, 1); ; {
		if _, err := lifeline.Read(command); err != nil {
			os.Exit(128 + int(syscall.SIGKILL))
		}
		switch command[0] {
		case commandPause:
			_ = syscall.Kill(machine, syscall.SIGSTOP)
		case commandResume:
			_ = syscall.Kill(machine, syscall.SIGCONT)
		}
	}
}
