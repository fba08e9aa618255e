package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

// fakeChecker tries as it is told.
type fakeChecker struct{ try func(context.Context) Result }

func (f fakeChecker) Try(ctx context.Context) Result { return f.try(ctx) }
func (f fakeChecker) Bound() time.Duration           { return second }
func (f fakeChecker) Lane() Lane                     { return LaneSocket }

// bench is a runner in a bubble, and what it reports.
type bench struct {
	runner  *Runner
	reports []Report
	batches int
}

// newBench makes a runner whose clock is the bubble's.
func newBench(limits Limits) *bench {
	b := &bench{}
	began := time.Now()
	b.runner = NewRunner(RunnerOptions{
		Limits: limits,
		Now:    func() boottime.Instant { return boottime.Instant(time.Since(began)) + 1 },
		Random: func(most time.Duration) time.Duration { return most / 2 },
		Reports: func(list []Report) {
			b.batches++
			b.reports = append(b.reports, list...)
		},
	})
	return b
}

// during runs the runner while do happens, and returns what Run did.
func (b *bench) during(do func()) error {
	ctx, cancel := context.WithCancel(context.Background())
	endC := make(chan error)
	go func() { endC <- b.runner.Run(ctx) }()
	do()
	synctest.Wait()
	cancel()
	return <-endC
}

func fake(name string, timing Timing, try func(context.Context) Result) Check {
	return NewCheck(CheckOptions{ID: testID(name), Timing: timing}, fakeChecker{try})
}

// pass lets time pass in the bubble.
func pass(d time.Duration) { <-time.After(d) }

// Goal: a try that never ends holds up nothing but its own check, is named as soon as it
// is beyond its bound, and makes Run say so in the end, without waiting for ever.
func TestHungTryHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(wide)
		neverC := make(chan struct{})
		var well atomic.Int32
		b.runner.Configure([]Check{
			fake("hung", Timing{DelayLoop: second}, func(context.Context) Result { <-neverC; return up("") }),
			fake("well", Timing{DelayLoop: second}, func(context.Context) Result { well.Add(1); return up("well") }),
		})
		began := time.Now()
		err := b.during(func() {
			pass(10*second + second/2)
			oldest, ok := b.runner.Oldest()
			if !ok || oldest.ID != testID("hung") || oldest.Overrun() < 9*second {
				t.Errorf("oldest %+v, want the hung one, 9 s beyond its bound", oldest)
			}
			if n := well.Load(); n != 11 {
				t.Errorf("the other check was tried %d times in 10 s, want 11", n)
			}
		})
		if took := time.Since(began); took > 10*second+second/2+stopGrace {
			t.Errorf("Run ended after %s", took)
		}
		if err == nil || !strings.Contains(err.Error(), "hung of 10.0.0.1:80") {
			t.Errorf("Run said %v, want the name of what hangs", err)
		}
		close(neverC)
	})
}

// Goal: Run returns when ctx ends, after the tries that were under way.
func TestRunEndsWithItsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(wide)
		var ended atomic.Bool
		b.runner.Configure([]Check{fake("slow", Timing{DelayLoop: second}, func(ctx context.Context) Result {
			<-ctx.Done()
			pass(second)
			ended.Store(true)
			return failed("connect", errors.New("interrupted"))
		})})
		if err := b.during(func() { pass(second) }); err != nil || !ended.Load() {
			t.Errorf("Run said %v, and the try has ended: %v", err, ended.Load())
		}
		if len(b.reports) != 0 {
			t.Errorf("what was interrupted was reported: %+v", b.reports)
		}
	})
}

// Goal: a thousand failures at one time are one call or few for who takes the reports.
func TestFailuresAtOnceComeInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Limits{Sockets: 1000, Scripts: 1})
		together := make(chan struct{})
		var checks []Check
		for i := range 1000 {
			checks = append(checks, fake(fmt.Sprint(i), Timing{DelayLoop: 60 * second}, func(context.Context) Result { <-together; return down("refused") }))
		}
		b.runner.Configure(checks)
		err := b.during(func() { pass(second); close(together) })
		if err != nil || len(b.reports) != 1000 {
			t.Errorf("%d reports, and %v", len(b.reports), err)
		}
		for _, r := range b.reports {
			if late := r.At - boottime.Instant(second); late > boottime.Instant(50*time.Millisecond) {
				t.Fatalf("%s was reported %v late", r.ID, time.Duration(late))
			}
		}
	})
}

// Goal: each URL is tried by its own checker, in order, and the time a try took is noted.
func TestStepsAreTriedByTheirOwnCheckers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(wide)
		var order []string
		step := func(name string) Checker {
			return fakeChecker{func(context.Context) Result { order = append(order, name); pass(second / 4); return up(name) }}
		}
		b.runner.Configure([]Check{NewCheck(CheckOptions{ID: testID("H"), Timing: Timing{DelayLoop: second}}, step("a"), step("b"), step("c"))})
		if err := b.during(func() { pass(3*second + second/2) }); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "a"}, order); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
		if len(b.reports) != 1 || b.reports[0].Result.Reason != "c" || b.reports[0].Result.Took != second/4 {
			t.Errorf("reports %+v, want one, by the last step, after 250 ms", b.reports)
		}
	})
}

// Goal: configurations, suspensions and observations may come at any time; what they
// concern is looked up with the configuration that they belong to.
func TestReloadWhileTriesAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(wide)
		well := func(context.Context) Result { pass(second / 2); return up("well") }
		renewed := func(context.Context) Result { return up("renewed") }
		passive := NewCheck(CheckOptions{ID: testID("BFD")})
		b.runner.Configure([]Check{fake("A", Timing{DelayLoop: second}, well), fake("B", Timing{DelayLoop: second}, well)})
		err := b.during(func() {
			pass(second / 4)
			twice := fake("B", Timing{DelayLoop: second}, func(context.Context) Result { return down("the second of that name") })
			b.runner.Configure([]Check{fake("B", Timing{DelayLoop: second}, renewed), twice, passive})
			b.runner.Observe(testID("BFD"), down("session down"))
			pass(2 * second)
			b.runner.Suspend([]string{testID("B").Service})
			pass(5 * second)
		})
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, r := range b.reports {
			got = append(got, fmt.Sprintf("%s %v", r.ID.Name, r.Up))
		}
		if diff := cmp.Diff([]string{"BFD false", "B true"}, got); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
		status := b.runner.Status()
		if len(status) != 2 || status[0].ID.Name != "B" || len(status[0].History) != 3 || b.runner.Load().Checks != 2 {
			t.Errorf("status %+v, want B, tried three times, and BFD", status)
		}
		if past := status[0].History; past[0].Reason != "well" || past[1].Reason != "renewed" {
			t.Errorf("history %+v, want one try by the old options and others by the new ones", past)
		}
	})
}

// Goal: results of many checks through the whole of it, with every goroutine's access
// under the race detector.
func TestRunnerUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Limits{Sockets: 7, Scripts: 1})
		var running, most atomic.Int32
		var checks []Check
		for i := range 100 {
			id := CheckID{Service: fmt.Sprint(i % 5), Server: netip.AddrPortFrom(rs(i).Addr(), 80), Name: "C"}
			checks = append(checks, NewCheck(CheckOptions{ID: id, Timing: Timing{DelayLoop: second, Warmup: second}}, fakeChecker{func(context.Context) Result {
				most.Store(max(most.Load(), running.Add(1)))
				pass(10 * time.Millisecond)
				running.Add(-1)
				return up("well")
			}}))
		}
		b.runner.Configure(checks)
		err := b.during(func() {
			for range 20 {
				pass(second / 2)
				b.runner.Status()
				b.runner.Load()
				b.runner.Oldest()
			}
		})
		if err != nil || len(b.reports) != 100 || most.Load() > 7 {
			t.Errorf("%v, %d reports, at most %d at once", err, len(b.reports), most.Load())
		}
		if n := b.runner.Load().Lateness.Tries; n < 900 {
			t.Errorf("%d tries of 100 checks in 10 s", n)
		}
	})
}
