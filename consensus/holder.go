package consensus

import (
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// HolderConfig are a node's own times. All must be above zero.
type HolderConfig struct {
	TTL      time.Duration // of the session, as the table has it
	Interval time.Duration // between the beginnings of two questions
	Retry    time.Duration // before the next question after one that was not carried
}

// NewHolderConfig derives the times from the TTL as DESIGN §3 does: a question
// every tenth of it, and another after a fortieth where one failed.
func NewHolderConfig(ttl time.Duration) HolderConfig {
	return HolderConfig{TTL: ttl, Interval: ttl / 10, Retry: ttl / 40}
}

// HolderEvent is what happens to a [Holder].
type HolderEvent interface{ holderEvent() }

type (
	// SessionOpened gives the holder a session to keep alive. Everything this node
	// held under an earlier one is withdrawn.
	SessionOpened struct{ Session Session }
	// SessionLeft takes the session away: the node has proposed to close it, or is
	// about to open another.
	SessionLeft struct{}
	// Answered is a voter's reply.
	Answered struct{ Answer Answer }
	// Refreshed says that the refresh which followed Extended has been acknowledged
	// by the guard, or that there was nothing to refresh.
	Refreshed struct{ Round uint64 }
	// Urged asks for a new question at once: something was armed just now, and may
	// be opened by a question asked after this.
	Urged struct{}
	// HolderTick says that the deadline of [Holder.Deadline] has come.
	HolderTick struct{}
)

func (SessionOpened) holderEvent() {}
func (SessionLeft) holderEvent()   {}
func (Answered) holderEvent()      {}
func (Refreshed) holderEvent()     {}
func (Urged) holderEvent()         {}
func (HolderTick) holderEvent()    {}

// HolderAction is what a [Holder] wants done. Actions are performed in order.
type HolderAction interface{ holderAction() }

type (
	// Ask sends the question to every voter. The instant of the step that returned
	// it is the question's t0; it was read before anything is sent.
	Ask struct {
		Round   uint64
		Session Session
	}
	// Extended says that the session lives until Deadline. Open gates are to be
	// refreshed with it, and the acknowledgement reported as Refreshed{Round}: no
	// later question is asked before that.
	Extended struct {
		Round    uint64
		T0       boottime.Instant
		Deadline boottime.Instant
	}
	// Lapsed says that the deadline has passed: nothing may be held. The kernel has
	// shut the gates by now, or does so this instant.
	Lapsed struct{ Session Session }
	// Gone says that the store has ended the session. A new one may be opened once
	// everything is withdrawn.
	Gone struct{ Session Session }
)

func (Ask) holderAction()      {}
func (Extended) holderAction() {}
func (Lapsed) holderAction()   {}
func (Gone) holderAction()     {}

// Holder keeps one node's session alive. It is pure and not safe for concurrent
// use.
type Holder struct {
	config  HolderConfig
	session Session

	round     uint64     // of the last question, 0 before the first
	questions []question // being answered, the oldest first; at most questionsMax
	awaiting  bool       // Extended was returned and its Refreshed has not come
	refresh   uint64     // the round of that Extended
	urged     bool       // ask again as soon as allowed

	next     boottime.Instant // when to ask again
	deadline boottime.Instant // of the session; 0 before the first yes
	lapsed   bool             // Lapsed was returned for this deadline
}

// questionsMax bounds the questions that are being answered at one time, so that
// a slow network still gets its answers counted.
const questionsMax = 16

type question struct {
	round  uint64
	t0     boottime.Instant
	ballot Ballot
}

// NewHolder returns a holder without a session.
func NewHolder(c HolderConfig) *Holder {
	if c.TTL <= 0 || c.Interval <= 0 || c.Retry <= 0 {
		panic("consensus: holder times must be above zero")
	}
	return &Holder{config: c}
}

// Session is the session being kept alive; zero when there is none.
func (h *Holder) Session() Session { return h.session }

// Alive reports whether the session is known to live at now, and until when.
func (h *Holder) Alive(now boottime.Instant) (boottime.Instant, bool) {
	return h.deadline, !h.session.IsZero() && now.Before(h.deadline)
}

// Deadline is when a HolderTick is due.
func (h *Holder) Deadline() (boottime.Instant, bool) {
	if h.session.IsZero() {
		return 0, false
	}
	at, found := h.next, !h.awaiting
	if h.deadline != 0 && !h.lapsed && (!found || h.deadline.Before(at)) {
		at, found = h.deadline, true
	}
	return at, found
}

// Step takes an event at now.
func (h *Holder) Step(now boottime.Instant, event HolderEvent) []HolderAction {
	switch event := event.(type) {
	case SessionOpened:
		*h = Holder{config: h.config, session: event.Session, round: h.round, next: now}
	case SessionLeft:
		*h = Holder{config: h.config, round: h.round}
	case Answered:
		return append(h.lapse(now), h.answered(now, event.Answer)...)
	case Refreshed:
		if event.Round == h.refresh {
			h.awaiting = false
		}
	case Urged:
		h.urged = true
	case HolderTick:
	default:
		panic("consensus: unknown holder event")
	}
	return append(h.lapse(now), h.ask(now)...)
}

// lapse notices a deadline that has passed.
func (h *Holder) lapse(now boottime.Instant) []HolderAction {
	if h.session.IsZero() || h.deadline == 0 || h.lapsed || now.Before(h.deadline) {
		return nil
	}
	h.lapsed = true
	return []HolderAction{Lapsed{Session: h.session}}
}

// ask begins a question when it is time. Never before the last refresh was
// acknowledged (rule (d) of the packet gate, DESIGN §5).
func (h *Holder) ask(now boottime.Instant) []HolderAction {
	if h.session.IsZero() || h.awaiting || (now.Before(h.next) && !h.urged) {
		return nil
	}
	h.round++
	h.urged = false
	h.questions = append(h.questions, question{round: h.round, t0: now})
	if len(h.questions) > questionsMax {
		h.questions = slices.Clone(h.questions[1:])
	}
	h.next = now.Add(h.config.Interval)
	return []HolderAction{Ask{Round: h.round, Session: h.session}}
}

// answered counts a reply to the question it belongs to, and to no other.
func (h *Holder) answered(now boottime.Instant, a Answer) []HolderAction {
	i := slices.IndexFunc(h.questions, func(q question) bool { return q.round == a.Round })
	if i < 0 {
		return nil
	}
	q := &h.questions[i]
	q.ballot.Put(a)
	switch {
	case q.ballot.Gone():
		gone := h.session
		*h = Holder{config: h.config, round: h.round}
		return []HolderAction{Gone{Session: gone}}
	case q.ballot.Carried():
		return h.extend(now, *q)
	}
	// Not carried so far. A later answer may still do it; meanwhile the next question
	// comes sooner than the usual interval.
	h.next = min(h.next, max(now, q.t0.Add(h.config.Retry)))
	return nil
}

// extend moves the deadline. The other questions that are being answered are
// forgotten: their t0 was read before the refresh which follows now.
func (h *Holder) extend(now boottime.Instant, q question) []HolderAction {
	h.questions = nil
	h.next = q.t0.Add(h.config.Interval)
	deadline := q.t0.Add(h.config.TTL)
	if !now.Before(deadline) { // the answer took longer than it is worth
		return h.ask(now)
	}
	h.deadline, h.lapsed = deadline, false
	h.awaiting, h.refresh = true, q.round
	return []HolderAction{Extended{Round: q.round, T0: q.t0, Deadline: deadline}}
}
