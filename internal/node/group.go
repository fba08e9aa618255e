package node

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
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
	notBefore  boottime.Instant // no claim before: the last ones failed
	unfitUntil boottime.Instant
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
}

// told is what the machines were last told about the lease.
type told struct {
	what leaseWord
	by   string
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

// --- what the level calls for ---

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
	case idle, opening, dropping: // idle comes next; for the others the guard speaks next
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
	return []*boottime.Instant{&g.yieldAt, &g.standAt, &g.notBefore, &g.unfitUntil, &g.strangers, &g.preemption.next}
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
	case g.ours() && fit == "" && !now.Before(g.notBefore):
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
		Addresses: g.sources(), Eligible: g.fit(now) == "",
	}
	have, ok := g.candidate(g.core.config.Node)
	if ok && have.Session == want.Session && have.Priority == want.Priority && have.Eligible == want.Eligible &&
		slices.Equal(have.Addresses, want.Addresses) {
		return
	}
	if !ok && !want.Eligible {
		return // nothing to take back
	}
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
	turn := now.Add(delay)
	if turn.Before(g.notBefore) {
		turn = g.notBefore
	}
	if g.told.what == toldFree && !turn.Before(g.told.turn) {
		return
	}
	g.told = told{what: toldFree, turn: turn}
	g.stepAll(now, vrrp.LeaseFree{Delay: turn.Sub(now)})
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
	listen := g.config.PreemptDelay
	for _, i := range g.instances {
		listen = max(listen, i.config.VRRP.StartupListen)
	}
	return g.started.Add(listen)
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

// --- the machines ---

func (g *Group) stepAll(now boottime.Instant, event vrrp.Event) {
	for _, i := range g.instances {
		if i.machine != nil {
			g.step(now, i, event)
		}
	}
}

func (g *Group) step(now boottime.Instant, i *instance, event vrrp.Event) {
	g.act(now, i, i.machine.Step(now, event))
}

// act performs or passes on what a machine wants.
func (g *Group) act(now boottime.Instant, i *instance, actions []vrrp.Action) {
	for _, action := range actions {
		switch a := action.(type) {
		case vrrp.Claim:
			g.claimed(now, a.Cause)
		case vrrp.Yield:
			g.withdraw(now, drop{cause: a.Cause, release: true, nobody: true})
		case vrrp.SendAdvert:
			if a.Priority == vrrp.PriorityStop || g.entitled(now) {
				g.core.do(SendAdvert{Instance: i.config.Name, Priority: a.Priority})
			}
		case vrrp.Announce:
			if g.entitled(now) {
				g.core.do(Announce{Instance: i.config.Name, Repeat: a.Repeat})
			}
		case vrrp.Changed:
			g.note(LevelInfo, i, a.From.String()+" -> "+a.To.String()+": "+a.Cause)
		case vrrp.Silent:
			g.silent(i, a)
		case vrrp.Stranger:
			g.stranger(now, i, a)
		}
	}
}

// entitled reports whether this node may say on the wire that it is MASTER. The
// packet gate does not see what leaves by packet sockets, and a machine that was
// paused has timers that are due before it hears that its lease has lapsed.
func (g *Group) entitled(now boottime.Instant) bool {
	return g.phase == holding && g.core.alive(now)
}

func (g *Group) received(now boottime.Instant, i *instance, r Received) {
	if i.machine == nil {
		return
	}
	g.step(now, i, vrrp.Received{Source: r.Source, Advert: r.Advert, Member: g.member(r.Source)})
}

// member reports whether an address is another node's of this cluster.
func (g *Group) member(source netip.Addr) bool {
	for _, k := range g.core.table.Candidates(g.config.Name) {
		if k.Node != g.core.config.Node && slices.Contains(k.Addresses, source) {
			return true
		}
	}
	return false
}

func (g *Group) linkChanged(now boottime.Instant, i *instance, l LinkChanged) {
	changed := i.up != l.Up
	i.up, i.cause = l.Up, l.Cause
	if l.Up && l.Source != i.config.VRRP.Source {
		i.config.VRRP.Source = l.Source
		if i.machine != nil {
			g.act(now, i, i.machine.Step(now, vrrp.Reconfigured{Config: i.config.VRRP}))
		}
	}
	if l.Up && i.machine == nil {
		i.machine = vrrp.NewMachine(i.config.VRRP)
	}
	if changed && !l.Up {
		g.note(LevelWarn, i, "FAULT: "+l.Cause)
	}
}

func (g *Group) note(level Level, i *instance, text string) {
	n := Note{Level: level, Group: g.config.Name, Text: text}
	if i != nil {
		n.Instance = i.config.Name
	}
	if g.mine() {
		n.Token = g.lease.Token
	}
	g.core.do(n)
}

// silent and stranger keep what an operator wants to know.
func (g *Group) silent(i *instance, s vrrp.Silent) {
	key := "silent " + i.config.Name
	if !s.Silent {
		g.warnings.clear(key)
		g.note(LevelInfo, i, "the MASTER is heard again")
		return
	}
	text := s.Master + " is MASTER and holds the lease, but its adverts are not heard here (is VRRP, IP protocol 112, blocked?)"
	g.warnings.set(key, text)
	g.note(LevelWarn, i, text)
}

func (g *Group) stranger(now boottime.Instant, i *instance, s vrrp.Stranger) {
	if s.Kind == vrrp.MemberWithoutLease && !g.entitled(now) {
		return // it is we who are behind
	}
	if s.Kind == vrrp.StrangerHigher {
		g.strangers = now.Add(strangerMemory)
	}
	key := "stranger " + i.config.Name + " " + s.Source.String()
	text := strangerText(s)
	if g.warnings.setUntil(key, text, now.Add(strangerMemory)) {
		g.note(LevelWarn, i, text)
	}
}

func (g *Group) repaired(r fence.Repaired) {
	g.note(LevelWarn, nil, r.VIP.String()+" was removed by somebody else and put back; what else manages this interface?")
	for _, i := range g.instances {
		if g.phase == holding {
			g.core.do(Announce{Instance: i.config.Name, Repeat: 1})
		}
	}
}
