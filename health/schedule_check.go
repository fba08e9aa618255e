package health

import (
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// historyMax is how many results are remembered of each check. Small: ten thousand
// checks have ten thousand histories.
const historyMax = 5

// phase is where a check is in its round.
type phase uint8

const (
	phaseIdle    phase = iota // passive, or between two others
	phaseWaiting              // for its time: in the heap
	phaseReady                // for room: in the queue of its lane
	phaseRunning
)

// check is the machine of one check: when it is tried next, and what its tries add
// up to. The rules are keepalived's; doc.go has them as a table.
type check struct {
	plan  Plan
	order int // of configuration

	phase     phase
	heapIndex int
	occupies  Lane             // where it is queued or running
	due       boottime.Instant // of the next try, or of the one that is queued or running
	started   boottime.Instant // of the try that is running
	gone      bool             // dropped from the configuration while running
	void      bool             // what is running belongs to a check that was dropped

	up, ran bool
	since   boottime.Instant // of up or down; 0 before the first judgement
	weight  WeightChange
	retries int  // failures since the last success, while up
	retry   bool // the next try is a retry
	step    int  // which URL is next
	failed  bool // down because of this very step
	blind   bool // the last try was inconclusive

	history [historyMax]Past
	results int // so far; the last one is history[(results−1) % historyMax]
}

func newCheck(plan *Plan) *check {
	c := &check{plan: *plan, up: !plan.Timing.Alpha}
	c.plan.Steps = max(plan.Steps, 1)
	if known := plan.Known; known != nil {
		c.up, c.ran, c.weight = known.Up, known.Ran, known.Weight
		c.failed = c.ran && !c.up
	}
	return c
}

// replan takes a new plan and keeps what is known.
func (c *check) replan(plan *Plan) {
	c.plan = *plan
	c.plan.Steps = max(plan.Steps, 1)
	if c.step >= c.plan.Steps {
		c.step = 0
	}
	c.retries = min(c.retries, plan.Timing.Retry)
}

// judge takes the outcome of a try and says when the next one is due.
func (c *check) judge(now boottime.Instant, r Result) (boottime.Instant, []Action) {
	c.remember(now, r)
	wasBlind := c.blind
	c.blind = r.Inconclusive
	switch {
	case r.Inconclusive && wasBlind:
		return c.nextOnGrid(now), nil
	case r.Inconclusive:
		return c.nextOnGrid(now), []Action{c.report(now, ReportNothing, r)}
	case r.Up:
		return c.succeed(now, r)
	}
	return c.fail(now, r)
}

func (c *check) succeed(now boottime.Instant, r Result) (boottime.Instant, []Action) {
	c.retries, c.retry = 0, false
	if c.failed && c.plan.Steps > 1 {
		// The step that failed is well again: now all of them must be.
		c.failed, c.step = false, 0
		return c.nextStep(now), nil
	}
	c.failed = false
	c.step++
	if c.step < c.plan.Steps {
		return c.nextStep(now), c.reportWeight(now, r)
	}
	c.step = 0
	return c.nextOnGrid(now), c.become(now, true, r)
}

// nextStep is when the next URL is fetched.
func (c *check) nextStep(now boottime.Instant) boottime.Instant {
	if c.plan.Timing.FastRecovery && (!c.ran || !c.up) {
		return now
	}
	return c.nextOnGrid(now)
}

func (c *check) fail(now boottime.Instant, r Result) (boottime.Instant, []Action) {
	timing := &c.plan.Timing
	switch {
	case c.ran && !c.up && !c.failed: // on the way up again, another step fails
		c.retry = true
		return c.nextRetry(now), c.reportFailure(now, r)
	case c.ran && !c.up:
		return c.nextWhileDown(now), c.reportFailure(now, r)
	case c.ran && c.retries < timing.Retry:
		c.retries++
		c.retry = true
		return c.nextRetry(now), c.reportFailure(now, r)
	}
	// Before the first judgement one failure is enough.
	c.retries, c.retry, c.failed = 0, false, true
	return c.nextWhileDown(now), c.become(now, false, r)
}

// observe judges what comes from outside: there is nothing to retry.
func (c *check) observe(now boottime.Instant, r Result) []Action {
	if r.Inconclusive || c.ran && c.up == r.Up && c.weight == c.weightAfter(r) {
		return nil
	}
	c.remember(now, r)
	return c.become(now, r.Up, r)
}

// become is the judgement: the check is up or down.
func (c *check) become(now boottime.Instant, up bool, r Result) []Action {
	kind := ReportChanged
	switch {
	case !c.ran:
		kind = ReportFirst
	case c.up == up:
		return c.reportWeight(now, r)
	}
	c.up, c.ran, c.since, c.weight = up, true, now, c.weightAfter(r)
	return []Action{c.report(now, kind, r)}
}

func (c *check) reportWeight(now boottime.Instant, r Result) []Action {
	after := c.weightAfter(r)
	if c.weight == after {
		return nil
	}
	c.weight = after
	return []Action{c.report(now, ReportWeight, r)}
}

func (c *check) reportFailure(now boottime.Instant, r Result) []Action {
	if !c.plan.Timing.ReportFailures {
		return nil
	}
	return []Action{c.report(now, ReportFailure, r)}
}

func (c *check) report(now boottime.Instant, kind ReportKind, r Result) Report {
	return Report{ID: c.plan.ID, At: now, Up: c.up, Result: r, Kind: kind}
}

func (c *check) weightAfter(r Result) WeightChange {
	if r.Weight.Kind == 0 {
		return c.weight
	}
	return r.Weight
}

// nextOnGrid is the first instant after now that is a multiple of DelayLoop away
// from the time at which the last try was due.
func (c *check) nextOnGrid(now boottime.Instant) boottime.Instant {
	return c.grid(now, c.plan.Timing.DelayLoop)
}

func (c *check) nextWhileDown(now boottime.Instant) boottime.Instant {
	return c.grid(now, max(c.plan.Timing.DelayWhileDown, c.plan.Timing.DelayLoop))
}

func (c *check) grid(now boottime.Instant, step time.Duration) boottime.Instant {
	c.retry = false
	step = max(step, time.Millisecond) // a mistake must not become a busy loop
	missed := max(now.Sub(c.due), 0) / step
	return c.due.Add((missed + 1) * step)
}

func (c *check) nextRetry(now boottime.Instant) boottime.Instant {
	timing := &c.plan.Timing
	if timing.RetryFromStart {
		return max(c.started.Add(timing.DelayBeforeRetry), now)
	}
	return now.Add(timing.DelayBeforeRetry)
}

// overslept says that a whole round was missed: the host was suspended, or we were
// stopped. What then waits for its next turn is still spread as it was. A retry
// doesn't wait: it is one of few, and decides.
func (c *check) overslept(now boottime.Instant) bool {
	return !c.retry && now.Sub(c.due) > c.plan.Timing.DelayLoop && c.ran
}
