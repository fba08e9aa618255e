package node

import (
	"fmt"
	"slices"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// Core is one node's decisions: its session, its groups, and what each needs from
// the store, the guard and the network. It is pure (no clock, goroutine or I/O)
// and serves one goroutine. test/sim runs it as it is.
type Core struct {
	config CoreConfig
	holder *consensus.Holder
	groups []*Group
	table  *consensus.Table
	out    []Action

	seq        uint64           // of the last request to the guard
	configured uint64           // seq of the last Configure
	ready      bool             // the guard has answered it: nothing is left of an earlier life
	refusal    string           // why the guard did not take the configuration
	tryAgain   boottime.Instant // when to give it once more; 0 for never

	round   uint64   // the extension whose acknowledgements are awaited
	pending []uint64 // seqs that the guard has not acknowledged for it

	proposals  uint64 // ID of the last proposal
	opening    uint64 // ID of the OpenSession under way, 0 for none
	closing    uint64 // ID of the CloseSession under way
	sessionTry boottime.Instant
	trouble    string // why there is no session

	reload   *CoreConfig // waits until what it changes is withdrawn
	stopping bool
	stopEnd  boottime.Instant // a stop is cut short then
	ended    bool
}

// NewCore makes a core that has not started. It panics on a group without
// instances, which config never yields.
func NewCore(c CoreConfig) *Core {
	core := &Core{
		config: c, holder: consensus.NewHolder(consensus.NewHolderConfig(c.TTL)), table: consensus.NewTable(),
		seq: uint64(c.Life), // so that no answer to an earlier life's request is taken for one to ours
	}
	for _, g := range c.Groups {
		core.groups = append(core.groups, newGroup(core, g))
	}
	return core
}

// Step takes an event at now and returns what is to be done, in order.
func (c *Core) Step(now boottime.Instant, event Event) []Action {
	switch event := event.(type) {
	case Start:
		for _, g := range c.groups {
			g.delayed = now.Add(c.config.StartupDelay)
		}
		c.configure()
	case FromGuard:
		c.fromGuard(now, event.Report)
	case FromVoter:
		c.hold(now, consensus.Answered{Answer: event.Answer})
	case TableChanged:
		c.table = event.Table
		for _, g := range c.groups {
			g.noteLease(c.table.Lease(g.config.Name))
		}
	case Proposed:
		c.proposed(now, event)
	case Received:
		if g, i := c.find(event.Instance); i != nil {
			g.received(now, i, event)
		}
	case LinkChanged:
		if g, i := c.find(event.Instance); i != nil {
			g.linkChanged(now, i, event)
		}
	case Reload:
		c.reload = &event.Config
	case Stop:
		c.stop(now, event.Cause)
	case Tick:
	default:
		panic(fmt.Sprintf("node: unknown event %T", event))
	}
	c.pursue(now)
	out := c.out
	c.out = nil
	return out
}

// pursue does whatever the state at now calls for. It is level-triggered: it looks
// at what is, not at what has just happened, so that no lost or repeated event can
// leave something undone.
func (c *Core) pursue(now boottime.Instant) {
	c.hold(now, consensus.HolderTick{})
	if c.tryAgain != 0 && !now.Before(c.tryAgain) {
		c.configure()
	}
	c.pursueReload(now)
	for _, g := range c.groups {
		g.pursue(now)
	}
	c.sweep()
	c.pursueSession(now)
}

// Deadline is when the next [Tick] is due.
func (c *Core) Deadline() (boottime.Instant, bool) {
	var d deadline
	d.add(c.holder.Deadline())
	if c.wantsSession() {
		d.add(c.sessionTry, true)
	}
	if c.stopping && !c.ended {
		d.add(c.stopEnd, true)
	}
	d.add(c.tryAgain, c.tryAgain != 0)
	for _, g := range c.groups {
		d.add(g.deadline())
	}
	return d.at, d.found
}

// deadline finds the earliest of several instants.
type deadline struct {
	at    boottime.Instant
	found bool
}

func (d *deadline) add(at boottime.Instant, ok bool) {
	if ok && (!d.found || at.Before(d.at)) {
		d.at, d.found = at, true
	}
}

func (c *Core) do(a Action) { c.out = append(c.out, a) }

func (c *Core) find(instance string) (*Group, *instance) {
	for _, g := range c.groups {
		for _, i := range g.instances {
			if i.config.Name == instance {
				return g, i
			}
		}
	}
	return nil, nil
}

func (c *Core) group(name string) *Group {
	i := slices.IndexFunc(c.groups, func(g *Group) bool { return g.config.Name == name })
	if i < 0 {
		return nil
	}
	return c.groups[i]
}

// --- the guard ---

// request sends the guard a request; made gives it its number.
func (c *Core) request(made func(seq uint64) fence.Event) uint64 {
	c.seq++
	c.do(ToGuard{made(c.seq)})
	return c.seq
}

func (c *Core) configure() {
	groups := make([]fence.Group, 0, len(c.groups))
	for _, g := range c.groups {
		if !g.leaving {
			groups = append(groups, fence.Group{Name: g.config.Name, VIPs: g.config.VIPs})
		}
	}
	c.ready, c.tryAgain = false, 0
	c.configured = c.request(func(seq uint64) fence.Event {
		return fence.Configure{Seq: seq, TTL: c.config.TTL, Gate: c.config.Gate, ARPOnly: c.config.ARPOnly, Lifetime: c.config.Lifetime, Groups: groups}
	})
}

func (c *Core) fromGuard(now boottime.Instant, report fence.Action) {
	switch r := report.(type) {
	case fence.Configured:
		if r.Seq == c.configured {
			c.noteConfigured(r)
			c.ready, c.refusal = r.Error == "", r.Error
			if r.Error != "" { // something of an earlier life may not have gone at once
				c.tryAgain = now.Add(configureRetry)
			}
		}
	case fence.Armed:
		if g := c.group(r.Group); g != nil {
			g.armed(now, r)
		}
	case fence.Opened:
		if g := c.group(r.Group); g != nil {
			g.opened(now, r)
		}
		c.acknowledged(now, r.Seq)
	case fence.Refreshed:
		for _, name := range r.Refused {
			// Not prolonged; whether it is silent, the guard says when asked.
			if g := c.group(name); g != nil && g.phase == holding {
				g.withdraw(now, drop{cause: "the guard could not prolong it"})
			}
		}
		c.acknowledged(now, r.Seq)
	case fence.Dropped:
		for _, name := range r.Groups {
			if g := c.group(name); g != nil {
				g.dropped(now, r)
			}
		}
	case fence.Lapsed:
		if g := c.group(r.Group); g != nil {
			g.lapsed(now, r)
		}
	case fence.Repaired:
		if g := c.group(r.Group); g != nil {
			g.repaired(r)
		}
	case fence.GateChanged:
		c.noteGate(r)
	default:
		panic(fmt.Sprintf("node: unknown report %T", report))
	}
}

func (c *Core) noteConfigured(r fence.Configured) {
	for _, address := range r.Removed {
		c.do(Note{Level: LevelWarn, Text: fmt.Sprintf("removed %s, left over from an earlier life", address)})
	}
	if r.Error != "" && r.Error != c.refusal {
		c.do(Note{Level: LevelError, Text: "the guard does not take the configuration: " + r.Error})
	}
}

func (c *Core) noteGate(r fence.GateChanged) {
	if r.Gate {
		c.do(Note{Level: LevelInfo, Text: "the packet gate is back"})
		return
	}
	c.do(Note{Level: LevelError, Text: "the packet gate is lost: " + r.Reason})
}

// --- the session ---

// hold steps the holder and acts on what it says.
func (c *Core) hold(now boottime.Instant, event consensus.HolderEvent) {
	for _, action := range c.holder.Step(now, event) {
		switch a := action.(type) {
		case consensus.Ask:
			c.do(Ask{Round: a.Round, Session: a.Session})
		case consensus.Extended:
			c.extended(now, a)
		case consensus.Lapsed:
			c.do(Note{Level: LevelError, Text: "lost touch with the store: the lease of everything held here has lapsed"})
			c.loseAll(now, "the lease lapsed: no majority of the store answers")
		case consensus.Gone:
			c.trouble = "the store ended this node's session"
			c.do(Note{Level: LevelWarn, Text: c.trouble + "; opening another"})
			c.loseAll(now, c.trouble)
			c.sessionTry = now
		}
	}
}

func (c *Core) loseAll(now boottime.Instant, cause string) {
	for _, g := range c.groups {
		g.lose(now, cause)
	}
}

// extended prolongs what is held and opens what waits for it. The next question's
// t0 is read after the guard has acknowledged all of it (rule (d), DESIGN §5).
func (c *Core) extended(now boottime.Instant, e consensus.Extended) {
	c.round, c.pending = e.Round, nil
	var held []string
	for _, g := range c.groups {
		if g.phase == holding {
			held = append(held, g.config.Name)
		}
	}
	if len(held) > 0 {
		c.pending = append(c.pending, c.request(func(seq uint64) fence.Event {
			return fence.Refresh{Seq: seq, Deadline: e.Deadline, Groups: held}
		}))
	}
	for _, g := range c.groups {
		if seq, opens := g.open(now, e); opens {
			c.pending = append(c.pending, seq)
		}
	}
	if len(c.pending) == 0 {
		c.hold(now, consensus.Refreshed{Round: e.Round})
	}
}

func (c *Core) acknowledged(now boottime.Instant, seq uint64) {
	i := slices.Index(c.pending, seq)
	if i < 0 {
		return
	}
	c.pending = slices.Delete(c.pending, i, i+1)
	if len(c.pending) == 0 {
		c.hold(now, consensus.Refreshed{Round: c.round})
	}
}

// wantsSession reports whether this node should open a session: it has none, the
// guard has cleaned up, and nothing of an earlier session is still up.
func (c *Core) wantsSession() bool {
	return c.ready && !c.stopping && c.opening == 0 && c.holder.Session().IsZero() &&
		!slices.ContainsFunc(c.groups, func(g *Group) bool { return g.up() })
}

func (c *Core) pursueSession(now boottime.Instant) {
	switch {
	case c.stopping:
		c.pursueStop(now)
	case c.wantsSession() && !now.Before(c.sessionTry):
		c.opening = c.propose(consensus.OpenSession{Node: c.config.Node, Host: c.config.Host, Life: c.config.Life, TTL: c.config.TTL})
	}
}

func (c *Core) propose(command consensus.Command) uint64 {
	c.proposals++
	c.do(Propose{ID: c.proposals, Command: command})
	return c.proposals
}

func (c *Core) proposed(now boottime.Instant, p Proposed) {
	switch p.ID {
	case 0: // no proposal has this number; it is what "none" is written as
		return
	case c.opening:
		c.opening = 0
		c.sessionOpened(now, p)
		return
	case c.closing:
		c.end() // whatever came of it: the session ends by itself
		return
	}
	for _, g := range c.groups {
		g.proposed(now, p)
	}
}

func (c *Core) sessionOpened(now boottime.Instant, p Proposed) {
	if p.Failure == "" && p.Result.Outcome == consensus.OK {
		c.trouble = ""
		c.do(Note{Level: LevelInfo, Text: "session " + p.Result.Session.String() + " opened"})
		c.do(SessionOpened{Session: p.Result.Session})
		c.hold(now, consensus.SessionOpened{Session: p.Result.Session})
		return
	}
	trouble := noSession(c.config.Node, p)
	if trouble != c.trouble {
		c.do(Note{Level: LevelWarn, Text: trouble})
	}
	c.trouble = trouble
	pause := c.config.TTL / retryShare
	if p.Result.Outcome == consensus.NodeInUse {
		pause = c.config.TTL / inUseShare
	}
	c.sessionTry = now.Add(pause)
}

// noSession says why the store opened no session.
func noSession(node string, p Proposed) string {
	switch {
	case p.Failure != "":
		return "no session with the store: " + p.Failure
	case p.Result.Outcome == consensus.NodeInUse:
		return fmt.Sprintf("the node name %q is in use by another host; it takes until that one's session ends, "+
			"and if it never does, two hosts have one name", node)
	}
	return "the store refuses a session: " + p.Result.Outcome.String()
}

// alive reports whether this node's session lives at now.
func (c *Core) alive(now boottime.Instant) bool {
	_, ok := c.holder.Alive(now)
	return ok
}

// --- the end, and changes ---

func (c *Core) stop(now boottime.Instant, cause string) {
	if c.stopping {
		return
	}
	c.stopping, c.stopEnd = true, now.Add(stopShare*c.config.TTL)
	for _, g := range c.groups {
		g.stop(cause)
	}
}

// pursueStop ends the session once every group has let go, or time is up.
func (c *Core) pursueStop(now boottime.Instant) {
	late := !now.Before(c.stopEnd)
	up := slices.ContainsFunc(c.groups, func(g *Group) bool { return g.up() })
	releasing := c.alive(now) && slices.ContainsFunc(c.groups, func(g *Group) bool { return g.releasing() })
	switch {
	case c.ended:
	case late && c.closing != 0:
		c.end()
	case !late && (up || releasing || c.opening != 0 || c.closing != 0):
		// The guard or the store speaks next.
	case up || !c.alive(now):
		c.end() // what could not be withdrawn must not outlive the session; it expires by itself
	default:
		session := c.holder.Session()
		c.hold(now, consensus.SessionLeft{})
		c.stopEnd = now.Add(stopShare * c.config.TTL)
		c.closing = c.propose(consensus.CloseSession{Session: session})
	}
}

func (c *Core) end() {
	c.ended = true
	c.do(Ended{})
}
