package node

import (
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/vrrp"
)

// phase says what the guard has been asked to do for a group.
type phase uint8

const (
	idle     phase = iota + 1 // nothing is up
	claiming                  // arming, acquiring, or waiting for a keep-alive asked for after the arming
	opening                   // Open has been sent
	holding                   // the VIPs are up: MASTER
	dropping                  // Drop has been sent, or the guard is dropping by itself
)

func (p phase) String() string {
	return [...]string{idle: "idle", claiming: "claiming", opening: "opening", holding: "holding", dropping: "withdrawing"}[p]
}

// Group is one VIP group on this node: its instances' VRRP machines, its lease,
// and what the guard has up for it. Part of a [Core], and pure like it.
//
// The rule that I1 rests on here: a lease may be opened only while it is ours
// under a token above spent, and a token is spent before its release is proposed.
type Group struct {
	core      *Core
	config    GroupConfig
	instances []*instance
	phase     phase

	lease consensus.Lease // the newest that is known, by token
	spent consensus.Token // no lease up to this token is ever opened (again)

	claim     claim
	drop      drop
	acquiring uint64           // ID of the proposal under way; 0 for none. So for the next two
	yielded   uint64           // of the Release
	standing  uint64           // of the SetCandidate
	yieldAt   boottime.Instant // no Release before: the last one failed
	standAt   boottime.Instant // no SetCandidate before

	told       told
	started    boottime.Instant // when every instance came up; 0 before
	preemption preemption
	failures   int
	unfitFor   time.Duration    // the last time it left the lease to others for so long
	heldSince  boottime.Instant // 0 while nothing is held
	changing   bool             // a reload that changes it is under way
	leaving    bool             // no longer configured; here until the store has forgotten it
	notBefore  boottime.Instant // no claim before: the last ones failed
	unfitUntil boottime.Instant
	delayed    boottime.Instant // vrrp_startup_delay lasts until then
	strangers  boottime.Instant // a stranger that would be MASTER over us was heard until lately
	stopping   string           // why this group ends here; "" while it doesn't
	problem    string           // what the guard could not do, for status
	warnings   warnings
}

type instance struct {
	config  InstanceConfig
	machine *vrrp.Machine // nil until the interface's address is known
	up      bool
	cause   string // why it is not up
}

// claim is the way from BACKUP to MASTER.
type claim struct {
	cause   string
	seq     uint64 // of Arm, then of Open
	armed   boottime.Instant
	gaveUp  boottime.Instant // when to give up
	renewed int              // armings of this claim
}

// drop is the way back.
type drop struct {
	seq     uint64
	cause   string
	release bool   // give the lease back afterwards
	to      string // the successor, "" for the best candidate
	nobody  bool   // to nobody: a stranger is MASTER

	again boottime.Instant // when to ask the guard once more; 0 for never
}

// told is what the machines were last told about the lease.
type told struct {
	what leaseWord
	by   string
	free boottime.Instant // since when it has been known to be free
	turn boottime.Instant // when our turn to claim comes
}

type leaseWord uint8

const (
	toldNothing leaseWord = iota + 1
	toldFree
	toldHeld
)

// preemption remembers for which grant the lease was last asked for.
type preemption struct {
	token consensus.Token
	id    uint64
	next  boottime.Instant
}

func newGroup(core *Core, config GroupConfig) *Group {
	g := &Group{core: core, config: config, phase: idle, lease: consensus.Lease{Group: config.Name}, told: told{what: toldNothing}}
	for _, i := range config.Instances {
		g.instances = append(g.instances, &instance{config: i, cause: "starting"})
	}
	return g
}

// inherit takes over from a group of the same name with other instances what the
// lease's safety needs.
func (g *Group) inherit(old *Group) { g.lease, g.spent = old.lease, old.spent }

func (g *Group) reconfigure(now boottime.Instant, config GroupConfig) {
	g.config = config
	for n, i := range g.instances {
		source := i.config.VRRP.Source
		i.config = config.Instances[n]
		i.config.VRRP.Source = source
		if i.machine != nil {
			g.act(now, i, i.machine.Step(now, vrrp.Reconfigured{Config: i.config.VRRP}))
		}
	}
}

// up reports whether anything may be up or on its way up.
func (g *Group) up() bool { return g.phase != idle && g.phase != claiming }

// releasing reports whether the lease is still to be given back.
func (g *Group) releasing() bool {
	return g.mine() && g.lease.Token <= g.spent
}

// mine reports whether the lease is this session's.
func (g *Group) mine() bool {
	session := g.core.holder.Session()
	return !session.IsZero() && g.lease.Holder == session
}

// ours reports whether the lease may be opened.
func (g *Group) ours() bool { return g.mine() && g.lease.Token > g.spent }

// fit says why this node should not serve the group, "" when it should.
func (g *Group) fit(now boottime.Instant) string {
	if g.stopping != "" {
		return g.stopping
	}
	for _, i := range g.instances {
		if !i.up {
			return i.config.Name + ": " + i.cause
		}
	}
	if now.Before(g.delayed) {
		return "waiting for vrrp_startup_delay"
	}
	if now.Before(g.unfitUntil) {
		return "opening failed again and again: " + g.problem
	}
	return ""
}

// noteLease takes the table's word on the lease. A table that is behind what a
// proposal already told is recognised by its token.
func (g *Group) noteLease(lease consensus.Lease) {
	if lease.Token >= g.lease.Token {
		g.lease = lease
	}
}

// master reports whether an instance's group has its VIPs up, or is about to.
func (c *Core) master(instance string) bool {
	for _, g := range c.groups {
		for _, i := range g.instances {
			if i.config.Name == instance {
				return g.phase == opening || g.phase == holding
			}
		}
	}
	return false
}
