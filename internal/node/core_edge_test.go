package node

import (
	"slices"
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// The best candidate of all is this node itself when it stops; its successor is
// the best other one.
func TestSuccessorIsAnother(t *testing.T) {
	p := master(t)
	p.other("n2", 50, "g")
	p.log = nil
	p.step(LinkChanged{Instance: "g", Cause: "no carrier"})
	p.pass(0)
	if holder := p.table.Lease("g").Holder; holder.Node != "n2" {
		t.Fatalf("the lease went to %v", holder)
	}
	// The same while this node's own candidacy still stands in its table.
	p = master(t)
	p.other("n2", 50, "g")
	p.holdBack = func(a Action) bool {
		propose, ok := a.(Propose)
		if !ok {
			return false
		}
		_, standing := propose.Command.(consensus.SetCandidate)
		return standing
	}
	p.log = nil
	p.step(Stop{Cause: "stopped"})
	if !slices.Contains(p.log, `release g 1 to "n2": ok`) {
		t.Fatalf("record: %v", p.log)
	}
}

// A new session ends the old one at once, and with it the lease: it is not asked
// for while anything may still be up.
func TestNoNewSessionWhileTheVIPIsStillUp(t *testing.T) {
	p := master(t)
	var drop fence.Drop
	p.holdBack = func(a Action) bool {
		if guard, ok := a.(ToGuard); ok {
			if d, ok := guard.Request.(fence.Drop); ok {
				drop = d
				return true
			}
		}
		return false
	}
	old := p.core.holder.Session()
	p.change(consensus.ExpireSession{Session: old})
	p.pass(5 * time.Second)
	if s, there := p.table.Session("n1"); there {
		t.Fatalf("session %v although the guard has not said that the VIP is down", s)
	}
	p.step(FromGuard{fence.Dropped{Seq: drop.Seq, Groups: drop.Groups}})
	p.pass(time.Second)
	if _, there := p.table.Session("n1"); !there {
		t.Fatal("no session afterwards")
	}
}

// This node's table may lag behind what a proposal has told it.
func TestTableThatLagsBehindDoesNotUndoAGrant(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.step(Start{})
	p.pass(time.Second)
	stale := p.table.Clone()
	p.step(up("g"))
	p.pass(time.Second)
	if p.core.group("g").phase != holding {
		t.Fatalf("not MASTER; the test proves nothing: %v", p.log)
	}
	p.log = nil
	p.step(TableChanged{stale})
	p.wants()
}

// A lease that the table gives to another is let go of, whatever the reason.
func TestLeaseThatIsNoLongerOursIsLetGoOf(t *testing.T) {
	p := master(t)
	other := p.other("n2", 100, "g")
	p.log = nil
	p.table.Apply(consensus.Release{Session: p.core.holder.Session(), Group: "g", Token: 1})
	p.change(consensus.Acquire{Session: other, Group: "g"})
	p.wants("drop g", "advert 0", "acquire g: wanted") // it is the better one, after all
}

// Rule (d) across groups: the next question waits for every acknowledgement of the
// last extension, not for the first.
func TestNextQuestionWaitsForEveryAcknowledgement(t *testing.T) {
	a, b := testGroup("a", 150, vip), testGroup("b", 150, "192.0.2.101/32")
	b.Instances[0].VRRP.ID = 52
	p := newPlay(t, testConfig(a, b))
	p.step(Start{})
	p.step(up("a"))
	p.pass(time.Second) // a is held, so every extension has a refresh
	var open fence.Open
	questions := 0
	p.holdBack = func(action Action) bool {
		switch x := action.(type) {
		case ToGuard:
			if o, ok := x.Request.(fence.Open); ok {
				open = o
				return true
			}
		case Ask:
			questions++
		}
		return false
	}
	p.step(up("b"))
	p.pass(10 * time.Millisecond)
	if open.Group != "b" {
		t.Fatalf("b is not being opened; the test proves nothing: %v", p.log)
	}
	questions = 0
	p.pass(testTTL / 2)
	if questions != 0 {
		t.Fatalf("%d questions before the opening was acknowledged", questions)
	}
	p.step(FromGuard{fence.Opened{Seq: open.Seq, Group: "b", Token: open.Token}})
	p.pass(testTTL / 10)
	if questions == 0 {
		t.Fatal("no question afterwards")
	}
}

// A free lease is claimed in order of priority: the second best waits its turn.
func TestSecondBestWaitsItsTurn(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.step(Start{})
	p.other("n2", 200, "g")
	p.step(up("g"))
	p.pass(testTTL/staggerShare - time.Millisecond)
	p.wants("configure 1")
	p.pass(2 * time.Millisecond)
	p.wants("arm g", "acquire g: ok", "open g 1")
}

// Nothing that can happen at one instant makes the core ask for a tick that has
// passed: the shell would spin.
func TestDeadlineLiesAheadAfterEveryStep(t *testing.T) {
	p := master(t)
	p.other("n2", 200, "g")
	for n := range 300 {
		p.now = p.now.Add(time.Duration(n%7) * 10 * time.Millisecond)
		p.step(Tick{})
		if at, ok := p.core.Deadline(); ok && at < p.now-boottime.Instant(time.Millisecond) {
			t.Fatalf("step %d at %v: deadline %v", n, p.now, at)
		}
		if n == 100 {
			p.step(LinkChanged{Instance: "g", Cause: "down"})
		}
		if n == 200 {
			p.quorum = false
		}
	}
}

// vrrp_startup_delay: keepalived starts VRRP only after it.
func TestNothingIsClaimedDuringTheStartupDelay(t *testing.T) {
	config := testConfig(testGroup("g", 150, vip))
	config.StartupDelay = 20 * time.Second
	p := newPlay(t, config)
	p.step(Start{})
	p.step(up("g"))
	p.pass(19 * time.Second)
	p.wants("configure 1")
	p.pass(2 * time.Second)
	p.wants("arm g", "acquire g: ok", "open g 1")
}

// A better candidate that appears before our turn goes first, also where we were
// the best so far: after a common start nobody's standing is known at once.
func TestBetterCandidateThatComesInTimeGoesFirst(t *testing.T) {
	config := testGroup("g", 150, vip)
	config.Instances[0].VRRP.StartupListen = time.Second
	p := newPlay(t, testConfig(config))
	p.step(Start{})
	p.step(up("g"))
	p.pass(500 * time.Millisecond) // alone in the table: the best
	better := p.other("n2", 200, "g")
	p.pass(500*time.Millisecond + testTTL/staggerShare/2)
	p.wants("configure 1")
	p.change(consensus.Acquire{Session: better, Group: "g"})
	p.pass(time.Second)
	p.wants()
}
