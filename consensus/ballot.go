package consensus

import "github.com/hafence/hafence/internal/boottime"

// Answer is one voter's reply to the question "does this session live?".
type Answer struct {
	Round uint64 `json:"round"` // of the question it belongs to
	From  string `json:"from"`  // the voter
	Term  uint64 `json:"term"`  // the voter's Raft term when it answered

	// Clock is the voter's boottime, for [ClockRate] and for nothing else.
	Clock boottime.Instant `json:"clock,omitempty"`

	// Last is the index of the voter's last log entry, for the placement of the
	// leader and for nothing else.
	Last uint64 `json:"last,omitempty"`

	// The rest is the leader's alone.

	Leads  bool     `json:"leads,omitempty"`  // it leads in Term and has applied Term's barrier
	Yes    bool     `json:"yes,omitempty"`    // the session lives, and it has noted that it heard from it
	Gone   bool     `json:"gone,omitempty"`   // no such session in the table
	Voters []string `json:"voters,omitempty"` // the voters of its latest configuration
}

// Ballot counts the answers to one question. The zero Ballot is empty.
//
// It is carried when a majority of the voters answered with one and the same
// term, the leader of that term among them with a yes. Answers to other questions
// must not be put in: an acknowledgement that was on its way before the question
// can vouch for a leader that has been replaced (DESIGN §3).
type Ballot struct {
	answers map[string]Answer // by voter; a voter's last answer counts
}

// Put adds an answer.
func (b *Ballot) Put(a Answer) {
	if b.answers == nil {
		b.answers = map[string]Answer{}
	}
	b.answers[a.From] = a
}

// Carried reports whether the answers so far are a yes.
func (b *Ballot) Carried() bool {
	return b.decided(func(a Answer) bool { return a.Yes })
}

// Gone reports whether the answers so far say that the session has ended.
func (b *Ballot) Gone() bool {
	return b.decided(func(a Answer) bool { return a.Gone })
}

// decided reports whether a leader's answer satisfies says and a majority of its
// voters was in its term.
func (b *Ballot) decided(says func(Answer) bool) bool {
	for _, leader := range b.answers { // any one suffices: the order doesn't matter
		if leader.Leads && says(leader) && b.majority(leader) {
			return true
		}
	}
	return false
}

// majority counts by the leader's configuration, not by this node's: a
// configuration that has been left behind could leave a majority uncounted.
func (b *Ballot) majority(leader Answer) bool {
	count := 0
	leaderVotes := false
	for _, voter := range leader.Voters {
		if a, ok := b.answers[voter]; ok && a.Term == leader.Term {
			count++
			leaderVotes = leaderVotes || voter == leader.From
		}
	}
	return leaderVotes && count > len(leader.Voters)/2
}
