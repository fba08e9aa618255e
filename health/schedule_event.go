package health

import (
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Plan is what a [Schedule] needs to know of a check.
type Plan struct {
	ID     CheckID
	Timing Timing
	Lane   Lane
	Steps  int           // tries that make a whole: the URLs of HTTP_GET; 1 for the others, also given as 0
	Bound  time.Duration // what one try may take at most, by its own timeouts
	Known  *CheckState   // how it was before a restart; nil for a check that begins
}

// Timing is when a check runs, with all of keepalived's defaults filled in.
type Timing struct {
	DelayLoop        time.Duration // between tries; above 0
	Warmup           time.Duration // most that the first try waits, at random; 0: none
	Retry            int           // failures that an up check survives before the one that counts
	DelayBeforeRetry time.Duration // from the end of a failed try to the next, while up
	DelayWhileDown   time.Duration // between tries of what is down; 0: DelayLoop. HTTP_GET: at least DelayBeforeRetry
	RetryFromStart   bool          // DelayBeforeRetry counts from the start of the failed try: MISC_CHECK
	FastRecovery     bool          // no wait between steps until the check is up
	Alpha            bool          // down until the first success
	ReportFailures   bool          // report each failed try, not only the one that counts (log_all_failures)
}

// Lane is a queue of its own, so that slow scripts never keep connections waiting.
type Lane uint8

// The lanes.
const (
	LaneSocket  Lane = iota + 1 // costs a descriptor: bounded by [Limits.Sockets]
	LaneScript                  // costs a process: bounded by [Limits.Scripts]
	LanePassive                 // is never run; its state comes by [Observed]: BFD_CHECK, FILE_CHECK
)

// String gives "socket", "script" or "passive".
func (l Lane) String() string {
	switch l {
	case LaneSocket:
		return "socket"
	case LaneScript:
		return "script"
	case LanePassive:
		return "passive"
	}
	return "unknown lane"
}

// Event is what happens to a [Schedule].
type Event interface{ isEvent() }

// Configure replaces all plans. A check whose ID is there already keeps its state
// and its place in time; the others begin with their warmup.
type Configure struct{ Plans []Plan }

// Tick says that the instant of [Schedule.Deadline] has come.
type Tick struct{}

// Finished is the outcome of a [Run]. Each Run has exactly one.
type Finished struct {
	ID     CheckID
	Result Result
}

// Observed is news of a check in [LanePassive].
type Observed struct {
	ID     CheckID
	Result Result
}

// Suspend stops the checks of these services from being run (ha_suspend), and lets
// those of all others run. Tries that have begun still count.
type Suspend struct{ Services []string }

func (Configure) isEvent() {}
func (Tick) isEvent()      {}
func (Finished) isEvent()  {}
func (Observed) isEvent()  {}
func (Suspend) isEvent()   {}

// Action is what a [Schedule] wants done.
type Action interface{ isAction() }

// Run asks for one try, at once; the answer is [Finished].
type Run struct {
	ID   CheckID
	Step int // from 0
}

// Report is news for whoever keeps the [Pool] of the check's service.
type Report struct {
	ID     CheckID
	At     boottime.Instant
	Up     bool   // the check's state; Result.Up is that of the last try
	Result Result // of the try that caused it
	Kind   ReportKind
}

func (Run) isAction()    {}
func (Report) isAction() {}

// ReportKind says why a [Report] was made.
type ReportKind uint8

// The reasons for a Report.
const (
	ReportFirst   ReportKind = iota + 1 // the check was judged for the first time
	ReportChanged                       // it went up or down
	ReportWeight                        // it says something new about the weight
	ReportFailure                       // a try failed, and that changes nothing (Timing.ReportFailures)
	ReportNothing                       // a try could not be made, for the first time in a row: nothing is known, nothing changes
)

// String gives "first", "changed", "weight", "failure" or "nothing".
func (k ReportKind) String() string {
	switch k {
	case ReportFirst:
		return "first"
	case ReportChanged:
		return "changed"
	case ReportWeight:
		return "weight"
	case ReportFailure:
		return "failure"
	case ReportNothing:
		return "nothing"
	}
	return "unknown kind"
}
