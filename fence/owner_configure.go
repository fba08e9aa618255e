package fence

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hafence/hafence/internal/boottime"
)

// configuring is a Configure on its way through the kernel.
type configuring struct {
	seq        uint64
	gateReason string
}

// configure proceeds in four stages: what the new configuration doesn't want is
// withdrawn; the gate is built or changed; every address that is not held is
// removed; then the gate is trimmed to what is managed and the answer given.
func (o *Owner) configure(now boottime.Instant, ev Configure) {
	if o.configuring != nil {
		panic("fence: Configure before the outcome of the last one")
	}
	if err := ev.validate(); err != nil {
		o.emit(Configured{Seq: ev.Seq, Gate: o.gateUp, Error: "configure: " + err.Error()})
		return
	}
	// A gate that appears would shut what is open; elements of a longer TTL could
	// outlive a grant of the shorter one.
	restart := o.gateWanted != ev.Gate || o.arpOnly != ev.ARPOnly || ev.TTL < o.ttl
	var kept, gone []*holding
	for _, g := range ev.Groups {
		h := o.find(g.Name)
		if h == nil || !h.equal(g) || (restart && h.phase != phaseClosed) {
			h = &holding{Group: Group{Name: g.Name, VIPs: slices.Clone(g.VIPs)}, phase: phaseClosed}
		}
		kept = append(kept, h)
	}
	for _, h := range o.holdings {
		if !slices.Contains(kept, h) {
			gone = append(gone, h)
		}
	}
	rebuild := o.arpOnly != ev.ARPOnly
	o.ttl, o.lifetime, o.gateWanted, o.arpOnly = ev.TTL, ev.Lifetime, ev.Gate, ev.ARPOnly
	before := o.managed
	o.holdings = kept
	o.configuring = &configuring{seq: ev.Seq}
	for _, h := range gone {
		if h.phase == phaseHeld {
			o.withdraw(now, []*holding{h}, Lapsed{Group: h.Name, Token: h.token, Cause: "the configuration of the group has changed"})
		} else {
			o.withdraw(now, []*holding{h})
		}
	}
	switch {
	case ev.Gate && o.gateUp && !rebuild:
		// Old and new: a withdrawal that fails must find its gate still shut.
		o.manage(union(before, o.wantManaged()))
	case ev.Gate:
		o.emit(SetUpGate{Managed: o.wantManaged(), ARPOnly: o.arpOnly})
	default:
		o.emit(InspectGate{})
	}
}

func (ev Configure) validate() error {
	if ev.TTL < TTLMin || ev.TTL > TTLMax {
		return fmt.Errorf("lease TTL %v is not within %v and %v", ev.TTL, TTLMin, TTLMax)
	}
	return validateGroups(ev.Groups)
}

func (o *Owner) gateSetUp(now boottime.Instant, ev Done) {
	a := ev.Action.(SetUpGate)
	o.gateUp = ev.Err == nil
	reason := ""
	if ev.Err != nil {
		reason = ev.Err.Error()
	} else {
		o.managed = union(a.Managed, ev.Leftover)
	}
	if o.configuring == nil { // it had been removed by somebody
		o.emit(GateChanged{Gate: o.gateUp, Reason: reason})
		return
	}
	o.configuring.gateReason = reason
	o.clear(now, ev.Leftover)
}

// gateInspected goes on without a gate. The error, if any, is that of a kernel
// which has none: nothing can be left over there.
func (o *Owner) gateInspected(now boottime.Instant, ev Done) {
	if len(ev.Leftover) > 0 {
		o.gateUp, o.managed = true, ev.Leftover // to be removed when these are gone
	}
	if o.configuring != nil {
		o.clear(now, ev.Leftover)
	}
}

func (o *Owner) gateManaged(now boottime.Instant, ev Done) {
	if o.configuring == nil {
		return // a trim that failed leaves more behind the gate than needed
	}
	if ev.Err != nil {
		seq := o.configuring.seq
		o.configuring = nil
		o.emit(Configured{Seq: seq, Gate: o.gateUp, Error: "configure the packet gate: " + ev.Err.Error()})
		return
	}
	o.clear(now, nil)
}

func (o *Owner) gateRemoved(_ boottime.Instant, ev Done) {
	if ev.Err == nil {
		o.gateUp, o.managed = false, nil
	}
}

// clear is the crash-only part: whatever is managed and not held now, and
// whatever a previous life had managed, is removed from wherever it is.
func (o *Owner) clear(now boottime.Instant, leftover []netip.Addr) {
	var targets []VIP
	wanted := make(map[netip.Addr]bool)
	for _, h := range o.holdings {
		for _, v := range h.VIPs {
			wanted[v.Prefix.Addr()] = true
			if h.phase == phaseClosed {
				targets = append(targets, anywhere(v.Prefix.Addr()))
			}
		}
	}
	for _, address := range leftover {
		if !wanted[address] {
			targets = append(targets, anywhere(address))
		}
	}
	o.begin(&withdrawal{
		present: targets,
		gated:   slices.Clone(targets),
		due:     now,
		answers: []Action{Configured{Seq: o.configuring.seq}},
	})
}

// anywhere names an address on whatever interface it may be: a previous life
// may have had it on another one.
func anywhere(address netip.Addr) VIP {
	return VIP{Prefix: netip.PrefixFrom(address, address.BitLen())}
}

// configured ends a Configure after the first attempt of its withdrawal. A host
// on which something may answer without a grant isn't clean, whoever had it: also
// a group that has left the configuration counts.
func (o *Owner) configured(w *withdrawal, failure string) {
	answer := Configured{Seq: o.configuring.seq, GateReason: o.configuring.gateReason, Removed: w.found}
	if failure == "" {
		failure = o.unsilenced()
	}
	if failure != "" {
		answer.Error = "configure: " + failure
	}
	o.configuring = nil
	o.trimManaged()
	answer.Gate = o.gateUp && o.gateWanted
	o.emit(answer)
}

// unsilenced says why a withdrawal has not silenced its VIPs, "" when all have.
func (o *Owner) unsilenced() string {
	for _, w := range o.withdrawals {
		switch {
		case w.silent():
			continue
		case w.failure == "": // it is being tried again just now
			return "an earlier withdrawal has not succeeded yet"
		}
		return "an earlier withdrawal has not succeeded yet: " + w.failure
	}
	return ""
}

// trimManaged lets go of addresses that are neither configured nor on their
// way down.
func (o *Owner) trimManaged() {
	if !o.gateUp {
		return
	}
	if !o.gateWanted {
		if len(o.withdrawals) == 0 {
			o.emit(RemoveGate{})
		}
		return
	}
	if want := o.wantManaged(); !slices.Equal(want, o.managed) {
		o.manage(want)
	}
}

func (o *Owner) manage(addresses []netip.Addr) {
	o.managed = addresses
	o.emit(ManageGate{Managed: addresses})
}

func (o *Owner) wantManaged() []netip.Addr {
	var addresses []netip.Addr
	for _, h := range o.holdings {
		addresses = append(addresses, addressesOf(h.VIPs)...)
	}
	for _, w := range o.withdrawals {
		addresses = append(addresses, addressesOf(w.present)...)
	}
	return union(addresses, nil)
}

// gateGone answers the loss of our tables: whoever depended on them is dropped,
// for nothing fences it, and the gate is built anew.
func (o *Owner) gateGone(now boottime.Instant) {
	if !o.gateUp {
		return
	}
	o.gateUp = false
	for _, h := range o.holdings {
		if h.up() {
			o.lapse(now, h, ErrGateGone.Error(), false)
		}
	}
	o.emit(GateChanged{Gate: false, Reason: ErrGateGone.Error()})
	if o.gateWanted {
		o.emit(SetUpGate{Managed: o.wantManaged(), ARPOnly: o.arpOnly})
	}
}

// union merges two lists of addresses: sorted, each once.
func union(a, b []netip.Addr) []netip.Addr {
	merged := slices.Concat(a, b)
	slices.SortFunc(merged, netip.Addr.Compare)
	return slices.Compact(merged)
}
