package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/node"
	"github.com/hafence/hafence/vrrp"
)

const advertInterval = time.Second

// plan is what a seed draws before its run: the cluster, its settings, and which
// faults happen how often. Every run has another mixture (swarm testing).
type plan struct {
	Seed   uint64
	Nodes  int
	TTL    time.Duration
	Drift  float64   // clock_drift
	Rates  []float64 // of the hosts' clocks; they differ by at most Drift
	Gate   bool      // the packet gate; without it guards are never paused
	Groups []group

	Witness bool // the last node only votes

	PreVote, Sticky, LeaderLease, Placement bool // of Raft

	SameWire   bool          // the cluster's messages need the instances' interface
	Hesitation float64       // chance of a pause at each step
	OpenPause  float64       // chance of a long pause right before a gate is opened
	PauseMin   time.Duration // the shortest of such pauses
	DelayMin   time.Duration // the shortest delay on a bad way
	FaultMin   time.Duration // the shortest fault
	Interval   time.Duration // between faults, on average
	Weights    [faultKinds]int
}

// group is a VIP group; the same on every node but for its priority.
type group struct {
	Name       string
	Instances  []string
	VIPs       []fence.VIP
	Priorities []uint8 // by node
	Preempt    bool
	Delay      time.Duration // preempt_delay
}

func newPlan(seed uint64, v variant) plan {
	r := rand.New(rand.NewPCG(seed, 0x706c616e))
	p := plan{
		Seed: seed, Nodes: 3, Drift: 0.01, Gate: r.IntN(10) > 0, Witness: r.IntN(4) == 0,
		TTL:     []time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}[r.IntN(3)],
		PreVote: r.IntN(3) > 0, Sticky: r.IntN(3) > 0, LeaderLease: r.IntN(3) > 0, Placement: r.IntN(2) > 0,
		SameWire: r.IntN(2) > 0, PauseMin: time.Millisecond, DelayMin: 100 * time.Microsecond, FaultMin: 5 * time.Millisecond,
		Interval: []time.Duration{300 * time.Millisecond, time.Second, 4 * time.Second}[r.IntN(3)],
	}
	if r.IntN(4) == 0 {
		p.Nodes = 5
	}
	if r.IntN(2) == 0 {
		p.Hesitation = []float64{0.00002, 0.0002, 0.002}[r.IntN(3)]
	}
	for range p.Nodes {
		p.Rates = append(p.Rates, rate(r, p.Drift))
	}
	for n := range 1 + r.IntN(3) {
		p.Groups = append(p.Groups, newGroup(r, n, p.Nodes))
	}
	for k := range p.Weights {
		if r.IntN(2) == 0 {
			p.Weights[k] = 1 + r.IntN(5)
		}
	}
	if !p.Gate {
		gateless(&p)
	}
	if v.shape != nil {
		v.shape(&p)
	}
	return p
}

// rate draws a clock's rate, often at a bound.
func rate(r *rand.Rand, drift float64) float64 {
	bound := math.Sqrt(1 + drift)
	switch r.IntN(3) {
	case 0:
		return 1 / bound
	case 1:
		return bound
	}
	return 1/bound + r.Float64()*(bound-1/bound)
}

func newGroup(r *rand.Rand, n, nodes int) group {
	g := group{Name: fmt.Sprintf("g%d", n+1), Preempt: r.IntN(3) > 0}
	if r.IntN(3) == 0 {
		g.Delay = 2 * time.Second
	}
	for i := range 1 + r.IntN(2) {
		g.Instances = append(g.Instances, fmt.Sprintf("%s_%c", g.Name, 'a'+i))
		g.VIPs = append(g.VIPs, fence.VIP{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(10*n + i + 1)}), 32), Interface: "eth0",
		})
	}
	for range nodes {
		g.Priorities = append(g.Priorities, []uint8{100, 100, 101, 150, 200, 255}[r.IntN(6)])
	}
	return g
}

// weights keeps the faults of which keep is true.
func (p *plan) weights(keep func(faultKind) bool) {
	for k := range p.Weights {
		if !keep(faultKind(k)) {
			p.Weights[k] = 0
		}
	}
}

// emphasise makes some faults the frequent ones.
func (p *plan) emphasise(kinds ...faultKind) {
	p.Interval = 600 * time.Millisecond
	p.Gate = true
	for _, k := range kinds {
		p.Weights[k] = 20
	}
}

func (p *plan) names() []string {
	var names []string
	for n := range p.Nodes {
		names = append(names, fmt.Sprintf("n%d", n+1))
	}
	return names
}

func (p *plan) patience() consensus.Patience {
	return consensus.Patience{Drift: p.Drift, Margin: consensus.DefaultMargin}
}

func (p *plan) witness(h *host) bool { return p.Witness && h.number == p.Nodes-1 }

func (p *plan) vips() [][]fence.VIP {
	var vips [][]fence.VIP
	for _, g := range p.Groups {
		vips = append(vips, g.VIPs)
	}
	return vips
}

// core is a node's configuration.
func (p *plan) core(h *host) node.CoreConfig {
	c := node.CoreConfig{Node: h.name, Host: fmt.Sprintf("%s/%d", h.name, h.boots), TTL: p.TTL, Gate: p.Gate, Lifetime: true}
	if p.witness(h) {
		return c
	}
	for n, g := range p.Groups {
		config := node.GroupConfig{Name: g.Name, VIPs: g.VIPs, PreemptDelay: g.Delay}
		for i, name := range g.Instances {
			config.Instances = append(config.Instances, node.InstanceConfig{Name: name, VRRP: vrrp.Config{
				ID: vrrp.ID(10*n + i + 1), Priority: vrrp.Priority(g.Priorities[h.number]), AdvertInterval: advertInterval, Version: vrrp.Version2,
				Preempt: g.Preempt, StartupListen: advertInterval + 100*time.Millisecond, Garp: vrrp.DefaultGarp,
			}})
		}
		c.Groups = append(c.Groups, config)
	}
	return c
}

// best is the priority of the node that a preempting group ends up on.
func (p *plan) best(g group) uint8 {
	directors := len(g.Priorities)
	if p.Witness {
		directors--
	}
	return slices.Max(g.Priorities[:directors])
}

func (p *plan) groupOf(instance string) (int, bool) {
	for n, g := range p.Groups {
		if slices.Contains(g.Instances, instance) {
			return n, true
		}
	}
	return 0, false
}
