package fence

import (
	"errors"
	"time"
)

// Bounds of a watchdog's timeout; devices count in whole seconds.
const (
	WatchdogTimeoutMin = time.Second
	WatchdogTimeoutMax = 5 * time.Minute
)

// Watchdog resets this host unless it is petted. Who may pet is decided by
// [Owner.Overdue] and the guard, not here.
type Watchdog interface {
	// Pet restarts the timeout.
	Pet() error
	// Disarm stops the watchdog, where the driver allows it, and closes it. Only
	// for a host on which nothing of ours can answer any more.
	Disarm() error
}

// FakeWatchdog is a watchdog for tests: it only counts.
type FakeWatchdog struct {
	Pets     int
	Disarmed bool
	Err      error // returned by every call, if set
}

var errDisarmed = errors.New("the watchdog is disarmed")

// Pet implements [Watchdog].
func (f *FakeWatchdog) Pet() error {
	if f.Disarmed {
		return errDisarmed
	}
	if f.Err == nil {
		f.Pets++
	}
	return f.Err
}

// Disarm implements [Watchdog].
func (f *FakeWatchdog) Disarm() error {
	if f.Err == nil {
		f.Disarmed = true
	}
	return f.Err
}
