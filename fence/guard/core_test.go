package guard

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// desk steps a Core with a clock that only the test moves, and a kernel that
// does everything asked of it, unless told otherwise.
type desk struct {
	t    *testing.T
	core *Core
	now  boottime.Instant
	fail func(fence.Action) error
	pid  int
}

func newDesk(t *testing.T) *desk {
	return &desk{t: t, core: NewCore(0), now: boottime.Instant(time.Hour), fail: func(fence.Action) error { return nil }}
}

// step returns what the core wants done, first in, first out, without log lines.
func (d *desk) step(event Event) []Action {
	d.t.Helper()
	var all []Action
	queue := d.core.Step(d.now, event)
	for len(queue) > 0 {
		action := queue[0]
		queue = queue[1:]
		var outcome Event
		switch a := action.(type) {
		case Log:
			continue
		case Perform:
			outcome = Kernel{fence.Done{Action: a.Action, Err: d.fail(a.Action)}}
		case StartChild:
			d.pid++
			outcome = ChildStarted{PID: d.pid}
		case StartChecker:
			d.pid++
			outcome = OfChecker{ChildStarted{PID: d.pid}}
		case ApplyRights:
			outcome = RightsApplied{Rights{MemoryLocked: a.LockMemory, OOMProtected: true}}
		case OpenWatchdog:
			outcome = WatchdogOpened{Timeout: a.Timeout}
		}
		all = append(all, action)
		if outcome != nil {
			queue = append(queue, d.core.Step(d.now, outcome)...)
		}
	}
	return all
}

// wait lets time pass, with a Tick at each deadline.
func (d *desk) wait(span time.Duration) []Action {
	d.t.Helper()
	var all []Action
	for end := d.now.Add(span); ; {
		at, needed := d.core.Deadline()
		if !needed || at.After(end) {
			d.now = end
			return all
		}
		if at.Before(d.now) {
			d.t.Fatalf("the deadline %v has passed at %v", at, d.now)
		}
		d.now = at
		all = append(all, d.step(Tick{})...)
		if next, needed := d.core.Deadline(); needed && !next.After(d.now) {
			d.t.Fatalf("the deadline does not move on after a Tick at %v", d.now)
		}
	}
}

func (d *desk) want(got []Action, want ...Action) {
	d.t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		d.t.Errorf("actions (-want +got):\n%s", diff)
	}
}

const deskTTL = 1500 * time.Millisecond

var deskConfigure = Configure{
	Seq: 1, TTL: deskTTL, Gate: true, Lifetime: true, LockMemory: true,
	Groups:           []Group{{Name: "web", VIPs: []fence.VIP{testVIP}}},
	HeartbeatTimeout: time.Second,
}

// holding returns a desk whose controller holds the group.
func holding(t *testing.T, configure Configure) *desk {
	d := newDesk(t)
	d.step(Start{})
	d.step(Received{configure})
	d.step(Received{Arm{Group: "web"}})
	d.step(Received{Open{Group: "web", Token: 7, Deadline: d.now.Add(deskTTL)}})
	if len(d.core.Held()) != 1 {
		t.Fatal("the group is not held")
	}
	return d
}

var (
	removal  = Perform{fence.RemoveAddress{Withdrawal: 2, VIP: testVIP}}
	shutting = Perform{fence.ShutGate{Withdrawal: 2, VIPs: []fence.VIP{testVIP}}}
	bye      = Farewell{Frame: []byte("bye")}
)

// A configuration sets up rights and watchdog before the VIPs, and its answer
// tells about all layers. Method: the whole exchange.
func TestCoreConfiguresLayersFirst(t *testing.T) {
	d := newDesk(t)
	d.want(d.step(Start{}), StartChild{})
	configure := deskConfigure
	configure.Watchdog, configure.WatchdogTimeout = "/dev/watchdog", 4*time.Second
	anywhere := fence.VIP{Prefix: testVIP.Prefix}
	managed := []netip.Addr{testVIP.Prefix.Addr()}
	d.want(d.step(Received{configure}),
		ApplyRights{LockMemory: true},
		OpenWatchdog{Path: "/dev/watchdog", Timeout: 4 * time.Second},
		Perform{fence.SetUpGate{Managed: managed}},
		PetWatchdog{},
		Perform{fence.RemoveAddress{Withdrawal: 1, VIP: anywhere}},
		Perform{fence.ShutGate{Withdrawal: 1, VIPs: []fence.VIP{anywhere}}},
		Send{Configured{Seq: 1, Layers: Layers{Gate: true, Lifetime: true, Watchdog: true, MemoryLocked: true, OOMProtected: true}}},
	)
	d.want(d.step(Received{Ready{Status: "fine\nSTOPPING=1"}}), Notify{"READY=1\nSTATUS=fine"})
}

// A dead controller is withdrawn first, then its farewell goes out, once; the
// next controller is started at once. Method: socket and process end.
func TestCoreWithdrawsBeforeFarewell(t *testing.T) {
	d := holding(t, deskConfigure)
	d.step(Received{bye})
	d.want(d.step(ChildClosed{}), removal, shutting, SendFarewell{bye})
	d.want(d.step(ChildExited{Code: -1, Reason: "signal: killed"}), StartChild{})
	for _, a := range d.step(ChildClosed{}) { // the next one has said none
		if _, again := a.(SendFarewell); again {
			t.Error("the farewell went out again")
		}
	}
}

// As long as the kernel refuses to silence the VIP, no farewell goes out and the
// watchdog is not petted, so that the reset comes before another node may answer.
// Method: removal and gate fail for three seconds.
func TestCoreKeepsQuietWhileWithdrawalFails(t *testing.T) {
	configure := deskConfigure
	configure.Watchdog, configure.WatchdogTimeout = "/dev/watchdog", 4*time.Second
	d := holding(t, configure)
	d.step(Received{bye})
	d.fail = func(a fence.Action) error {
		switch a.(type) {
		case fence.RemoveAddress, fence.ShutGate:
			return syscall.ENOBUFS
		}
		return nil
	}
	actions := d.step(ChildClosed{})
	d.step(ChildExited{Code: -1})
	actions = append(actions, d.wait(3*time.Second)...)
	pets := 0
	for _, a := range actions {
		switch a.(type) {
		case SendFarewell:
			t.Error("a farewell while the VIP may answer")
		case PetWatchdog:
			pets++
		}
	}
	if pets != 0 {
		t.Errorf("%d pets in 3 s, want none", pets)
	}
	d.fail = func(fence.Action) error { return nil }
	actions = d.wait(2 * time.Second)
	if !slices.ContainsFunc(actions, func(a Action) bool { return cmp.Equal(a, Action(SendFarewell{bye})) }) {
		t.Error("no farewell after the withdrawal")
	}
	if !slices.Contains(onlyPets(actions), Action(PetWatchdog{})) {
		t.Error("the watchdog is not petted after the withdrawal")
	}
}

func onlyPets(actions []Action) (pets []Action) {
	for _, a := range actions {
		if _, ok := a.(PetWatchdog); ok {
			pets = append(pets, a)
		}
	}
	return pets
}

// A silent controller keeps its VIPs until the grant is over, is looked at once
// more, and then killed. Method: nothing is received for its timeout and the
// grace; a message at the last moment saves it.
func TestCoreKillsAHungController(t *testing.T) {
	d := holding(t, deskConfigure)
	full := deskTTL/2 - fence.GateMargin
	d.want(d.wait(full), removal, shutting,
		Send{Lapsed{Group: "web", Token: 7, Cause: "no refresh came before the packet gate shut"}})
	d.want(d.wait(time.Second + hungGrace - 1 - full))
	d.step(Received{Heartbeat{}})
	d.want(d.wait(time.Second + hungGrace - 1))
	got := d.wait(1)
	if len(got) == 0 || got[0] != Action(SignalChild{syscall.SIGKILL}) {
		t.Errorf("got %v, want SIGKILL first", got)
	}
	d.want(d.step(Received{Heartbeat{}})) // too late
	d.want(d.step(ChildExited{Code: -1}), StartChild{})
}

// Before its first Configure a controller has the start's timeout.
func TestCoreIsPatientAtTheStart(t *testing.T) {
	d := newDesk(t)
	d.step(Start{})
	d.want(d.wait(startTimeout + hungGrace - 1))
	if got := d.wait(1); len(got) == 0 || got[0] != Action(SignalChild{syscall.SIGKILL}) {
		t.Errorf("got %v, want SIGKILL first", got)
	}
}

// Restarts: the first at once, then slower and slower; a minute of life is
// forgiven. Method: the instants at which StartChild comes.
func TestCoreRestartsWithBackOff(t *testing.T) {
	d := newDesk(t)
	d.step(Start{})
	for i, delay := range []time.Duration{0, 250, 500, 1000, 2000, 4000, 8000, 10000, 10000} {
		delay *= time.Millisecond
		got := d.step(ChildExited{Code: 1})
		if delay > 0 {
			d.want(got)
			d.want(d.wait(delay - 1))
			got = d.wait(1)
		}
		if !cmp.Equal(got, []Action{StartChild{}}) {
			t.Errorf("restart %d: got %v after %v, want StartChild", i, got, delay)
		}
	}
	for range 61 {
		d.now = d.now.Add(time.Second)
		d.step(Received{Heartbeat{}})
	}
	d.want(d.step(ChildExited{Code: 1}), StartChild{})
}

// ExitConfiguration before the first Configure ends the guard with it; later it is a
// death like any other. Method: both.
func TestCoreEndsOnARefusedConfiguration(t *testing.T) {
	d := newDesk(t)
	d.step(Start{})
	d.want(d.step(ChildExited{Code: ExitConfiguration}), Exit{ExitConfiguration})

	d = holding(t, deskConfigure)
	d.want(d.step(ChildExited{Code: ExitConfiguration}), removal, shutting, StartChild{})
}

// SIGTERM: the controller stops by itself; what it has left is withdrawn; then
// gate, watchdog, end. Method: a controller that forgets to drop.
func TestCoreStopsInOrder(t *testing.T) {
	configure := deskConfigure
	configure.Watchdog, configure.WatchdogTimeout = "/dev/watchdog", 4*time.Second
	d := holding(t, configure)
	d.want(d.step(Terminate{}), Notify{"STOPPING=1"}, SignalChild{syscall.SIGTERM})
	d.step(Received{bye})
	d.want(d.step(ChildClosed{}), removal, shutting, SendFarewell{bye})
	d.want(d.step(ChildExited{}))
	d.want(d.step(FarewellSent{}), Perform{fence.RemoveGate{}}, DisarmWatchdog{}, Exit{0})
}

// A controller that doesn't stop is killed after the timeout, or at the second
// SIGTERM. Method: both.
func TestCoreStopIsBounded(t *testing.T) {
	for name, hurry := range map[string]func(*desk) []Action{
		"timeout": func(d *desk) []Action {
			var all []Action
			for range int(stopTimeout / time.Second) {
				d.step(Received{Heartbeat{}})
				all = append(all, d.wait(time.Second)...)
			}
			return all
		},
		"second": func(d *desk) []Action { return d.step(Terminate{}) },
	} {
		d := newDesk(t)
		d.step(Start{})
		d.step(Received{deskConfigure})
		d.step(Terminate{})
		if got := hurry(d); !slices.Contains(got[:1], Action(SignalChild{syscall.SIGKILL})) {
			t.Errorf("%s: got %v, want SIGKILL first", name, got)
		}
		got := d.step(ChildExited{Code: -1})
		if len(got) == 0 || got[len(got)-1] != Action(Exit{0}) {
			t.Errorf("%s: got %v, want Exit last", name, got)
		}
	}
}

// Where VIPs can't be withdrawn, the end comes all the same, but the watchdog
// stays armed. Method: nothing silences.
func TestCoreLeavesTheWatchdogArmedWhenItFails(t *testing.T) {
	configure := deskConfigure
	configure.Watchdog, configure.WatchdogTimeout = "/dev/watchdog", 4*time.Second
	d := holding(t, configure)
	d.fail = func(fence.Action) error { return syscall.ENOBUFS }
	d.step(Terminate{})
	d.step(ChildExited{})
	got := d.wait(withdrawTimeout)
	if len(got) == 0 || got[len(got)-1] != Action(Exit{1}) {
		t.Errorf("got %v, want Exit{1} last", got)
	}
	if slices.ContainsFunc(got, func(a Action) bool { return cmp.Equal(a, Action(DisarmWatchdog{})) }) {
		t.Error("the watchdog was disarmed while a VIP may answer")
	}
}

// A child that says nonsense, what only a guard may say, or doesn't read, is
// killed, and everything withdrawn. Method: one of each.
func TestCoreKillsAControllerThatIsNotWell(t *testing.T) {
	for name, event := range map[string]Event{
		"nonsense":      Unreadable{Reason: "decode"},
		"guard's words": Received{Armed{}},
		"deaf":          SendFailed{Reason: "timeout"},
	} {
		d := holding(t, deskConfigure)
		got := d.step(event)
		if !cmp.Equal(got[0], Action(SignalChild{syscall.SIGKILL})) || len(d.core.Held()) != 0 {
			t.Errorf("%s: got %v with %v held", name, got, d.core.Held())
		}
	}
}

// SIGHUP goes to a living controller only.
func TestCoreForwardsReload(t *testing.T) {
	d := newDesk(t)
	d.step(Start{})
	d.want(d.step(Reload{}), SignalChild{syscall.SIGHUP})
	d.step(ChildClosed{})
	d.want(d.step(Reload{}))
}

// The service manager's watchdog is petted under the same condition.
func TestCorePetsTheServiceManager(t *testing.T) {
	d := newDesk(t)
	d.core = NewCore(4 * time.Second)
	d.want(d.step(Start{}), StartChild{}, Notify{"WATCHDOG=1"})
	d.want(d.wait(time.Second), Notify{"WATCHDOG=1"})
}

// A panic of the controller, which the Go runtime ends with exit code 2, is no bad
// configuration: it is started again.
func TestCoreRestartsAControllerThatPanicked(t *testing.T) {
	d := newDesk(t)
	d.step(Start{})
	d.want(d.step(ChildExited{Code: 2}), StartChild{})
}
