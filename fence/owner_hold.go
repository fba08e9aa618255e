package fence

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// refreshing is a Refresh whose gate transactions are being performed.
type refreshing struct {
	seq         uint64
	deadline    boottime.Instant
	refused     []string
	refreshed   []*holding
	outstanding int
}

func (o *Owner) arm(now boottime.Instant, ev Arm) {
	fail := func(format string, args ...any) {
		o.emit(Armed{Seq: ev.Seq, Group: ev.Group, Error: fmt.Sprintf(format, args...)})
	}
	h := o.find(ev.Group)
	switch {
	case h == nil:
		fail("arm %s: no such group", ev.Group)
	case h.up():
		fail("arm %s: the group is open", ev.Group)
	case o.withdrawing(h.VIPs):
		fail("arm %s: its last withdrawal has not succeeded yet", ev.Group)
	case !o.gateUp:
		o.armed(now, h, ev.Seq, o.ttl/2)
	default:
		timeout := (o.ttl/2 - GateMargin).Truncate(time.Millisecond)
		h.phase, h.seq = phaseArming, ev.Seq
		o.emit(ArmGate{Group: h.Name, VIPs: h.VIPs, Timeout: timeout})
	}
}

func (o *Owner) armed(now boottime.Instant, h *holding, seq uint64, timeout time.Duration) {
	h.phase = phaseArmed
	h.armedAt, h.armedUntil = now, now.Add(timeout)
	o.emit(Armed{Seq: seq, Group: h.Name})
}

func (o *Owner) gateArmed(now boottime.Instant, a ArmGate, err error) {
	h := o.find(a.Group)
	if h == nil || h.phase != phaseArming {
		return
	}
	if err != nil {
		h.phase = phaseClosed
		o.emit(Armed{Seq: h.seq, Group: h.Name, Error: fmt.Sprintf("arm %s: %v", h.Name, err)})
		return
	}
	o.armed(now, h, h.seq, a.Timeout)
}

func (o *Owner) open(now boottime.Instant, ev Open) {
	answer := Opened{Seq: ev.Seq, Group: ev.Group, Token: ev.Token}
	h := o.find(ev.Group)
	switch {
	case h == nil:
		answer.Error = fmt.Sprintf("open %s: no such group", ev.Group)
	case h.up():
		answer.Error = fmt.Sprintf("open %s: already open under token %d", ev.Group, h.token)
	case !now.Before(ev.Deadline):
		answer.Error, answer.Expired = fmt.Sprintf("open %s: the deadline has passed", ev.Group), true
	case h.phase != phaseArmed:
		answer.Error, answer.Expired = fmt.Sprintf("open %s: not armed, or no longer", ev.Group), true
	case o.gateUp && ev.Deadline.Add(-o.ttl).Before(h.armedAt): // rule (d)
		answer.Error, answer.Expired = fmt.Sprintf("open %s: the deadline counts from before the arming", ev.Group), true
	}
	timeout, expressible := o.gateTimeout(now, ev.Deadline)
	if answer.Error == "" && o.gateUp && !expressible {
		answer.Error, answer.Expired = fmt.Sprintf("open %s: %v are left of the grant, too little", ev.Group, ev.Deadline.Sub(now)), true
	}
	if answer.Error != "" {
		o.emit(answer)
		return
	}
	o.forget(h.VIPs) // a pending withdrawal must not take away what is now granted
	h.phase, h.seq, h.token, h.deadline = phaseOpening, ev.Seq, ev.Token, ev.Deadline
	h.gateAck, h.gateEnd, h.lost, h.repairs = 0, 0, nil, 0
	if !o.gateUp {
		o.addAll(now, h)
		return
	}
	o.emit(OpenGate{Group: h.Name, VIPs: h.VIPs, Timeout: timeout})
}

func (o *Owner) gateOpened(now boottime.Instant, a OpenGate, err error) {
	h := o.find(a.Group)
	if h == nil || h.phase != phaseOpening {
		return
	}
	if err != nil {
		o.openFailed(now, h, fmt.Errorf("open %s: %w", h.Name, err))
		return
	}
	if o.gateSettled(now, []*holding{h}, a.Timeout, h.deadline) {
		o.addAll(now, h)
	}
}

// gateSettled notes that the elements of these groups were acknowledged at now
// with the timeout. The transaction may have taken long, then the elements
// could outlive the deadline: they are shortened at once, and false returned.
func (o *Owner) gateSettled(now boottime.Instant, settled []*holding, timeout time.Duration, deadline boottime.Instant) bool {
	for _, h := range settled {
		h.gateAck, h.gateEnd = now, now.Add(timeout)
	}
	if !now.Add(timeout).After(deadline) {
		return true
	}
	shorter, expressible := o.gateTimeout(now, deadline)
	if !expressible {
		for _, h := range settled {
			o.lapse(now, h, "the kernel took too long to open the packet gate", true)
		}
		return false
	}
	o.emitRefresh(settled, shorter)
	return false
}

func (o *Owner) addAll(now boottime.Instant, h *holding) {
	h.adding = len(h.VIPs)
	h.renewAt = now.Add(renewInterval)
	for _, v := range h.VIPs {
		o.emit(AddAddress{Group: h.Name, VIP: v, Lifetime: o.addressLifetime(), Purpose: PurposeOpen})
	}
	if h.adding == 0 {
		o.opened(h)
	}
}

func (o *Owner) opened(h *holding) {
	h.phase = phaseHeld
	o.emit(Opened{Seq: h.seq, Group: h.Name, Token: h.token})
}

func (o *Owner) addressAdded(now boottime.Instant, a AddAddress, err error) {
	h := o.find(a.Group)
	if h == nil || !h.up() {
		return // it was dropped meanwhile; its removal is queued behind the addition
	}
	switch {
	case a.Purpose == PurposeOpen && h.phase == phaseOpening && err != nil:
		o.openFailed(now, h, fmt.Errorf("open %s: %w", h.Name, err))
	case a.Purpose == PurposeOpen && h.phase == phaseOpening:
		if h.adding--; h.adding == 0 {
			o.opened(h)
		}
	case a.Purpose == PurposeRenew && err != nil:
		h.renewAt = now // with the next refresh; the address lives on for seconds
	case a.Purpose == PurposeRepair && err != nil:
		o.lapse(now, h, err.Error(), true)
	case a.Purpose == PurposeRepair:
		h.repairs++
		o.emit(Repaired{Group: h.Name, VIP: a.VIP, Count: h.repairs})
	}
}

// openFailed takes back what was done for the opening. The answer follows the
// withdrawal.
func (o *Owner) openFailed(now boottime.Instant, h *holding, err error) {
	answer := Opened{Seq: h.seq, Group: h.Name, Token: h.token, Error: err.Error(), Expired: errors.Is(err, ErrExpired)}
	o.withdraw(now, []*holding{h}, answer)
}

func (o *Owner) refresh(now boottime.Instant, ev Refresh) {
	if o.refreshing != nil {
		panic("fence: Refresh before the outcome of the last one")
	}
	r := &refreshing{seq: ev.Seq, deadline: ev.Deadline}
	o.refreshing = r
	timeout, expressible := o.gateTimeout(now, ev.Deadline)
	var due []*holding
	for _, name := range ev.Groups {
		h := o.find(name)
		if h == nil || h.phase != phaseHeld || slices.Contains(r.refreshed, h) {
			if h == nil || h.phase != phaseHeld {
				r.refused = append(r.refused, name)
			}
			continue
		}
		if !now.Before(ev.Deadline) {
			continue // an old answer: it prolongs nothing
		}
		r.refreshed = append(r.refreshed, h)
		// Rule (d): an answer to a question asked before the last acknowledgement
		// proves nothing about the gate; the next refresh comes soon.
		if o.gateUp && expressible && !ev.Deadline.Add(-o.ttl).Before(h.gateAck) {
			due = append(due, h)
			continue
		}
		h.deadline = max(h.deadline, ev.Deadline)
	}
	if len(due) > 0 {
		o.emitRefresh(due, timeout)
		r.outstanding = 1
		return
	}
	o.refreshEnded(now)
}

func (o *Owner) emitRefresh(due []*holding, timeout time.Duration) {
	a := RefreshGate{Timeout: timeout}
	for _, h := range due {
		h.gateEnd = 0
		a.Groups = append(a.Groups, h.Name)
		a.VIPs = append(a.VIPs, h.VIPs...)
	}
	o.emit(a)
}

func (o *Owner) gateRefreshed(now boottime.Instant, a RefreshGate, err error) {
	var live []*holding
	for _, name := range a.Groups {
		if h := o.find(name); h != nil && h.up() {
			live = append(live, h)
		}
	}
	if len(live) == 1 && live[0].phase == phaseOpening { // shortened right after its opening
		h := live[0]
		if err != nil {
			o.openFailed(now, h, fmt.Errorf("open %s: %w", h.Name, err))
		} else if o.gateSettled(now, live, a.Timeout, h.deadline) {
			o.addAll(now, h)
		}
		return
	}
	r := o.refreshing
	if r == nil {
		return
	}
	r.outstanding--
	switch {
	case err != nil && len(a.Groups) > 1 && !errors.Is(err, ErrGateGone):
		for _, h := range live { // one lapse must not take the others along
			o.emitRefresh([]*holding{h}, a.Timeout)
			r.outstanding++
		}
	case err != nil:
		for _, h := range live {
			o.lapse(now, h, err.Error(), false)
		}
	default:
		for _, h := range live {
			h.deadline = max(h.deadline, r.deadline)
		}
		if len(live) > 0 && !o.gateSettled(now, live, a.Timeout, r.deadline) && o.anyUp(live) {
			r.outstanding++
		}
	}
	if r.outstanding == 0 {
		o.refreshEnded(now)
	}
}

func (o *Owner) anyUp(holdings []*holding) bool {
	return slices.ContainsFunc(holdings, (*holding).up)
}

// refreshEnded answers first, for the next keep-alive waits for it, and then
// renews the addresses' lifetimes where that is due.
func (o *Owner) refreshEnded(now boottime.Instant) {
	r := o.refreshing
	o.refreshing = nil
	for _, h := range r.refreshed {
		if h.phase != phaseHeld {
			r.refused = append(r.refused, h.Name)
		}
	}
	o.emit(Refreshed{Seq: r.seq, Refused: r.refused})
	if !o.lifetime {
		return
	}
	for _, h := range r.refreshed {
		if h.phase != phaseHeld || now.Before(h.renewAt) {
			continue
		}
		h.renewAt = now.Add(renewInterval)
		for _, v := range h.VIPs {
			o.emit(AddAddress{Group: h.Name, VIP: v, Lifetime: o.addressLifetime(), Purpose: PurposeRenew})
		}
	}
}

func (o *Owner) addressLost(now boottime.Instant, vip VIP) {
	for _, h := range o.holdings {
		if h.phase != phaseHeld || !slices.Contains(h.VIPs, vip) || slices.Contains(h.lost, vip) {
			continue
		}
		h.lost = append(h.lost, vip)
		if !now.Before(h.repairAt) {
			o.repair(now, h)
		}
	}
}

func (o *Owner) repair(now boottime.Instant, h *holding) {
	for _, v := range h.lost {
		o.emit(AddAddress{Group: h.Name, VIP: v, Lifetime: o.addressLifetime(), Purpose: PurposeRepair})
	}
	h.lost, h.repairAt = nil, now.Add(repairInterval)
}

func (o *Owner) interfaceLost(now boottime.Instant, name string) {
	for _, h := range o.holdings {
		if h.up() && slices.ContainsFunc(h.VIPs, func(v VIP) bool { return v.Interface == name }) {
			o.lapse(now, h, fmt.Sprintf("interface %s is gone", name), false)
		}
	}
}

// lapse drops a group unasked. The report follows the withdrawal.
func (o *Owner) lapse(now boottime.Instant, h *holding, cause string, expired bool) {
	if h.phase == phaseOpening {
		o.withdraw(now, []*holding{h}, Opened{Seq: h.seq, Group: h.Name, Token: h.token, Error: "open " + h.Name + ": " + cause, Expired: expired})
		return
	}
	o.withdraw(now, []*holding{h}, Lapsed{Group: h.Name, Token: h.token, Cause: cause})
}
