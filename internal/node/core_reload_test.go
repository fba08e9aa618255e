package node

import (
	"slices"
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/vrrp"
)

const otherVIP = "192.0.2.101/32"

// without is a reload that removes group g.
func without() Reload { return Reload{Config: testConfig(testGroup("keep", 100, otherVIP))} }

// A BACKUP that drops a group by reload is no candidate of it any more: else the
// holder would name it as its successor, and nobody would answer.
func TestRemovedGroupIsNoCandidateAnyMore(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 100, vip), testGroup("keep", 100, otherVIP)))
	holder := p.other("n2", 200, "g")
	p.change(consensus.Acquire{Session: holder, Group: "g"})
	p.step(up("g"))
	p.step(up("keep"))
	p.step(Start{})
	p.pass(3 * time.Second)
	p.step(without())
	p.pass(3 * time.Second)
	p.change(consensus.Release{Session: holder, Group: "g", Token: p.table.Lease("g").Token, Successor: "n1"})
	if h := p.table.Lease("g").Holder; h.Node == "n1" {
		t.Fatal("the lease went to a node that has no such group")
	}
	if p.core.group("g") != nil {
		t.Error("the removed group is still kept although the store has forgotten it")
	}
}

// A removed group whose lease is ours without being up gives it back.
func TestRemovedGroupGivesItsIdleLeaseBack(t *testing.T) {
	p := master(t)
	p.step(FromGuard{fence.Lapsed{Group: "g", Token: 1, Cause: "interface is gone"}})
	p.step(without())
	p.pass(10 * time.Second)
	if h := p.table.Lease("g").Holder; !h.IsZero() {
		t.Fatalf("the lease is stranded with %v", h)
	}
}

// A lease that is granted after its group was removed is given back.
func TestRemovedGroupGivesALateGrantBack(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	var acquire Propose
	p.holdBack = func(a Action) bool {
		propose, ok := a.(Propose)
		if ok {
			if _, ok = propose.Command.(consensus.Acquire); ok {
				acquire = propose
			}
		}
		return ok
	}
	p.step(up("g"))
	p.step(Start{})
	p.pass(time.Second)
	if acquire.ID == 0 {
		t.Fatal("nothing was asked for; the test proves nothing")
	}
	p.step(without())
	p.holdBack = nil
	result := p.change(acquire.Command)
	p.step(Proposed{ID: acquire.ID, Result: result})
	p.pass(10 * time.Second)
	if h := p.table.Lease("g").Holder; !h.IsZero() {
		t.Fatalf("the lease is stranded with %v", h)
	}
}

// holdDrop keeps the requests to withdraw from the guard, and remembers the last.
func (p *play) holdDrop() *fence.Drop {
	var drop fence.Drop
	p.holdBack = func(a Action) bool {
		guard, ok := a.(ToGuard)
		if !ok {
			return false
		}
		d, ok := guard.Request.(fence.Drop)
		if ok {
			drop = d
		}
		return ok
	}
	return &drop
}

// A reload that brings a group back, before the one that removed it was carried
// out, leaves it as it was.
func TestReloadThatIsReplacedLeavesNothingStopped(t *testing.T) {
	p := master(t)
	drop := p.holdDrop()
	p.step(without())
	p.step(Reload{Config: testConfig(testGroup("g", 150, vip))})
	p.holdBack = nil
	p.step(FromGuard{fence.Dropped{Seq: drop.Seq, Groups: drop.Groups}})
	p.pass(10 * time.Second)
	p.state("g", vrrp.Master)
}

// A withdrawal that failed is asked for again: its answer may have been lost with
// another configuration, and the group must not wait for ever.
func TestFailedWithdrawalIsAskedForAgain(t *testing.T) {
	p := master(t)
	p.other("n2", 100, "g")
	drop := p.holdDrop()
	p.step(LinkChanged{Instance: "g", Cause: "no carrier"})
	p.step(FromGuard{fence.Dropped{Seq: drop.Seq, Groups: drop.Groups, Error: "device busy"}})
	p.holdBack = nil
	p.pass(2 * dropRetry)
	if h := p.table.Lease("g").Holder; h.Node != "n2" {
		t.Fatalf("the lease is %v's", h)
	}
}

// A refresh that the guard refused says nothing about silence: the lease is not
// given away before a withdrawal has worked.
func TestRefusedRefreshIsNotTakenForSilence(t *testing.T) {
	p := master(t)
	p.holdDrop()
	p.step(FromGuard{fence.Refreshed{Refused: []string{"g"}}})
	p.step(FromGuard{fence.Lapsed{Group: "g", Token: 1, Cause: "refresh failed", Error: "cannot remove"}})
	p.step(LinkChanged{Instance: "g", Cause: "no carrier"})
	p.pass(5 * time.Second)
	if p.table.Lease("g").Holder.IsZero() {
		t.Fatal("released although the guard could not withdraw")
	}
}

// I1 across names: while a cluster is changed node by node, one VIP may be under
// two group names. Method: two cores on one table.
func TestOneVIPUnderTwoNamesHasOneMaster(t *testing.T) {
	a := newPlay(t, testConfig(testGroup("g", 150, vip)))
	config := testConfig(testGroup("renamed", 100, vip))
	config.Node = "n2"
	b := newPlay(t, config)
	b.table = a.table
	for _, p := range []*play{a, b} {
		p.step(up(p.core.groups[0].config.Name))
		p.step(Start{})
		p.pass(3 * time.Second)
	}
	a.state("g", vrrp.Master)
	b.state("renamed", vrrp.Backup)
	if !slices.Contains(b.log, "acquire renamed: a VIP is held under another group's name") {
		t.Fatalf("record of the other: %v", b.log)
	}
	// The change reaches the first node: the VIP goes on under its new name.
	a.step(Reload{Config: testConfig(testGroup("renamed", 150, vip))})
	a.step(up("renamed"))
	a.pass(3 * time.Second)
	if lease := a.table.Lease("g"); !lease.Holder.IsZero() {
		t.Fatalf("the old name is still held: %+v", lease)
	}
	if lease := a.table.Lease("renamed"); lease.Holder.IsZero() {
		t.Fatal("nobody holds the new name")
	}
}

// The same on one node: a renamed group lets go of its old lease before it takes
// the new one.
func TestRenamedGroupGoesOnUnderItsNewName(t *testing.T) {
	p := master(t)
	p.step(Reload{Config: testConfig(testGroup("renamed", 150, vip))})
	p.step(up("renamed"))
	p.pass(3 * time.Second)
	p.state("renamed", vrrp.Master)
	if !p.table.Lease("g").Holder.IsZero() {
		t.Fatal("the old lease is still held")
	}
}

// What is held may not grow into what another group holds.
func TestVIPsAreNotAddedWhileAnotherHoldsThem(t *testing.T) {
	p := master(t)
	other := p.change(consensus.OpenSession{Node: "n2", Host: "h2", Life: 1, TTL: testTTL}).Session
	taken := testGroup("x", 1, otherVIP).VIPs[0].Prefix.Addr()
	p.change(consensus.SetCandidate{Session: other, Group: "x", Priority: 1, VIPs: append(p.core.group("g").vips()[:0:0], taken), Eligible: true})
	p.change(consensus.Acquire{Session: other, Group: "x"})
	p.log = nil
	p.step(Reload{Config: testConfig(testGroup("g", 150, vip, otherVIP))})
	p.pass(3 * time.Second)
	if slices.Contains(p.log, "open g 1") || slices.Contains(p.log, "open g 2") {
		t.Fatalf("opened a VIP that another group holds: %v", p.log)
	}
}
