package guard

import (
	"syscall"
	"time"

	"github.com/hafence/hafence/fence"
)

// Event is what happens to a [Core].
type Event interface{ isEvent() }

// Start begins: the first event, once.
type Start struct{}

// ChildStarted answers StartChild.
type ChildStarted struct{ PID int }

// ChildFailed answers StartChild: the program could not be started.
type ChildFailed struct{ Reason string }

// ChildExited says that the child is dead. Code is −1 after a signal.
type ChildExited struct {
	Code   int
	Reason string // "exit status 2", "signal: killed"
}

// ChildClosed says that the child's socket is closed.
type ChildClosed struct{}

// OfChecker is an event of the checker, not of the controller: ChildStarted and
// ChildFailed answer StartChecker.
type OfChecker struct{ Event Event }

// Received is a message from the child.
type Received struct{ Message Message }

// Unreadable says that the child sent what is no message.
type Unreadable struct{ Reason string }

// SendFailed says that a message could not be sent to the child.
type SendFailed struct{ Reason string }

// Terminate asks for the end: SIGTERM or SIGINT.
type Terminate struct{}

// Reload is SIGHUP.
type Reload struct{}

// RightsApplied answers ApplyRights.
type RightsApplied struct{ Rights Rights }

// WatchdogOpened answers OpenWatchdog; Reason says why it failed.
type WatchdogOpened struct {
	Timeout time.Duration // what the driver made of it
	Reason  string
	Caution string // what it does differently from what an operator may expect; "" is the normal case
}

// FarewellSent says that SendFarewell has ended, with or without success.
type FarewellSent struct{}

// Kernel brings a fence event: an outcome or a notification.
type Kernel struct{ Event fence.Event }

// Tick says that the instant of [Core.Deadline] has come.
type Tick struct{}

func (Start) isEvent()          {}
func (ChildStarted) isEvent()   {}
func (ChildFailed) isEvent()    {}
func (ChildExited) isEvent()    {}
func (ChildClosed) isEvent()    {}
func (OfChecker) isEvent()      {}
func (Received) isEvent()       {}
func (Unreadable) isEvent()     {}
func (SendFailed) isEvent()     {}
func (Terminate) isEvent()      {}
func (Reload) isEvent()         {}
func (RightsApplied) isEvent()  {}
func (WatchdogOpened) isEvent() {}
func (FarewellSent) isEvent()   {}
func (Kernel) isEvent()         {}
func (Tick) isEvent()           {}

// Action is what a [Core] wants done. Actions are performed first in, first
// out, across Step calls; the outcome of Perform, ApplyRights, OpenWatchdog,
// StartChild and StartChecker is stepped before any event from outside.
type Action interface{ isAction() }

// StartChild starts the controller with a fresh socket.
type StartChild struct{}

// SignalChild sends a signal to the child.
type SignalChild struct{ Signal syscall.Signal }

// StartChecker starts the checker with a fresh socket.
type StartChecker struct{}

// SignalChecker sends a signal to the checker.
type SignalChecker struct{ Signal syscall.Signal }

// Send sends a message to the child.
type Send struct{ Message Message }

// Perform performs a kernel action of package fence.
type Perform struct{ Action fence.Action }

// ApplyRights locks memory, protects from the OOM killer and sets the
// scheduling class, as far as asked for.
type ApplyRights struct {
	LockMemory       bool
	RealtimePriority int
}

// OpenWatchdog opens the device, which starts it.
type OpenWatchdog struct {
	Path    string
	Timeout time.Duration
}

// PetWatchdog restarts the watchdog's timeout. Not given while a withdrawal is
// overdue.
type PetWatchdog struct{}

// DisarmWatchdog stops the watchdog. Only after everything was withdrawn, or
// when another one is wanted.
type DisarmWatchdog struct{}

// SendFarewell sends the dead controller's farewell. Only after everything was
// withdrawn.
type SendFarewell struct{ Farewell Farewell }

// Notify tells the service manager (sd_notify).
type Notify struct{ State string }

// Log is one line for people. Args are key, value, key, value.
type Log struct {
	Warn bool
	Text string
	Args []any
}

// Exit ends the guard; the last action.
type Exit struct{ Code int }

func (StartChild) isAction()     {}
func (SignalChild) isAction()    {}
func (StartChecker) isAction()   {}
func (SignalChecker) isAction()  {}
func (Send) isAction()           {}
func (Perform) isAction()        {}
func (ApplyRights) isAction()    {}
func (OpenWatchdog) isAction()   {}
func (PetWatchdog) isAction()    {}
func (DisarmWatchdog) isAction() {}
func (SendFarewell) isAction()   {}
func (Notify) isAction()         {}
func (Log) isAction()            {}
func (Exit) isAction()           {}
