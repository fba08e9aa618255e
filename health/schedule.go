package health

import (
	"container/heap"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Limits bound what runs at one time. What is over waits in the order in which it
// was due.
type Limits struct {
	Sockets int // checks in [LaneSocket]; at least 1
	Scripts int // checks in [LaneScript]; at least 1
}

// Bounds of [LimitsFor].
const (
	socketsMax         = 16384 // tries at one time: 10,000 servers that all time out, and some
	socketsMin         = 16
	scriptsMax         = 256 // processes at one time
	scriptsMin         = 4
	descriptorsReserve = 256 // for IPVS, status, log and the like
	descriptorsScript  = 6   // while it starts: a pipe, /dev/null, a pidfd, and the pipe that tells of exec's failure
)

// LimitsFor derives limits from the number of descriptors that the process may have
// open (RLIMIT_NOFILE).
func LimitsFor(descriptors uint64) Limits {
	free := int(min(descriptors, 1<<20)) - descriptorsReserve
	scripts := min(max(free/4/descriptorsScript, scriptsMin), scriptsMax)
	return Limits{
		Sockets: min(max(free-scripts*descriptorsScript, socketsMin), socketsMax),
		Scripts: scripts,
	}
}

// Schedule decides when which check is tried, and judges the outcomes. It is pure.
//
// A check is never tried twice at once. Tries keep to a grid of DelayLoop from the
// first one on: they don't drift, what was spread at the start stays spread, and what
// was missed, by a long try or a suspended host, is left out and not made up for.
type Schedule struct {
	random func(time.Duration) time.Duration
	checks map[CheckID]*check
	due    dueHeap
	lanes  [LaneScript]lane // by Lane−1; passive checks have none

	suspended map[string]bool
	lateness  Lateness
}

// NewSchedule returns an empty schedule. random gives a duration from 0 up to, but
// not including, its argument, which is above 0.
func NewSchedule(limits Limits, random func(time.Duration) time.Duration) *Schedule {
	s := &Schedule{random: random, checks: map[CheckID]*check{}}
	s.lane(LaneSocket).limit = max(limits.Sockets, 1)
	s.lane(LaneScript).limit = max(limits.Scripts, 1)
	return s
}

// Step takes an event and returns what follows from it, to be done in that order:
// reports first, then runs.
func (s *Schedule) Step(now boottime.Instant, event Event) []Action {
	var reports []Action
	switch event := event.(type) {
	case Configure:
		s.configure(now, event.Plans)
	case Suspend:
		s.suspended = map[string]bool{}
		for _, service := range event.Services {
			s.suspended[service] = true
		}
	case Finished:
		reports = s.finished(now, event)
	case Observed:
		reports = s.observed(now, event)
	case Tick:
	}
	return append(reports, s.start(now)...)
}

// Deadline is when [Tick] is wanted next; false while nothing is to come.
func (s *Schedule) Deadline() (boottime.Instant, bool) {
	if len(s.due) == 0 {
		return 0, false
	}
	return s.due[0].due, true
}

// configure keeps what is known of checks that stay. A try that is under way goes
// on and counts for the check of that name, also where its options have changed.
func (s *Schedule) configure(now boottime.Instant, plans []Plan) {
	wanted := make(map[CheckID]bool, len(plans))
	for i := range plans {
		plan := &plans[i]
		if wanted[plan.ID] {
			continue // the first of a name counts
		}
		wanted[plan.ID] = true
		c := s.checks[plan.ID]
		if c == nil || c.gone {
			c = s.begin(now, c, plan)
		} else {
			s.replan(now, c, plan)
		}
		c.order = i
	}
	heap.Init(&s.due) // the order has changed
	for id, c := range s.checks {
		if !wanted[id] {
			s.drop(c) // in whatever order: nothing is told of it
		}
	}
}

// begin makes a check; old is one of that name that has been dropped, but is not
// back from its last try yet.
func (s *Schedule) begin(now boottime.Instant, old *check, plan *Plan) *check {
	c := newCheck(plan)
	s.checks[plan.ID] = c
	switch {
	case old != nil:
		// The two must not overlap: the new one takes over the place of the old one.
		c.phase, c.occupies, c.started, c.due, c.void = old.phase, old.occupies, old.started, old.due, true
	case plan.Lane != LanePassive:
		s.wait(c, now.Add(s.warmup(plan.Timing.Warmup)))
	}
	return c
}

func (s *Schedule) replan(now boottime.Instant, c *check, plan *Plan) {
	faster := plan.Timing.DelayLoop < c.plan.Timing.DelayLoop
	moved := plan.Lane != c.plan.Lane
	c.replan(plan)
	switch {
	case c.phase == phaseWaiting && (moved || faster):
		// Of an hour that became a second, nobody should wait for the rest.
		at := min(c.due, now.Add(s.warmup(plan.Timing.DelayLoop)))
		s.unwait(c)
		if plan.Lane != LanePassive {
			s.wait(c, at)
		}
	case c.phase == phaseReady && moved:
		s.lane(c.occupies).remove(c)
		c.phase = phaseIdle
		if plan.Lane != LanePassive {
			s.wait(c, now)
		}
	case c.phase == phaseIdle && plan.Lane != LanePassive:
		s.wait(c, now.Add(s.warmup(plan.Timing.Warmup)))
	}
}

func (s *Schedule) drop(c *check) {
	switch c.phase {
	case phaseRunning:
		c.gone = true // until it is back
		return
	case phaseWaiting:
		s.unwait(c)
	case phaseReady:
		s.lane(c.occupies).remove(c)
	case phaseIdle:
	}
	delete(s.checks, c.plan.ID)
}

func (s *Schedule) warmup(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return s.random(most)
}

// finished frees the place of a try, judges it and sets the time of the next one.
func (s *Schedule) finished(now boottime.Instant, event Finished) []Action {
	c := s.checks[event.ID]
	if c == nil || c.phase != phaseRunning {
		panic("health: a check finished that was not running: " + event.ID.String())
	}
	s.lane(c.occupies).running--
	c.phase = phaseIdle
	if c.gone {
		delete(s.checks, event.ID)
		return nil
	}
	if c.void {
		c.void = false
		if c.plan.Lane != LanePassive {
			s.wait(c, now.Add(s.warmup(c.plan.Timing.Warmup)))
		}
		return nil
	}
	next, reports := c.judge(now, event.Result)
	if c.plan.Lane != LanePassive {
		s.wait(c, next)
	}
	return reports
}

func (s *Schedule) observed(now boottime.Instant, event Observed) []Action {
	c := s.checks[event.ID]
	if c == nil || c.plan.Lane != LanePassive {
		return nil // of a configuration that is gone
	}
	return c.observe(now, event.Result)
}

// start queues what is due and runs what there is room for.
func (s *Schedule) start(now boottime.Instant) []Action {
	for len(s.due) > 0 && !s.due[0].due.After(now) {
		c := s.due[0]
		switch {
		case s.suspended[c.plan.ID.Service], c.overslept(now):
			c.due = c.nextOnGrid(now)
			heap.Fix(&s.due, 0)
		default:
			s.unwait(c)
			c.phase, c.occupies = phaseReady, c.plan.Lane
			s.lane(c.occupies).push(c)
		}
	}
	var runs []Action
	for i := range s.lanes {
		for c := s.lanes[i].next(); c != nil; c = s.lanes[i].next() {
			c.phase, c.started = phaseRunning, now
			s.lateness.add(now.Sub(c.due))
			runs = append(runs, Run{ID: c.plan.ID, Step: c.step})
		}
	}
	return runs
}

func (s *Schedule) wait(c *check, at boottime.Instant) {
	c.phase, c.due = phaseWaiting, at
	heap.Push(&s.due, c)
}

func (s *Schedule) unwait(c *check) {
	heap.Remove(&s.due, c.heapIndex)
	c.phase = phaseIdle
}

func (s *Schedule) lane(l Lane) *lane { return &s.lanes[l-1] }
