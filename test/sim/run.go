package main

import (
	"io"
	"net/netip"
	"time"
)

var strangerAddress = netip.MustParseAddr("192.0.2.200")

// The phases of a cycle.
const (
	faultPhase  = 60 * time.Second // faults happen
	settlePhase = 45 * time.Second // none do: back-offs and memories run out
	quietPhase  = 5 * time.Second  // nothing may move any more
	sampleEvery = 5 * time.Millisecond

	// takeoverSlack is I3's allowance for everything that is not the lease.
	takeoverSlack = 200 * time.Millisecond
	// electionWorst is how many election timeouts an election may take (measured:
	// 3.1), with one that fails before it.
	electionWorst = 6
)

// outcome is what a run came to.
type outcome struct {
	Seed    uint64
	Variant string
	Broken  *Violation // nil: every promise was kept
	Digest  uint64
	Virtual time.Duration
	Events  uint64
	Stats   stats
}

// run runs a seed for at least so much virtual time, or until a promise is broken.
func run(seed uint64, v variant, hours float64, trace io.Writer) outcome {
	w := newWorld(newPlan(seed, v), v, trace)
	for _, h := range w.hosts {
		w.after(w.between(0, time.Second), h.startGuard)
	}
	for {
		w.cycle()
		if w.verdict != nil || w.now.sub(0) >= time.Duration(hours*float64(time.Hour)) {
			break
		}
	}
	return outcome{
		Seed: seed, Variant: v.Name, Broken: w.verdict, Digest: w.digest.Sum64(), Virtual: w.now.sub(0), Events: w.events, Stats: w.stats,
	}
}

// cycle is a bad minute and what must follow from it.
func (w *world) cycle() {
	w.faults.begin()
	w.runUntil(w.now.add(faultPhase))
	w.say("PHASE", "faults stop")
	w.faults.stop()
	if !w.variant.intact() { // it is about I1 and I2; what is broken may well serve nobody
		return
	}
	w.runUntil(w.now.add(settlePhase))
	w.say("PHASE", "quiet")
	w.settled()
	w.stay()
	w.takeover()
}

// settled is I3 after a bad day: every group is served, and where it preempts, by
// the best.
func (w *world) settled() {
	if w.verdict != nil {
		return
	}
	w.check.sameTables()
	for _, g := range w.plan.Groups {
		h := w.check.server(g)
		switch {
		case h == nil:
			w.fail("I3", "%v after the last fault nobody answers for %s", settlePhase, g.Name)
		case g.Preempt && g.Priorities[h.number] != w.plan.best(g):
			w.fail("I3", "%v after the last fault %s is served by %s, of priority %d, and not by one of %d",
				settlePhase, g.Name, h.name, g.Priorities[h.number], w.plan.best(g))
		}
	}
}

// stay sees that nothing moves without a cause.
func (w *world) stay() {
	end := w.now.add(quietPhase)
	who := w.servers()
	for w.now < end && w.verdict == nil {
		w.runUntil(w.now.add(sampleEvery))
		for n, h := range w.servers() {
			if h != who[n] {
				w.fail("I3", "%s was served by %s and is not any more, without a cause", w.plan.Groups[n].Name, who[n].name)
			}
		}
	}
}

func (w *world) servers() []*host {
	var all []*host
	for _, g := range w.plan.Groups {
		all = append(all, w.check.server(g))
	}
	return all
}

// takeover is I3 for the death of a host: in time, somebody else serves what it
// served.
func (w *world) takeover() {
	if w.verdict != nil {
		return
	}
	dead := w.servers()[w.pick(len(w.plan.Groups))]
	limit := time.Duration(float64(w.plan.TTL)*(1+w.plan.Drift)) + takeoverSlack
	if r := dead.controller.store.raft; r.role == leader {
		limit += electionWorst * r.timeout()
	}
	w.say("PHASE", "dies for good: "+dead.name)
	began := w.now
	dead.wanted = false
	dead.reboot(time.Hour)
	for w.now.sub(began) < limit && w.verdict == nil {
		w.runUntil(w.now.add(sampleEvery))
		if w.allServed() {
			break
		}
	}
	if w.verdict == nil && !w.allServed() {
		w.fail("I3", "%v after the death of %s not every group is served", w.now.sub(began), dead.name)
	}
	w.runUntil(w.now.add(time.Second))
	if w.verdict == nil && !w.allServed() {
		w.fail("I3", "after the death of %s a group was served, and is not any more", dead.name)
	}
	dead.watch++
	dead.startGuard()
}

func (w *world) allServed() bool {
	for _, h := range w.servers() {
		if h == nil {
			return false
		}
	}
	return true
}
