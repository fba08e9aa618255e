package main

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/fence"
)

// kernel is what a host's kernel does with the owner's actions, and goes on doing
// with nobody alive: the sets of the packet gate, whose elements time out on the
// kernel's own ticks, and addresses with lifetimes. Each method acts at one
// instant, as one netlink transaction does.
type kernel struct {
	w       *world
	host    *host
	jiffy   time.Duration // of the host's clock
	phase   time.Duration
	gate    bool
	managed []netip.Addr
	armed   map[netip.Addr]moment // when the element is over
	leased  map[netip.Addr]moment
	present map[netip.Addr]moment // when the address's lifetime is over
	refuses moment                // addresses cannot be removed before
	stuck   moment                // the gate cannot be shut before
}

const forever = moment(1<<62 - 1)

var errKernel = errors.New("device or resource busy")

func newKernel(h *host) *kernel {
	k := &kernel{w: h.w, host: h}
	k.jiffy = []time.Duration{time.Millisecond, 4 * time.Millisecond, 10 * time.Millisecond}[k.w.pick(3)]
	k.phase = k.w.between(0, k.jiffy)
	k.boot()
	return k
}

// boot forgets everything, which opens nothing.
func (k *kernel) boot() {
	k.gate, k.managed = false, nil
	k.armed, k.leased, k.present = map[netip.Addr]moment{}, map[netip.Addr]moment{}, map[netip.Addr]moment{}
}

// over is when an element that is added now times out: it lives for whole jiffies
// of the host's clock, rounded up, counted from the one under way.
func (k *kernel) over(timeout time.Duration) moment {
	now := k.host.clock.read(k.w.now)
	ticking := time.Duration(now) + k.phase
	last := ticking/k.jiffy + (timeout+k.jiffy-1)/k.jiffy
	return k.host.clock.when(now.Add(last*k.jiffy - ticking))
}

// answersUntil is when an address stops answering if nothing is done any more; a
// moment that is not later than now: it does not answer.
func (k *kernel) answersUntil(a netip.Addr) moment {
	until, ok := k.present[a]
	if !ok {
		return 0
	}
	if k.gate && slices.Contains(k.managed, a) {
		until = min(until, k.leased[a])
	}
	return until
}

// perform performs an owner's action.
func (k *kernel) perform(action fence.Action) fence.Done {
	done := fence.Done{Action: action}
	switch a := action.(type) {
	case fence.SetUpGate:
		done.Leftover = k.managed
		k.gate, k.managed = true, merge(a.Managed, k.managed)
		clear(k.armed)
		clear(k.leased)
	case fence.InspectGate:
		done.Leftover = k.managed
	case fence.ManageGate:
		if done.Err = k.needGate(); done.Err == nil {
			k.managed = slices.Clone(a.Managed)
		}
	case fence.RemoveGate:
		k.gate, k.managed = false, nil
		clear(k.armed)
		clear(k.leased)
	case fence.ArmGate:
		done.Err = k.move(nil, k.armed, a.VIPs, a.Timeout)
	case fence.OpenGate:
		from := k.armed
		if k.w.variant.openUnarmed {
			from = nil
		}
		done.Err = k.move(from, k.leased, a.VIPs, a.Timeout)
	case fence.RefreshGate:
		from := k.leased
		if k.w.variant.revive {
			from = nil
		}
		done.Err = k.move(from, k.leased, a.VIPs, a.Timeout)
	case fence.ShutGate:
		done.Err = k.shut(a.VIPs)
	case fence.AddAddress:
		k.add(a.VIP.Prefix.Addr(), a.Lifetime)
	case fence.RemoveAddress:
		done.Found, done.Err = k.remove(a.VIP.Prefix.Addr())
	default:
		panic("sim: no kernel action")
	}
	k.w.check.changed(k.host)
	return done
}

func (k *kernel) needGate() error {
	if !k.gate {
		return fence.ErrGateGone
	}
	return nil
}

// move is one transaction: the addresses are deleted from one set, where every
// one must be alive, and added to another.
func (k *kernel) move(from, to map[netip.Addr]moment, vips []fence.VIP, timeout time.Duration) error {
	if err := k.needGate(); err != nil {
		return err
	}
	if timeout < fence.GateTimeoutMin {
		return fence.ErrExpired
	}
	for _, v := range vips {
		if from != nil && from[v.Prefix.Addr()] <= k.w.now {
			return fence.ErrExpired
		}
	}
	for _, v := range vips {
		delete(from, v.Prefix.Addr())
		to[v.Prefix.Addr()] = k.over(timeout)
	}
	return nil
}

func (k *kernel) shut(vips []fence.VIP) error {
	if err := k.needGate(); err != nil {
		return err
	}
	if k.w.now < k.stuck {
		return errKernel
	}
	for _, v := range vips {
		delete(k.armed, v.Prefix.Addr())
		delete(k.leased, v.Prefix.Addr())
	}
	return nil
}

// add puts an address on, for ever or until up to 1.3 s after its lifetime.
func (k *kernel) add(a netip.Addr, lifetime time.Duration) {
	k.present[a] = forever
	if lifetime > 0 {
		ends := k.host.clock.read(k.w.now).Add(lifetime + k.w.between(0, 1300*time.Millisecond))
		k.present[a] = k.host.clock.when(ends)
	}
}

func (k *kernel) remove(a netip.Addr) (found bool, err error) {
	if k.present[a] <= k.w.now {
		return false, nil
	}
	if k.w.now < k.refuses {
		return false, errKernel
	}
	delete(k.present, a)
	return true, nil
}

func merge(a, b []netip.Addr) []netip.Addr {
	all := slices.Concat(a, b)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
