package health

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

// Goal: whatever happens in whatever order, no check is tried twice at once, the limits
// hold, and nothing is forgotten. Method: random events; each seed is a story.
func TestScheduleKeepsItsLimits(t *testing.T) {
	for seed := range uint64(200) {
		scheduleStory(t, seed)
	}
}

func scheduleStory(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	limits := Limits{Sockets: 1 + random.IntN(4), Scripts: 1 + random.IntN(3)}
	s := NewSchedule(limits, func(most time.Duration) time.Duration { return upTo(random, most) })
	running := map[CheckID]Lane{}
	var plans []Plan
	now := at(0)
	step := func(event Event) {
		for _, action := range s.Step(now, event) {
			run, ok := action.(Run)
			if !ok {
				continue
			}
			if _, twice := running[run.ID]; twice {
				t.Fatalf("seed %d: %s is run twice at once", seed, run.ID)
			}
			for _, p := range plans {
				if p.ID == run.ID {
					running[run.ID] = p.Lane
				}
			}
		}
		count := map[Lane]int{}
		for _, lane := range running {
			count[lane]++
		}
		if count[LaneSocket] > limits.Sockets || count[LaneScript] > limits.Scripts {
			t.Fatalf("seed %d: %v run, limits %+v", seed, count, limits)
		}
	}
	for range 300 {
		now = now.Add(upTo(random, 3*second))
		switch random.IntN(8) {
		case 0:
			plans = nil
			for i := range random.IntN(12) {
				p := plan(fmt.Sprint(i), Timing{DelayLoop: second + upTo(random, 5*second), Warmup: upTo(random, 5*second), Retry: random.IntN(3)})
				p.Lane = LaneSocket + Lane(i%3)
				p.Steps = 1 + random.IntN(3)
				plans = append(plans, p)
			}
			step(Configure{Plans: plans})
		case 1:
			step(Observed{testID(fmt.Sprint(random.IntN(12))), Result{Up: random.IntN(2) == 0}})
		case 2, 3:
			step(Tick{})
		default:
			for i := range 12 {
				id := testID(fmt.Sprint(i))
				if _, ok := running[id]; ok && random.IntN(2) == 0 {
					delete(running, id)
					step(Finished{id, Result{Up: random.IntN(3) > 0, Inconclusive: random.IntN(9) == 0}})
				}
			}
		}
		waiting := 0
		for _, c := range s.checks {
			if c.plan.Lane != LanePassive && c.phase == phaseIdle {
				t.Fatalf("seed %d: %s is forgotten", seed, c.plan.ID)
			}
			if c.phase == phaseWaiting {
				waiting++
			}
		}
		if waiting != len(s.due) {
			t.Fatalf("seed %d: %d checks wait, %d are in the heap", seed, waiting, len(s.due))
		}
	}
}

// Goal: limits fit into the descriptors that there are.
func TestLimitsFitIntoTheDescriptors(t *testing.T) {
	for _, descriptors := range []uint64{512, 1024, 20_000, 1 << 20, 1 << 63} {
		l := LimitsFor(descriptors)
		used := l.Sockets + l.Scripts*descriptorsScript
		if l.Sockets < socketsMin || l.Scripts < scriptsMin || l.Sockets > socketsMax || l.Scripts > scriptsMax || uint64(used) > descriptors {
			t.Errorf("%d descriptors: %+v, which is %d", descriptors, l, used)
		}
	}
	if l := LimitsFor(0); l.Sockets < 1 || l.Scripts < 1 {
		t.Errorf("no descriptors: %+v, want at least one of each", l)
	}
}

// Goal: a quantile is never better than the truth, and no worse than the next class.
func TestLatenessQuantiles(t *testing.T) {
	var l Lateness
	for i := range 1000 {
		l.add(time.Duration(i) * time.Millisecond)
	}
	got := []time.Duration{l.Quantile(0.5), l.Quantile(0.99), l.Quantile(1)}
	if diff := cmp.Diff([]time.Duration{500 * time.Millisecond, 999 * time.Millisecond, 999 * time.Millisecond}, got); diff != "" {
		t.Errorf("p50, p99, worst (-want +got):\n%s", diff)
	}
}

// Goal: no more is remembered of a check than is said, the newest last.
func TestHistoryIsBounded(t *testing.T) {
	n := 0
	s := newStory(t, wide, func(Run, boottime.Instant) Result { n++; return up(fmt.Sprint(n)) })
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: second})}})
	s.until(at(9.5))
	var reasons []string
	for _, past := range s.schedule.Status()[0].History {
		reasons = append(reasons, past.Reason)
	}
	if diff := cmp.Diff([]string{"6", "7", "8", "9", "10"}, reasons); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// Goal: a delay_loop of nothing, which the configuration refuses, is no busy loop here.
func TestMissingDelayLoopIsNoBusyLoop(t *testing.T) {
	s := newStory(t, wide, always(up("well")))
	s.step(Configure{Plans: []Plan{plan("C", Timing{})}})
	s.until(at(1))
	if n := len(s.runs); n > 1001 {
		t.Errorf("%d tries in a second", n)
	}
}
