package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// errClosed is what every call on a closed host returns.
var errClosed = errors.New("lab: the host is closed")

// Host is a machine as far as the network can tell: a network namespace with
// one thread that lives in it for as long as the host does.
type Host struct {
	Name string

	ns    netns.NsHandle
	workC chan func() // performed by the host's thread, one at a time
	doneC chan struct{}
	once  sync.Once
}

// NewHost makes an anonymous host: it vanishes with this process.
func NewHost(name string) (*Host, error) {
	h := &Host{Name: name, workC: make(chan func()), doneC: make(chan struct{})}
	startedC := make(chan error)
	go h.live(startedC)
	if err := <-startedC; err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	if err := h.Do(loopbackUp); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// live is the host's thread. It is never unlocked, so that it ends with the
// goroutine and can't return to the pool in the wrong namespace.
func (h *Host) live(startedC chan<- error) {
	runtime.LockOSThread()
	defer close(h.doneC)
	var err error
	h.ns, err = netns.New()
	startedC <- err
	if err != nil {
		return
	}
	for work := range h.workC {
		work()
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// Do runs fn in the host's namespace, on the host's thread, and returns its
// error. Sockets that fn opens stay in the namespace for good; goroutines that
// it starts do not run there. Calls are performed one after another.
func (h *Host) Do(fn func() error) (err error) {
	defer func() {
		if recover() != nil { // a send on the closed channel
			err = errClosed
		}
	}()
	resultC := make(chan error, 1)
	h.workC <- func() { resultC <- fn() }
	return <-resultC
}

// Start starts cmd in the host's namespace. The process is killed when the host
// is closed or this process ends, however it ends: its parent-death signal
// follows the host's thread.
func (h *Host) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return h.Do(cmd.Start)
}

// Run runs a program in the host's namespace to its end. The error carries what
// the program wrote.
func (h *Host) Run(name string, args ...string) error {
	_, err := h.Output(name, args...)
	return err
}

// Output is [Host.Run] for a program whose standard output is wanted.
func (h *Host) Output(name string, args ...string) ([]byte, error) {
	var out []byte
	err := h.Do(func() error {
		var err error
		out, err = exec.Command(name, args...).Output()
		return err
	})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, fmt.Errorf("%s: run %s: %w: %s", h.Name, name, err, exit.Stderr)
	}
	return out, err
}

// Handle is the namespace, for calls that move something into it.
func (h *Host) Handle() netns.NsHandle { return h.ns }

// Close ends the host's thread and with it the processes started on it. A second
// call does nothing.
func (h *Host) Close() error {
	var err error
	h.once.Do(func() {
		close(h.workC)
		<-h.doneC
		err = h.ns.Close()
	})
	return err
}
