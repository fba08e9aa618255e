package node

import (
	"slices"
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/vrrp"
)

// CoreConfig is what a [Core] decides by.
type CoreConfig struct {
	Node   string
	Host   string // identifies this kernel: see consensus.OpenSession
	Life   int64  // rises with every start on this host, above zero
	TTL    time.Duration
	Plain  bool // "consensus off": a lease is always to be had, and adverts decide
	Groups []GroupConfig

	StartupDelay time.Duration // vrrp_startup_delay: nothing is claimed before

	Gate     bool // layers of fencing that are wanted
	ARPOnly  bool // of the gate: the VIPs also stand on lo
	Lifetime bool
}

// GroupConfig is one VIP group: what fails over as one.
type GroupConfig struct {
	Name         string
	VIPs         []fence.VIP
	PreemptDelay time.Duration // after the start, before a preemption
	Instances    []InstanceConfig
}

// InstanceConfig is one virtual router of a group. VRRP.Source is filled in when
// the interface's address is known.
type InstanceConfig struct {
	Name string
	VRRP vrrp.Config
}

func (g GroupConfig) preempts() bool {
	return !slices.ContainsFunc(g.Instances, func(i InstanceConfig) bool { return !i.VRRP.Preempt })
}

// priority is the group's: the lowest of its instances', for all must win.
func (g GroupConfig) priority() vrrp.Priority {
	lowest := g.Instances[0].VRRP.Priority
	for _, i := range g.Instances[1:] {
		lowest = min(lowest, i.VRRP.Priority)
	}
	return lowest
}

// The times of a node that derive from the TTL.
const (
	staggerShare = 15 // a candidate waits ttl / 15 for each better one
	retryShare   = 30 // before a proposal is made again: ttl / 30
	inUseShare   = 4  // before a session is asked for again whose name is in use: each try is a log entry
	stopShare    = 2  // a graceful stop that takes longer than 2 × ttl is cut short
)

// Limits of a group's attempts.
const (
	failuresMax    = 3                // openings that fail one after another
	unfitMin       = 10 * time.Second // for so long a group then leaves the lease to others at first
	unfitMax       = 5 * time.Minute  // and at most: the time doubles
	unfitForgiven  = time.Minute      // as MASTER, after which it begins anew
	dropRetry      = time.Second      // before the guard is asked again to withdraw
	failurePause   = 200 * time.Millisecond
	preemptRetry   = 2 * time.Second // between two requests for a held lease
	configureRetry = time.Second     // before a configuration that the guard refused is given again
	strangerMemory = 10 * time.Second
	clashMemory    = 5 * time.Second
)
