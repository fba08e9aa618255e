package consensus

import "testing"

func voted(from string, term uint64) Answer { return Answer{From: from, Term: term} }

func led(from string, term uint64, yes bool, voters ...string) Answer {
	return Answer{From: from, Term: term, Leads: true, Yes: yes, Gone: !yes, Voters: voters}
}

// DESIGN §3: "It is a yes when a majority of the voters answered with one and the
// same term, the leader of that term among them." One row for each way to miss it.
func TestBallotIsCarriedByALeaderAndAMajorityOfItsTerm(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []Answer
		carried bool
	}{
		{"leader and one more", []Answer{led("a", 3, true, "a", "b", "c"), voted("b", 3)}, true},
		{"leader alone of three", []Answer{led("a", 3, true, "a", "b", "c")}, false},
		{"leader alone of one", []Answer{led("a", 3, true, "a")}, true},
		{"no leader", []Answer{voted("a", 3), voted("b", 3), voted("c", 3)}, false},
		{"another term", []Answer{led("a", 3, true, "a", "b", "c"), voted("b", 4), voted("c", 4)}, false},
		{"leader of an older term", []Answer{led("a", 3, true, "a", "b", "c"), led("b", 4, false, "a", "b", "c"), voted("c", 4)}, false},
		{"the leader says no", []Answer{{From: "a", Term: 3, Leads: true, Voters: []string{"a", "b", "c"}}, voted("b", 3), voted("c", 3)}, false},
		{"two of four", []Answer{led("a", 3, true, "a", "b", "c", "d"), voted("b", 3)}, false},
		{"a stranger's answer", []Answer{led("a", 3, true, "a", "b", "c"), voted("x", 3)}, false},
		{"one voter twice", []Answer{led("a", 3, true, "a", "b", "c"), voted("a", 3)}, false},
		{"the leader is no voter", []Answer{led("x", 3, true, "a", "b", "c"), voted("a", 3), voted("b", 3)}, false},
		{"a voter moved on before the leader answered", []Answer{voted("b", 3), voted("b", 4), led("a", 3, true, "a", "b", "c")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ballot Ballot
			for _, a := range test.answers {
				ballot.Put(a)
			}
			if got := ballot.Carried(); got != test.carried {
				t.Errorf("carried = %v, want %v", got, test.carried)
			}
		})
	}
}

// A session is gone only by the word of a leader whom a majority still follows:
// a deposed one does not know.
func TestBallotNeedsAMajorityForGone(t *testing.T) {
	var ballot Ballot
	ballot.Put(led("a", 3, false, "a", "b", "c"))
	if ballot.Gone() {
		t.Fatal("gone by the leader's word alone")
	}
	ballot.Put(voted("c", 3))
	if !ballot.Gone() {
		t.Fatal("not gone by the leader's and a majority's word")
	}
}
