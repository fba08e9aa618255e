package demo

import (
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

const (
	// roundsMissable is how many rounds a node may begin to leave unanswered
	// before it counts as having stopped: the present one and one that was lost.
	roundsMissable = 2
	// answerPatience is after how long the client takes a probe for lost. One
	// that waited in the client's queue for an address resolution is answered
	// later than that.
	answerPatience = 250 * time.Millisecond
)

// outage is the longest gap between two answers to the client, both within the
// window, in which a probe was lost. Where the last probes of the window were
// lost the gap ends with the window.
func (r *Record) outage(w window) time.Duration {
	var longest time.Duration
	last, lost := w.from, false
	for _, p := range r.Probes {
		switch {
		case !w.has(p.Sent):
			continue
		case p.Answered == 0 || p.Answered.Sub(p.Sent) > answerPatience:
			// A probe that is still under way when the window ends is no loss.
			lost = lost || w.to.Sub(p.Sent) > answerPatience
		default:
			if lost {
				longest = max(longest, p.Answered.Sub(last))
			}
			last, lost = p.Answered, false
		}
	}
	if lost {
		longest = max(longest, w.to.Sub(last))
	}
	return longest
}

// stretch is a time through which one node answered: from one answer to another
// without leaving roundsMissable rounds unanswered.
type stretch struct {
	node    int
	answers []boottime.Instant
}

func (s stretch) first() boottime.Instant { return s.answers[0] }
func (s stretch) last() boottime.Instant  { return s.answers[len(s.answers)-1] }

// stretches are in the order of their first answers.
func (r *Record) stretches(w window) []stretch {
	var all []stretch
	latest := map[int]int{} // by node, an index into all
	for _, a := range r.within(w) {
		i, ok := latest[a.Node]
		if ok && r.roundsBetween(all[i].last(), a.At) <= roundsMissable {
			all[i].answers = append(all[i].answers, a.At)
			continue
		}
		latest[a.Node] = len(all)
		all = append(all, stretch{node: a.Node, answers: []boottime.Instant{a.At}})
	}
	return all
}

// dualAnswer is the time of the window in which two nodes answered: a second one
// answered at t1, and the first one again at t2 > t1 without having stopped in
// between. Stretches of one node never overlap.
func (r *Record) dualAnswer(w window) time.Duration {
	var overlaps []window
	all := r.stretches(w)
	for i, a := range all {
		for _, b := range all[i+1:] {
			if b.first().After(a.last()) {
				continue
			}
			if overlap, ok := both(a, b); ok {
				overlaps = append(overlaps, overlap)
			}
		}
	}
	return union(overlaps)
}

// both is the time through which a and b answered; a began no later. A lone
// answer of b in the midst of a's counts up to a's next one.
func both(a, b stretch) (window, bool) {
	overlap := window{from: b.first(), to: min(a.last(), b.last())}
	if overlap.from == overlap.to {
		i := slices.IndexFunc(a.answers, func(at boottime.Instant) bool { return at.After(b.first()) })
		if i < 0 {
			return window{}, false
		}
		overlap.to = a.answers[i]
	}
	return overlap, true
}

// union is the time that the windows cover.
func union(windows []window) time.Duration {
	slices.SortFunc(windows, func(a, b window) int { return int(a.from.Sub(b.from)) })
	var total time.Duration
	var reached boottime.Instant
	for _, w := range windows {
		from := max(w.from, reached)
		if w.to.After(from) {
			total += w.to.Sub(from)
			reached = w.to
		}
	}
	return total
}

// dualAddress is the time of the window in which two nodes or more had the
// address.
func (r *Record) dualAddress(w window) time.Duration {
	var total time.Duration
	has := map[int]bool{}
	since := w.from
	holders := func() (n int) {
		for _, present := range has {
			if present {
				n++
			}
		}
		return n
	}
	count := func(until boottime.Instant) {
		if until = min(until, w.to); holders() > 1 && until.After(since) {
			total += until.Sub(since)
		}
		since = max(since, until)
	}
	for _, a := range r.Addresses {
		count(a.At)
		has[a.Node] = a.Present
	}
	count(w.to)
	return total
}

// stale is how long after the window's begin, the fault, the node still answered.
func (r *Record) stale(node int, w window) time.Duration {
	var last time.Duration
	for _, a := range r.Answers {
		if a.Node == node && w.has(a.At) {
			last = max(last, a.At.Sub(w.from))
		}
	}
	return last
}

// untilSilent is how long after the window's begin the node went on answering
// before it first fell silent.
func (r *Record) untilSilent(node int, w window) time.Duration {
	for _, s := range r.stretches(w) {
		if s.node == node && r.roundsBetween(w.from, s.first()) <= roundsMissable {
			return s.last().Sub(w.from)
		}
	}
	return 0
}

// takeover is how long after the window's begin, the fault, the client had its
// first answer of another node than the one that was struck; 0 when it had none.
func (r *Record) takeover(struck int, w window) time.Duration {
	for _, p := range r.Probes {
		if p.Answered != 0 && w.has(p.Answered) && p.Node != struck {
			return p.Answered.Sub(w.from)
		}
	}
	return 0
}

// firstAnswer is when the client was first answered within the window.
func (r *Record) firstAnswer(w window) (Probe, bool) {
	i := slices.IndexFunc(r.Probes, func(p Probe) bool { return p.Answered != 0 && w.has(p.Answered) })
	if i < 0 {
		return Probe{}, false
	}
	return r.Probes[i], true
}

// answering is the node that alone answered, client and cable, throughout the
// window; -1 when there is none.
func (r *Record) answering(w window) int {
	node, asked := -1, false
	for _, a := range r.within(w) {
		if node >= 0 && node != a.Node {
			return -1
		}
		node = a.Node
	}
	for _, p := range r.Probes {
		if !w.has(p.Sent) || w.to.Sub(p.Sent) < answerPatience {
			continue
		}
		if asked = true; p.Answered == 0 {
			return -1
		}
	}
	if !asked {
		return -1
	}
	return node
}
