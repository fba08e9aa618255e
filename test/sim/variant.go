package main

import (
	"slices"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/node"
)

// variant is a way in which the program is broken on purpose, to see that the
// checker bites. The cores stay as they are: what breaks is around them. The zero
// variant is the program as it is.
type variant struct {
	Name  string
	Rule  string // of DESIGN that it breaks
	Seeds int    // within so many seeds it must be caught
	Rare  bool   // that many are too many for a test

	// shape changes the plan to one in which the rule is what matters; nil: as drawn.
	shape func(p *plan)

	fromAnswer       bool
	noDrift          bool
	noFreshCount     bool
	noBarrier        bool
	yesWhileExpiring bool
	staleAnswers     bool
	mixedTerms       bool
	revive           bool
	openUnarmed      bool
	releaseFirst     bool
	spentToken       bool
	oneVote          bool
	lateExpiry       bool
	unboundExpiry    bool
}

// variants are all of them; the first is the program as it is.
var variants = []variant{
	{Name: "none", Rule: "nothing is broken"},
	{Name: "from-answer", Rule: "§3: the holder notes t0, then sends", Seeds: 100, fromAnswer: true, shape: gateless},
	{Name: "no-drift", Rule: "§3: the leader waits ttl × (1 + drift) + margin", Seeds: 40, noDrift: true, shape: drifting},
	{Name: "no-fresh-count", Rule: "§3: a new leader counts every session as heard when it began", Seeds: 40, noFreshCount: true},
	{Name: "no-barrier", Rule: "§3: a new leader first applies everything committed", Seeds: 400, noBarrier: true, shape: lagging},
	{Name: "yes-while-expiring", Rule: "§3: never a yes for a session whose expiry is proposed", Seeds: 200, yesWhileExpiring: true, shape: stalling},
	{Name: "stale-answers", Rule: "§3: answers to this question only", Seeds: 400, staleAnswers: true, shape: delaying},
	{Name: "mixed-terms", Rule: "§3: a majority answered with one and the same term", Seeds: 200, mixedTerms: true, shape: isolating},
	{Name: "revived-element", Rule: "§5 (b): a refresh deletes what it adds", Seeds: 100, revive: true, shape: hesitating},
	{Name: "unarmed-opening", Rule: "§5 (c): an opening needs a live armed element", Seeds: 200, openUnarmed: true, shape: lingering},
	{Name: "release-first", Rule: "§3: the holder withdraws first, then releases", Seeds: 20, releaseFirst: true},
	{Name: "spent-token", Rule: "§3: a token is never opened again after its release", Seeds: 20, spentToken: true},
	{Name: "one-vote", Rule: "§3: a majority of the voters", Seeds: 40, oneVote: true, shape: isolating},
	{Name: "late-expiry", Rule: "§3: an expiry is committed by the leader that counted, in its term", Seeds: 400, lateExpiry: true, unboundExpiry: true, shape: electing},
	{Name: "unbound-expiry", Rule: "§3: the same, but only for a leader that was deposed, elected again and never noticed", Seeds: 20000, Rare: true, unboundExpiry: true, shape: electing},
}

// intact reports whether nothing is broken.
func (v variant) intact() bool { return v.Seeds == 0 }

func variantNamed(name string) (variant, bool) {
	i := slices.IndexFunc(variants, func(v variant) bool { return v.Name == name })
	if i < 0 {
		return variant{}, false
	}
	return variants[i], true
}

// gateless runs without the packet gate, where the guard must not be paused.
func gateless(p *plan) {
	p.Gate = false
	p.weights(func(k faultKind) bool { return !k.needsGate() })
}

// drifting lets clocks differ by a tenth, at the bounds, so that no margin hides it.
func drifting(p *plan) {
	p.Drift = 0.1
	for n := range p.Rates {
		p.Rates[n] = 1
		if n%2 == 0 {
			p.Rates[n] = 1 + p.Drift
		}
	}
	gateless(p)
}

// electing, isolating, stalling and hesitating let what the rule is about happen
// often.
func electing(p *plan) {
	p.Sticky, p.PreVote = false, false
	p.Hesitation = 0.003
	p.emphasise(transferLeader, freezeAll, badWays, twoWays)
}

// lagging is electing, with leaders whose first entry takes long to commit.
func lagging(p *plan) {
	electing(p)
	p.TTL, p.Gate = 750*time.Millisecond, false
	p.weights(func(k faultKind) bool { return !k.needsGate() })
	p.emphasise(freezeController, stallDisk)
	p.Gate = false
}

func isolating(p *plan) {
	p.emphasise(twoWays, oneWay, badWays)
	p.LeaderLease, p.Gate = false, false
}

// delaying lets acknowledgements travel for longer than elections take, and
// leaders believe in themselves for as long.
func delaying(p *plan) {
	p.TTL = 750 * time.Millisecond
	p.FaultMin, p.DelayMin = p.TTL, p.TTL/4
	p.LeaderLease, p.Placement = false, false
	p.emphasise(badWays, twoWays)
	p.weights(func(k faultKind) bool { return k == twoWays || k == badWays })
	p.Interval = 3 * p.TTL / 2
	p.Gate = false
}

// lingering leaves addresses on behind a gate that is shut, so that the gate alone
// decides.
func lingering(p *plan) {
	p.TTL = 750 * time.Millisecond
	p.emphasise(busyKernel, freezeController)
	p.OpenPause, p.FaultMin, p.Interval = 0.3, p.TTL, 2*p.TTL
}

func stalling(p *plan) { p.emphasise(stallDisk, freezeController, freezeAll) }

func hesitating(p *plan) {
	p.Hesitation, p.PauseMin = 0.01, p.TTL/2
	p.emphasise(freezeGuard, freezeAll)
}

func (v variant) patience(p consensus.Patience) consensus.Patience {
	if v.noDrift {
		p.Drift = 0
	}
	return p
}

// rogue is what stands between a core and its surroundings where a variant breaks
// something there.
type rogue struct {
	c      *controller
	rounds uint64
	kept   []consensus.Answer // variant fromAnswer: they wait for the next question
	term   uint64
	spent  map[string]uint64
}

// rogueSeq numbers requests that no core has made.
const rogueSeq = 1 << 40

// asked notes a question, whose t0 has been read.
func (r *rogue) asked(a node.Ask) {
	r.rounds = a.Round
	kept := r.kept
	r.kept = nil
	for _, answer := range kept {
		answer.Round = a.Round
		r.c.post(&r.c.events, node.FromVoter{Answer: answer})
	}
}

// answered passes on a voter's answer. What has come counts, in the variant
// fromAnswer, from a t0 that is read after it.
func (r *rogue) answered(a consensus.Answer) {
	if r.c.w.variant.fromAnswer {
		r.kept = append(r.kept, a)
		return
	}
	r.c.post(&r.c.events, node.FromVoter{Answer: r.rewritten(a)})
}

func (r *rogue) rewritten(a consensus.Answer) consensus.Answer {
	v := r.c.w.variant
	if a.Leads {
		r.term = a.Term
	}
	if v.staleAnswers && !a.Leads {
		a.Round = r.rounds
	}
	if v.mixedTerms && !a.Leads && r.term != 0 {
		a.Term = r.term
	}
	if v.oneVote && a.Leads {
		a.Voters = []string{a.From}
	}
	return a
}

// dropEarly answers a Drop before the guard has it.
func (r *rogue) dropEarly(d fence.Drop) bool {
	if !r.c.w.variant.releaseFirst {
		return false
	}
	report := fence.Dropped{Seq: d.Seq, Groups: d.Groups}
	r.c.after(50*time.Microsecond, func() { r.c.post(&r.c.reports, node.FromGuard{Report: report}) })
	d.Seq = rogueSeq
	r.c.after(100*time.Millisecond, func() { r.c.toGuard(guard.Drop(d)) })
	return true
}

// proposed opens a lease again whose release is being proposed.
func (r *rogue) proposed(command consensus.Command) {
	release, ok := command.(consensus.Release)
	if !ok || !r.c.w.variant.spentToken {
		return
	}
	if r.spent == nil {
		r.spent = map[string]uint64{}
	}
	r.spent[release.Group] = uint64(release.Token)
	r.c.toGuard(guard.Arm{Seq: rogueSeq, Group: release.Group})
}

// takes reports whether a report is for the core.
func (r *rogue) takes(report fence.Action) bool {
	switch report := report.(type) {
	case fence.Armed:
		if report.Seq == rogueSeq {
			r.c.toGuard(guard.Open{Seq: rogueSeq, Group: report.Group, Token: r.spent[report.Group], Deadline: r.c.now().Add(r.c.w.plan.TTL)})
			return false
		}
	case fence.Opened:
		return report.Seq != rogueSeq
	case fence.Dropped:
		return report.Seq != rogueSeq
	}
	return true
}
