package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel/wire"
)

// outputPatience is how long output is still read after a process has ended, in
// case another has inherited its descriptors.
const outputPatience = time.Second

// inputMax is how many messages of input may wait for a process that doesn't
// read: beyond it the host's other requests wait too.
const inputMax = 64

// process is one that the host asked for.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr *os.File      // nil with a terminal
	inputC chan []byte   // an empty one ends the input
	goneC  chan struct{} // closed when nobody reads the input any more
}

func startProcess(start wire.Start) (*process, error) {
	if len(start.Args) == 0 {
		return nil, errors.New("no program given")
	}
	p := &process{cmd: exec.Command(start.Args[0], start.Args[1:]...), inputC: make(chan []byte, inputMax), goneC: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = append(os.Environ(), start.Env...), "/"
	if start.Dir != "" {
		p.cmd.Dir = start.Dir
	}
	connect := p.connectPipes
	if start.Terminal != nil {
		connect = func() ([]*os.File, error) { return p.connectTerminal(*start.Terminal) }
	}
	theirs, err := connect()
	if err == nil {
		err = p.cmd.Start()
	}
	for _, file := range theirs {
		_ = file.Close()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	go p.feed()
	return p, nil
}

// connectPipes returns the process's ends, to be closed once it runs.
func (p *process) connectPipes() (theirs []*os.File, err error) {
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	stdin, toStdin := pipe()
	fromStdout, stdout := pipe()
	fromStderr, stderr := pipe()
	p.stdin, p.stdout, p.stderr = toStdin, fromStdout, fromStderr
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return []*os.File{stdin, stdout, stderr}, err
}

func (p *process) connectTerminal(size wire.Size) (theirs []*os.File, err error) {
	// Not by os.OpenFile, whose Fd would make reading it uninterruptible.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	p.stdin = os.NewFile(uintptr(fd), "/dev/ptmx")
	p.stdout = p.stdin
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("find the terminal: %w", err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns}); err != nil {
		return nil, fmt.Errorf("set the terminal's size: %w", err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, terminal, terminal
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return []*os.File{terminal}, nil
}

// handle is called by the reader of requests only.
func (p *process) handle(request wire.Request) {
	if request.Signal != 0 {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.Signal(request.Signal))
		return
	}
	select {
	case p.inputC <- request.Input:
	case <-p.goneC:
	}
}

// feed writes the input that comes, until its end or the process's.
func (p *process) feed() {
	defer close(p.goneC)
	for input := range p.inputC {
		if len(input) == 0 {
			_ = p.stdin.Close()
			return
		}
		if _, err := p.stdin.Write(input); err != nil {
			return
		}
	}
}

// wait returns the process's exit status once its output has been read.
func (p *process) wait(copying *sync.WaitGroup) int {
	_ = p.cmd.Wait()
	copiedC := make(chan struct{})
	go func() { copying.Wait(); close(copiedC) }()
	select {
	case <-copiedC:
	case <-time.After(outputPatience):
	}
	p.close()
	<-copiedC
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// close ends reading and writing alike.
func (p *process) close() {
	for _, file := range []*os.File{p.stdin, p.stdout, p.stderr} {
		_ = file.Close() // a nil one refuses
	}
}
