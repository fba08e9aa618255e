package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// How long a fault lasts, where the story says so.
const (
	frozenFor  = 5 * time.Second
	blockedFor = 5 * time.Second // longer than VRRP waits before it takes over: 3 × advert + skew
)

// Fault is something nasty that happens to the node that is MASTER.
type Fault struct {
	Name  string // in JSON, stable
	Title string // for people

	// prepare brings about what the fault needs, before anything is measured.
	prepare func(*stageHand, context.Context) error
	// inject does it. It returns as soon as it is done.
	inject func(*Cluster, *Node) error
	lasts  time.Duration // at least so long before it is healed
	// undo ends it after it has lasted, where nobody heals the cluster by then;
	// nil: only healing does.
	undo   func(*Node) error
	keeps  bool // the MASTER must stay
	brings bool // the node must come to be MASTER, instead of going
	strike bool // the node must fall silent by itself: stale_ms counts
	promise
}

// promise is what a step must keep.
type promise struct {
	// goal is what hafence aims at on a quiet machine, as the median of many.
	goal func(ttl time.Duration) time.Duration
	// limit is the bound beyond which the step has failed.
	limit func(ttl time.Duration) time.Duration
}

// noise is what a loaded machine may add to any bound that timers are part of.
const noise = 500 * time.Millisecond

// clockDrift is hafence's default clock_drift.
const clockDrift = 0.01

// The bounds. takeover is I3: lease_ttl × (1 + drift) + 200 ms.
var (
	atOnce   = promise{goal: fixed(50 * time.Millisecond), limit: lease}
	restart  = promise{goal: fixed(150 * time.Millisecond), limit: lease}
	death    = promise{goal: func(ttl time.Duration) time.Duration { return ttl + 200*time.Millisecond }, limit: takeover}
	nothing  = promise{goal: fixed(0), limit: fixed(0)}
	starting = promise{goal: fixed(2 * time.Second), limit: fixed(10 * time.Second)}
)

func fixed(d time.Duration) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return d }
}

func lease(ttl time.Duration) time.Duration { return ttl + noise }

func takeover(ttl time.Duration) time.Duration {
	return ttl + time.Duration(clockDrift*float64(ttl)) + 200*time.Millisecond + noise
}

// staleSlack is what may pass between a fault and the kernel's last renewal
// having been on its way: two rounds, and the scheduling of a signal.
const staleSlack = 2*Round + 30*time.Millisecond

// staleLimit is I4: the packet gate shuts within half a lease of its last
// renewal.
func staleLimit(ttl time.Duration) time.Duration { return ttl/2 + staleSlack }

// Faults are the story, in its order, behind the start of the cluster.
var Faults = []Fault{
	{
		Name: "graceful stop", Title: "hafence on the MASTER is stopped (SIGTERM)", strike: true, promise: atOnce,
		inject: func(_ *Cluster, n *Node) error { return n.Stop() },
	},
	{
		Name: "controller killed", Title: "the MASTER's controller is killed (SIGKILL)", strike: true, promise: restart,
		inject: func(_ *Cluster, n *Node) error { return n.KillController() },
	},
	{
		Name: "everything killed", Title: "every hafence process of the MASTER is killed at once", strike: true, promise: death,
		inject: func(_ *Cluster, n *Node) error { return n.Kill() },
	},
	{
		Name: "everything frozen", Title: "every hafence process of the MASTER is stopped for 5 s (SIGSTOP)", strike: true, promise: death,
		inject: func(_ *Cluster, n *Node) error { return n.Freeze() }, lasts: frozenFor, undo: (*Node).Thaw,
	},
	{
		Name: "cable cut", Title: "the MASTER's cable is cut", strike: true, promise: death,
		inject: func(_ *Cluster, n *Node) error { return n.Port.Cut() },
	},
	{
		Name: "partition", Title: "the MASTER is cut off from the other nodes, but not from the client", strike: true, promise: death,
		inject: func(c *Cluster, n *Node) error { return c.Isolate(n) },
	},
	{
		Name: "VRRP blocked", Title: "only VRRP (IP protocol 112) is blocked between the nodes", keeps: true, promise: nothing,
		inject: func(c *Cluster, _ *Node) error { return c.BlockVRRP() }, lasts: blockedFor,
	},
	{
		Name: "preferred node returns", Title: "the preferred node comes back and takes over", brings: true, promise: atOnce,
		prepare: (*stageHand).takePreferredAway,
		inject:  func(_ *Cluster, n *Node) error { return n.Start() },
	},
}

// startName is the first step's name: the cluster comes up from nothing.
const startName = "converge"

// verdict says what a step broke; nothing when it kept everything.
func (f Fault) verdict(s measured, ttl time.Duration) []string {
	var broken []string
	broke := func(ok bool, format string, args ...any) {
		if !ok {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	broke(s.dualAnswer == 0, "two nodes answered for %v (I1)", s.dualAnswer)
	broke(s.outage <= f.limit(ttl), "the outage was %v, at most %v is promised (I3)", s.outage, f.limit(ttl))
	broke(s.takeover <= f.limit(ttl), "another node answered %v after the fault, at most %v is promised (I3)", s.takeover, f.limit(ttl))
	broke(s.stale <= staleLimit(ttl), "the struck node answered for another %v, at most %v is promised (I4)", s.stale, staleLimit(ttl))
	switch {
	case s.to < 0:
		broke(false, "nobody answered afterwards (I3)")
	case f.keeps:
		broke(s.from == s.to && s.tokenBefore == s.tokenAfter, "the MASTER changed, though it was well")
	case s.from == s.to:
		broke(false, "the MASTER did not change")
	default:
		broke(s.tokenAfter > s.tokenBefore, "the token did not rise: %d, then %d (I2)", s.tokenBefore, s.tokenAfter)
	}
	return broken
}

// measured are a step's figures.
type measured struct {
	outage, dualAnswer, dualAddress, stale time.Duration
	takeover                               time.Duration // from the fault to the first answer of another node
	from, to                               int           // nodes' numbers; -1: nobody
	tokenBefore, tokenAfter                uint64
	began, ended                           boottime.Instant
}
