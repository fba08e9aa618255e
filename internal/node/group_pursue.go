package node

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/vrrp"
)

// pursue compares what is with what should be and begins whatever closes the gap.
func (g *Group) pursue(now boottime.Instant) {
	g.tick(now)
	if g.core.alive(now) {
		g.stand(now)
		g.giveBack(now)
	}
	switch g.phase {
	case claiming:
		g.pursueClaim(now)
	case holding:
		g.pursueHeld(now)
	case dropping:
		g.pursueDrop(now)
	case idle, opening: // idle comes next; for the other the guard speaks next
	}
	if g.phase == idle {
		g.pursueIdle(now)
	}
	g.tell(now)
	g.forget(now)
}

// forget clears the instants that have passed, so that none is a deadline twice.
func (g *Group) forget(now boottime.Instant) {
	for _, at := range g.instants() {
		if !now.Before(*at) {
			*at = 0
		}
	}
	g.warnings.expire(now)
}

// instants are those before which something is not done; 0 where there is none.
func (g *Group) instants() []*boottime.Instant {
	return []*boottime.Instant{&g.yieldAt, &g.standAt, &g.notBefore, &g.unfitUntil, &g.delayed, &g.strangers, &g.preemption.next, &g.drop.again}
}

func (g *Group) tick(now boottime.Instant) {
	for _, i := range g.instances {
		if i.machine == nil {
			continue
		}
		if at, ok := i.machine.Deadline(); ok && !now.Before(at) {
			g.act(now, i, i.machine.Step(now, vrrp.Tick{}))
		}
	}
}

func (g *Group) pursueIdle(now boottime.Instant) {
	fit := g.fit(now)
	g.settle(now, fit)
	switch {
	case !g.core.alive(now) || !g.core.ready:
	case g.changing:
	case g.ours() && fit == "" && !now.Before(g.notBefore) && g.published():
		g.begin(now, "the lease is ours")
	case g.ours() && fit != "":
		g.spend()
		g.giveBack(now)
	default:
		g.preempt(now, fit)
	}
}

// settle puts the machines into FAULT or takes them out of it. A group is in FAULT
// as one (keepalived: any member of a sync group in FAULT takes all).
func (g *Group) settle(now boottime.Instant, fit string) {
	allUp := !slices.ContainsFunc(g.instances, func(i *instance) bool { return !i.up })
	for _, i := range g.instances {
		switch {
		case i.machine == nil:
		case g.stopping != "":
			if i.machine.State() != vrrp.Init {
				g.step(now, i, vrrp.Stopped{Cause: g.stopping})
			}
		case !allUp:
			if i.machine.State() != vrrp.Fault {
				g.step(now, i, vrrp.Failed{Cause: fit})
			}
		case i.machine.State() == vrrp.Init || i.machine.State() == vrrp.Fault:
			g.step(now, i, vrrp.Startup{})
			g.told.what = toldNothing
		}
	}
	switch {
	case !allUp:
		g.started = 0
	case g.started == 0:
		g.started = now
	}
}

// stand publishes this node's standing for the group when the table has another.
func (g *Group) stand(now boottime.Instant) {
	if g.standing != 0 || now.Before(g.standAt) {
		return
	}
	want := consensus.SetCandidate{
		Session: g.core.holder.Session(), Group: g.config.Name, Priority: uint8(g.config.priority()),
		Addresses: g.sources(), VIPs: g.vips(), Eligible: g.fit(now) == "",
	}
	have, ok := g.candidate(g.core.config.Node)
	if ok && have.Session == want.Session && have.Priority == want.Priority && have.Eligible == want.Eligible &&
		slices.Equal(have.Addresses, want.Addresses) && slices.Equal(have.VIPs, want.VIPs) {
		return
	}
	if !ok && !want.Eligible {
		return // nothing to take back
	}
	want.Order = g.core.proposals + 1 // the number that it will have
	g.standing = g.core.propose(want)
}

func (g *Group) sources() []netip.Addr {
	var sources []netip.Addr
	for _, i := range g.instances {
		if i.config.VRRP.Source.IsValid() {
			sources = append(sources, i.config.VRRP.Source)
		}
	}
	return sources
}

func (g *Group) vips() []netip.Addr {
	var vips []netip.Addr
	for _, v := range g.config.VIPs {
		vips = append(vips, v.Prefix.Addr())
	}
	return vips
}

// published reports whether the table knows what this node would answer for. A
// lease is opened only then: the store grants no VIP under two names.
func (g *Group) published() bool {
	k, ok := g.candidate(g.core.config.Node)
	return ok && k.Session == g.core.holder.Session() && slices.Equal(k.VIPs, g.vips())
}

func (g *Group) candidate(node string) (consensus.Candidate, bool) {
	candidates := g.core.table.Candidates(g.config.Name)
	i := slices.IndexFunc(candidates, func(k consensus.Candidate) bool { return k.Node == node })
	if i < 0 {
		return consensus.Candidate{}, false
	}
	return candidates[i], true
}

// tell passes the store's word on to the machines, once.
func (g *Group) tell(now boottime.Instant) {
	if g.phase != idle || !g.core.alive(now) || !g.core.ready || g.mine() || g.fit(now) != "" {
		return
	}
	if !g.lease.Holder.IsZero() {
		if g.told.what == toldHeld && g.told.by == g.lease.Holder.Node {
			return
		}
		g.told = told{what: toldHeld, by: g.lease.Holder.Node}
		g.stepAll(now, vrrp.LeaseHeld{By: g.lease.Holder.Node})
		return
	}
	rank := g.rank()
	if rank < 0 {
		return // our standing is not in the table yet
	}
	delay := g.core.config.TTL / staggerShare * time.Duration(rank)
	free := now
	if g.told.what == toldFree {
		free = g.told.free
	}
	// Nobody's turn comes while all still listen.
	turn := max(free, g.notBefore, g.started.Add(g.listen())).Add(delay)
	if g.told.what == toldFree && turn == g.told.turn {
		return
	}
	g.told = told{what: toldFree, free: free, turn: turn}
	g.stepAll(now, vrrp.LeaseFree{Delay: max(0, turn.Sub(now))})
}

// rank is how many eligible candidates are better, -1 when this node is none.
func (g *Group) rank() int {
	for n, k := range g.core.table.Candidates(g.config.Name) {
		if !k.Eligible {
			return -1
		}
		if k.Session == g.core.holder.Session() {
			return n
		}
	}
	return -1
}

// preempt marks a held lease as wanted when this node is the best candidate and of
// higher priority than the holder.
func (g *Group) preempt(now boottime.Instant, fit string) {
	p := &g.preemption
	held := !g.lease.Holder.IsZero() && !g.mine()
	if !held || fit != "" || g.core.config.Plain || !g.config.preempts() || g.rank() != 0 ||
		g.lease.WantedBy == g.core.holder.Session() || p.id != 0 || (p.token == g.lease.Token && now.Before(p.next)) {
		return
	}
	if at := g.preemptAt(); now.Before(at) {
		p.token, p.next = g.lease.Token, at
		return
	}
	holder, ok := g.candidate(g.lease.Holder.Node)
	if !ok || holder.Priority >= uint8(g.config.priority()) || now.Before(g.strangers) {
		return
	}
	p.token, p.next = g.lease.Token, now.Add(preemptRetry)
	p.id = g.core.propose(consensus.Acquire{Session: g.core.holder.Session(), Group: g.config.Name, Preempt: true})
}

// preemptAt is when this node has been up, and has listened, for long enough.
func (g *Group) preemptAt() boottime.Instant {
	return g.started.Add(max(g.listen(), g.config.PreemptDelay))
}

// listen is how long the group's machines listen before a first claim.
func (g *Group) listen() time.Duration {
	var longest time.Duration
	for _, i := range g.instances {
		longest = max(longest, i.config.VRRP.StartupListen)
	}
	return longest
}

func (g *Group) deadline() (boottime.Instant, bool) {
	var d deadline
	for _, i := range g.instances {
		if i.machine != nil {
			d.add(i.machine.Deadline())
		}
	}
	for _, at := range g.instants() {
		d.add(*at, *at != 0)
	}
	if g.phase == claiming {
		d.add(g.claim.gaveUp, true)
	}
	d.add(g.warnings.deadline())
	return d.at, d.found
}
