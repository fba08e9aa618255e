package demo

import (
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

const (
	round = Round
	start = boottime.Instant(time.Hour)
)

// at is the instant a number of milliseconds after the start.
func at(ms float64) boottime.Instant {
	return start.Add(time.Duration(ms * float64(time.Millisecond)))
}

// recorded is a record of rounds 10 ms apart, 0 to 1000 ms.
func recorded() *Record {
	r := &Record{}
	for i := range 101 {
		r.Rounds = append(r.Rounds, start.Add(time.Duration(i)*round))
	}
	return r
}

// answers makes a node answer every round of [from, to], shortly after it began.
func (r *Record) answers(node int, from, to float64) *Record {
	for ms := from; ms <= to; ms += 10 {
		r.Answers = append(r.Answers, Answer{At: at(ms + 0.1*float64(node+1)), Node: node, Via: ViaARP})
	}
	return r
}

// probes makes the client ask every 10 ms of [from, to]; node answers, unless it
// is negative.
func (r *Record) probes(node int, from, to float64) *Record {
	for ms := from; ms <= to; ms += 10 {
		p := Probe{Sent: at(ms), Node: node}
		if node >= 0 {
			p.Answered = at(ms + 1)
		}
		r.Probes = append(r.Probes, p)
	}
	return r
}

var whole = window{from: at(0), to: at(1000)}

// Two nodes answer at once whenever one answers between two answers of another
// that has not stopped, and never by handing over. Method: recorded answers.
func TestTwoAnswersAtOnceAreFoundAndHandoversAreNot(t *testing.T) {
	for _, c := range []struct {
		name   string
		record *Record
		want   float64
	}{
		{"nobody answers", recorded(), 0},
		{"one answers", recorded().answers(0, 0, 1000), 0},
		{"a hand-over within one round", recorded().answers(0, 0, 500).answers(1, 500, 1000), 0},
		{"a hand-over after an outage", recorded().answers(0, 0, 300).answers(1, 500, 1000), 0},
		{"handed over and back", recorded().answers(0, 0, 300).answers(1, 310, 600).answers(0, 610, 1000), 0},
		{"the old one goes on", recorded().answers(0, 0, 600).answers(1, 500, 1000), 99.9},
		{"the old one answers once more", recorded().answers(0, 0, 510).answers(1, 500, 1000), 9.9},
		{"the new one was written down first", recorded().answers(1, 500, 1000).answers(0, 0, 600), 99.9},
		{"the old one skips a round and answers again", recorded().answers(0, 0, 490).answers(0, 510, 510).answers(1, 500, 1000), 9.9},
		{"one lone answer of a second node", recorded().answers(0, 0, 1000).answers(1, 500, 500), 9.9},
		{"the old one comes back later", recorded().answers(0, 0, 300).answers(1, 400, 1000).answers(0, 700, 800), 100},
		{"three at once are not counted twice", recorded().answers(0, 0, 600).answers(1, 500, 600).answers(2, 500, 600), 100},
		{"outside the window", recorded().answers(0, -200, -100).answers(1, -200, -100), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := float64(c.record.dualAnswer(whole)) / float64(time.Millisecond)
			if diff := got - c.want; diff < -0.01 || diff > 0.01 {
				t.Errorf("dual answer = %v ms, want %v", got, c.want)
			}
		})
	}
}

// A pause of the observer, in which no round began, does not end a stretch: both
// sides of it belong together. Method: a record without rounds in the middle.
func TestPauseOfTheObserverHidesNoOverlap(t *testing.T) {
	r := recorded()
	r.Rounds = append(r.Rounds[:50:50], r.Rounds[70:]...) // none from 500 to 690 ms
	r.answers(0, 0, 490).answers(1, 490, 490).answers(0, 700, 700).answers(1, 700, 1000)
	if got, want := r.dualAnswer(whole), at(700.1).Sub(at(490.2)); got != want {
		t.Errorf("dual answer = %v, want %v", got, want)
	}
}

// The outage is the gap between answers around lost probes, and nothing else.
// Method: recorded probes.
func TestOutageIsTheLongestGapWithALostProbe(t *testing.T) {
	slow := recorded().probes(0, 0, 990)
	slow.Probes[50].Answered = slow.Probes[50].Sent.Add(answerPatience + 1)
	paused := recorded().probes(0, 0, 300).probes(0, 600, 990)
	for _, c := range []struct {
		name   string
		record *Record
		want   float64
	}{
		{"every probe is answered", recorded().probes(0, 0, 990), 0},
		{"nobody asked for a while", paused, 0},
		{"one probe is lost", recorded().probes(0, 0, 490).probes(-1, 500, 500).probes(1, 510, 990), 20},
		{"the longest of two gaps", recorded().probes(0, 0, 190).probes(-1, 200, 200).probes(0, 210, 390).probes(-1, 400, 600).probes(1, 610, 990), 220},
		{"an answer that came too late", slow, 20},
		{"the end is silent", recorded().probes(0, 0, 490).probes(-1, 500, 990), 509},
		{"all is silent", recorded().probes(-1, 0, 990), 1000},
		{"the last probes are still under way", recorded().probes(0, 0, 900).probes(-1, 910, 990), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := milliseconds(c.record.outage(whole)); got != c.want {
				t.Errorf("outage = %v ms, want %v", got, c.want)
			}
		})
	}
}

// Two addresses at once count from the second's coming to the first's going,
// also when the first came before the window. Method: recorded changes.
func TestTwoAddressesAtOnceAreMeasured(t *testing.T) {
	r := &Record{Addresses: []Address{
		{At: at(-500), Node: 0, Present: true},
		{At: at(400), Node: 1, Present: true},
		{At: at(650), Node: 0},
		{At: at(660), Node: 2},
		{At: at(700), Node: 1},
		{At: at(701), Node: 0, Present: true},
		{At: at(990), Node: 2, Present: true},
	}}
	if got, want := milliseconds(r.dualAddress(whole)), 250.0+10; got != want {
		t.Errorf("dual address = %v ms, want %v", got, want)
	}
}

// Stale is the time from the fault to the struck node's last answer, by whatever
// way. Method: recorded answers before, after and of others.
func TestStaleIsTheLastAnswerOfTheStruckNode(t *testing.T) {
	r := recorded().answers(0, 0, 450).answers(1, 600, 1000)
	if got, want := r.stale(0, window{from: at(300), to: at(1000)}), at(450.1).Sub(at(300)); got != want {
		t.Errorf("stale = %v, want %v", got, want)
	}
	if got := r.stale(0, window{from: at(460), to: at(1000)}); got != 0 {
		t.Errorf("stale after the last answer = %v, want 0", got)
	}
}

// A node that falls silent and comes back later, as it may once it is MASTER
// again, was stale up to its first silence. Method: recorded answers.
func TestComingBackLaterIsNotStale(t *testing.T) {
	r := recorded().answers(0, 0, 450).answers(0, 700, 1000)
	if got, want := r.untilSilent(0, window{from: at(300), to: at(1000)}), at(450.1).Sub(at(300)); got != want {
		t.Errorf("until silent = %v, want %v", got, want)
	}
	if got := r.untilSilent(0, window{from: at(500), to: at(1000)}); got != 0 {
		t.Errorf("until silent, when it was silent already = %v, want 0", got)
	}
}

// A takeover lasts from the fault to the first answer of another node. Method:
// recorded probes.
func TestTakeoverEndsWithTheFirstAnswerOfAnother(t *testing.T) {
	r := recorded().probes(0, 0, 400).probes(-1, 410, 690).probes(1, 700, 990)
	if got, want := r.takeover(0, window{from: at(300), to: at(1000)}), at(701).Sub(at(300)); got != want {
		t.Errorf("takeover = %v, want %v", got, want)
	}
	if got := r.takeover(1, window{from: at(710), to: at(1000)}); got != 0 {
		t.Errorf("takeover without another = %v, want 0", got)
	}
}

// A node is the one that answers only when every probe is answered, and nobody
// else answers, not even on its own cable. Method: recorded answers.
func TestAnsweringMeansAloneAndAlways(t *testing.T) {
	good := func() *Record { return recorded().answers(1, 0, 1000).probes(1, 0, 990) }
	lost := good()
	lost.Probes[3].Answered = 0
	for _, c := range []struct {
		name   string
		record *Record
		want   int
	}{
		{"alone and always", good(), 1},
		{"a lost probe", lost, -1},
		{"another on its cable", good().answers(2, 400, 400), -1},
		{"nobody asked", recorded().answers(1, 0, 1000), -1},
	} {
		if got := c.record.answering(whole); got != c.want {
			t.Errorf("%s: answering = %v, want %v", c.name, got, c.want)
		}
	}
}

// Forgetting keeps the last word on each address. Method: trim, then look.
func TestTrimKeepsTheLastWordOnAnAddress(t *testing.T) {
	r := recorded().answers(0, 0, 1000).probes(0, 0, 990)
	r.Addresses = []Address{{At: at(0), Node: 0, Present: true}, {At: at(10), Node: 1, Present: true}, {At: at(20), Node: 1}}
	r.trim(at(500))
	if got, want := r.Addresses, []Address{{At: at(0), Node: 0, Present: true}, {At: at(20), Node: 1}}; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("addresses = %v, want %v", got, want)
	}
	if r.Answers[0].At.Before(at(500)) || r.Probes[0].Sent.Before(at(500)) || r.Rounds[0].Before(at(500)) {
		t.Error("something older is left")
	}
}
