package health

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
)

const second = time.Second

func testID(name string) CheckID {
	return CheckID{Service: "TCP 192.0.2.1:80", Server: netip.MustParseAddrPort("10.0.0.1:80"), Name: name}
}

// at is an instant of a story that begins at 1000 s.
func at(seconds float64) boottime.Instant {
	return boottime.Instant(1000 * second).Add(time.Duration(seconds * float64(second)))
}

// story drives a schedule: tries take no time unless told otherwise, and end as told.
type story struct {
	t        *testing.T
	schedule *Schedule
	now      boottime.Instant
	outcome  func(Run, boottime.Instant) Result
	takes    time.Duration
	runs     []string // "12.5 NAME" or "12.5 NAME#1" for a step
	reports  []string // "12.5 NAME changed down"
	pending  []finish
}

type finish struct {
	at    boottime.Instant
	event Finished
}

// newStory makes a schedule whose random durations are half of the most.
func newStory(t *testing.T, limits Limits, outcome func(Run, boottime.Instant) Result) *story {
	half := func(most time.Duration) time.Duration { return most / 2 }
	return &story{t: t, schedule: NewSchedule(limits, half), now: at(0), outcome: outcome}
}

func (s *story) step(event Event) {
	s.t.Helper()
	for _, action := range s.schedule.Step(s.now, event) {
		switch action := action.(type) {
		case Run:
			name := action.ID.Name
			if action.Step > 0 {
				name = fmt.Sprintf("%s#%d", name, action.Step)
			}
			s.runs = append(s.runs, fmt.Sprintf("%v %s", s.now.Sub(at(0)).Seconds(), name))
			s.pending = append(s.pending, finish{s.now.Add(s.takes), Finished{action.ID, s.outcome(action, s.now)}})
		case Report:
			state := "down"
			if action.Up {
				state = "up"
			}
			s.reports = append(s.reports, fmt.Sprintf("%v %s %s %s", s.now.Sub(at(0)).Seconds(), action.ID.Name, action.Kind, state))
		}
	}
}

// until lets time pass.
func (s *story) until(end boottime.Instant) {
	s.t.Helper()
	for range 100_000 {
		next, what := end, -1
		for i, p := range s.pending {
			if p.at.Before(next) || p.at == next {
				next, what = p.at, i
			}
		}
		if due, ok := s.schedule.Deadline(); ok && (due.Before(next) || due == next && what < 0) && !due.After(end) {
			s.now = max(s.now, due)
			s.step(Tick{})
			continue
		}
		if what < 0 {
			s.now = end
			return
		}
		s.now = max(s.now, next)
		event := s.pending[what].event
		s.pending = append(s.pending[:what], s.pending[what+1:]...)
		s.step(event)
	}
	s.t.Fatal("the story never ends: a busy loop")
}

func (s *story) wantRuns(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.runs); diff != "" {
		s.t.Errorf("tries (-want +got):\n%s", diff)
	}
	s.runs = nil
}

func (s *story) wantReports(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.reports); diff != "" {
		s.t.Errorf("reports (-want +got):\n%s", diff)
	}
	s.reports = nil
}

func plan(name string, timing Timing) Plan {
	return Plan{ID: testID(name), Timing: timing, Lane: LaneSocket}
}

// upTo gives a duration below most.
func upTo(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}

var wide = Limits{Sockets: 100, Scripts: 100}

func always(r Result) func(Run, boottime.Instant) Result {
	return func(Run, boottime.Instant) Result { return r }
}

// between gives no from one instant on, up to another, and yes otherwise.
func between(from, to float64) func(Run, boottime.Instant) Result {
	return func(_ Run, now boottime.Instant) Result {
		if !now.Before(at(from)) && now.Before(at(to)) {
			return down("refused")
		}
		return up("well")
	}
}

// Goal (§2.8 warmup): the first check waits at random up to the warmup, and 0 disables
// that. Method: randomness that always gives half.
func TestFirstTryWaitsForTheWarmup(t *testing.T) {
	s := newStory(t, wide, always(up("well")))
	s.step(Configure{Plans: []Plan{plan("warm", Timing{DelayLoop: 60 * second, Warmup: 10 * second}), plan("cold", Timing{DelayLoop: 60 * second})}})
	s.until(at(50))
	s.wantRuns("0 cold", "5 warm")
	s.wantReports("0 cold first up", "5 warm first up")
}

// Goal (§2.8 first check): what starts in the pool is removed by a single failure,
// whatever retry says, and one success brings it back.
func TestFirstFailureCountsAtOnce(t *testing.T) {
	s := newStory(t, wide, between(0, 15))
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 10 * second, Retry: 3, DelayBeforeRetry: second})}})
	s.until(at(25))
	s.wantRuns("0 C", "10 C", "20 C")
	s.wantReports("0 C first down", "20 C changed up")
}

// Goal (§2.8 retry, delay_before_retry): a check that is up goes down with the failure
// after retry others, each delay_before_retry after the last; while down it is tried
// every delay_loop.
func TestUpCheckSurvivesRetries(t *testing.T) {
	s := newStory(t, wide, between(10, 40))
	s.takes = second / 2
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 10 * second, Retry: 2, DelayBeforeRetry: 2 * second})}})
	s.until(at(46))
	s.wantRuns("0 C", "10 C", "12.5 C", "15 C", "25 C", "35 C", "45 C")
	s.wantReports("0.5 C first up", "15.5 C changed down", "45.5 C changed up")
}

// Goal: a success among the retries makes all of them good again.
func TestSuccessForgetsFailures(t *testing.T) {
	n := 0
	s := newStory(t, wide, func(Run, boottime.Instant) Result {
		if n++; n%2 == 0 {
			return down("refused")
		}
		return up("well")
	})
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 10 * second, Retry: 1, DelayBeforeRetry: second})}})
	s.until(at(1000))
	s.wantReports("0 C first up")
}

// Goal (§2.8 MISC_CHECK): its delay_before_retry counts from the start of the failed run.
func TestScriptRetriesCountFromTheStart(t *testing.T) {
	s := newStory(t, wide, between(10, 40))
	s.takes = 3 * second
	p := plan("M", Timing{DelayLoop: 10 * second, Retry: 2, DelayBeforeRetry: 2 * second, RetryFromStart: true})
	p.Lane = LaneScript
	s.step(Configure{Plans: []Plan{p}})
	s.until(at(20))
	s.wantRuns("0 M", "10 M", "13 M", "16 M")
	s.wantReports("3 M first up", "19 M changed down")
}

// Goal: what is down may be tried less often (HTTP_GET: delay_before_retry where that is
// longer).
func TestDelayWhileDown(t *testing.T) {
	s := newStory(t, wide, between(0, 100))
	s.step(Configure{Plans: []Plan{plan("H", Timing{DelayLoop: 2 * second, DelayWhileDown: 5 * second})}})
	s.until(at(14))
	s.wantRuns("0 H", "5 H", "10 H")
}

// Goal (§2.8 HTTP_GET): one URL per delay_loop; the failing one is retried; after it all
// of them must be well, one per delay_loop.
func TestURLsTakeTurnsAndRecoverTogether(t *testing.T) {
	bad := func(r Run, now boottime.Instant) Result {
		if r.Step == 1 && !now.Before(at(40)) && now.Before(at(65)) {
			return down("status 500")
		}
		return up("status 200")
	}
	s := newStory(t, wide, bad)
	p := plan("H", Timing{DelayLoop: 10 * second, Retry: 1, DelayBeforeRetry: 3 * second})
	p.Steps = 3
	s.step(Configure{Plans: []Plan{p}})
	s.until(at(104))
	s.wantRuns("0 H", "10 H#1", "20 H#2", "30 H", "40 H#1", "43 H#1", "53 H#1", "63 H#1", "73 H#1", "83 H", "93 H#1", "103 H#2")
	s.wantReports("20 H first up", "43 H changed down", "103 H changed up")
}

// Goal (§2.8 fast_recovery): no delay between URLs until the check is up.
func TestFastRecoveryDoesNotWait(t *testing.T) {
	bad := func(_ Run, now boottime.Instant) Result {
		if now.After(at(5)) && now.Before(at(15)) {
			return down("status 500")
		}
		return up("status 200")
	}
	s := newStory(t, wide, bad)
	p := plan("H", Timing{DelayLoop: 10 * second, FastRecovery: true})
	p.Steps = 3
	s.step(Configure{Plans: []Plan{p}})
	s.until(at(45))
	s.wantRuns("0 H", "0 H#1", "0 H#2", "10 H", "20 H", "20 H", "20 H#1", "20 H#2", "30 H", "40 H#1")
	s.wantReports("0 H first up", "10 H changed down", "20 H changed up")
}

// Goal (keepalived's epilog): another URL that fails on the way up does not start the
// recovery over.
func TestOtherURLFailingDuringRecoveryIsTriedAgain(t *testing.T) {
	script := []bool{false, true, true, false, true, true}
	s := newStory(t, wide, nil)
	s.outcome = func(Run, boottime.Instant) Result {
		next := script[0]
		script = append(script[1:], true)
		if next {
			return up("status 200")
		}
		return down("status 500")
	}
	p := plan("H", Timing{DelayLoop: 10 * second, Retry: 0, DelayBeforeRetry: 3 * second})
	p.Steps = 2
	s.step(Configure{Plans: []Plan{p}})
	s.until(at(34))
	s.wantRuns("0 H", "10 H", "20 H", "30 H#1", "33 H#1")
	s.wantReports("0 H first down", "33 H changed up")
}

// Goal: times don't drift: tries that take long, or begin late, don't shift the next ones.
func TestTriesKeepToTheirGrid(t *testing.T) {
	s := newStory(t, wide, always(up("well")))
	s.takes = 700 * time.Millisecond
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 2 * second})}})
	for s.now.Before(at(9)) {
		s.until(s.now.Add(second / 10))
	}
	s.now = at(10.9) // asleep meanwhile
	s.until(at(15))
	s.wantRuns("0 C", "2 C", "4 C", "6 C", "8 C", "10.9 C", "12 C", "14 C")
}

// Goal (§2.8 "overlapping run skipped"): a try that takes longer than delay_loop leaves
// out those that it overlaps.
func TestOverlappedTriesAreLeftOut(t *testing.T) {
	s := newStory(t, wide, always(up("well")))
	s.takes = 5 * second
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 2 * second})}})
	s.until(at(13))
	s.wantRuns("0 C", "6 C", "12 C")
}

// Goal: a host that wakes up after an hour does not check everything at once, and what
// was spread stays spread. Method: 1,000 checks over 10 s; an hour passes at a stroke.
func TestSuspendedHostCausesNoBurst(t *testing.T) {
	s := newStory(t, Limits{Sockets: 10_000, Scripts: 1}, always(up("well")))
	random := rand.New(rand.NewPCG(1, 1))
	s.schedule.random = func(most time.Duration) time.Duration { return upTo(random, most) }
	var plans []Plan
	for i := range 1000 {
		plans = append(plans, plan(fmt.Sprint(i), Timing{DelayLoop: 10 * second, Warmup: 10 * second}))
	}
	s.step(Configure{Plans: plans})
	s.until(at(30))
	s.now, s.runs = at(3630), nil
	s.step(Tick{})
	if len(s.runs) > 10 {
		t.Errorf("%d tries at the instant of waking up", len(s.runs))
	}
	s.until(at(3640))
	if len(s.runs) < 990 || len(s.runs) > 1010 {
		t.Errorf("%d tries of 1000 checks in the first delay_loop", len(s.runs))
	}
}

// Goal: the limit holds, and who waits longest is next. Method: one place, three checks
// that are due together, tries that take a second.
func TestWaitingIsFair(t *testing.T) {
	s := newStory(t, Limits{Sockets: 1, Scripts: 1}, always(up("well")))
	s.takes = second
	timing := Timing{DelayLoop: 2 * second}
	s.step(Configure{Plans: []Plan{plan("A", timing), plan("B", timing), plan("C", timing)}})
	s.until(at(7))
	s.wantRuns("0 A", "1 B", "2 C", "3 A", "4 B", "5 C", "6 A", "7 B")
	if load := s.schedule.Load(); load.Running[LaneSocket-1] != 1 || load.Lateness.Worst < second {
		t.Errorf("load %+v, want one running, and lateness of a second or more", load)
	}
}

// Goal: scripts that take up all of their places hold up no connection.
func TestScriptsDoNotHoldUpConnections(t *testing.T) {
	s := newStory(t, Limits{Sockets: 1, Scripts: 1}, always(up("well")))
	slow := plan("script", Timing{DelayLoop: second})
	slow.Lane = LaneScript
	other := slow
	other.ID = testID("other")
	s.takes = 100 * second
	s.step(Configure{Plans: []Plan{slow, other}})
	s.takes = 0
	s.step(Configure{Plans: []Plan{slow, other, plan("C", Timing{DelayLoop: second})}})
	s.until(at(2))
	s.wantRuns("0 script", "0 C", "1 C", "2 C")
}

// Goal (ha_suspend): suspended checks are not tried, keep their state and their times,
// and go on when they may.
func TestSuspendedServiceIsNotChecked(t *testing.T) {
	s := newStory(t, wide, between(5, 25))
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 2 * second})}})
	s.until(at(3))
	s.step(Suspend{Services: []string{"TCP 192.0.2.1:80"}})
	s.until(at(21))
	s.step(Suspend{})
	s.until(at(22))
	s.wantRuns("0 C", "2 C", "22 C")
	s.wantReports("0 C first up", "22 C changed down")
}

// Goal: a reload keeps the state of a check and its place in time, drops what is gone and
// begins what is new; a shorter delay_loop counts at once.
func TestReloadKeepsWhatStays(t *testing.T) {
	s := newStory(t, wide, between(10, 1000))
	hour := Timing{DelayLoop: 3600 * second}
	s.step(Configure{Plans: []Plan{plan("gone", Timing{DelayLoop: 10 * second}), plan("stays", Timing{DelayLoop: 10 * second, Retry: 1, DelayBeforeRetry: 5 * second}), plan("hour", hour)}})
	s.until(at(12))
	s.runs, s.reports = nil, nil
	stays := Timing{DelayLoop: 10 * second, Retry: 1, DelayBeforeRetry: 5 * second}
	s.step(Configure{Plans: []Plan{plan("stays", stays), plan("hour", Timing{DelayLoop: 4 * second}), plan("new", Timing{DelayLoop: 60 * second})}})
	s.until(at(16))
	s.wantRuns("12 new", "14 hour", "15 stays")
	s.wantReports("12 new first down", "14 hour changed down", "15 stays changed down") // the failure before the reload counts
}

// Goal: a check that goes and comes back while its try is under way is not tried a
// second time beside it, and the old outcome says nothing about the new check.
func TestCheckThatComesBackDoesNotOverlap(t *testing.T) {
	s := newStory(t, wide, between(0, 5))
	s.takes = 10 * second
	p := plan("C", Timing{DelayLoop: 2 * second})
	s.step(Configure{Plans: []Plan{p}})
	s.until(at(1))
	s.step(Configure{})
	s.step(Configure{Plans: []Plan{p}})
	s.until(at(9))
	s.wantRuns("0 C")
	s.until(at(23))
	s.wantRuns("10 C", "22 C")
	s.wantReports("20 C first up")
}

// Goal: a try that fails on this side changes nothing, is not retried at once, and is
// reported once.
func TestInconclusiveTriesChangeNothing(t *testing.T) {
	s := newStory(t, wide, func(_ Run, now boottime.Instant) Result {
		if now.After(at(5)) && now.Before(at(45)) {
			return failed("connect", unix.EMFILE)
		}
		return up("well")
	})
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 10 * second})}})
	s.until(at(55))
	s.wantReports("0 C first up", "10 C nothing up")
}

// Goal (log_all_failures): each failed try is reported, if asked for.
func TestEachFailureIsReportedIfAskedFor(t *testing.T) {
	s := newStory(t, wide, between(10, 100))
	s.step(Configure{Plans: []Plan{plan("C", Timing{DelayLoop: 10 * second, Retry: 1, DelayBeforeRetry: second, ReportFailures: true})}})
	s.until(at(22))
	s.wantReports("0 C first up", "10 C failure up", "11 C changed down", "21 C failure down")
}

// Goal: a new weight is reported when it comes, and once.
func TestWeightsAreReportedOnce(t *testing.T) {
	s := newStory(t, wide, func(_ Run, now boottime.Instant) Result {
		r := up("exit status")
		if !now.Before(at(20)) {
			r.Weight = WeightChange{WeightSet, 7}
		}
		return r
	})
	s.step(Configure{Plans: []Plan{plan("M", Timing{DelayLoop: 10 * second})}})
	s.until(at(55))
	s.wantReports("0 M first up", "20 M weight up")
}

// Goal: what comes from outside is judged at once and never run.
func TestPassiveChecksFollowWhatIsObserved(t *testing.T) {
	s := newStory(t, wide, nil)
	p := plan("BFD", Timing{Retry: 5})
	p.Lane = LanePassive
	s.step(Configure{Plans: []Plan{p}})
	s.step(Observed{testID("BFD"), up("session up")})
	s.step(Observed{testID("BFD"), up("session up")})
	s.step(Observed{testID("BFD"), down("session down")})
	s.step(Observed{testID("BFD"), up("session up")})
	s.step(Observed{testID("BFD"), failed("ask", unix.EMFILE)})
	s.step(Observed{testID("nobody"), down("session down")})
	s.until(at(100))
	s.wantRuns()
	s.wantReports("0 BFD first up", "0 BFD changed down", "0 BFD changed up")
	if n := len(s.schedule.Status()[0].History); n != 3 {
		t.Errorf("%d results are remembered, want 3: what says nothing new is none", n)
	}
}

// Goal: what was known before a restart of the process still holds: an up check has its
// retries, a down one stays down until a success.
func TestKnownStateOutlivesARestart(t *testing.T) {
	s := newStory(t, wide, between(0, 15))
	good, bad := plan("good", Timing{DelayLoop: 10 * second, Retry: 1, DelayBeforeRetry: second}), plan("bad", Timing{DelayLoop: 10 * second})
	good.Known, bad.Known = &CheckState{Up: true, Ran: true}, &CheckState{Ran: true}
	s.step(Configure{Plans: []Plan{good, bad}})
	s.until(at(25))
	s.wantReports("1 good changed down", "20 bad changed up", "21 good changed up")
}

// Goal: before it has been tried a check is up, or, with alpha, down.
func TestUntriedChecksAreWhatAlphaSays(t *testing.T) {
	s := newStory(t, wide, nil)
	s.step(Configure{Plans: []Plan{
		plan("C", Timing{DelayLoop: second, Warmup: second}), plan("A", Timing{DelayLoop: second, Warmup: second, Alpha: true}),
	}})
	status := s.schedule.Status()
	if c, a := status[0].State, status[1].State; !c.Up || c.Ran || a.Up || a.Ran {
		t.Errorf("without alpha %+v, with it %+v", c, a)
	}
}

// Goal: what is due at one instant is tried in the order of configuration, also in that
// of a new one.
func TestOrderIsThatOfTheConfiguration(t *testing.T) {
	s := newStory(t, wide, always(up("well")))
	var plans []Plan
	for i := range 20 {
		plans = append(plans, plan(fmt.Sprint(i), Timing{DelayLoop: 10 * second, Warmup: 10 * second}))
	}
	s.step(Configure{Plans: plans})
	slices.Reverse(plans)
	s.step(Configure{Plans: plans})
	s.until(at(6))
	var want []string
	for _, p := range plans {
		want = append(want, "5 "+p.ID.Name)
	}
	s.wantRuns(want...)
}
