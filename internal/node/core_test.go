package node

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/vrrp"
)

const (
	testTTL = 1500 * time.Millisecond
	vip     = "192.0.2.100/32"
)

// play is a core with a guard and a store that answer at once and in order, and a
// record of everything that mattered.
type play struct {
	t     *testing.T
	core  *Core
	table *consensus.Table
	now   boottime.Instant

	inbox []Event  // answers to the actions of the last step
	log   []string // what reached guard, store and wire, in order

	quorum   bool   // the store answers
	refuse   string // the guard's answer to Open
	expired  bool   // together with refuse
	holdBack func(Action) bool
	ended    bool
}

func newPlay(t *testing.T, config CoreConfig) *play {
	p := &play{t: t, table: consensus.NewTable(), now: boottime.Instant(100 * time.Second), quorum: true}
	p.core = NewCore(config)
	return p
}

func testConfig(groups ...GroupConfig) CoreConfig {
	return CoreConfig{Node: "n1", Host: "h1", Life: 1, TTL: testTTL, Gate: true, Lifetime: true, Groups: groups}
}

func testGroup(name string, priority vrrp.Priority, vips ...string) GroupConfig {
	g := GroupConfig{Name: name, Instances: []InstanceConfig{{Name: name, VRRP: vrrp.Config{
		ID: 51, Priority: priority, AdvertInterval: time.Second, Version: vrrp.Version2, Preempt: true,
		Garp: vrrp.GarpSchedule{Delay: 5 * time.Second, Repeat: 5, RefreshRepeat: 1},
	}}}}
	for _, v := range vips {
		g.VIPs = append(g.VIPs, fence.VIP{Prefix: netip.MustParsePrefix(v), Interface: "eth0"})
	}
	return g
}

func up(instance string) LinkChanged {
	return LinkChanged{Instance: instance, Up: true, Source: netip.MustParseAddr("192.0.2.1")}
}

// step steps the core and everything that follows from it without time passing.
func (p *play) step(event Event) {
	p.t.Helper()
	p.inbox = append(p.inbox, event)
	for n := 0; len(p.inbox) > 0; n++ {
		if n > 1000 {
			p.t.Fatalf("a thousand steps at one instant; the last: %v", p.log[max(0, len(p.log)-10):])
		}
		next := p.inbox[0]
		p.inbox = p.inbox[1:]
		for _, a := range p.core.Step(p.now, next) {
			if p.holdBack == nil || !p.holdBack(a) {
				p.perform(a)
			}
		}
	}
}

func (p *play) note(format string, args ...any) { p.log = append(p.log, fmt.Sprintf(format, args...)) }

func (p *play) answer(report fence.Action) { p.inbox = append(p.inbox, FromGuard{report}) }

func (p *play) perform(action Action) {
	switch a := action.(type) {
	case ToGuard:
		p.guard(a.Request)
	case Propose:
		p.propose(a)
	case Ask:
		if p.quorum {
			_, there := p.table.Session(a.Session.Node)
			p.inbox = append(p.inbox, FromVoter{consensus.Answer{
				Round: a.Round, From: "v", Term: 1, Leads: true, Yes: there, Gone: !there, Voters: []string{"v"},
			}})
		}
	case SendAdvert:
		p.note("advert %d", a.Priority)
	case Announce:
		p.note("announce %d", a.Repeat)
	case Ended:
		p.ended = true
		p.note("ended")
	}
}

func (p *play) guard(request fence.Event) {
	switch r := request.(type) {
	case fence.Configure:
		p.note("configure %d", len(r.Groups))
		p.answer(fence.Configured{Seq: r.Seq, Gate: true})
	case fence.Arm:
		p.note("arm %s", r.Group)
		p.answer(fence.Armed{Seq: r.Seq, Group: r.Group})
	case fence.Open:
		p.note("open %s %d", r.Group, r.Token)
		p.answer(fence.Opened{Seq: r.Seq, Group: r.Group, Token: r.Token, Error: p.refuse, Expired: p.expired})
	case fence.Refresh:
		p.answer(fence.Refreshed{Seq: r.Seq})
	case fence.Drop:
		p.note("drop %s", r.Groups[0])
		p.answer(fence.Dropped{Seq: r.Seq, Groups: r.Groups})
	}
}

func (p *play) propose(a Propose) {
	if !p.quorum {
		p.inbox = append(p.inbox, Proposed{ID: a.ID, Failure: "no quorum"})
		return
	}
	result := p.table.Apply(a.Command)
	switch c := a.Command.(type) {
	case consensus.Acquire:
		p.note("acquire %s: %s", c.Group, result.Outcome)
	case consensus.Release:
		p.note("release %s %d to %q: %s", c.Group, c.Token, c.Successor, result.Outcome)
	case consensus.CloseSession:
		p.note("close session")
	}
	p.inbox = append(p.inbox, Proposed{ID: a.ID, Result: result}, TableChanged{p.table.Clone()})
}

// pass lets time pass, tick by tick.
func (p *play) pass(d time.Duration) {
	p.t.Helper()
	end := p.now.Add(d)
	for n := 0; ; n++ {
		if n > 10000 {
			p.t.Fatalf("ten thousand ticks in %v", d)
		}
		at, ok := p.core.Deadline()
		if !ok || at.After(end) {
			break
		}
		p.now = max(p.now, at)
		p.step(Tick{})
	}
	p.now = end
}

// change applies another node's command and lets the core see the table.
func (p *play) change(c consensus.Command) consensus.Result {
	p.t.Helper()
	result := p.table.Apply(c)
	p.step(TableChanged{p.table.Clone()})
	return result
}

// other opens another node's session and makes it a candidate.
func (p *play) other(name string, priority uint8, group string) consensus.Session {
	p.t.Helper()
	s := p.change(consensus.OpenSession{Node: name, Host: "h " + name, Life: 1, TTL: testTTL}).Session
	p.change(consensus.SetCandidate{
		Session: s, Group: group, Priority: priority, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, Eligible: true,
	})
	return s
}

// master brings a core with one group to MASTER and clears the record.
func master(t *testing.T) *play {
	t.Helper()
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.step(up("g"))
	p.step(Start{})
	p.pass(time.Second)
	p.state("g", vrrp.Master)
	p.log = nil
	return p
}

func (p *play) state(group string, want vrrp.State) {
	p.t.Helper()
	if got := p.core.group(group).instances[0].machine.State(); got != want {
		p.t.Fatalf("%s is %v, want %v; record: %v", group, got, want, p.log)
	}
}

// wants compares the record, without the adverts and announcements of a steady
// MASTER, and clears it.
func (p *play) wants(want ...string) {
	p.t.Helper()
	got := slices.DeleteFunc(slices.Clone(p.log), func(s string) bool { return s == "advert 150" || s == "announce 5" })
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("record (-want +got):\n%s", diff)
	}
	p.log = nil
}

// From nothing to MASTER: the guard cleans up before there is a session, the gate
// is armed, the lease acquired, and opened under its token.
func TestFirstMasterStepByStep(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.step(up("g"))
	if len(p.log) != 0 {
		t.Fatalf("before the start: %v", p.log)
	}
	p.step(Start{})
	p.pass(time.Second)
	p.wants("configure 1", "arm g", "acquire g: ok", "open g 1")
	p.state("g", vrrp.Master)
}

// No session is opened before the guard has removed what an earlier life left.
func TestNoSessionBeforeTheGuardHasCleanedUp(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.holdBack = func(a Action) bool { _, guard := a.(ToGuard); return guard }
	p.step(up("g"))
	p.step(Start{})
	p.pass(5 * time.Second)
	if len(p.table.Sessions()) != 0 {
		t.Fatal("a session before Configured")
	}
}

// DESIGN §5 (c): a gate is opened only by a keep-alive that was asked for after the
// arming was acknowledged. Method: answer the question that was under way when the
// arming came, and no later one.
func TestOpeningWaitsForAKeepAliveAskedAfterTheArming(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.step(Start{})
	p.pass(time.Second)
	var early []Ask
	p.holdBack = func(a Action) bool {
		ask, ok := a.(Ask)
		if ok {
			early = append(early, ask)
		}
		return ok
	}
	p.pass(testTTL / 10) // a question is asked and not answered yet
	if len(early) == 0 {
		t.Fatal("no question is under way; the test proves nothing")
	}
	before := len(early)
	p.step(up("g")) // arms, acquires
	p.pass(10 * time.Millisecond)
	if !slices.Contains(p.log, "acquire g: ok") {
		t.Fatalf("not acquired; the test proves nothing: %v", p.log)
	}
	for _, ask := range early[:before] {
		p.perform(ask)
	}
	p.step(Tick{})
	if slices.Contains(p.log, "open g 1") {
		t.Fatal("opened by a question that was asked before the arming")
	}
	p.holdBack = nil
	p.pass(testTTL / 10)
	if !slices.Contains(p.log, "open g 1") {
		t.Fatalf("never opened: %v", p.log)
	}
}

// Handover (DESIGN §3): "withdraws the VIP first, then commits Release naming its
// successor". What is on the wire comes in between.
func TestGracefulStopWithdrawsThenHandsOver(t *testing.T) {
	p := master(t)
	p.other("n2", 100, "g")
	p.other("n3", 120, "g")
	p.log = nil
	p.step(Stop{Cause: "stopped"})
	p.wants("drop g", "advert 0", `release g 1 to "n3": ok`, "close session", "ended")
	if lease := p.table.Lease("g"); lease.Holder.Node != "n3" {
		t.Fatalf("lease %+v, want n3's", lease)
	}
}

func TestWantedLeaseGoesToWhoWantsIt(t *testing.T) {
	p := master(t)
	better := p.other("n2", 200, "g")
	p.other("n3", 250, "g")
	p.log = nil
	p.change(consensus.Acquire{Session: better, Group: "g", Preempt: true})
	p.wants("drop g", "advert 0", `release g 1 to "n2": ok`)
	p.state("g", vrrp.Backup)
}

// The named successor opens without asking for the lease.
func TestSuccessorOpensUnasked(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	holder := p.other("n2", 100, "g")
	p.table.Apply(consensus.Acquire{Session: holder, Group: "g"})
	p.step(Start{})
	p.step(TableChanged{p.table.Clone()})
	g := p.core.group("g")
	g.config.PreemptDelay = time.Hour // no preemption of our own
	p.step(up("g"))
	p.pass(time.Second)
	p.wants("configure 1")
	p.change(consensus.Release{Session: holder, Group: "g", Token: 1, Successor: "n1"})
	p.wants("arm g", "open g 2")
	p.state("g", vrrp.Master)
}

// The rule that I1 rests on: once its release is proposed, a lease is not opened
// again under its token, whatever becomes of the proposal.
func TestSpentTokenIsNeverOpenedAgain(t *testing.T) {
	p := master(t)
	p.holdBack = func(a Action) bool { // the release is on its way for ever
		propose, ok := a.(Propose)
		if !ok {
			return false
		}
		_, release := propose.Command.(consensus.Release)
		return release
	}
	p.step(LinkChanged{Instance: "g", Up: false, Cause: "no carrier"})
	p.wants("drop g", "advert 0")
	p.step(up("g"))
	p.pass(10 * time.Second)
	p.wants()
	if p.core.group("g").phase != idle {
		t.Fatal("something is up")
	}
}

// A fault gives the lease to the best other director and the group waits in FAULT.
func TestFaultHandsOver(t *testing.T) {
	p := master(t)
	p.other("n2", 100, "g")
	p.log = nil
	p.step(LinkChanged{Instance: "g", Up: false, Cause: "eth0 has no carrier"})
	p.wants("drop g", "advert 0", `release g 1 to "n2": ok`)
	p.state("g", vrrp.Fault)
	if k, _ := p.core.group("g").candidate("n1"); k.Eligible {
		t.Fatal("still a candidate")
	}
}

// I4 from this side: without answers everything is withdrawn at the deadline, and
// a paused MASTER says nothing on the wire that is due before it finds out.
func TestPausedMasterWithdrawsBeforeItSaysAnything(t *testing.T) {
	p := master(t)
	p.quorum = false
	p.now = p.now.Add(7 * time.Second) // nothing ran; adverts and an announcement are due
	p.step(Tick{})
	if diff := cmp.Diff([]string{"drop g", "advert 0"}, p.log); diff != "" {
		t.Fatalf("record (-want +got):\n%s", diff)
	}
}

func TestLostQuorumWithdrawsAtTheDeadline(t *testing.T) {
	p := master(t)
	p.quorum = false
	p.pass(testTTL + testTTL/10)
	p.wants("drop g", "advert 0")
	p.state("g", vrrp.Backup)
	p.quorum = true
	p.pass(testTTL)
	p.state("g", vrrp.Master) // the lease was ours all the time
}

// A lease whose session the store has ended is not opened; a new session is.
func TestEndedSessionIsReplacedOnceEverythingIsWithdrawn(t *testing.T) {
	p := master(t)
	old := p.core.holder.Session()
	p.change(consensus.ExpireSession{Session: old})
	p.pass(testTTL)
	p.state("g", vrrp.Master)
	if fresh := p.core.holder.Session(); fresh == old || fresh.IsZero() {
		t.Fatalf("session %v", fresh)
	}
	if p.log[0] != "drop g" {
		t.Fatalf("first of all: %q", p.log[0])
	}
	if token := p.table.Lease("g").Token; token != 2 {
		t.Fatalf("token %d, want 2", token)
	}
}

// An opening that fails again and again leaves the lease to others for a while.
func TestDirectorThatCannotOpenLetsOthers(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.refuse = "add address: no such device"
	p.step(up("g"))
	p.step(Start{})
	p.pass(3 * time.Second)
	p.other("n2", 100, "g")
	p.pass(time.Second)
	if k, _ := p.core.group("g").candidate("n1"); k.Eligible {
		t.Fatal("still a candidate")
	}
	if holder := p.table.Lease("g").Holder; holder.Node == "n1" {
		t.Fatal("still holds the lease")
	}
	p.refuse = ""
	p.pass(unfitMin + time.Second)
	if k, _ := p.core.group("g").candidate("n1"); !k.Eligible {
		t.Fatal("never a candidate again")
	}
}

// The race between arming and a slow store: the guard says that it is too late,
// and the claim begins anew.
func TestExpiredArmingIsArmedAgain(t *testing.T) {
	p := newPlay(t, testConfig(testGroup("g", 150, vip)))
	p.refuse, p.expired = "the packet gate has already shut", true
	opens := 0
	p.holdBack = func(a Action) bool {
		if guard, ok := a.(ToGuard); ok {
			if _, open := guard.Request.(fence.Open); open {
				if opens++; opens == 2 {
					p.refuse, p.expired = "", false
				}
			}
		}
		return false
	}
	p.step(up("g"))
	p.step(Start{})
	p.pass(time.Second)
	p.state("g", vrrp.Master)
	p.wants("configure 1", "arm g", "acquire g: ok", "open g 1", "arm g", "open g 1")
}

// A reload that changes neither VIPs nor instances costs nothing.
func TestReloadOfThePriorityKeepsTheVIP(t *testing.T) {
	p := master(t)
	p.step(Reload{testConfig(testGroup("g", 180, vip))})
	p.pass(time.Second)
	p.log = slices.DeleteFunc(p.log, func(s string) bool { return s == "advert 180" })
	p.wants("configure 1")
	p.state("g", vrrp.Master)
	if k, _ := p.core.group("g").candidate("n1"); k.Priority != 180 {
		t.Fatalf("published priority %d", k.Priority)
	}
}

// Other VIPs: withdrawn, configured, opened again under the same lease.
func TestReloadOfVIPsReopensUnderTheSameLease(t *testing.T) {
	p := master(t)
	p.step(Reload{testConfig(testGroup("g", 150, vip, "192.0.2.101/32"))})
	p.pass(time.Second)
	p.wants("drop g", "advert 0", "configure 1", "arm g", "open g 1")
}

// A group that is gone is handed over first; a new one claims its own lease.
func TestReloadRemovesAndAddsGroups(t *testing.T) {
	p := master(t)
	p.other("n2", 100, "g")
	p.log = nil
	p.step(Reload{testConfig(testGroup("new", 150, "192.0.2.7/32"))})
	p.step(up("new"))
	p.pass(time.Second)
	p.wants("drop g", "advert 0", `release g 1 to "n2": ok`, "configure 1", "arm new", "acquire new: ok", "open new 1")
}

// A sync group fails over as one: one interface down takes all instances along.
func TestSyncGroupIsInFaultAsOne(t *testing.T) {
	g := testGroup("pair", 150, vip, "192.0.2.101/32")
	inside := g.Instances[0]
	inside.Name, inside.VRRP.ID = "inside", 52
	g.Instances[0].Name = "outside"
	g.Instances = append(g.Instances, inside)
	p := newPlay(t, testConfig(g))
	p.step(Start{})
	p.step(up("outside"))
	p.pass(2 * time.Second)
	p.wants("configure 1") // one instance is not enough
	p.step(up("inside"))
	p.pass(time.Second)
	p.wants("arm pair", "acquire pair: ok", "open pair 1")
	p.step(LinkChanged{Instance: "inside", Cause: "no carrier"})
	for _, i := range p.core.group("pair").instances {
		if i.machine.State() != vrrp.Fault {
			t.Errorf("%s is %v", i.config.Name, i.machine.State())
		}
	}
	p.wants("drop pair", "advert 0", "advert 0", `release pair 1 to "": ok`)
}

// A VIP that can't be withdrawn keeps its lease: nobody else may have it.
func TestLeaseIsKeptWhileTheVIPCannotBeWithdrawn(t *testing.T) {
	p := master(t)
	p.other("n2", 100, "g")
	p.log = nil
	var seq uint64
	p.holdBack = func(a Action) bool {
		guard, ok := a.(ToGuard)
		if !ok {
			return false
		}
		drop, ok := guard.Request.(fence.Drop)
		if ok {
			seq = drop.Seq
		}
		return ok
	}
	p.step(LinkChanged{Instance: "g", Cause: "no carrier"})
	p.step(FromGuard{fence.Dropped{Seq: seq, Groups: []string{"g"}, Error: "netlink: device busy"}})
	p.pass(3 * time.Second)
	if holder := p.table.Lease("g").Holder; holder.Node != "n1" {
		t.Fatalf("the lease went to %v", holder)
	}
	p.step(FromGuard{fence.Dropped{Seq: seq, Groups: []string{"g"}}})
	p.pass(time.Second)
	if holder := p.table.Lease("g").Holder; holder.Node != "n2" {
		t.Fatalf("the lease is %v's", holder)
	}
}

// A better director that comes back waits its preempt_delay, asks, and is given.
func TestPreemptionAsksOnceAfterItsDelay(t *testing.T) {
	config := testGroup("g", 150, vip)
	config.PreemptDelay = 10 * time.Second
	p := newPlay(t, testConfig(config))
	holder := p.other("n2", 100, "g")
	p.table.Apply(consensus.Acquire{Session: holder, Group: "g"})
	p.step(TableChanged{p.table.Clone()})
	p.step(up("g"))
	p.step(Start{})
	p.pass(9 * time.Second)
	p.wants("configure 1")
	p.pass(1500 * time.Millisecond)
	p.wants("acquire g: wanted")
}

// With nopreempt it never asks.
func TestNoPreemptNeverAsks(t *testing.T) {
	config := testGroup("g", 150, vip)
	config.Instances[0].VRRP.Preempt = false
	p := newPlay(t, testConfig(config))
	holder := p.other("n2", 100, "g")
	p.table.Apply(consensus.Acquire{Session: holder, Group: "g"})
	p.step(TableChanged{p.table.Clone()})
	p.step(up("g"))
	p.step(Start{})
	p.pass(time.Minute)
	p.wants("configure 1")
}
