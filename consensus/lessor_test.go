package consensus

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

const (
	second = boottime.Instant(time.Second)
	ttl    = time.Second
)

var patience = Patience{Drift: 0.01, Margin: 20 * time.Millisecond} // 1.03 s for a TTL of one

func record(node string, epoch uint64) SessionRecord {
	return SessionRecord{Session: Session{Node: node, Epoch: epoch}, Host: "h", Life: 1, TTL: ttl}
}

// The leader waits ttl × (1 + drift) + margin after it last heard, to the
// nanosecond.
func TestLessorWaitsForTTLAndDriftAndMargin(t *testing.T) {
	l := NewLessor(patience)
	a := record("a", 1)
	l.Lead(10*second, 5, []SessionRecord{a})
	if yes, gone := l.Hear(11*second, a.Session); !yes || gone {
		t.Fatalf("heard: yes %v, gone %v", yes, gone)
	}
	end := (11 * second).Add(1030 * time.Millisecond)
	if at, ok := l.Deadline(); !ok || at != end {
		t.Fatalf("deadline %v, %v, want %v", at, ok, end)
	}
	if got := l.Overdue(end - 1); got != nil {
		t.Fatalf("a nanosecond early: %v", got)
	}
	if diff := cmp.Diff([]Session{a.Session}, l.Overdue(end)); diff != "" {
		t.Fatalf("overdue (-want +got):\n%s", diff)
	}
}

// "a new leader … counts every session as heard at the moment it began to lead".
func TestLessorCountsEverySessionAsHeardWhenItBegins(t *testing.T) {
	l := NewLessor(patience)
	a := record("a", 1)
	l.Lead(10*second, 5, []SessionRecord{a})
	l.Depose()
	l.Lead(100*second, 7, []SessionRecord{a})
	if got := l.Overdue((100 * second).Add(ttl)); got != nil {
		t.Fatalf("overdue a TTL after the election: %v", got)
	}
}

// "never for one whose expiry it has proposed".
func TestLessorNeverSaysYesOnceExpiryIsProposed(t *testing.T) {
	l := NewLessor(patience)
	a := record("a", 1)
	l.Lead(10*second, 5, []SessionRecord{a})
	l.Overdue(20 * second)
	if yes, gone := l.Hear(20*second+1, a.Session); yes || gone {
		t.Fatalf("yes %v, gone %v, want neither: the expiry may commit at any time", yes, gone)
	}
	l.Follow(21*second, []SessionRecord{a})
	if yes, _ := l.Hear(21*second, a.Session); yes {
		t.Fatal("yes after the table changed otherwise")
	}
	if got := l.Overdue(20*second + boottime.Instant(proposalRetry)); len(got) != 1 {
		t.Fatal("the expiry is not proposed again although nothing came of it")
	}
}

// A second election notice of one term must not bring a doomed session back: its
// expiry may still commit. Method: told directly again, and after a Depose.
func TestLessorKeepsTheDoomedWhenToldTwiceThatItLeads(t *testing.T) {
	l := NewLessor(patience)
	a, b := record("a", 1), record("b", 2)
	l.Lead(10*second, 5, []SessionRecord{a})
	l.Overdue(20 * second)
	l.Lead(20*second+1, 5, []SessionRecord{a, b})
	if yes, gone := l.Hear(20*second+2, a.Session); yes || gone {
		t.Fatalf("told again: yes %v, gone %v, want neither", yes, gone)
	}
	if yes, _ := l.Hear(20*second+2, b.Session); !yes {
		t.Fatal("no yes for a session that nothing was proposed for")
	}
	l.Depose()
	l.Lead(20*second+3, 5, []SessionRecord{a, b})
	if yes, gone := l.Hear(20*second+4, a.Session); yes || gone {
		t.Fatalf("deposed and told again: yes %v, gone %v, want neither", yes, gone)
	}
	l.Lead(20*second+5, 6, []SessionRecord{a, b})
	if yes, _ := l.Hear(20*second+6, a.Session); !yes {
		t.Fatal("no yes in the next term: an expiry of the term before changes nothing there")
	}
}

func TestLessorSaysNothingWhileItDoesNotLead(t *testing.T) {
	l := NewLessor(patience)
	a := record("a", 1)
	l.Follow(second, []SessionRecord{a})
	if yes, gone := l.Hear(second, a.Session); yes || gone {
		t.Fatalf("before the first term: yes %v, gone %v", yes, gone)
	}
	l.Lead(10*second, 5, []SessionRecord{a})
	l.Depose()
	if yes, gone := l.Hear(11*second, a.Session); yes || gone {
		t.Fatalf("after the term: yes %v, gone %v", yes, gone)
	}
	if got := l.Overdue(99 * second); got != nil {
		t.Fatalf("expiries after the term: %v", got)
	}
}

// Sessions come and go during a term: a new one has its whole TTL, an ended one is
// gone.
func TestLessorFollowsTheTable(t *testing.T) {
	l := NewLessor(patience)
	a, b := record("a", 1), record("b", 2)
	l.Lead(10*second, 5, []SessionRecord{a})
	l.Follow(15*second, []SessionRecord{b})
	if yes, gone := l.Hear(15*second, a.Session); yes || !gone {
		t.Fatalf("ended session: yes %v, gone %v", yes, gone)
	}
	if got := l.Overdue((15 * second).Add(ttl)); got != nil {
		t.Fatalf("a new session is overdue within its TTL: %v", got)
	}
	// Following again must not count as hearing.
	l.Follow((15 * second).Add(ttl), []SessionRecord{b})
	if got := l.Overdue((15 * second).Add(1030 * time.Millisecond)); len(got) != 1 {
		t.Fatalf("overdue: %v, want b", got)
	}
}
