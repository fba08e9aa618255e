package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/node"
	"github.com/hafence/hafence/vrrp"
)

// The times of the controller's shell.
const (
	heartbeatInterval  = 500 * time.Millisecond
	heartbeatTimeout   = 3 * time.Second
	interfacesInterval = 5 * time.Second
)

// controller is the shell around a real node core, and the process in which the
// store and Raft run.
type controller struct {
	process
	host  *host
	core  *node.Core
	store *store

	// What waits for the loop; which of several is taken first is chance.
	reports   []node.Event // of the guard, in order
	events    []node.Event // answers and outcomes
	packets   []node.Event // adverts
	links     []node.Event
	begun     bool
	due       bool
	beat      bool
	stop      string // why to stop; "" for not
	guardGone bool

	busy  bool
	wound moment
	spin  spin
	rogue rogue
}

func newController(h *host) *controller {
	c := &controller{process: process{w: h.w, name: h.name + ".ctl"}, host: h}
	if old := h.controller; old != nil {
		c.life = old.life
	}
	c.start()
	c.rogue = rogue{c: c}
	return c
}

// open is the program's start, up to its loop.
func (c *controller) open() {
	config := c.w.plan.core(c.host)
	config.Life = int64(c.host.clock.read(c.w.now))
	c.core = node.NewCore(config)
	c.store = newStore(c.host, &c.process)
	c.look()
	c.every(interfacesInterval, c.look)
	c.every(heartbeatInterval, func() { c.beat = true; c.wake() })
	c.wake()
}

// serves reports whether the program is up; its store answers from then on.
func (c *controller) serves() bool { return c != nil && c.alive && c.store != nil }

func (c *controller) every(d time.Duration, fn func()) {
	c.after(d, func() {
		fn()
		c.every(d, fn)
	})
}

// look looks at the interfaces.
func (c *controller) look() {
	for _, g := range c.w.plan.Groups {
		for _, i := range g.Instances {
			cause := ""
			if !c.host.link {
				cause = "interface is down"
			}
			c.links = append(c.links, node.LinkChanged{Instance: i, Up: c.host.link, Cause: cause, Source: c.host.address})
		}
	}
	c.wake()
}

func (c *controller) wake() {
	if c.busy || c.core == nil {
		return
	}
	c.busy = true
	c.after(c.wakeup(), c.turn)
}

// turn takes one of the things that wait.
func (c *controller) turn() {
	c.spin.turn(&c.process)
	if !c.begun {
		c.begin()
		return
	}
	ready := c.ready()
	if len(ready) == 0 {
		c.busy = false
		c.wind()
		return
	}
	ready[c.w.pick(len(ready))]()
}

// begin tells the core about the interfaces, and that it starts.
func (c *controller) begin() {
	if len(c.links) > 0 {
		c.step(take(&c.links))
		return
	}
	c.begun = true
	c.step(node.Start{})
}

func take(queue *[]node.Event) node.Event {
	ev := (*queue)[0]
	*queue = (*queue)[1:]
	return ev
}

// ready lists what could be taken next, as a select would.
func (c *controller) ready() []func() {
	var ready []func()
	for _, queue := range []*[]node.Event{&c.reports, &c.events, &c.packets, &c.links} {
		if len(*queue) > 0 {
			ready = append(ready, func() { c.step(take(queue)) })
		}
	}
	if c.store.dirty {
		ready = append(ready, func() { c.step(node.TableChanged{Table: c.store.tableCopy()}) })
	}
	if c.due {
		ready = append(ready, func() { c.due = false; c.step(node.Tick{}) })
	}
	if c.beat {
		ready = append(ready, func() { c.beat = false; c.toGuard(guard.Heartbeat{}); c.then(c.turn) })
	}
	if c.stop != "" {
		ready = append(ready, func() { cause := c.stop; c.stop = ""; c.step(node.Stop{Cause: cause}) })
	}
	if c.guardGone {
		ready = append(ready, c.afterGuard)
	}
	return ready
}

func (c *controller) step(ev node.Event) {
	c.perform(c.core.Step(c.host.clock.read(c.w.now), ev))
}

// perform performs a step's actions in order, with a chance of a pause before each.
func (c *controller) perform(actions []node.Action) {
	if len(actions) == 0 {
		c.then(c.turn)
		return
	}
	c.then(func() {
		if c.act(actions[0]) {
			c.host.controllerExited(0)
			return
		}
		c.perform(actions[1:])
	})
}

func (c *controller) wind() {
	deadline, ok := c.core.Deadline()
	if !ok {
		return
	}
	at := c.host.clock.when(deadline)
	if c.wound > c.w.now && c.wound <= at {
		return
	}
	c.wound = max(at, c.w.now)
	life, wound := c.life, c.wound
	c.w.after(at.sub(c.w.now)+c.lateness(), func() {
		c.resume(life, func() {
			if c.wound == wound {
				c.wound, c.due = 0, true
				c.wake()
			}
		})
	})
}

func (c *controller) post(queue *[]node.Event, ev node.Event) {
	*queue = append(*queue, ev)
	c.wake()
}

// act performs one action and reports whether it was the last of all.
func (c *controller) act(action node.Action) (ended bool) {
	switch a := action.(type) {
	case node.ToGuard:
		c.request(a.Request)
	case node.Propose:
		c.propose(a)
	case node.Ask:
		c.rogue.asked(a)
		c.store.ask(a.Round, a.Session, c.rogue.answered)
	case node.SessionOpened:
		c.host.opened = a.Session
		c.toGuard(guard.Farewell{Frame: encodeSession(a.Session)})
	case node.SendAdvert:
		c.w.check.advertised(c.host, a)
		c.sendAdvert(a)
	case node.Announce:
		c.w.check.announced(c.host, a.Instance)
	case node.Note:
		if strings.Contains(a.Text, "lapse") {
			c.w.stats.Lapses++
		}
		c.w.say(c.name, a.Instance+" "+a.Group+": "+a.Text)
	case node.Ended:
		return true
	default:
		panic(fmt.Sprintf("sim: unknown action %T", action))
	}
	return false
}

func (c *controller) propose(a node.Propose) {
	c.w.sayf(c.name, "proposes %T %+v", a.Command, a.Command)
	c.rogue.proposed(a.Command)
	c.store.propose(a.Command, func(result consensus.Result, failure string) {
		c.w.sayf(c.name, "proposal %T: %v %s", a.Command, result, failure)
		c.post(&c.events, node.Proposed{ID: a.ID, Result: result, Failure: failure})
	})
}

func (c *controller) sendAdvert(a node.SendAdvert) {
	if !c.host.link {
		return
	}
	ev := node.Received{Instance: a.Instance, Source: c.host.address, Advert: vrrp.Advertisement{
		Version: vrrp.Version2, Priority: a.Priority, Interval: advertInterval, Auth: vrrp.NoAuth(),
	}}
	for _, h := range c.w.hosts {
		if h != c.host {
			c.w.net.send(&c.w.net.lan, c.host.number, h.number, func() { h.hear(ev) })
		}
	}
}

// --- the guard ---

func (c *controller) request(r fence.Event) {
	var m guard.Message
	switch r := r.(type) {
	case fence.Configure:
		m = guard.Configure{Seq: r.Seq, TTL: r.TTL, Groups: r.Groups, Gate: r.Gate, Lifetime: r.Lifetime, HeartbeatTimeout: heartbeatTimeout}
	case fence.Arm:
		m = guard.Arm(r)
	case fence.Open:
		m = guard.Open(r)
	case fence.Refresh:
		m = guard.Refresh(r)
	case fence.Drop:
		if c.rogue.dropEarly(r) {
			return
		}
		m = guard.Drop(r)
	default:
		panic(fmt.Sprintf("sim: unknown request %T", r))
	}
	c.toGuard(m)
}

// toGuard writes to the socket: what is in it arrives even if this process dies.
func (c *controller) toGuard(m guard.Message) {
	g := c.host.guard
	if g == nil || !g.alive || g.child != c.life {
		return
	}
	guardLife := g.life
	c.w.after(c.w.between(time.Microsecond, 50*time.Microsecond), func() {
		if g.alive && g.life == guardLife && g.child == c.life {
			if o, ok := m.(guard.Open); ok {
				g.tokens[o.Group] = o.Token
			}
			g.post(guard.Received{Message: m})
		}
	})
}

// fromGuard takes a message into the socket.
func (c *controller) fromGuard(m guard.Message) {
	var report fence.Action
	switch m := m.(type) {
	case guard.Configured:
		report = fence.Configured{Seq: m.Seq, Gate: m.Layers.Gate, Removed: parseAll(m.Removed), Error: m.Error}
	case guard.Armed:
		report = fence.Armed(m)
	case guard.Opened:
		report = fence.Opened(m)
	case guard.Refreshed:
		report = fence.Refreshed(m)
	case guard.Dropped:
		report = fence.Dropped(m)
	case guard.Lapsed:
		report = fence.Lapsed(m)
	case guard.Repaired:
		report = fence.Repaired(m)
	case guard.LayersChanged:
		report = fence.GateChanged{Gate: m.Layers.Gate}
	default:
		panic(fmt.Sprintf("sim: unknown message %T", m))
	}
	if !c.rogue.takes(report) {
		return
	}
	c.post(&c.reports, node.FromGuard{Report: report})
}

func parseAll(texts []string) []netip.Addr {
	var all []netip.Addr
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

// afterGuard is the controller's part when its guard is dead: withdraw, close the
// session, exit.
func (c *controller) afterGuard() {
	vips := slices.Concat(c.w.plan.vips()...)
	silent := true
	var remove func(n int)
	remove = func(n int) {
		if n < len(vips) {
			done := c.host.kernel.perform(fence.RemoveAddress{VIP: vips[n]})
			silent = silent && done.Err == nil
			c.then(func() { remove(n + 1) })
			return
		}
		shut := c.host.kernel.perform(fence.ShutGate{VIPs: vips})
		if !silent && shut.Err != nil {
			c.host.controllerExited(1)
			return
		}
		c.then(c.closeSession)
	}
	remove(0)
}

func (c *controller) closeSession() {
	session, ok := c.host.session()
	if !ok {
		c.host.controllerExited(1)
		return
	}
	c.store.propose(consensus.CloseSession{Session: session}, func(consensus.Result, string) { c.host.controllerExited(1) })
}

func encodeSession(s consensus.Session) []byte {
	frame, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return frame
}

func decodeSession(frame []byte) consensus.Session {
	var s consensus.Session
	if err := json.Unmarshal(frame, &s); err != nil {
		panic(err)
	}
	return s
}

// now is the host's clock, for the variants.
func (c *controller) now() boottime.Instant { return c.host.clock.read(c.w.now) }
