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

	answers []Action // Dropped, Lapsed, Opened or Configured, oldest first; until given without Error
}

// silent reports whether the VIPs can't answer any more.
func (w *withdrawal) silent() bool { return len(w.present) == 0 || w.shut }

func (o *Owner) drop(now boottime.Instant, ev Drop) {
	answer := Dropped{Seq: ev.Seq, Groups: ev.Groups}
	var targets []*holding
	unknown := false
	for _, name := range ev.Groups {
		h := o.find(name)
		if h == nil {
			unknown = true
		} else if !slices.Contains(targets, h) {
			targets = append(targets, h)
		}
	}
	w := o.closing(now, targets, answer)
	for _, older := range o.withdrawals {
		// A name that is not ours any more was withdrawn when it was removed. That
		// may have failed, and nobody knows by now which addresses it had.
		if unknown && !older.silent() {
			w.present = append(w.present, older.present...)
			w.gated = append(w.gated, older.present...)
		}
	}
	o.begin(w)
}

func (o *Owner) dropAll(now boottime.Instant) {
	o.withdraw(now, o.holdings)
}

// withdraw takes the groups down and gives the answer, if one is wanted, when
// the first attempt is over; with its Error set, if it failed, and again when it
// has worked.
func (o *Owner) withdraw(now boottime.Instant, targets []*holding, answer ...Action) {
	o.begin(o.closing(now, targets, answer...))
}

// closing marks the groups as closed and lists what has to go.
func (o *Owner) closing(now boottime.Instant, targets []*holding, answer ...Action) *withdrawal {
	w := &withdrawal{due: now, answers: answer}
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
	return w
}

func (o *Owner) begin(w *withdrawal) {
	o.takeOver(w)
	o.withdrawn++
	w.number = o.withdrawn
	w.retryAfter = retryIntervalMin
	o.withdrawals = append(o.withdrawals, w)
	o.attempt(w)
}

// takeOver makes w the only withdrawal of its addresses. One that shares an
// address with it is merged whole: its answers speak for all of its addresses,
// so they have to wait until the last of these is silent.
func (o *Owner) takeOver(w *withdrawal) {
	var answers []Action
	var due boottime.Instant // of what may answer already; 0 when nothing may
	own := slices.Clone(w.present)
	fresh := slices.Clone(own) // of which no failed withdrawal knows since when
	rest := func(vips []VIP) []VIP {
		return slices.DeleteFunc(slices.Clone(vips), func(v VIP) bool { return slices.ContainsFunc(own, sameAddress(v)) })
	}
	o.withdrawals = slices.DeleteFunc(o.withdrawals, func(older *withdrawal) bool {
		present, gated := rest(older.present), rest(older.gated)
		if len(present) == len(older.present) && len(gated) == len(older.gated) {
			return false
		}
		if !older.silent() {
			if due == 0 || older.due.Before(due) {
				due = older.due
			}
			fresh = slices.DeleteFunc(fresh, func(v VIP) bool { return slices.ContainsFunc(older.present, sameAddress(v)) })
		}
		w.present = append(w.present, present...)
		w.gated = append(w.gated, gated...)
		w.found = append(w.found, older.found...)
		answers = append(answers, older.answers...)
		return true // outcomes that are still to come find it gone
	})
	switch {
	case due == 0:
	case len(fresh) == 0: // asking again makes nothing due earlier
		w.due = due
	default:
		w.due = min(w.due, due)
	}
	for _, answer := range w.answers {
		answers = append(withoutSuperseded(answers, answer), answer)
	}
	w.answers = answers
}

// withoutSuperseded leaves out the answers to a Drop which the newest one, of the
// same groups, makes needless: a controller that asks again and again while
// nothing works waits for its last question, and there are no more answers than
// there are lists of groups.
func withoutSuperseded(answers []Action, newest Action) []Action {
	dropped, ok := newest.(Dropped)
	if !ok {
		return answers
	}
	return slices.DeleteFunc(answers, func(answer Action) bool {
		older, ok := answer.(Dropped)
		return ok && slices.Equal(older.Groups, dropped.Groups)
	})
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

// report gives the withdrawal's answers, each at most once without an error.
func (o *Owner) report(w *withdrawal) {
	failure := ""
	if !w.silent() {
		failure = w.failure
	}
	var unsettled []Action
	for _, answer := range w.answers {
		if o.give(w, answer, failure) {
			unsettled = append(unsettled, answer)
		}
	}
	w.answers = unsettled
}

// give sends one answer and reports whether it is to be given again.
func (o *Owner) give(w *withdrawal, answer Action, failure string) (again bool) {
	switch answer := answer.(type) {
	case Dropped:
		answer.Error = failure
		o.emit(answer)
		return failure != ""
	case Lapsed:
		answer.Error = failure
		o.emit(answer)
		return failure != ""
	case Opened:
		o.emit(answer) // it has failed either way
		return false
	case Configured:
		o.configured(w, failure)
		return false
	}
	panic(fmt.Sprintf("fence: a withdrawal can't be answered by %T", answer))
}

// forget takes VIPs that are granted anew out of every withdrawal. They could
// only be armed because these had silenced them, so no answer waits for them.
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
