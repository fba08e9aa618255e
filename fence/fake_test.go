package fence

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hafence/hafence/internal/boottime"
)

// fakeKernel performs an owner's actions as the kernel would, with a clock that
// only the test moves.
type fakeKernel struct {
	t       *testing.T
	owner   *Owner
	now     boottime.Instant
	gate    bool
	managed []netip.Addr
	armed   map[netip.Addr]boottime.Instant
	leased  map[netip.Addr]boottime.Instant
	present map[VIP]bool

	failRemove, failShut, failAdd, failSetUp error
	failRemoveOf                             netip.Addr    // failRemove concerns this one alone, where set
	slow                                     time.Duration // that a gate transaction takes, after the kernel has acted
	reports                                  []Action
}

func newFake(t *testing.T) *fakeKernel {
	return &fakeKernel{
		t: t, owner: NewOwner(), now: boottime.Instant(time.Hour),
		armed: map[netip.Addr]boottime.Instant{}, leased: map[netip.Addr]boottime.Instant{}, present: map[VIP]bool{},
	}
}

// step feeds one event and performs what follows, first in, first out. It
// returns every action in that order.
func (f *fakeKernel) step(event Event) []Action {
	f.t.Helper()
	var all []Action
	queue := f.owner.Step(f.now, event)
	for len(queue) > 0 {
		action := queue[0]
		queue = queue[1:]
		all = append(all, action)
		if done, ok := f.perform(action); ok {
			queue = append(queue, f.owner.Step(f.now, done)...)
		}
		f.check()
	}
	return all
}

// check is the promise itself: an address whose gate is open has a grant.
func (f *fakeKernel) check() {
	f.t.Helper()
	for _, h := range f.owner.holdings {
		for _, v := range h.VIPs {
			if f.gate && f.leased[v.Prefix.Addr()].After(f.now) && f.present[v] && !h.up() && f.failShut == nil && len(f.owner.withdrawals) == 0 {
				f.t.Errorf("%s answers without a grant at %v", v, f.now)
			}
		}
	}
}

// wait lets time pass, stepping Tick at each deadline on the way.
func (f *fakeKernel) wait(d time.Duration) []Action {
	f.t.Helper()
	var all []Action
	end := f.now.Add(d)
	for {
		at, ok := f.owner.Deadline()
		if !ok || at.After(end) {
			break
		}
		f.now = max(f.now, at)
		all = append(all, f.step(Tick{})...)
		if next, ok := f.owner.Deadline(); ok && !next.After(f.now) {
			f.t.Fatalf("the deadline %v does not move on after a Tick at %v", next, f.now)
		}
	}
	f.now = end
	return all
}

func (f *fakeKernel) perform(action Action) (Done, bool) {
	done := Done{Action: action}
	switch a := action.(type) {
	case SetUpGate:
		if done.Err = f.failSetUp; done.Err == nil {
			done.Leftover = f.managed
			f.gate, f.managed = true, union(a.Managed, f.managed)
			clear(f.armed)
			clear(f.leased)
		}
	case InspectGate:
		done.Leftover = f.managed
	case ManageGate:
		f.managed = a.Managed
	case RemoveGate:
		f.gate, f.managed = false, nil
	case ArmGate:
		done.Err = f.elements(nil, f.armed, a.VIPs, a.Timeout)
	case OpenGate:
		done.Err = f.elements(f.armed, f.leased, a.VIPs, a.Timeout)
	case RefreshGate:
		done.Err = f.elements(f.leased, f.leased, a.VIPs, a.Timeout)
	case ShutGate:
		if done.Err = f.failShut; done.Err == nil {
			for _, v := range a.VIPs {
				delete(f.armed, v.Prefix.Addr())
				delete(f.leased, v.Prefix.Addr())
			}
		}
	case AddAddress:
		if done.Err = f.failAdd; done.Err == nil {
			f.present[a.VIP] = true
		}
	case RemoveAddress:
		if only := f.failRemoveOf; !only.IsValid() || only == a.VIP.Prefix.Addr() {
			done.Err = f.failRemove
		}
		if done.Err == nil {
			for v := range f.present {
				if v == a.VIP || a.VIP.Interface == "" && v.Prefix.Addr() == a.VIP.Prefix.Addr() {
					delete(f.present, v)
					done.Found = true
				}
			}
		}
	default:
		f.reports = append(f.reports, action)
		return Done{}, false
	}
	return done, true
}

// elements is one transaction: delete from one set, where every element must be
// alive, and add to the other.
func (f *fakeKernel) elements(from, to map[netip.Addr]boottime.Instant, vips []VIP, timeout time.Duration) error {
	if !f.gate {
		return ErrGateGone
	}
	for _, v := range vips {
		if from != nil && !from[v.Prefix.Addr()].After(f.now) {
			return ErrExpired
		}
	}
	for _, v := range vips {
		delete(from, v.Prefix.Addr())
		to[v.Prefix.Addr()] = f.now.Add(timeout)
	}
	f.now = f.now.Add(f.slow)
	return nil
}

// open reports whether the address would answer.
func (f *fakeKernel) answers(v VIP) bool {
	gated := f.gate && slices.Contains(f.managed, v.Prefix.Addr())
	return f.present[v] && (!gated || f.leased[v.Prefix.Addr()].After(f.now))
}

func (f *fakeKernel) want(got []Action, want ...Action) {
	f.t.Helper()
	if diff := cmp.Diff(want, got, equalAddresses, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
		f.t.Errorf("actions (-want +got):\n%s", diff)
	}
}

const testTTL = 1500 * time.Millisecond

var (
	groupA   = Group{Name: "web", VIPs: []VIP{vipA}}
	groupB   = Group{Name: "db", VIPs: []VIP{vipB}}
	addrA    = vipA.Prefix.Addr()
	addrB    = vipB.Prefix.Addr()
	errBusy  = errors.New("no buffer space")
	full     = testTTL/2 - GateMargin
	lifetime = 3 * time.Second
)

// configured returns a fake whose owner manages both groups.
func configuredFake(t *testing.T) *fakeKernel {
	f := newFake(t)
	f.step(Configure{Seq: 1, TTL: testTTL, Gate: true, Lifetime: true, Groups: []Group{groupA, groupB}})
	f.reports = nil
	return f
}

// hold arms and opens groups under a fresh grant, and forgets the reports.
func (f *fakeKernel) hold(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.step(Arm{Group: name})
	}
	for _, name := range names {
		f.step(Open{Group: name, Token: 7, Deadline: f.now.Add(testTTL)})
		if h := f.owner.find(name); h.phase != phaseHeld {
			f.t.Fatalf("%s is not held: %v", name, f.reports)
		}
	}
	f.reports = nil
}
