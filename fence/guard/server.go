package guard

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// Options are what a guard is started with.
type Options struct {
	Command []string // of the controller: program and arguments
	Checker []string // of the checker; nil: it is never started
	RunDir  string   // where the lock is
	Log     hclog.Logger

	// OpenWatchdog opens the device; nil: fence.OpenWatchdog.
	OpenWatchdog func(path string, timeout time.Duration) (fence.Watchdog, time.Duration, error)
}

// server is the shell around a Core: it reads, steps and performs.
type server struct {
	Options
	core     *Core
	kernel   *fence.Kernel
	timer    *timer
	watchdog fence.Watchdog

	child     *process // the controller
	checker   *process
	protected bool // from the OOM killer: its children need a score of their own
	childC    chan childEvent
	farewellC chan struct{}
	doneC     chan struct{} // closed when Run ends
	group     sync.WaitGroup

	exited   bool
	exitCode int
}

// Run is a guard's life in the calling thread's network namespace; it returns
// the exit code after SIGTERM or SIGINT, or once going on would be pointless.
func Run(options Options) (exitCode int, err error) {
	if options.OpenWatchdog == nil {
		options.OpenWatchdog = openDevice
	}
	l, err := acquireLock(options.RunDir)
	if err != nil {
		return exitFailed, err
	}
	defer l.unlock()
	s := &server{
		Options: options,
		core:    NewCore(serviceWatchdog()),
		childC:  make(chan childEvent), farewellC: make(chan struct{}), doneC: make(chan struct{}),
	}
	defer s.group.Wait()
	defer s.hangUp()
	if s.kernel, err = fence.OpenKernel(); err != nil {
		return exitFailed, err
	}
	defer s.kernel.Close()
	if s.timer, err = newTimer(); err != nil {
		return exitFailed, err
	}
	defer s.timer.close()
	changedC, err := fence.Watch(s.doneC)
	if err != nil {
		return exitFailed, err
	}
	return s.serve(changedC), nil
}

// hangUp lets every goroutine end. A child's socket may still be open in a
// process that the child has left behind, so it is closed on this side.
func (s *server) hangUp() {
	close(s.doneC)
	for _, p := range []*process{s.child, s.checker} {
		if p != nil {
			_ = p.client.Close()
		}
	}
}

func (s *server) serve(changedC <-chan struct{}) (exitCode int) {
	signalC := make(chan os.Signal, 4) // signal.Notify doesn't wait; two of a kind say no more than one
	// SIGPIPE too: the end of whoever reads our log must not be ours.
	signal.Notify(signalC, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)
	defer signal.Stop(signalC)
	s.step(Start{})
	for !s.exited {
		if err := s.timer.set(s.core.Deadline()); err != nil {
			panic("guard: set the timer: " + err.Error())
		}
		select {
		case <-s.timer.fireC:
			s.step(Tick{})
		case ev := <-s.childC:
			switch ev.process { // of an earlier one it means nothing
			case s.child:
				s.step(ev.event)
			case s.checker:
				s.step(OfChecker{ev.event})
			}
		case <-changedC:
			s.lookAround()
		case sig := <-signalC:
			s.signalled(sig)
		case <-s.farewellC:
			s.step(FarewellSent{})
		}
	}
	return s.exitCode
}

func (s *server) signalled(sig os.Signal) {
	switch sig {
	case unix.SIGTERM, unix.SIGINT:
		s.step(Terminate{})
	case unix.SIGHUP:
		s.step(Reload{})
	}
}

// lookAround tells the core which of the held VIPs are not there.
func (s *server) lookAround() {
	held := s.core.Held()
	if len(held) == 0 {
		return
	}
	lost, interfaces, err := s.kernel.Addresses.Missing(held)
	if err != nil {
		s.Log.Warn("look for the held VIPs", "error", err)
		return // the grant's refreshes will meet the trouble, if there is any
	}
	for _, name := range interfaces {
		s.step(Kernel{fence.InterfaceLost{Interface: name}})
	}
	for _, vip := range lost {
		s.step(Kernel{fence.AddressLost{VIP: vip}})
	}
}

// step steps the core and performs what follows, first in, first out.
func (s *server) step(event Event) {
	queue := s.core.Step(boottime.Now(), event)
	for len(queue) > 0 {
		outcome := s.perform(queue[0])
		queue = queue[1:]
		if outcome != nil {
			queue = append(queue, s.core.Step(boottime.Now(), outcome)...)
		}
	}
}

// perform performs one action; the outcome is nil where nobody waits for it.
func (s *server) perform(action Action) (outcome Event) {
	switch a := action.(type) {
	case StartChild:
		return s.startChild()
	case StartChecker:
		return OfChecker{s.startChecker()}
	case SignalChild:
		s.child.signal(a.Signal)
	case SignalChecker:
		s.checker.signal(a.Signal)
	case Send:
		if err := s.child.client.Send(a.Message); err != nil {
			return SendFailed{Reason: err.Error()}
		}
	case Perform:
		done, _ := s.kernel.Perform(a.Action)
		return Kernel{done}
	case ApplyRights:
		rights := AcquireRights(a.LockMemory, a.RealtimePriority)
		s.protect(rights)
		return RightsApplied{rights}
	case OpenWatchdog:
		return s.openWatchdog(a)
	case PetWatchdog:
		if err := s.watchdog.Pet(); err != nil {
			s.Log.Warn("pet the watchdog", "error", err)
		}
	case DisarmWatchdog:
		if err := s.watchdog.Disarm(); err != nil {
			s.Log.Warn("disarm the watchdog", "error", err)
		}
	case SendFarewell:
		s.sendFarewell(a.Farewell)
	case Notify:
		notify(a.State)
	case Log:
		s.log(a)
	case Exit:
		s.exited, s.exitCode = true, a.Code
	default:
		panic(fmt.Sprintf("guard: unknown action %T", action))
	}
	return nil
}

func (s *server) startChild() Event {
	if s.child != nil {
		_ = s.child.client.Close() // of its predecessor, which is dead
	}
	var event Event
	s.child, event = s.start("controller", s.Command, oomScoreController)
	return event
}

func (s *server) startChecker() Event {
	if s.checker != nil {
		_ = s.checker.client.Close()
	}
	if len(s.Checker) == 0 {
		s.checker = nil
		return ChildFailed{Reason: "this guard was not told how to start a checker"}
	}
	var event Event
	s.checker, event = s.start("checker", s.Checker, oomScoreChecker)
	return event
}

func (s *server) start(name string, command []string, oomScore int) (*process, Event) {
	p, err := startProcess(name, command, s.childC, s.doneC)
	if err != nil {
		return nil, ChildFailed{Reason: err.Error()}
	}
	if s.protected {
		// Inherited is the guard's score. The child may be gone already.
		_ = setOOMScore(strconv.Itoa(p.command.Process.Pid), oomScore)
	}
	s.group.Go(p.group.Wait)
	return p, ChildStarted{PID: p.command.Process.Pid}
}

// protect gives the running child a score of its own once ours is set; later
// ones get it when they start.
func (s *server) protect(rights Rights) {
	s.protected = rights.OOMProtected
	if s.protected && s.child != nil {
		_ = setOOMScore(strconv.Itoa(s.child.command.Process.Pid), oomScoreController) // it may be gone
	}
	if s.protected && s.checker != nil {
		_ = setOOMScore(strconv.Itoa(s.checker.command.Process.Pid), oomScoreChecker)
	}
}

func (s *server) openWatchdog(a OpenWatchdog) Event {
	device, timeout, err := s.Options.OpenWatchdog(a.Path, a.Timeout)
	if err != nil {
		return WatchdogOpened{Reason: err.Error()}
	}
	s.watchdog = device
	opened := WatchdogOpened{Timeout: timeout}
	if d, ok := device.(interface{ Cautions() []string }); ok {
		opened.Caution = strings.Join(d.Cautions(), "; ")
	}
	return opened
}

func openDevice(path string, timeout time.Duration) (fence.Watchdog, time.Duration, error) {
	device, err := fence.OpenWatchdog(path, timeout)
	if err != nil {
		return nil, 0, err
	}
	return device, device.Timeout(), nil
}

func (s *server) sendFarewell(farewell Farewell) {
	s.group.Go(func() {
		if err := farewell.send(context.Background()); err != nil {
			s.Log.Warn("not every peer took the farewell", "error", err)
		}
		select {
		case s.farewellC <- struct{}{}:
		case <-s.doneC:
		}
	})
}

func (s *server) log(line Log) {
	if line.Warn {
		s.Log.Warn(line.Text, line.Args...)
		return
	}
	s.Log.Info(line.Text, line.Args...)
}

// notify tells systemd, if it is there to listen.
func notify(state string) {
	if state == reloadingState {
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
			state += fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond))
		}
	}
	_, _ = daemon.SdNotify(false, state) // no listener is no error, and a deaf one no reason to stop
}

// serviceWatchdog is the timeout of systemd's watchdog for this process.
func serviceWatchdog() time.Duration {
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return timeout
}
