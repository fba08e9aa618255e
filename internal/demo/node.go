package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/test/lab"
)

// Node is one director of the demo: a host with hafence on it.
type Node struct {
	Name    string
	Index   int // its number in a Record
	Address netip.Addr
	Host    *lab.Host
	Port    *lab.Port
	Wrapper []string // starts the program in its stead, for a file system or clock of its own; none if empty

	dir      string
	program  string
	guard    *exec.Cmd     // nil: never started
	endedC   chan struct{} // closed when the guard has ended
	stopping bool          // the guard has been asked to end
	log      *os.File
}

// ConfigFile is the node's configuration.
func (n *Node) ConfigFile() string { return filepath.Join(n.dir, "hafence.conf") }

// SocketPath is the node's status socket.
func (n *Node) SocketPath() string { return filepath.Join(n.dir, "s") }

// DataDir is where the node's Raft log is.
func (n *Node) DataDir() string { return filepath.Join(n.dir, "data") }

// LogFile is what the node's processes write to.
func (n *Node) LogFile() string { return filepath.Join(n.dir, "log") }

// Running reports whether the node's guard has been started and not ended.
func (n *Node) Running() bool {
	if n.guard == nil {
		return false
	}
	select {
	case <-n.endedC:
		return false
	default:
		return true
	}
}

// Processes are the IDs of the node's processes: the guard and what it started.
func (n *Node) Processes() ([]int, error) {
	if !n.Running() {
		return nil, nil
	}
	children, err := descendants(n.guard.Process.Pid)
	return append([]int{n.guard.Process.Pid}, children...), err
}

// Start starts hafence on the node, unless it is running.
func (n *Node) Start() error {
	if n.Running() {
		return nil
	}
	if n.log == nil {
		var err error
		if n.log, err = os.OpenFile(n.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
			return fmt.Errorf("open the log of %s: %w", n.Name, err)
		}
	}
	args := append(slices.Clone(n.Wrapper), n.program, "run", "--run-dir", filepath.Join(n.dir, "run"), n.ConfigFile())
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	// A group of its own: a terminal's interrupt is for the demo alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.Host.Start(cmd); err != nil {
		return fmt.Errorf("start hafence on %s: %w", n.Name, err)
	}
	n.guard, n.endedC, n.stopping = cmd, make(chan struct{}), false
	go func(endedC chan struct{}) {
		_ = cmd.Wait() // how it ended doesn't matter here
		close(endedC)
	}(n.endedC)
	return nil
}

// Stop asks hafence to hand over and end, and does not wait.
func (n *Node) Stop() error {
	n.stopping = true
	return n.signalGuard(syscall.SIGTERM)
}

// Reload asks hafence to read its configuration again.
func (n *Node) Reload() error { return n.signalGuard(syscall.SIGHUP) }

// AwaitStopped waits until hafence has ended.
func (n *Node) AwaitStopped(ctx context.Context) error {
	if n.guard == nil {
		return nil
	}
	select {
	case <-n.endedC:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for hafence on %s to end: %w", n.Name, context.Cause(ctx))
	}
}

func (n *Node) signalGuard(signal syscall.Signal) error {
	if !n.Running() {
		return fmt.Errorf("hafence is not running on %s", n.Name)
	}
	return signalAll([]int{n.guard.Process.Pid}, signal)
}

// KillController kills the controller alone: the guard sees it.
func (n *Node) KillController() error {
	if !n.Running() {
		return fmt.Errorf("hafence is not running on %s", n.Name)
	}
	children, err := descendants(n.guard.Process.Pid)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(children, isController)
	if i < 0 {
		return fmt.Errorf("no controller is running on %s", n.Name)
	}
	return signalAll(children[i:i+1], syscall.SIGKILL)
}

// Freeze stops every process of the node where it is (SIGSTOP), the guard first,
// so that it can't start another meanwhile.
func (n *Node) Freeze() error {
	if err := n.signalGuard(syscall.SIGSTOP); err != nil {
		return err
	}
	children, err := descendants(n.guard.Process.Pid)
	if err != nil {
		return err
	}
	return signalAll(children, syscall.SIGSTOP)
}

// Thaw lets frozen processes go on (SIGCONT).
func (n *Node) Thaw() error { return n.signalTree(syscall.SIGCONT) }

// Kill kills every process of the node at once. They are frozen before, so that
// none sees another's death, and the children die first, for a frozen child
// would be woken by its parent's death (setpgid(2), orphaned process groups).
func (n *Node) Kill() error {
	if err := n.Freeze(); err != nil {
		return err
	}
	return n.signalTree(syscall.SIGKILL)
}

// signalTree signals the youngest first, the guard last.
func (n *Node) signalTree(signal syscall.Signal) error {
	if !n.Running() {
		return fmt.Errorf("hafence is not running on %s", n.Name)
	}
	children, err := descendants(n.guard.Process.Pid)
	if err != nil {
		return err
	}
	slices.Reverse(children)
	return signalAll(append(children, n.guard.Process.Pid), signal)
}

// end kills whatever runs and waits until it is gone.
func (n *Node) end() error {
	var errs []error
	if n.Running() {
		pids, err := descendants(n.guard.Process.Pid)
		pids = append(pids, n.guard.Process.Pid)
		killed := n.Kill()
		if !n.Running() {
			killed = nil // it ended by itself a moment ago
		}
		errs = append(errs, err, killed, awaitEnd(pids))
		<-n.endedC
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
		n.log = nil
	}
	return errors.Join(errs...)
}

// Servers asks the node's checker for its virtual servers.
func (n *Node) Servers(ctx context.Context) (*status.Servers, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	return status.FetchServers(ctx, status.ServersSocket(n.SocketPath()))
}

// Status asks the node for the cluster's status.
func (n *Node) Status(ctx context.Context) (*status.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	return status.Fetch(ctx, n.SocketPath())
}

// HasAddress reports whether the node has the VIP, as a record tells.
func (n *Node) HasAddress(r *Record) bool {
	has := false
	for _, a := range r.Addresses {
		if a.Node == n.Index {
			has = a.Present
		}
	}
	return has
}

// AnswersAt reports whether the node has answered on its own cable lately.
func (n *Node) AnswersAt(r *Record, now boottime.Instant) bool {
	for i := len(r.Answers) - 1; i >= 0; i-- {
		a := r.Answers[i]
		if now.Sub(a.At) > liveMemory {
			return false
		}
		if a.Node == n.Index && a.Via != ViaClient {
			return true
		}
	}
	return false
}
