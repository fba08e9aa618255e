package consensus

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Patience is how long a leader waits for a session before it proposes its
// expiry: ttl × (1 + drift) + margin of its own clock, counted from the instant
// when it last heard. The holder counts ttl from before it asked.
type Patience struct {
	// Drift bounds how much the rates of two hosts' clocks differ, as a fraction.
	Drift float64
	// Margin is added for the granularity of the kernels' timers.
	Margin time.Duration
}

// DefaultMargin covers one timer tick of the holder's kernel (10 ms at HZ=100)
// twice over.
const DefaultMargin = 20 * time.Millisecond

func (p Patience) of(ttl time.Duration) time.Duration {
	return ttl + time.Duration(float64(ttl)*p.Drift) + p.Margin
}

// proposalRetry is how long a lessor waits before it proposes an expiry again
// whose outcome it has not seen.
const proposalRetry = 500 * time.Millisecond

// Lessor is the leader's watch over the sessions. Every node has one; it works
// only between [Lessor.Lead] and [Lessor.Depose]. It is pure and not safe for
// concurrent use.
//
// It keeps two rules that I1 rests on: after an election every session counts as
// heard at the moment this node began to lead, and once an expiry is proposed
// there is never a yes for that session again.
type Lessor struct {
	patience Patience
	term     uint64 // 0 while this node doesn't lead
	sessions map[Session]*hearing

	// Expiries proposed in doomedTerm, and when last. They outlive Depose: they may
	// still commit, should this node be told again that it leads in that term.
	doomed     map[Session]boottime.Instant
	doomedTerm uint64
}

type hearing struct {
	ttl   time.Duration
	heard boottime.Instant
}

// NewLessor returns a lessor that leads nothing.
func NewLessor(p Patience) *Lessor { return &Lessor{patience: p} }

// Lead begins a term. Everything committed before it has been applied (the
// barrier of the term), and sessions is what the table then held. Told so twice in
// one term, it keeps what it has proposed in it.
func (l *Lessor) Lead(now boottime.Instant, term uint64, sessions []SessionRecord) {
	if l.doomedTerm != term {
		l.doomed, l.doomedTerm = map[Session]boottime.Instant{}, term
	}
	l.term = term
	l.sessions = make(map[Session]*hearing, len(sessions))
	for _, s := range sessions {
		l.sessions[s.Session] = &hearing{ttl: s.TTL, heard: now}
	}
}

// Depose ends the term.
func (l *Lessor) Depose() { l.term, l.sessions = 0, nil }

// Term is the term this node leads in, 0 when it does not.
func (l *Lessor) Term() uint64 { return l.term }

// Follow brings the watch up to the table's sessions: new ones count as heard
// now, ended ones are forgotten.
func (l *Lessor) Follow(now boottime.Instant, sessions []SessionRecord) {
	if l.term == 0 {
		return
	}
	followed := make(map[Session]*hearing, len(sessions))
	for _, s := range sessions {
		if h, known := l.sessions[s.Session]; known {
			followed[s.Session] = h
		} else {
			followed[s.Session] = &hearing{ttl: s.TTL, heard: now}
		}
	}
	l.sessions = followed
	maps.DeleteFunc(l.doomed, func(s Session, _ boottime.Instant) bool { return followed[s] == nil })
}

// Hear answers a keep-alive that arrived at now: whether the session lives, and
// if not, whether it is gone from the table. Neither is true when its expiry has
// been proposed, or when this node doesn't lead.
func (l *Lessor) Hear(now boottime.Instant, s Session) (yes, gone bool) {
	if l.term == 0 {
		return false, false
	}
	h, ok := l.sessions[s]
	if !ok {
		return false, true
	}
	if _, doomed := l.doomed[s]; doomed {
		return false, false
	}
	h.heard = max(h.heard, now)
	return true, false
}

// Overdue returns the sessions whose expiry is to be proposed now, in order of
// their epoch. From this call on they get no yes.
func (l *Lessor) Overdue(now boottime.Instant) []Session {
	var overdue []Session
	for s, h := range l.sessions {
		if now.Before(l.due(s, h)) {
			continue
		}
		l.doomed[s] = now
		overdue = append(overdue, s)
	}
	slices.SortFunc(overdue, func(a, b Session) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return overdue
}

// Deadline is when to call [Lessor.Overdue] next.
func (l *Lessor) Deadline() (boottime.Instant, bool) {
	var first boottime.Instant
	found := false
	for s, h := range l.sessions {
		if due := l.due(s, h); !found || due.Before(first) {
			first, found = due, true
		}
	}
	return first, found
}

func (l *Lessor) due(s Session, h *hearing) boottime.Instant {
	if proposed, doomed := l.doomed[s]; doomed {
		return proposed.Add(proposalRetry)
	}
	return h.heard.Add(l.patience.of(h.ttl))
}

// Silence is how long ago the leader heard from a session, for status.
func (l *Lessor) Silence(now boottime.Instant, s Session) (time.Duration, bool) {
	h, ok := l.sessions[s]
	if !ok {
		return 0, false
	}
	return now.Sub(h.heard), true
}
