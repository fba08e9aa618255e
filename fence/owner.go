package fence

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Timing of the gate and of repairs.
const (
	// GateMargin is taken off every element's timeout: one jiffy of the slowest
	// kernel (HZ=100), for the kernel counts in them, and as much again for the
	// transaction itself.
	GateMargin = 20 * time.Millisecond

	// GateTimeoutMin is the shortest timeout that may reach the kernel. There zero
	// means for ever, so nothing may come near it: neither a fraction of the
	// netlink attribute's milliseconds nor one of a jiffy.
	GateTimeoutMin = 20 * time.Millisecond

	renewInterval    = time.Second            // between renewals of an address's lifetime
	repairInterval   = 100 * time.Millisecond // between repairs of a group: somebody may be fighting us
	retryIntervalMin = 50 * time.Millisecond  // between attempts to withdraw
	retryIntervalMax = time.Second
)

// Outcomes that the owner tells apart from other failures.
var (
	// ErrExpired is a gate transaction that the kernel refused because an element
	// it depends on had timed out: the lease has lapsed, nothing was changed.
	ErrExpired = errors.New("the packet gate has already shut")

	// ErrGateGone says that somebody removed our tables (nft flush ruleset).
	ErrGateGone = errors.New("the packet gate has been removed by another program")
)

type phase uint8

const (
	phaseClosed  phase = iota + 1 // nothing is up
	phaseArming                   // ArmGate is being performed
	phaseArmed                    // may be opened until armedUntil
	phaseOpening                  // OpenGate or the first AddAddress is being performed
	phaseHeld                     // the VIPs are up
)

// holding is a group and what we have of it.
type holding struct {
	Group
	phase phase

	armedAt    boottime.Instant // the kernel's acknowledgement was read
	armedUntil boottime.Instant // the armed elements are surely over

	seq      uint64 // of the request being answered
	token    uint64
	deadline boottime.Instant
	gateAck  boottime.Instant // the last opening or refresh was acknowledged
	gateEnd  boottime.Instant // the elements are surely over; 0 while a change is in flight
	adding   int              // first AddAddress outcomes that are outstanding

	renewAt  boottime.Instant
	lost     []VIP // waiting for repairAt
	repairAt boottime.Instant
	repairs  int
}

func (h *holding) up() bool { return h.phase == phaseOpening || h.phase == phaseHeld }

// Owner decides what this host's kernel is told about VIPs. It is pure: the
// caller brings time and events, and performs the actions first in, first out.
// After a kernel action its Done must be stepped before any other event than
// Tick; reports need no answer.
type Owner struct {
	ttl        time.Duration
	lifetime   bool
	gateWanted bool
	arpOnly    bool
	gateUp     bool         // the gate is in place as far as we know
	managed    []netip.Addr // behind the gate, as last commanded

	holdings    []*holding // in the configuration's order
	withdrawals []*withdrawal
	withdrawn   uint64 // number of the latest withdrawal

	refreshing  *refreshing
	configuring *configuring

	out []Action
}

// NewOwner returns an owner that manages nothing until it is configured.
func NewOwner() *Owner { return &Owner{} }

// Step takes one event at the instant now and returns what is to be done. The
// returned slice is the caller's.
func (o *Owner) Step(now boottime.Instant, event Event) []Action {
	o.out = nil
	o.expire(now) // a request that comes too late must meet what is already over
	switch ev := event.(type) {
	case Configure:
		o.configure(now, ev)
	case Arm:
		o.arm(now, ev)
	case Open:
		o.open(now, ev)
	case Refresh:
		o.refresh(now, ev)
	case Drop:
		o.drop(now, ev)
	case DropAll:
		o.dropAll(now)
	case AddressLost:
		o.addressLost(now, ev.VIP)
	case InterfaceLost:
		o.interfaceLost(now, ev.Interface)
	case Tick:
	case Done:
		o.done(now, ev)
	default:
		panic(fmt.Sprintf("fence: unknown event %T", event))
	}
	return o.out
}

// Deadline returns the earliest instant at which a Tick is needed, if any.
func (o *Owner) Deadline() (boottime.Instant, bool) {
	var earliest boottime.Instant
	found := false
	consider := func(at boottime.Instant) {
		if !found || at.Before(earliest) {
			earliest, found = at, true
		}
	}
	for _, h := range o.holdings {
		switch {
		case h.phase == phaseArmed:
			consider(h.armedUntil)
		case h.up():
			consider(h.deadline)
			if o.gateUp && h.gateEnd != 0 {
				consider(h.gateEnd)
			}
			if len(h.lost) > 0 {
				consider(h.repairAt)
			}
		}
	}
	for _, w := range o.withdrawals {
		if w.pending == 0 {
			consider(w.retryAt)
		}
	}
	return earliest, found
}

// Withdrawn reports whether nothing is up and every withdrawal has silenced
// its VIPs.
func (o *Owner) Withdrawn() bool {
	for _, h := range o.holdings {
		if h.up() {
			return false
		}
	}
	return !slices.ContainsFunc(o.withdrawals, func(w *withdrawal) bool { return !w.silent() })
}

// Clean reports whether, beyond [Owner.Withdrawn], every address is known to be
// gone, so that the gate may be removed.
func (o *Owner) Clean() bool { return o.Withdrawn() && len(o.withdrawals) == 0 }

// Overdue reports whether a VIP may still answer although its grant is over, or
// will, for the kernel refuses its withdrawal: the watchdog must not be petted. Not to
// wait for the deadline in the second case lets the reset come before another node
// may answer.
func (o *Owner) Overdue(now boottime.Instant) bool {
	for _, h := range o.holdings {
		if h.up() && !now.Before(h.deadline) {
			return true
		}
	}
	return slices.ContainsFunc(o.withdrawals, func(w *withdrawal) bool { return !w.silent() && (w.failure != "" || !now.Before(w.due)) })
}

// Held lists the VIPs that should be on their interfaces now.
func (o *Owner) Held() []VIP {
	var vips []VIP
	for _, h := range o.holdings {
		if h.phase == phaseHeld {
			vips = append(vips, h.VIPs...)
		}
	}
	return vips
}

// GateUp reports whether the packet gate is in place.
func (o *Owner) GateUp() bool { return o.gateUp }

// expire ends what is over at now and repeats what is due.
func (o *Owner) expire(now boottime.Instant) {
	for _, h := range o.holdings {
		switch {
		case h.phase == phaseArmed && !now.Before(h.armedUntil):
			h.phase = phaseClosed
		case h.up() && !now.Before(h.deadline):
			o.lapse(now, h, "the deadline has passed", true)
		case h.up() && o.gateUp && h.gateEnd != 0 && !now.Before(h.gateEnd):
			o.lapse(now, h, "no refresh came before the packet gate shut", true)
		case h.up() && len(h.lost) > 0 && !now.Before(h.repairAt):
			o.repair(now, h)
		}
	}
	for _, w := range slices.Clone(o.withdrawals) {
		if w.pending == 0 && !now.Before(w.retryAt) {
			o.attempt(w)
		}
	}
}

// done takes the outcome of a kernel action.
func (o *Owner) done(now boottime.Instant, ev Done) {
	switch a := ev.Action.(type) {
	case SetUpGate:
		o.gateSetUp(now, ev)
	case InspectGate:
		o.gateInspected(now, ev)
	case ManageGate:
		o.gateManaged(now, ev)
	case RemoveGate:
		o.gateRemoved(now, ev)
	case ArmGate:
		o.gateArmed(now, a, ev.Err)
	case OpenGate:
		o.gateOpened(now, a, ev.Err)
	case RefreshGate:
		o.gateRefreshed(now, a, ev.Err)
	case AddAddress:
		o.addressAdded(now, a, ev.Err)
	case RemoveAddress:
		o.addressRemoved(now, a, ev)
	case ShutGate:
		o.gateShut(now, a, ev.Err)
	default:
		panic(fmt.Sprintf("fence: outcome of %T, which is no kernel action", ev.Action))
	}
	if errors.Is(ev.Err, ErrGateGone) {
		o.gateGone(now)
	}
}

func (o *Owner) emit(actions ...Action) { o.out = append(o.out, actions...) }

func (o *Owner) find(name string) *holding {
	for _, h := range o.holdings {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// gateTimeout is rule (a): how long an element that is put into the kernel at
// now may live, and whether that is long enough to be expressed at all.
func (o *Owner) gateTimeout(now, deadline boottime.Instant) (time.Duration, bool) {
	timeout := min(o.ttl/2, deadline.Sub(now)) - GateMargin
	timeout = timeout.Truncate(time.Millisecond)
	return timeout, timeout >= GateTimeoutMin
}

// addressLifetime is the valid_lft of a held address: the kernel clears it away
// for good after everybody is dead. 0 is for ever.
func (o *Owner) addressLifetime() time.Duration {
	if !o.lifetime {
		return 0
	}
	return (o.ttl + time.Second - 1).Truncate(time.Second) + time.Second
}
