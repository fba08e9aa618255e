// Package script runs an external program, without a shell, and is back in time
// whatever the program does.
//
// The program gets a process group of its own, /dev/null as input, and a pipe for both
// outputs, of which the first bytes are kept and all others are read and forgotten. When
// it takes too long the whole group gets SIGTERM and, [KillDelay] later, SIGKILL.
// What a program leaves behind in the background lives on, as with keepalived, but
// holds nobody up: its output is not waited for.
//
// [Run] starts goroutines, and they have ended when it returns, unless the program is
// stuck in the kernel and can't be killed. It may be called by any number of goroutines.
//
// Not here: splitting a command line, which is the business of the configuration.
//
//	outcome := script.Run(ctx, script.Command{Argv: []string{"/usr/bin/test", "-e", "/etc/motd"}, Timeout: time.Second})
//	if outcome.Kind == script.Exited && outcome.Code == 0 { … }
package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a run.
const (
	OutputMax   = 4096                   // bytes of output that are kept
	KillDelay   = 2 * time.Second        // from SIGTERM to SIGKILL (keepalived's)
	outputDelay = 100 * time.Millisecond // from the end of a program to the end of listening to what it left behind
)

// Command is a program and how to run it.
type Command struct {
	Argv       []string            // program and arguments; a name without "/" is looked for in PATH
	Env        []string            // "NAME=value", in addition to the environment of this process
	Credential *syscall.Credential // user, group and supplementary groups; nil: those of this process
	Timeout    time.Duration       // until SIGTERM; above 0
}

// Bound is the longest that [Run] takes for this command, give or take the machine's
// own delays.
func (c *Command) Bound() time.Duration { return c.Timeout + KillDelay + 2*outputDelay }

// Kind says how a run ended.
type Kind uint8

// The ends of a run.
const (
	Exited      Kind = iota + 1 // with Outcome.Code
	Signalled                   // by a signal that was not ours: Outcome.Signal
	TimedOut                    // it took too long, and we ended it
	Interrupted                 // the context ended, and we ended it
	NotStarted                  // there is no such program, or no permission, or no memory: Outcome.Err
)

// String gives "exited", "signalled", "timed out", "interrupted" or "not started".
func (k Kind) String() string {
	switch k {
	case Exited:
		return "exited"
	case Signalled:
		return "signalled"
	case TimedOut:
		return "timed out"
	case Interrupted:
		return "interrupted"
	case NotStarted:
		return "not started"
	}
	return "unknown end"
}

// Outcome is how a run ended.
type Outcome struct {
	Kind      Kind
	Code      int            // exit status, when Exited
	Signal    syscall.Signal // when Signalled
	Err       error          // when NotStarted
	Output    []byte         // the first OutputMax bytes of both outputs
	Truncated bool           // there were more
}

// String gives "exit status 1", "killed by signal …", "timed out" and the like.
func (o Outcome) String() string {
	switch o.Kind {
	case Exited:
		return fmt.Sprintf("exit status %d", o.Code)
	case Signalled:
		return fmt.Sprintf("ended by a signal: %s", o.Signal)
	case NotStarted:
		return o.Err.Error()
	}
	return o.Kind.String()
}

// Run runs a command and returns when it has ended, no later than [Command.Bound].
func Run(ctx context.Context, c Command) Outcome {
	p, err := start(&c)
	if err != nil {
		return Outcome{Kind: NotStarted, Err: fmt.Errorf("run %s: %w", c.name(), err)}
	}
	why := p.await(ctx, c.Timeout)
	return p.outcome(why)
}

func (c *Command) name() string {
	if len(c.Argv) == 0 {
		return "nothing"
	}
	return c.Argv[0]
}

// process is a program that has been started.
type process struct {
	command *exec.Cmd
	output  *keeper
	exitedC chan struct{} // closed when it has ended, and is not reaped yet
}

func start(c *Command) (*process, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("no program was given")
	}
	p, err := c.startAs(c.Argv)
	if errors.Is(err, syscall.ENOEXEC) {
		// A script that doesn't name its interpreter is the shell's, says execvp(3).
		return c.startAs(append([]string{"/bin/sh"}, c.Argv...))
	}
	return p, err
}

func (c *Command) startAs(argv []string) (*process, error) {
	p := &process{command: exec.Command(argv[0], argv[1:]...), output: &keeper{}, exitedC: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = p.output, p.output
	p.command.Env = append(environment(), c.Env...)
	p.command.WaitDelay = outputDelay
	// The signal comes when the thread that starts the program ends. Go's threads end
	// with the process, unless a goroutine that is locked to its thread returns.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM, Credential: c.Credential}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

// watch waits for the end without reaping: as long as the dead leader is there, its
// group's number belongs to nobody else, and the group may be killed.
func (p *process) watch() {
	defer close(p.exitedC)
	for {
		err := unix.Waitid(unix.P_PID, p.command.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// await returns when the program has ended, of itself or by our hand.
func (p *process) await(ctx context.Context, timeout time.Duration) Kind {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	why := TimedOut
	select {
	case <-p.exitedC:
		return Exited
	case <-ctx.Done():
		why = Interrupted
	case <-timer.C:
	}
	p.signal(syscall.SIGTERM)
	timer.Reset(KillDelay)
	select {
	case <-p.exitedC:
	case <-timer.C:
	}
	// To the group, whether its leader has obeyed or not: its children may not have.
	p.signal(syscall.SIGKILL)
	timer.Reset(outputDelay)
	select {
	case <-p.exitedC:
	case <-timer.C: // it is stuck in the kernel, where no signal reaches it
	}
	return why
}

// signal may meet a group that has ended.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.command.Process.Pid, s) }

// outcome reaps the program, or leaves it to be reaped when the kernel lets go of it.
func (p *process) outcome(why Kind) Outcome {
	o := Outcome{Kind: why}
	select {
	case <-p.exitedC:
		p.reap()
	default:
		go p.reap()
		return o
	}
	o.Output, o.Truncated = p.output.kept()
	if status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus); ok && why == Exited {
		o.Code = status.ExitStatus()
		if status.Signaled() {
			o.Kind, o.Code, o.Signal = Signalled, 0, status.Signal()
		}
	}
	return o
}

// reap needs no error: how it ended is in ProcessState, and that others still hold the
// output is no news.
func (p *process) reap() {
	<-p.exitedC
	_ = p.command.Wait()
}

// environment is that of this process, without what would change how programs are
// loaded or read (as keepalived does), and what is for this process alone.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID":
		default:
			kept = append(kept, variable)
		}
	}
	return kept
}
