package node

import (
	"fmt"
	"slices"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/vrrp"
)

// --- towards MASTER ---

// claimed is a machine's wish to be MASTER.
func (g *Group) claimed(now boottime.Instant, cause string) {
	switch {
	case g.phase == claiming || g.phase == opening || g.phase == holding:
		// Another instance of the group was first, or it is done already.
	case g.heldBack():
		// The last instance to claim begins it for all.
	case g.phase != idle || !g.core.alive(now) || !g.core.ready || g.releasing() || g.changing || !g.published() || g.fit(now) != "":
		g.refuse(now, "not possible right now")
	default:
		g.begin(now, cause)
	}
}

// heldBack reports whether one of several instances does not claim (yet): a router
// that must be left MASTER is alive there, and it would yield at once for all.
func (g *Group) heldBack() bool {
	return !g.core.config.Plain && slices.ContainsFunc(g.instances, func(i *instance) bool { return i.machine == nil || !i.machine.Claiming() })
}

// begin arms the gate and, unless the lease is ours already, asks for it; both at
// one time, for the opening needs a keep-alive after the first and the second.
func (g *Group) begin(now boottime.Instant, cause string) {
	g.phase = claiming
	g.claim = claim{cause: cause, gaveUp: now.Add(g.core.config.TTL)}
	g.arm()
	if !g.ours() && g.acquiring == 0 {
		g.acquiring = g.core.propose(consensus.Acquire{Session: g.core.holder.Session(), Group: g.config.Name})
	}
}

func (g *Group) arm() {
	g.claim.armed = 0
	g.claim.renewed++
	g.claim.seq = g.core.request(func(seq uint64) fence.Event { return fence.Arm{Seq: seq, Group: g.config.Name} })
}

func (g *Group) armed(now boottime.Instant, r fence.Armed) {
	if g.phase != claiming || r.Seq != g.claim.seq {
		return
	}
	if r.Error != "" {
		g.fail(now, "arm the packet gate: "+r.Error)
		return
	}
	g.claim.armed = now
	if g.ours() {
		g.core.hold(now, consensus.Urged{})
	}
}

// pursueClaim gives up a claim that has taken too long or that makes no sense any
// more.
func (g *Group) pursueClaim(now boottime.Instant) {
	switch fit := g.fit(now); {
	case fit != "":
		g.abandon(now, fit)
	case !g.core.alive(now):
		g.abandon(now, "no contact with a majority of the store")
	case !now.Before(g.claim.gaveUp):
		g.abandon(now, "it took too long")
	case !g.mine() && g.acquiring == 0:
		g.abandon(now, "another node was first")
	}
}

func (g *Group) abandon(now boottime.Instant, cause string) {
	g.phase = idle
	g.notBefore = max(g.notBefore, now.Add(failurePause))
	g.refuse(now, cause)
}

// refuse answers the machines' claims. They wait to be told again.
func (g *Group) refuse(now boottime.Instant, cause string) {
	g.told.what = toldNothing
	for _, i := range g.instances {
		if i.machine != nil && i.machine.Claiming() {
			g.step(now, i, vrrp.Refused{Cause: cause})
		}
	}
}

// proposed takes the outcome of one of the group's proposals.
func (g *Group) proposed(now boottime.Instant, p Proposed) {
	switch p.ID {
	case g.acquiring:
		g.acquiring = 0
		g.acquired(now, p)
	case g.yielded:
		g.yielded = 0
		g.released(now, p)
	case g.standing:
		g.standing = 0
		g.noteClash(now, p.Result)
		// The table shows it in a moment, or it failed: either way not at once again.
		g.standAt = now.Add(g.core.config.TTL / retryShare)
	case g.preemption.id:
		g.preemption.id = 0
		g.acquired(now, p) // the lease may have been free by then
	}
}

// noteClash tells the operator that a VIP is configured under two names.
func (g *Group) noteClash(now boottime.Instant, r consensus.Result) {
	if r.Outcome != consensus.VIPHeld {
		return
	}
	text := "a VIP of this group is held by " + r.Holder.Node + " under another group's name; give the group one name on every node"
	if g.warnings.setUntil("clash", text, now.Add(clashMemory)) {
		g.note(LevelWarn, nil, text)
	}
	g.notBefore = now.Add(g.core.config.TTL / 2) // each try is a log entry
}

func (g *Group) acquired(now boottime.Instant, p Proposed) {
	g.noteClash(now, p.Result)
	switch {
	case p.Failure != "":
		if g.phase == claiming && !g.mine() {
			g.abandon(now, "the store did not answer: "+p.Failure)
		}
	case p.Result.Outcome == consensus.OK && p.Result.Holder == g.core.holder.Session():
		if p.Result.Token > g.lease.Token {
			g.lease = consensus.Lease{Group: g.config.Name, Holder: p.Result.Holder, Token: p.Result.Token}
		}
		if g.phase == claiming && g.claim.armed != 0 {
			g.core.hold(now, consensus.Urged{})
		}
	}
}

// open opens the gate when an extension was asked for after the arming and the
// lease is ours. It returns the request's number.
func (g *Group) open(now boottime.Instant, e consensus.Extended) (seq uint64, opens bool) {
	if g.phase != claiming || g.claim.armed == 0 || !g.ours() || g.fit(now) != "" {
		return 0, false
	}
	if e.T0.Before(g.claim.armed) {
		g.core.hold(now, consensus.Urged{}) // asked too early: once more
		return 0, false
	}
	g.phase = opening
	g.claim.seq = g.core.request(func(seq uint64) fence.Event {
		return fence.Open{Seq: seq, Group: g.config.Name, Token: uint64(g.lease.Token), Deadline: e.Deadline}
	})
	return g.claim.seq, true
}

func (g *Group) opened(now boottime.Instant, r fence.Opened) {
	if g.phase != opening || r.Seq != g.claim.seq {
		return
	}
	switch {
	case r.Error == "":
		g.phase, g.failures, g.problem, g.heldSince = holding, 0, "", now
		g.claim = claim{}
		g.stepAll(now, vrrp.Granted{Token: r.Token})
	case r.Expired && g.ours() && g.claim.renewed <= failuresMax:
		g.phase = claiming
		g.arm()
	default:
		// The guard has taken back what it had put up before it said so; ask for it
		// all the same, for the lease is given away only after a Dropped.
		g.problem = r.Error
		g.phase = holding
		g.withdraw(now, drop{cause: "opening failed: " + r.Error})
		g.countFailure(now)
	}
}

// fail ends a claim that the guard could not carry out before anything was up.
func (g *Group) fail(now boottime.Instant, problem string) {
	g.problem = problem
	g.note(LevelError, nil, "cannot become MASTER: "+problem)
	g.abandon(now, problem)
	g.countFailure(now)
}

// countFailure lets others have the lease after a few failures in a row.
func (g *Group) countFailure(now boottime.Instant) {
	g.failures++
	g.notBefore = now.Add(failurePause)
	if g.heldSince != 0 && now.Sub(g.heldSince) > unfitForgiven {
		g.unfitFor = 0
	}
	if g.failures >= failuresMax {
		g.failures = 0
		g.unfitFor = min(max(unfitMin, 2*g.unfitFor), unfitMax)
		g.unfitUntil = now.Add(g.unfitFor)
		g.note(LevelError, nil, fmt.Sprintf("leaving the lease to other nodes for %v: %s", g.unfitFor, g.problem))
	}
}

// --- away from MASTER ---

// pursueHeld withdraws when the lease is no longer ours, is wanted, or can't be
// served here.
func (g *Group) pursueHeld(now boottime.Instant) {
	fit := g.fit(now)
	switch {
	case !g.mine():
		g.withdraw(now, drop{cause: "the lease is no longer ours"})
	case fit != "":
		g.withdraw(now, drop{cause: fit, release: true})
	case !g.lease.WantedBy.IsZero():
		g.withdraw(now, drop{cause: "handed over to " + g.lease.WantedBy.Node + ", of higher priority", release: true, to: g.lease.WantedBy.Node})
	}
}

// withdraw asks the guard to take the VIPs down. What follows waits for its word.
func (g *Group) withdraw(now boottime.Instant, d drop) {
	if g.phase != holding && g.phase != opening {
		return
	}
	g.phase = dropping
	g.drop = d
	g.sendDrop()
}

// pursueDrop asks once more after a withdrawal that failed: its answer may have
// been lost with another configuration.
func (g *Group) pursueDrop(now boottime.Instant) {
	if g.drop.again != 0 && !now.Before(g.drop.again) {
		g.drop.again = 0
		g.sendDrop()
	}
}

func (g *Group) sendDrop() {
	g.drop.seq = g.core.request(func(seq uint64) fence.Event {
		return fence.Drop{Seq: seq, Groups: []string{g.config.Name}, Cause: g.drop.cause}
	})
}

// lose withdraws without giving the lease back: the session is over or in doubt.
func (g *Group) lose(now boottime.Instant, cause string) {
	if g.phase == claiming {
		g.abandon(now, cause)
		return
	}
	g.withdraw(now, drop{cause: cause})
}

// stop ends the group's part on this node.
func (g *Group) stop(cause string) {
	g.stopping = cause
}

// dropped is the guard's word that the VIPs are silent, or that it could not.
func (g *Group) dropped(now boottime.Instant, r fence.Dropped) {
	if g.phase != dropping || r.Seq != g.drop.seq {
		return
	}
	if r.Error != "" {
		g.problem = r.Error
		g.note(LevelError, nil, "cannot withdraw the VIPs: "+r.Error+"; the lease is kept until it works")
		g.drop.again = now.Add(dropRetry)
		return
	}
	g.silenced(now)
}

// lapsed is the guard's word that it withdrew unasked.
func (g *Group) lapsed(now boottime.Instant, r fence.Lapsed) {
	if g.phase != holding && g.phase != opening {
		return
	}
	g.problem = r.Cause
	g.note(LevelError, nil, "the guard withdrew the VIPs: "+r.Cause)
	g.countFailure(now)
	if r.Error != "" {
		g.withdraw(now, drop{cause: r.Cause}) // until it says that it is done
		return
	}
	g.phase, g.drop = dropping, drop{cause: r.Cause}
	g.silenced(now)
}

// silenced follows a withdrawal that worked: first the wire, then the store.
func (g *Group) silenced(now boottime.Instant) {
	d := g.drop
	g.phase, g.drop, g.told.what, g.heldSince = idle, drop{}, toldNothing, 0
	g.stepAll(now, vrrp.Lost{Cause: d.cause})
	if d.release && g.ours() {
		g.drop = d // the successor, for giveBack
		g.spend()
		g.giveBack(now)
	}
}

// spend makes sure that the present lease is never opened again under its token.
// It comes before the proposal to release it.
func (g *Group) spend() { g.spent = g.lease.Token }

// giveBack proposes the release of a spent lease until the store has taken it.
func (g *Group) giveBack(now boottime.Instant) {
	if !g.releasing() || g.yielded != 0 || g.up() || now.Before(g.yieldAt) {
		return
	}
	g.yielded = g.core.propose(consensus.Release{
		Session: g.core.holder.Session(), Group: g.config.Name, Token: g.lease.Token, Successor: g.successor(),
	})
}

// successor is who shall own the lease next: whoever wants it, or the best other
// candidate.
func (g *Group) successor() string {
	switch {
	case g.drop.nobody:
		return ""
	case g.drop.to != "":
		return g.drop.to
	}
	for _, k := range g.core.table.Candidates(g.config.Name) {
		if k.Eligible && k.Node != g.core.config.Node {
			return k.Node
		}
	}
	return ""
}

func (g *Group) released(now boottime.Instant, p Proposed) {
	if p.Failure != "" {
		g.yieldAt = now.Add(g.core.config.TTL / retryShare)
		return
	}
	// Done now, or long ago; the table says the same in a moment.
	if g.lease.Token == g.spent && g.mine() {
		g.lease.Holder, g.lease.WantedBy = p.Result.Holder, consensus.Session{}
		if !p.Result.Holder.IsZero() {
			g.lease.Token++
		}
	}
	if g.phase != dropping { // an answer to a late copy must not touch the next withdrawal
		g.drop = drop{}
	}
}
