package guard

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// checking is a desk whose controller holds the VIP and wants a checker, which runs
// and has said so.
func checking(t *testing.T) *desk {
	t.Helper()
	d := holding(t, deskConfigure)
	configure := deskConfigure
	configure.Checker = true
	if got := d.step(Received{configure}); !contains(got, StartChecker{}) {
		t.Fatalf("got %v, want StartChecker", got)
	}
	d.step(OfChecker{Received{Heartbeat{}}})
	return d
}

func contains(actions []Action, wanted Action) bool {
	for _, action := range actions {
		if cmp.Equal(action, wanted) {
			return true
		}
	}
	return false
}

// A checker's death costs no VIP, and it is started again: at once, then slower and
// slower. Method: nothing but StartChecker is done.
func TestCheckersDeathCostsNoVIP(t *testing.T) {
	d := checking(t)
	d.want(d.step(OfChecker{ChildClosed{}}))
	d.want(d.step(OfChecker{ChildExited{Code: 2}}), StartChecker{})
	d.want(d.step(OfChecker{ChildExited{Code: 2}}))
	if len(d.core.Held()) == 0 {
		t.Error("the VIP was given up")
	}
	if got := d.wait(restartDelayMin - 1); contains(got, StartChecker{}) {
		t.Errorf("got %v before %v", got, restartDelayMin)
	}
	if got := d.wait(1); !contains(got, StartChecker{}) {
		t.Errorf("after %v: got %v, want StartChecker", restartDelayMin, got)
	}
}

// keepWell lets time pass while both children are heard.
func (d *desk) keepWell(span time.Duration) {
	for ; span > 0; span -= min(span, 100*time.Millisecond) {
		d.step(Received{Heartbeat{}})
		d.wait(min(span, 100*time.Millisecond))
	}
}

// A silent checker is looked at once more and then killed, and the next one
// started. Method: heartbeats of the controller only.
func TestHungCheckerIsKilled(t *testing.T) {
	d := checking(t)
	var all []Action
	for range int(checkerSilence/time.Second) + 1 {
		d.step(Received{Heartbeat{}})
		all = append(all, d.wait(time.Second)...)
	}
	if !contains(all, SignalChecker{syscall.SIGKILL}) || contains(all, SignalChild{syscall.SIGKILL}) {
		t.Fatalf("got %v, want SIGKILL for the checker alone", all)
	}
	d.want(d.step(OfChecker{ChildExited{Code: -1}}), StartChecker{})
}

// The checker may beat its heart and nothing else. Method: a message of a
// controller, which would move a VIP.
func TestCheckerCannotTouchVIPs(t *testing.T) {
	d := checking(t)
	d.want(d.step(OfChecker{Received{Drop{Seq: 9, Groups: []string{"web"}}}}), SignalChecker{syscall.SIGKILL})
	if len(d.core.Held()) == 0 {
		t.Error("the checker dropped a VIP")
	}
}

// At the end the controller stops first, so that connections go through IPVS until
// the VIPs have moved; the guard waits for both.
func TestCheckerStopsAfterTheController(t *testing.T) {
	d := checking(t)
	d.want(d.step(Terminate{}), Notify{"STOPPING=1"}, SignalChild{syscall.SIGTERM})
	got := d.step(ChildExited{})
	if !contains(got, SignalChecker{syscall.SIGTERM}) || contains(got, Exit{0}) {
		t.Fatalf("got %v, want SIGTERM for the checker and no end", got)
	}
	if got := d.step(OfChecker{ChildExited{}}); !contains(got, Exit{0}) {
		t.Errorf("got %v, want Exit", got)
	}
}

// A checker that doesn't stop is killed after its time, or at the second SIGTERM.
func TestCheckersStopIsBounded(t *testing.T) {
	for name, hurry := range map[string]func(*desk) []Action{
		"timeout": func(d *desk) []Action {
			var all []Action
			for range int(checkerStopTimeout / time.Second) {
				d.step(OfChecker{Received{Heartbeat{}}})
				all = append(all, d.wait(time.Second)...)
			}
			return all
		},
		"second": func(d *desk) []Action { return d.step(Terminate{}) },
	} {
		d := checking(t)
		d.step(Terminate{})
		d.step(ChildExited{})
		if got := hurry(d); !contains(got, SignalChecker{syscall.SIGKILL}) {
			t.Errorf("%s: got %v, want SIGKILL for the checker", name, got)
		}
		if got := d.step(OfChecker{ChildExited{Code: -1}}); !contains(got, Exit{0}) {
			t.Errorf("%s: got %v, want Exit", name, got)
		}
	}
}

// A reload tells both children; one that has no virtual servers any more stops the
// checker, one that has them again starts it, even while the old one is stopping.
func TestCheckerFollowsTheConfiguration(t *testing.T) {
	d := checking(t)
	d.want(d.step(Reload{}), SignalChild{syscall.SIGHUP}, SignalChecker{syscall.SIGHUP})
	if got := d.step(Received{deskConfigure}); !contains(got, SignalChecker{syscall.SIGTERM}) {
		t.Fatalf("got %v, want SIGTERM for the checker", got)
	}
	configure := deskConfigure
	configure.Checker = true
	if got := d.step(Received{configure}); contains(got, StartChecker{}) {
		t.Fatalf("two checkers at once: %v", got)
	}
	d.want(d.step(OfChecker{ChildExited{}}), StartChecker{})
	d.step(Received{deskConfigure})
	d.want(d.step(OfChecker{ChildExited{}}))
	d.keepWell(time.Minute)
	if d.core.checker.phase != childNone {
		t.Error("a checker that nobody wants was started")
	}
}

// A checker outlives its controller: weights stay and are followed while the next
// one starts.
func TestCheckerOutlivesControllers(t *testing.T) {
	d := checking(t)
	got := d.step(ChildExited{Code: -1})
	if !contains(got, StartChild{}) || contains(got, SignalChecker{syscall.SIGTERM}) || contains(got, SignalChecker{syscall.SIGKILL}) {
		t.Errorf("got %v, want a new controller and the old checker", got)
	}
	configure := deskConfigure
	configure.Checker = true
	if got := d.step(Received{configure}); contains(got, StartChecker{}) {
		t.Errorf("got %v: a second checker", got)
	}
}

// A checker that was asked to stop has all of its time, although its last scripts keep
// it from beating; a second SIGTERM that comes before that is not forgotten.
func TestStoppingCheckerHasItsTime(t *testing.T) {
	d := checking(t)
	d.step(Terminate{})
	d.step(ChildExited{})
	if got := d.wait(checkerStopTimeout - 1); contains(got, SignalChecker{syscall.SIGKILL}) {
		t.Errorf("killed before its time: %v", got)
	}
	if got := d.wait(1); !contains(got, SignalChecker{syscall.SIGKILL}) {
		t.Errorf("got %v, want SIGKILL", got)
	}
	d = checking(t)
	d.step(Terminate{})
	d.step(Terminate{})
	if got := append(d.step(ChildExited{}), d.wait(1)...); !contains(got, SignalChecker{syscall.SIGKILL}) {
		t.Errorf("got %v, want SIGKILL at once", got)
	}
}
