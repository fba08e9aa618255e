package consensus

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

var own = Session{Node: "a", Epoch: 9}

func newTestHolder(t *testing.T) *Holder {
	t.Helper()
	h := NewHolder(HolderConfig{TTL: ttl, Interval: 100 * time.Millisecond, Retry: 25 * time.Millisecond})
	want(t, h.Step(second, SessionOpened{own}), Ask{Round: 1, Session: own})
	return h
}

func want(t *testing.T, got []HolderAction, actions ...HolderAction) {
	t.Helper()
	if diff := cmp.Diff(actions, got); diff != "" {
		t.Fatalf("actions (-want +got):\n%s", diff)
	}
}

// yes is what makes a round carried: the leader's word, of a cluster of one.
func yes(round uint64) Answered {
	a := led("x", 3, true, "x")
	a.Round = round
	return Answered{a}
}

func at(ms int64) boottime.Instant { return second.Add(time.Duration(ms) * time.Millisecond) }

// The deadline is t0 + ttl, whenever the answer comes: t0 is when the question was
// asked.
func TestHolderCountsFromTheQuestion(t *testing.T) {
	h := newTestHolder(t)
	want(t, h.Step(at(90), yes(1)), Extended{Round: 1, T0: at(0), Deadline: at(1000)})
	if d, ok := h.Alive(at(999)); !ok || d != at(1000) {
		t.Fatalf("alive until %v, %v, want %v", d, ok, at(1000))
	}
	if _, ok := h.Alive(at(1000)); ok {
		t.Fatal("alive at the deadline")
	}
}

// Rule (d), DESIGN §5: no t0 is read before the last refresh was acknowledged.
func TestHolderAsksNothingBeforeTheRefreshIsAcknowledged(t *testing.T) {
	h := newTestHolder(t)
	h.Step(at(5), yes(1))
	want(t, h.Step(at(200), HolderTick{}))
	want(t, h.Step(at(210), Urged{}))
	want(t, h.Step(at(220), Refreshed{Round: 0})) // of another round
	want(t, h.Step(at(300), Refreshed{Round: 1}), Ask{Round: 2, Session: own})
	want(t, h.Step(at(320), yes(2)), Extended{Round: 2, T0: at(300), Deadline: at(1300)})
}

// An answer counts for its own question only, and for nothing once a later t0 has
// been granted.
func TestHolderCountsNoStaleAnswer(t *testing.T) {
	h := newTestHolder(t)
	want(t, h.Step(at(100), HolderTick{}), Ask{Round: 2, Session: own})
	want(t, h.Step(at(110), yes(2)), Extended{Round: 2, T0: at(100), Deadline: at(1100)})
	want(t, h.Step(at(120), yes(1)))
	want(t, h.Step(at(121), yes(2)))
	want(t, h.Step(at(130), Refreshed{Round: 2}))
	want(t, h.Step(at(131), yes(2)))
	want(t, h.Step(at(132), yes(77)))
}

// Half the answers to one question and half to another are no majority.
func TestHolderDoesNotMixRounds(t *testing.T) {
	h := newTestHolder(t)
	leader := led("x", 3, true, "x", "y", "z")
	leader.Round = 1
	h.Step(at(1), Answered{leader})
	h.Step(at(100), HolderTick{})
	follower := voted("y", 3)
	follower.Round = 2
	want(t, h.Step(at(101), Answered{follower}))
	follower.Round = 1
	want(t, h.Step(at(102), Answered{follower}), Extended{Round: 1, T0: at(0), Deadline: at(1000)})
}

// A network slower than the interval still keeps the session: several questions
// are open at one time.
func TestHolderLivesWithSlowAnswers(t *testing.T) {
	h := newTestHolder(t)
	for n := int64(1); n <= 4; n++ {
		h.Step(at(100*n), HolderTick{})
	}
	want(t, h.Step(at(450), yes(2)), Extended{Round: 2, T0: at(100), Deadline: at(1100)})
	// The others' t0 was read before the refresh that follows now.
	want(t, h.Step(at(451), Refreshed{Round: 2}), Ask{Round: 6, Session: own})
	want(t, h.Step(at(452), yes(5)))
}

func TestHolderSaysOnceThatItLapsed(t *testing.T) {
	h := newTestHolder(t)
	h.Step(at(1), yes(1))
	h.Step(at(2), Refreshed{Round: 1})
	got := h.Step(at(1000), HolderTick{})
	want(t, got[:1], Lapsed{own})
	for _, action := range h.Step(at(1100), HolderTick{}) {
		if _, again := action.(Lapsed); again {
			t.Fatal("lapsed twice")
		}
	}
}

// An answer that comes after its own deadline is worth nothing.
func TestHolderIgnoresAnAnswerThatCameTooLate(t *testing.T) {
	h := newTestHolder(t)
	for _, action := range h.Step(at(1000), yes(1)) {
		if _, extended := action.(Extended); extended {
			t.Fatal("extended to an instant that has passed")
		}
	}
	if _, ok := h.Alive(at(1000)); ok {
		t.Fatal("alive")
	}
}

func TestHolderStopsAskingForASessionThatIsGone(t *testing.T) {
	h := newTestHolder(t)
	gone := led("x", 3, false, "x")
	gone.Round = 1
	want(t, h.Step(at(1), Answered{gone}), Gone{own})
	want(t, h.Step(at(500), HolderTick{}))
	if _, ok := h.Deadline(); ok {
		t.Fatal("a tick is due without a session")
	}
}

// After a failed election the next question comes after Retry, not Interval.
func TestHolderAsksSoonerAfterANo(t *testing.T) {
	h := newTestHolder(t)
	follower := voted("y", 3)
	follower.Round = 1
	h.Step(at(1), Answered{follower})
	if next, ok := h.Deadline(); !ok || next != at(25) {
		t.Fatalf("next question at %v, want %v", next, at(25))
	}
	// A yes brings the usual interval back.
	h.Step(at(2), yes(1))
	h.Step(at(3), Refreshed{Round: 1})
	if next, ok := h.Deadline(); !ok || next != at(100) {
		t.Fatalf("next question at %v, want %v", next, at(100))
	}
}
