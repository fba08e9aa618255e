package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/hafence/hafence/test/lab/kernel/wire"
)

// Command is a program to run in a machine.
type Command struct {
	Args   []string // the program, looked up in the guest's PATH, and its arguments
	Env    []string // in addition to the guest's own
	Dir    string   // "" is /
	Stdout io.Writer
	Stderr io.Writer // both may be nil; a slow writer holds up the whole machine's output

	// Rows and Columns give it a terminal of that size, when Rows is not 0:
	// everything it writes goes to Stdout then.
	Rows, Columns uint16
}

// Process is a program that runs in a machine.
type Process struct {
	command  Command
	life     *life
	id       int
	pid      int
	startedC chan struct{} // closed when pid is known, or the process is over
	doneC    chan struct{} // closed when it is over
	code     int           // valid once doneC is closed
	err      error
}

// Output is what a finished program wrote, and its exit status: 128 + n after
// signal n.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// Go starts a program and returns once it runs. It ends with the machine at the
// latest.
func (m *Machine) Go(command Command) (*Process, error) {
	l, err := m.current()
	if err != nil {
		return nil, err
	}
	p := &Process{command: command, life: l, startedC: make(chan struct{}), doneC: make(chan struct{})}
	start := &wire.Start{Args: command.Args, Env: command.Env, Dir: command.Dir}
	if command.Rows != 0 {
		start.Terminal = &wire.Size{Rows: command.Rows, Columns: command.Columns}
	}
	if err := l.add(p); err != nil {
		return nil, err
	}
	if err := l.send(wire.Request{ID: p.id, Start: start}); err != nil {
		return nil, err
	}
	select {
	case <-p.startedC:
		return p, nil
	case <-p.doneC:
	}
	if p.err != nil {
		return nil, fmt.Errorf("run %s: %w", strings.Join(command.Args, " "), p.err)
	}
	return p, nil
}

// Exec runs a program to its end. An exit status other than 0 is not an error.
// When ctx ends first, the program is killed.
func (m *Machine) Exec(ctx context.Context, args ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	p, err := m.Go(Command{Args: args, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return Output{}, err
	}
	code, err := p.Wait(ctx)
	if err != nil {
		_ = p.Signal(syscall.SIGKILL)
		return Output{}, fmt.Errorf("%s: run %s: %w", m.options.Name, strings.Join(args, " "), err)
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: code}, nil
}

// Run is [Machine.Exec] for a program that must succeed: the error carries what
// it wrote to its standard error. It returns the standard output.
func (m *Machine) Run(ctx context.Context, args ...string) (string, error) {
	out, err := m.Exec(ctx, args...)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("%s: run %s: exit status %d: %s", m.options.Name, strings.Join(args, " "), out.Code, strings.TrimSpace(out.Stderr))
	}
	return out.Stdout, err
}

func (l *life) add(p *Process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.endC: // nobody would finish it
		return fmt.Errorf("%s: %w", l.name, ErrEnded)
	default:
	}
	l.nextID++
	p.id = l.nextID
	l.processes[p.id] = p
	return nil
}

// PID is the process's number in the guest. It leads a process group.
func (p *Process) PID() int { return p.pid }

// Wait returns the exit status, 128 + n after signal n. The error says that the
// machine ended first, or ctx did, which leaves the process alone.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.doneC:
		return p.code, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Signal sends a signal to the process's group.
func (p *Process) Signal(signal syscall.Signal) error {
	return p.life.send(wire.Request{ID: p.id, Signal: int(signal)})
}

// Write gives the process input.
func (p *Process) Write(input []byte) (int, error) {
	written := 0
	for len(input) > 0 {
		chunk := input[:min(len(input), wire.ChunkMax)]
		if err := p.life.send(wire.Request{ID: p.id, Input: chunk}); err != nil {
			return written, err
		}
		input, written = input[len(chunk):], written+len(chunk)
	}
	return written, nil
}

// CloseInput ends the process's input.
func (p *Process) CloseInput() error {
	return p.life.send(wire.Request{ID: p.id})
}

// handle is called by the life's listener only.
func (p *Process) handle(reply wire.Reply) {
	switch {
	case reply.Started != 0:
		p.pid = reply.Started
		close(p.startedC)
	case reply.Exit != nil && reply.Exit.Error != "":
		p.finish(reply.Exit.Code, errors.New(reply.Exit.Error))
	case reply.Exit != nil:
		p.finish(reply.Exit.Code, nil)
	case len(reply.Stdout) > 0 && p.command.Stdout != nil:
		_, _ = p.command.Stdout.Write(reply.Stdout)
	case len(reply.Stderr) > 0 && p.command.Stderr != nil:
		_, _ = p.command.Stderr.Write(reply.Stderr)
	}
}

func (p *Process) finish(code int, err error) {
	p.code, p.err = code, err
	close(p.doneC)
}
