package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/node"
	"github.com/hafence/hafence/vrrp"
)

// faultKind is a kind of bad day.
type faultKind uint8

const (
	freezeController faultKind = iota
	freezeGuard
	freezeAll // every process of a host
	killController
	killGuard
	killAll
	powerLoss
	twoWays // hosts are cut off
	oneWay
	badWays // loss, doubles, long delays and with them reordering
	lanCut
	stallDisk
	linkDown
	stranger
	gracefulStop
	changeVoters
	transferLeader
	loseVIP
	busyKernel
	faultKinds // how many there are
)

var faultNames = [faultKinds]string{
	"freeze the controller", "freeze the guard", "freeze everything", "kill the controller", "kill the guard", "kill everything", "cut the power",
	"cut hosts off", "cut one way", "bad ways", "cut the LAN", "stall the disk", "take the link down", "a stranger advertises", "stop gracefully",
	"change the voters", "transfer the leadership", "remove a VIP", "the kernel refuses",
}

func (k faultKind) String() string { return faultNames[k] }

// needsGate reports whether only the packet gate protects against it.
func (k faultKind) needsGate() bool {
	switch k {
	case freezeGuard, freezeAll, killGuard, killAll, busyKernel:
		return true
	}
	return false
}

// faults makes them happen, one after another, until they stop.
type faults struct {
	w    *world
	on   bool
	undo []func() // what ends the faults that last
	turn int      // numbers the phases, so that a fault of one does not end in the next
}

func (f *faults) begin() {
	f.on = true
	f.turn++
	f.next(f.turn)
}

func (f *faults) next(turn int) {
	w := f.w
	w.after(w.between(0, 2*w.plan.Interval), func() {
		if f.on && f.turn == turn {
			f.one()
			f.next(turn)
		}
	})
}

// stop ends every fault, and has what is down started again.
func (f *faults) stop() {
	f.on = false
	f.readmit(f.turn)
	undo := f.undo
	f.undo = nil
	for _, u := range undo {
		u()
	}
	f.w.net.heal()
	for _, h := range f.w.hosts {
		h.wanted = true
		h.disk.stalled, h.kernel.refuses, h.kernel.stuck = 0, 0, 0
		if h.guard != nil {
			h.guard.frozen = 0
		}
		if h.controller != nil {
			h.controller.frozen = 0
		}
		if h.guard == nil || !h.guard.alive {
			h.restart()
		}
	}
}

// lasting lets a fault end by itself or with all of them.
func (f *faults) lasting(d time.Duration, end func()) {
	done := false
	once := func() {
		if !done {
			done = true
			end()
		}
	}
	f.undo = append(f.undo, once)
	if len(f.undo) > 64 {
		f.undo = slices.Clone(f.undo[32:])
	}
	f.w.after(d, once)
}

func (f *faults) one() {
	w := f.w
	sum := 0
	for _, weight := range w.plan.Weights {
		sum += weight
	}
	if sum == 0 {
		return
	}
	n := w.pick(sum)
	for k, weight := range w.plan.Weights {
		if n -= weight; n < 0 {
			w.stats.Faults++
			f.do(faultKind(k), w.hosts[w.pick(len(w.hosts))])
			return
		}
	}
}

func (f *faults) do(kind faultKind, h *host) {
	w := f.w
	d := w.spread(w.plan.FaultMin, 5*w.plan.TTL)
	w.say("FAULT", fmt.Sprintf("%v: %s for %v", kind, h.name, d))
	switch kind {
	case freezeController, freezeGuard, freezeAll:
		f.freeze(kind, h, d)
	case killController:
		h.killController("killed")
	case killGuard:
		h.killGuard("killed")
	case killAll:
		h.killController("killed with its guard")
		h.killGuard("killed with its controller")
	case powerLoss:
		h.reboot(d)
	case twoWays, oneWay, badWays, lanCut:
		f.network(kind, h, d)
	case stallDisk:
		h.disk.stalled = max(h.disk.stalled, w.now.add(d))
	case linkDown:
		f.link(h, d)
	case stranger:
		f.stranger(d)
	case gracefulStop:
		if h.guard != nil && h.guard.alive {
			h.guard.post(guard.Terminate{})
		}
	case changeVoters:
		f.voters(h)
	case transferLeader:
		for _, l := range w.hosts {
			if c := l.controller; c.serves() && c.store.raft.role == leader {
				c.store.raft.transfer(h.name)
			}
		}
	case loseVIP:
		vips := w.plan.Groups[w.pick(len(w.plan.Groups))].VIPs
		h.lose(vips[w.pick(len(vips))])
	case busyKernel:
		h.kernel.refuses = w.now.add(d)
		if w.chance(0.5) {
			h.kernel.stuck = h.kernel.refuses
		}
	}
}

func (f *faults) freeze(kind faultKind, h *host, d time.Duration) {
	if h.controller != nil && kind != freezeGuard {
		h.controller.freeze(d)
	}
	if h.guard != nil && kind != freezeController {
		h.guard.freeze(d)
	}
}

func (f *faults) network(kind faultKind, h *host, d time.Duration) {
	w := f.w
	switch kind {
	case lanCut:
		f.isolate(&w.net.lan, h, d, true)
	case twoWays:
		f.isolate(&w.net.cluster, h, d, false)
		if w.chance(0.5) {
			f.isolate(&w.net.lan, h, d, false)
		}
	case oneWay:
		other := w.pick(len(w.hosts))
		f.lasting(d, w.net.cluster.cut(h.number, other))
	case badWays:
		b := badness{until: w.now.add(2 * d), loss: 0.3 * w.random.Float64(), twice: 0.2 * w.random.Float64(), delay: w.spread(5*time.Millisecond, 2*w.plan.TTL) + w.plan.DelayMin}
		all := w.chance(0.5)
		for from := range w.hosts {
			for to := range w.hosts {
				if all || from == h.number || to == h.number && w.chance(0.5) {
					w.net.cluster.bad[from][to] = b
				}
			}
		}
	}
}

// isolate cuts a host off from all others, or from some.
func (f *faults) isolate(wire *wire, h *host, d time.Duration, all bool) {
	for n := range f.w.hosts {
		if n != h.number && (all || f.w.chance(0.8)) {
			f.lasting(d, wire.cut(n, h.number))
			f.lasting(d, wire.cut(h.number, n))
		}
	}
}

func (f *faults) link(h *host, d time.Duration) {
	set := func(up bool) {
		h.link = up
		if c := h.controller; c.serves() {
			c.look()
		}
	}
	set(false)
	f.lasting(d, func() { set(true) })
	if f.w.plan.SameWire {
		f.isolate(&f.w.net.cluster, h, d, true)
	}
}

// stranger is a router that is no member.
func (f *faults) stranger(d time.Duration) {
	w := f.w
	g := w.plan.Groups[w.pick(len(w.plan.Groups))]
	ev := node.Received{Instance: g.Instances[w.pick(len(g.Instances))], Source: strangerAddress, Advert: vrrp.Advertisement{
		Version: vrrp.Version2, Priority: vrrp.Priority(1 + w.pick(255)), Interval: advertInterval, Auth: vrrp.NoAuth(),
	}}
	over := false
	f.lasting(d, func() { over = true })
	var send func()
	send = func() {
		if over {
			return
		}
		for _, h := range w.hosts {
			if w.chance(0.9) {
				h.hear(ev)
			}
		}
		w.after(advertInterval, send)
	}
	send()
}

// voters takes a node out of the Raft configuration, or back in.
func (f *faults) voters(h *host) {
	for _, l := range f.w.hosts {
		c := l.controller
		if !c.serves() || c.store.raft.role != leader {
			continue
		}
		voters := slices.Clone(c.store.raft.voters())
		switch i := slices.Index(voters, h.name); {
		case i < 0:
			voters = append(voters, h.name)
		case len(voters) > 2 && h != l:
			voters = slices.Delete(voters, i, i+1)
		default:
			continue
		}
		c.store.raft.change(voters)
	}
}

// readmit brings every node back into the Raft configuration, one at a time.
func (f *faults) readmit(turn int) {
	if f.on || f.turn != turn {
		return
	}
	for _, l := range f.w.hosts {
		if c := l.controller; c.serves() && c.store.raft.role == leader {
			voters := slices.Clone(c.store.raft.voters())
			i := slices.IndexFunc(f.w.hosts, func(h *host) bool { return !slices.Contains(voters, h.name) })
			if i >= 0 {
				c.store.raft.change(append(voters, f.w.hosts[i].name))
			}
		}
	}
	f.w.after(time.Second, func() { f.readmit(turn) })
}
