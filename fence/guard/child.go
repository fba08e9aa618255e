package guard

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// process is a running child: its end of the socket, and the goroutines that
// wait for it.
type process struct {
	command *exec.Cmd
	client  *Client
	group   sync.WaitGroup
}

// startProcess starts a child with its end of a fresh socket pair as FD.
// Its messages and its end come as events on eventC, each with the process it
// belongs to, until doneC is closed.
func startProcess(name string, argv []string, eventC chan<- childEvent, doneC <-chan struct{}) (*process, error) {
	own, theirs, err := pair(name)
	if err != nil {
		return nil, err
	}
	p := &process{command: exec.Command(argv[0], argv[1:]...), client: own}
	p.command.Stdout, p.command.Stderr = os.Stdout, os.Stderr
	p.command.ExtraFiles = []*os.File{theirs} // becomes FD
	p.command.Env = withoutServiceManager(os.Environ())
	// A group of its own: a terminal's interrupt is for the guard alone.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.command.Start()
	_ = theirs.Close() // only the child may hold it, or its death would not be seen
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", name, err), own.Close())
	}
	report := func(event Event) bool {
		select {
		case eventC <- childEvent{p, event}:
			return true
		case <-doneC:
			return false
		}
	}
	p.group.Go(func() { p.read(report) })
	p.group.Go(func() {
		err := p.command.Wait()
		report(ChildExited{Code: p.command.ProcessState.ExitCode(), Reason: exitReason(err)})
	})
	return p, nil
}

func (p *process) read(report func(Event) bool) {
	for {
		message, err := p.client.Receive()
		switch {
		case errors.Is(err, io.EOF):
			report(ChildClosed{})
			return
		case err != nil:
			if !report(Unreadable{Reason: err.Error()}) {
				return
			}
		default:
			if !report(Received{message}) {
				return
			}
		}
	}
}

// signal may meet a process that has ended; that will be reported anyway.
func (p *process) signal(s syscall.Signal) { _ = p.command.Process.Signal(s) }

// childEvent is an event of one process; of an earlier one it means nothing.
type childEvent struct {
	process *process
	event   Event
}

func exitReason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// withoutServiceManager takes away what lets a process speak to systemd: that
// is the guard's business alone.
func withoutServiceManager(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if name != "NOTIFY_SOCKET" && name != "WATCHDOG_USEC" && name != "WATCHDOG_PID" {
			kept = append(kept, variable)
		}
	}
	return kept
}
