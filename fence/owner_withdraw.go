package fence

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// withdrawal is VIPs on their way down: addresses are removed, then the gate is
// shut, and what failed is tried again for as long as it takes.
type withdrawal struct {
	number  uint64
	present []VIP        // not known to be gone
	gated   []VIP        // whose gate is to be shut; all of this withdrawal
	shut    bool         // the gate's shutting was acknowledged
	found   []netip.Addr // were there and have been removed
	due     boottime.Instant

	pending    int // outcomes outstanding in this attempt
	failure    string
	retryAt    boottime.Instant
	retryAfter time.Duration

	answer Action // Dropped, Lapsed, Opened or Configured, or nil; nil once given without Error
}

// silent reports whether the VIPs can't answer any more.
func (w *withdrawal) silent() bool { return len(w.present) == 0 || w.shut }

func (o *Owner) drop(now boottime.Instant, ev Drop) {
	answer := Dropped{Seq: ev.Seq, Groups: ev.Groups}
	var targets []*holding
	for _, name := range ev.Groups {
		if h := o.find(name); h != nil && !slices.Contains(targets, h) {
			targets = append(targets, h)
		}
	}
	// A name that is not ours any more has been withdrawn when it was removed.
	o.withdraw(now, targets, answer)
}

func (o *Owner) dropAll(now boottime.Instant) {
	o.withdraw(now, o.holdings, nil)
}

// withdraw takes the groups down and gives answer when the first attempt is
// over; with its Error set, if it failed, and again when it has worked.
func (o *Owner) withdraw(now boottime.Instant, targets []*holding, answer Action) {
	w := &withdrawal{due: now, answer: answer}
	until := boottime.Instant(0)
	for _, h := range targets {
		if h.up() && (until == 0 || h.deadline.Before(until)) {
			until = h.deadline
		}
		h.phase, h.lost, h.adding = phaseClosed, nil, 0
		w.present = append(w.present, h.VIPs...)
	}
	w.due = max(w.due, until) // what was granted may answer until its deadline
	w.gated = slices.Clone(w.present)
	o.begin(w)
}

func (o *Owner) begin(w *withdrawal) {
	for _, older := range o.withdrawals {
		for _, v := range older.present {
			if slices.ContainsFunc(w.present, sameAddress(v)) && !older.silent() {
				w.due = min(w.due, older.due)
			}
		}
	}
	o.forget(w.present) // this one takes over
	o.withdrawn++
	w.number = o.withdrawn
	w.retryAfter = retryIntervalMin
	o.withdrawals = append(o.withdrawals, w)
	o.attempt(w)
}

// attempt removes what is left. The gate is shut after the addresses, and
// whether or not they could be removed.
func (o *Owner) attempt(w *withdrawal) {
	w.failure = ""
	for _, v := range w.present {
		w.pending++
		o.emit(RemoveAddress{Withdrawal: w.number, VIP: v})
	}
	if o.gateUp && !w.shut && len(w.gated) > 0 {
		w.pending++
		o.emit(ShutGate{Withdrawal: w.number, VIPs: w.gated})
	}
	if w.pending == 0 {
		o.attempted(0, w)
	}
}

func (o *Owner) addressRemoved(now boottime.Instant, a RemoveAddress, ev Done) {
	w := o.withdrawal(a.Withdrawal)
	if w == nil {
		return
	}
	w.pending--
	if ev.Err != nil {
		w.failure = ev.Err.Error()
	} else {
		w.present = slices.DeleteFunc(slices.Clone(w.present), func(v VIP) bool { return v == a.VIP })
		if ev.Found {
			w.found = append(w.found, a.VIP.Prefix.Addr())
		}
	}
	o.attempted(now, w)
}

func (o *Owner) gateShut(now boottime.Instant, a ShutGate, err error) {
	w := o.withdrawal(a.Withdrawal)
	if w == nil {
		return
	}
	w.pending--
	if err != nil {
		w.failure = err.Error()
	} else {
		w.shut = true
	}
	o.attempted(now, w)
}

// attempted answers once every outcome of the attempt is in, and plans the next
// attempt if something is left.
func (o *Owner) attempted(now boottime.Instant, w *withdrawal) {
	if w.pending > 0 {
		return
	}
	finished := len(w.present) == 0 && (w.shut || !o.gateUp || len(w.gated) == 0)
	if finished {
		o.withdrawals = slices.DeleteFunc(o.withdrawals, func(other *withdrawal) bool { return other == w })
	} else {
		w.retryAt = now.Add(w.retryAfter)
		w.retryAfter = min(2*w.retryAfter, retryIntervalMax)
	}
	configuring := o.configuring != nil // its end trims by itself
	o.report(w)
	if finished && !configuring {
		o.trimManaged()
	}
}

// report gives the withdrawal's answer, at most once without an error.
func (o *Owner) report(w *withdrawal) {
	failure := ""
	if !w.silent() {
		failure = w.failure
	}
	switch answer := w.answer.(type) {
	case nil:
		return
	case Dropped:
		answer.Error = failure
		o.emit(answer)
	case Lapsed:
		answer.Error = failure
		o.emit(answer)
	case Opened:
		o.emit(answer) // it has failed either way
		w.answer = nil
	case Configured:
		o.configured(w, failure)
		w.answer = nil
	default:
		panic(fmt.Sprintf("fence: a withdrawal can't be answered by %T", w.answer))
	}
	if failure == "" {
		w.answer = nil
	}
}

// forget takes the VIPs out of every withdrawal.
func (o *Owner) forget(vips []VIP) {
	for _, w := range o.withdrawals {
		gone := func(v VIP) bool { return slices.ContainsFunc(vips, sameAddress(v)) }
		w.present = slices.DeleteFunc(slices.Clone(w.present), gone)
		w.gated = slices.DeleteFunc(slices.Clone(w.gated), gone)
	}
	o.withdrawals = slices.DeleteFunc(o.withdrawals, func(w *withdrawal) bool {
		return w.pending == 0 && len(w.present) == 0 && len(w.gated) == 0
	})
}

// withdrawing reports whether one of the VIPs may still answer although it
// shouldn't.
func (o *Owner) withdrawing(vips []VIP) bool {
	return slices.ContainsFunc(o.withdrawals, func(w *withdrawal) bool {
		return !w.silent() && slices.ContainsFunc(w.present, func(v VIP) bool { return slices.ContainsFunc(vips, sameAddress(v)) })
	})
}

func (o *Owner) withdrawal(number uint64) *withdrawal {
	for _, w := range o.withdrawals {
		if w.number == number {
			return w
		}
	}
	return nil
}

func sameAddress(v VIP) func(VIP) bool {
	return func(other VIP) bool { return other.Prefix.Addr() == v.Prefix.Addr() }
}
