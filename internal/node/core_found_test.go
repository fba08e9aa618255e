package node

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/vrrp"
)

// What test/sim found, as stories of one node.

// The outcome of a release may come after the lease was ours again and is being
// withdrawn anew: the guard's word on that withdrawal must still count, or the
// group never ends it and keeps the lease for nobody. Method: hold back a release,
// let a copy of it commit, become MASTER again, and bring the first one's outcome
// in the middle of the second withdrawal.
func TestLateOutcomeOfAReleaseLeavesTheNextWithdrawalAlone(t *testing.T) {
	p := master(t)
	var release Propose
	p.holdBack = func(a Action) bool {
		propose, ok := a.(Propose)
		if ok {
			if _, ok = propose.Command.(consensus.Release); ok && release.ID == 0 {
				release = propose
				return true
			}
		}
		return false
	}
	p.step(LinkChanged{Instance: "g", Cause: "no carrier"})
	if release.ID == 0 {
		t.Fatalf("no release was proposed; the test proves nothing: %v", p.log)
	}
	p.change(release.Command)
	p.step(up("g"))
	p.pass(2 * time.Second)
	p.state("g", vrrp.Master)

	var drop fence.Drop
	p.holdBack = func(a Action) bool {
		guard, ok := a.(ToGuard)
		if ok {
			drop, ok = guard.Request.(fence.Drop)
		}
		return ok
	}
	p.step(LinkChanged{Instance: "g", Cause: "no carrier"})
	p.holdBack, p.log = nil, nil
	p.step(Proposed{ID: release.ID, Result: consensus.Result{Outcome: consensus.NotHolder}})
	p.step(FromGuard{fence.Dropped{Seq: drop.Seq, Groups: drop.Groups}})
	p.wants("advert 0", `release g 2 to "": ok`)
}

// In a group of two instances, a stranger that is MASTER on one of them keeps the
// whole group back: else the other claims, the first one yields for both, and so
// on, hundreds of times a second.
func TestStrangerOfOneInstanceHoldsTheGroupBack(t *testing.T) {
	group := testGroup("g", 150, vip)
	second := group.Instances[0]
	second.Name, second.VRRP.ID = "h", 52
	group.Instances = append(group.Instances, second)
	p := newPlay(t, testConfig(group))
	p.step(up("g"))
	p.step(up("h"))
	stranger := Received{Instance: "g", Source: netip.MustParseAddr("192.0.2.200"), Advert: vrrp.Advertisement{
		Version: vrrp.Version2, Priority: 200, Interval: time.Second, Auth: vrrp.NoAuth(),
	}}
	p.step(stranger)
	p.step(Start{})
	for range 8 {
		p.pass(time.Second)
		p.step(stranger)
	}
	p.wants("configure 1")
	p.pass(5 * time.Second)
	p.state("g", vrrp.Master)
}

// A VIP of an earlier life that cannot be removed at once makes the guard refuse
// the configuration. It is given again until it is taken, or the node would stay
// out until its next restart.
func TestRefusedConfigurationIsGivenAgain(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	refusals := 0
	p.holdBack = func(a Action) bool {
		guard, ok := a.(ToGuard)
		if !ok {
			return false
		}
		configure, ok := guard.Request.(fence.Configure)
		if !ok || refusals == 2 {
			return false
		}
		refusals++
		p.answer(fence.Configured{Seq: configure.Seq, Error: "configure: device or resource busy"})
		return true
	}
	p.step(up("g"))
	p.step(Start{})
	p.pass(configureRetry - time.Millisecond)
	if diff := cmp.Diff([]string(nil), p.log); diff != "" || refusals != 1 {
		t.Fatalf("%d refusals; record (-want +got):\n%s", refusals, diff)
	}
	p.pass(3 * configureRetry)
	p.state("g", vrrp.Master)
}
