package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// stopGrace is how long [Runner.Run] waits at its end for tries that are under way:
// their connections are cut, their scripts have had SIGTERM and SIGKILL by then.
const stopGrace = 3 * time.Second

// Check is a check as the [Runner] needs it; see [NewCheck].
type Check struct {
	plan  Plan
	tries []Checker // by step; none for a passive check
}

// CheckOptions describe a [Check].
type CheckOptions struct {
	ID     CheckID
	Timing Timing
	Known  *CheckState // from a previous life of this process; nil: none
}

// NewCheck makes a check of how it is tried: one of TCP, SMTP, DNS, Misc, Ping, UDP,
// one HTTP for each URL, or nothing, for a check whose state comes by
// [Runner.Observe].
func NewCheck(options CheckOptions, tries ...Checker) Check {
	plan := Plan{ID: options.ID, Timing: options.Timing, Known: options.Known, Lane: LanePassive, Steps: len(tries)}
	for _, t := range tries {
		plan.Lane, plan.Bound = t.Lane(), max(plan.Bound, t.Bound())
	}
	return Check{plan: plan, tries: tries}
}

// RunnerOptions are what a [Runner] needs.
type RunnerOptions struct {
	Limits Limits
	Now    func() boottime.Instant
	Random func(time.Duration) time.Duration // see [NewSchedule]
	// Reports takes what has come to pass, in order. It is called by Run's goroutine and
	// holds up all checks until it returns.
	Reports func([]Report)
}

// Runner runs checks: the shell of a [Schedule]. One goroutine steps it; each try is
// a goroutine of its own, so that none waits for another. Methods may be called from
// any goroutine.
type Runner struct {
	options RunnerOptions
	wakeC   chan struct{} // capacity 1: one unread message says all there is to say

	mu       sync.Mutex
	schedule *Schedule
	tries    map[CheckID][]Checker
	inbox    []Event // not stepped yet; bounded by what runs, and by callers
	reports  []Report
}

// NewRunner returns a runner that has no checks yet.
func NewRunner(options RunnerOptions) *Runner {
	return &Runner{
		options:  options,
		wakeC:    make(chan struct{}, 1),
		schedule: NewSchedule(options.Limits, options.Random),
		tries:    map[CheckID][]Checker{},
	}
}

// Configure replaces all checks; see [Configure] for what stays.
func (r *Runner) Configure(checks []Check) {
	plans := make([]Plan, 0, len(checks))
	tries := make(map[CheckID][]Checker, len(checks))
	for _, c := range checks {
		if _, twice := tries[c.plan.ID]; !twice {
			plans = append(plans, c.plan)
			tries[c.plan.ID] = c.tries
		}
	}
	r.post(configured{Configure{Plans: plans}, tries})
}

// Suspend stops the checks of these virtual servers, and of no others, from running.
func (r *Runner) Suspend(services []string) { r.post(Suspend{Services: services}) }

// Observe brings news of a passive check: of BFD, or of a file.
func (r *Runner) Observe(id CheckID, result Result) {
	r.post(Observed{ID: id, Result: result})
}

// configured is a Configure and the checkers that belong to it, which are not the
// schedule's business.
type configured struct {
	Configure
	tries map[CheckID][]Checker
}

// post leaves an event for Run's goroutine.
func (r *Runner) post(event Event) {
	r.mu.Lock()
	r.inbox = append(r.inbox, event)
	r.mu.Unlock()
	select {
	case r.wakeC <- struct{}{}:
	default:
	}
}

// Run runs checks until ctx ends; it is called once. The error says that tries were
// still going on a few seconds after they should have ended.
func (r *Runner) Run(ctx context.Context) error {
	var tries sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		runs, wait := r.step()
		for _, run := range runs {
			tries.Go(func() { r.try(ctx, run) })
		}
		r.deliver()
		timer.Reset(wait)
		select {
		case <-r.wakeC:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return r.await(&tries)
}

// try is a Run whose checker has been looked up.
type try struct {
	id      CheckID
	checker Checker
}

// idleWait is how long Run sleeps when nothing is due: any event wakes it.
const idleWait = time.Hour

// step steps the schedule with all that has come in, and says how long to sleep.
func (r *Runner) step() ([]try, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := append(r.inbox, Tick{})
	r.inbox = nil
	var runs []try
	for _, event := range events {
		if c, ok := event.(configured); ok {
			event, r.tries = c.Configure, c.tries
		}
		for _, action := range r.schedule.Step(r.options.Now(), event) {
			switch action := action.(type) {
			case Run:
				runs = append(runs, try{action.ID, r.tries[action.ID][action.Step]})
			case Report:
				r.reports = append(r.reports, action)
			}
		}
	}
	next, ok := r.schedule.Deadline()
	if !ok {
		return runs, idleWait
	}
	return runs, min(max(next.Sub(r.options.Now()), 0), idleWait)
}

// deliver hands the reports over without holding the lock.
func (r *Runner) deliver() {
	if len(r.reports) > 0 {
		r.options.Reports(r.reports)
		r.reports = nil
	}
}

func (r *Runner) try(ctx context.Context, t try) {
	began := r.options.Now()
	result := t.checker.Try(ctx)
	result.Took = r.options.Now().Sub(began)
	r.post(Finished{ID: t.id, Result: result})
}

func (r *Runner) await(tries *sync.WaitGroup) error {
	doneC := make(chan struct{})
	go func() {
		tries.Wait()
		close(doneC)
	}()
	select {
	case <-doneC:
		return nil
	case <-time.After(stopGrace):
	}
	if oldest, ok := r.Oldest(); ok {
		return fmt.Errorf("end the checks: %s still runs after %s", oldest.ID, oldest.Age.Round(time.Millisecond))
	}
	return errors.New("end the checks: some still run")
}

// Status lists every check.
func (r *Runner) Status() []CheckStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedule.Status()
}

// Load says how much there is to do, and how late it is done.
func (r *Runner) Load() Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedule.Load()
}

// Oldest names the try that is furthest beyond its bound; false while none runs. One
// that is long beyond it hangs: whoever beats for this process should stop.
func (r *Runner) Oldest() (Oldest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedule.Oldest(r.options.Now())
}
