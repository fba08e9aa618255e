package guard

import (
	"fmt"
	"syscall"
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// Supervision.
const (
	// HeartbeatTimeoutDefault is the silence after which a controller counts as
	// hung, unless it says otherwise. The VIPs don't wait for it: they have their
	// deadline.
	HeartbeatTimeoutDefault = 5 * time.Second
	heartbeatTimeoutMin     = 200 * time.Millisecond

	// startTimeout is the silence granted to a controller that has not sent its
	// first Configure: it may be reading a large log from a slow disk.
	startTimeout = 30 * time.Second

	// hungGrace is granted on top, after the guard has looked: if both processes
	// were stopped together, the controller's messages may be waiting unread.
	hungGrace = 200 * time.Millisecond

	// closedGrace is for a controller that has closed its socket, to exit by
	// itself and say its exit code.
	closedGrace = time.Second

	restartDelayMin   = 250 * time.Millisecond // after the first restart, which comes at once
	restartDelayMax   = 10 * time.Second
	restartForgivable = time.Minute // of life, after which earlier failures are forgotten

	stopTimeout     = 10 * time.Second // for the controller to stop
	withdrawTimeout = 10 * time.Second // for withdrawals and farewell after that

	watchdogPetsPerTimeout = 4
)

// ExitConfiguration is the exit code by which a controller says, before its first
// Configure, that its configuration cannot be used: restarting it would not help,
// and the guard ends with the same code. It is EX_CONFIG of sysexits.h; 2 would be
// that of every panic, after which a restart is just what is needed.
const ExitConfiguration = 78

// Other exit codes of the guard.
const (
	exitFine   = 0
	exitFailed = 1
)

// Core decides what the guard does. It is pure, as fence.Owner is, and follows
// the same contract.
type Core struct {
	owner *fence.Owner

	child    child   // the controller
	checker  checker // where there are virtual servers
	stop     stop
	watchdog watchdog
	service  petting // systemd's watchdog

	configure  Configure // the last one
	configured bool      // by any child; its layers mean something
	gateReason string
	rights     Rights

	farewell Farewell  // of the living controller
	parting  *Farewell // of a dead one, waiting for the withdrawal
	sending  int       // farewells on their way

	out []Action
}

type childPhase uint8

const (
	childNone     childPhase = iota + 1 // to be started at restartAt
	childStarting                       // StartChild is being performed
	childRunning
	childDying // its socket is closed or it was killed; nothing it says counts
)

type child struct {
	phase      childPhase
	startedAt  boottime.Instant
	heardAt    boottime.Instant
	suspected  boottime.Instant // silent for too long since; 0: not
	configured bool             // this one has sent Configure
	killAt     boottime.Instant // childDying; 0: has been killed
	restartAt  boottime.Instant
	failures   int // in a row
}

type stop struct {
	asked      bool
	hurried    bool // asked a second time
	code       int
	killAt     boottime.Instant // of a child that doesn't stop
	withdrawBy boottime.Instant // 0: the child is not gone yet
	expired    bool             // withdrawBy has passed; what is left is the checker's end
	done       bool
}

type petting struct {
	interval time.Duration // 0: nobody to pet
	at       boottime.Instant
}

type watchdog struct {
	petting
	path    string // wanted
	timeout time.Duration
	reason  string // why it isn't open
	caution string // what an operator should know of it
}

// NewCore returns a core that waits for Start. serviceWatchdog is the timeout
// of the service manager's watchdog, 0 for none.
func NewCore(serviceWatchdog time.Duration) *Core {
	return &Core{
		owner:   fence.NewOwner(),
		child:   child{phase: childNone},
		checker: checker{child: child{phase: childNone}},
		service: petting{interval: serviceWatchdog / watchdogPetsPerTimeout},
	}
}

// Step takes one event at the instant now and returns what is to be done.
func (c *Core) Step(now boottime.Instant, event Event) []Action {
	c.out = nil
	switch ev := event.(type) {
	case Start:
		c.startChild()
	case ChildStarted:
		c.childStarted(now, ev)
	case ChildFailed:
		c.childEnded(now, exitFailed, ev.Reason)
	case ChildExited:
		c.childEnded(now, ev.Code, ev.Reason)
	case ChildClosed:
		c.childClosed(now)
	case OfChecker:
		c.checkerEvent(now, ev.Event)
	case Received:
		c.received(now, ev.Message)
	case Unreadable:
		c.killChild(now, ev.Reason)
	case SendFailed:
		c.killChild(now, ev.Reason)
	case Terminate:
		c.terminate(now)
	case Reload:
		if c.child.phase == childRunning {
			c.emit(SignalChild{syscall.SIGHUP})
		}
		if c.checker.phase == childRunning {
			c.emit(SignalChecker{syscall.SIGHUP})
		}
	case RightsApplied:
		c.rights = ev.Rights
	case WatchdogOpened:
		c.watchdogOpened(now, ev)
	case FarewellSent:
		c.sending--
	case Kernel:
		c.fence(now, ev.Event)
	case Tick:
		c.fence(now, fence.Tick{})
	default:
		panic(fmt.Sprintf("guard: unknown event %T", event))
	}
	c.advance(now)
	return c.out
}

// Deadline returns the earliest instant at which a Tick is needed, if any.
func (c *Core) Deadline() (boottime.Instant, bool) {
	earliest, found := c.owner.Deadline()
	consider := func(at boottime.Instant, needed bool) {
		if needed && (!found || at.Before(earliest)) {
			earliest, found = at, true
		}
	}
	ch := &c.child
	consider(ch.restartAt, ch.phase == childNone && ch.restartAt != 0 && !c.stop.asked)
	consider(c.hungAt(), ch.phase == childRunning)
	consider(ch.killAt, ch.phase == childDying && ch.killAt != 0)
	consider(c.stop.killAt, c.stop.asked && ch.phase != childNone && ch.phase != childDying)
	consider(c.stop.withdrawBy, c.stop.withdrawBy != 0 && !c.stop.expired)
	consider(c.checkerDeadline())
	consider(c.watchdog.at, c.watchdog.interval > 0)
	consider(c.service.at, c.service.interval > 0)
	return earliest, found
}

// Held lists the VIPs that should be on their interfaces now.
func (c *Core) Held() []fence.VIP { return c.owner.Held() }

// advance does what has come due, in an order that matters: withdrawals before
// farewells, farewells before the end, petting last.
func (c *Core) advance(now boottime.Instant) {
	c.superviseChild(now)
	c.superviseChecker(now)
	if c.parting != nil && c.owner.Withdrawn() {
		c.emit(SendFarewell{*c.parting})
		c.parting = nil
		c.sending++
	}
	c.advanceStop(now)
	c.pet(now)
}

// pet pets the watchdogs unless a VIP may answer that should not.
func (c *Core) pet(now boottime.Instant) {
	well := !c.owner.Overdue(now)
	if c.watchdog.interval > 0 && !now.Before(c.watchdog.at) {
		c.watchdog.at = now.Add(c.watchdog.interval)
		if well {
			c.emit(PetWatchdog{})
		}
	}
	if c.service.interval > 0 && !now.Before(c.service.at) {
		c.service.at = now.Add(c.service.interval)
		if well {
			c.emit(Notify{"WATCHDOG=1"})
		}
	}
}

func (c *Core) emit(actions ...Action) { c.out = append(c.out, actions...) }

func (c *Core) log(text string, args ...any) { c.emit(Log{Text: text, Args: args}) }

func (c *Core) warn(text string, args ...any) { c.emit(Log{Warn: true, Text: text, Args: args}) }
