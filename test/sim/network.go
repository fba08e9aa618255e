package main

import "time"

// network carries messages between hosts, over two wires: the cluster's (Raft and
// RPC) and the LAN's (VRRP). Both lose, delay, double and reorder.
type network struct {
	w       *world
	cluster wire
	lan     wire
}

// wire is who can reach whom, and how well.
type wire struct {
	blocked [][]int     // by sender and receiver; how many faults block the way
	bad     [][]badness // by sender and receiver
}

// badness is how a way misbehaves; the zero badness is a good way.
type badness struct {
	until moment
	loss  float64
	twice float64
	delay time.Duration // at most
}

func newNetwork(w *world) *network {
	n := &network{w: w}
	for _, wire := range []*wire{&n.cluster, &n.lan} {
		for range w.plan.Nodes {
			wire.blocked = append(wire.blocked, make([]int, w.plan.Nodes))
			wire.bad = append(wire.bad, make([]badness, w.plan.Nodes))
		}
	}
	return n
}

// send lets arrive happen at the receiver, never, once or twice.
func (n *network) send(wire *wire, from, to int, arrive func()) {
	if from == to {
		n.w.after(n.w.between(time.Microsecond, 50*time.Microsecond), arrive)
		return
	}
	if wire.blocked[from][to] > 0 {
		return
	}
	b := wire.bad[from][to]
	if n.w.now >= b.until {
		b = badness{}
	}
	if n.w.chance(b.loss) {
		return
	}
	copies := 1
	if n.w.chance(b.twice) {
		copies = 2
	}
	for range copies {
		n.carry(wire, from, to, b, arrive)
	}
}

// carry delivers one copy. A wire that is cut while it is under way may or may
// not let it through.
func (n *network) carry(wire *wire, from, to int, b badness, arrive func()) {
	delay := n.w.between(50*time.Microsecond, 400*time.Microsecond)
	if b.delay > 0 {
		delay += n.w.spread(n.w.plan.DelayMin, b.delay)
	}
	n.w.after(delay, func() {
		if wire.blocked[from][to] > 0 && n.w.chance(0.5) {
			return
		}
		arrive()
	})
}

// heal makes both wires good.
func (n *network) heal() {
	for _, wire := range []*wire{&n.cluster, &n.lan} {
		for from := range wire.bad {
			clear(wire.bad[from])
		}
	}
}

// cut blocks a way until the returned function is called.
func (wire *wire) cut(from, to int) (mend func()) {
	wire.blocked[from][to]++
	return func() { wire.blocked[from][to]-- }
}
