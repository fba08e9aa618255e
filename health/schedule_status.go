package health

import (
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Past is one result of a check, for people.
type Past struct {
	At     boottime.Instant // of the end of the try
	Up     bool
	Reason string
	Took   time.Duration
}

// CheckStatus is all that a [Schedule] knows of a check.
type CheckStatus struct {
	ID      CheckID
	Lane    Lane
	State   CheckState
	Since   boottime.Instant // of being up or down; 0 before the first judgement
	Retries int              // failures since the last success, while still up
	Next    boottime.Instant // of the next try; 0 when it is queued, runs, or is passive
	History []Past           // newest last
}

// Oldest is the try that is longest beyond its own bound, or, while none is beyond,
// the one that is closest to it. A try that goes on far beyond its bound will never
// end: what it stands for should be restarted.
type Oldest struct {
	ID    CheckID
	Age   time.Duration
	Bound time.Duration
}

// Overrun is by how much a try has exceeded its bound; below 0 while it has not.
func (o Oldest) Overrun() time.Duration { return o.Age - o.Bound }

// Load is how much there is to do at present.
type Load struct {
	Checks   int
	Running  [LaneScript]int // by Lane−1
	Ready    [LaneScript]int // due, and waiting for room
	Lateness Lateness        // since the schedule was made
}

// Status lists every check, in the order of configuration.
func (s *Schedule) Status() []CheckStatus {
	var list []*check
	for _, c := range s.checks {
		if !c.gone {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *check) int { return a.order - b.order })
	status := make([]CheckStatus, len(list))
	for i, c := range list {
		status[i] = c.status()
	}
	return status
}

// Oldest names a try that runs; false while none does.
func (s *Schedule) Oldest(now boottime.Instant) (Oldest, bool) {
	var worst *check
	for _, c := range s.checks {
		if c.phase == phaseRunning && (worst == nil || c.moreOverdue(worst)) {
			worst = c
		}
	}
	if worst == nil {
		return Oldest{}, false
	}
	return Oldest{ID: worst.plan.ID, Age: now.Sub(worst.started), Bound: worst.plan.Bound}, true
}

// moreOverdue compares when two tries should have ended.
func (c *check) moreOverdue(other *check) bool {
	end, otherEnd := c.started.Add(c.plan.Bound), other.started.Add(other.plan.Bound)
	return end < otherEnd || end == otherEnd && c.order < other.order
}

// Load says how much there is to do.
func (s *Schedule) Load() Load {
	load := Load{Checks: len(s.checks), Lateness: s.lateness}
	for i := range load.Running {
		load.Running[i], load.Ready[i] = s.lanes[i].running, len(s.lanes[i].ready)
	}
	return load
}

func (c *check) status() CheckStatus {
	status := CheckStatus{
		ID: c.plan.ID, Lane: c.plan.Lane, Since: c.since, Retries: c.retries,
		State: CheckState{Up: c.up, Ran: c.ran, Weight: c.weight},
	}
	if c.phase == phaseWaiting {
		status.Next = c.due
	}
	for i := max(c.results-historyMax, 0); i < c.results; i++ {
		status.History = append(status.History, c.history[i%historyMax])
	}
	return status
}

func (c *check) remember(now boottime.Instant, r Result) {
	c.history[c.results%historyMax] = Past{At: now, Up: r.Up, Reason: r.Reason, Took: r.Took}
	c.results++
}

// latenessBounds are the upper ends of the classes that Lateness counts in.
var latenessBounds = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// Lateness counts how late tries began: how long after they were due.
type Lateness struct {
	Tries  uint64
	Worst  time.Duration
	counts [len(latenessBounds) + 1]uint64
}

// Quantile is the upper end of the class in which the share q (0 to 1) of all tries
// was not later; Worst for what is beyond all classes.
func (l *Lateness) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(l.Tries))
	seen := uint64(0)
	for i, n := range l.counts {
		if seen += n; n > 0 && seen >= rank && i < len(latenessBounds) {
			return min(latenessBounds[i], l.Worst)
		}
	}
	return l.Worst
}

func (l *Lateness) add(late time.Duration) {
	l.Tries++
	l.Worst = max(l.Worst, late)
	i, _ := slices.BinarySearch(latenessBounds[:], late)
	l.counts[i]++
}
