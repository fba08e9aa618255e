package demo

import (
	"slices"
	"sort"

	"github.com/hafence/hafence/internal/boottime"
)

// Record is what was observed, each list in the order of time. Nodes are
// numbered from 0.
type Record struct {
	Rounds    []boottime.Instant // when each round of questions began
	Answers   []Answer
	Probes    []Probe
	Addresses []Address
}

// Answer is a sign that a node answered for the VIP.
type Answer struct {
	At   boottime.Instant // the kernel's receive stamp
	Node int
	Via  Via
}

// Via is how an answer was had.
type Via uint8

// The ways.
const (
	ViaARP    Via = iota + 1 // asked by ARP on the node's own cable
	ViaIP                    // asked by UDP on the node's own cable
	ViaClient                // the client's UDP
)

// String names the way.
func (v Via) String() string {
	return [...]string{ViaARP: "ARP", ViaIP: "IP", ViaClient: "client"}[v]
}

// Probe is one question of the client.
type Probe struct {
	Sent     boottime.Instant
	Answered boottime.Instant // 0: not yet
	Node     int              // that answered
}

// Address is a change of whether a node has the VIP on an interface.
type Address struct {
	At      boottime.Instant
	Node    int
	Present bool
}

// window is a stretch of time, both ends included.
type window struct{ from, to boottime.Instant }

func (w window) has(at boottime.Instant) bool { return !at.Before(w.from) && !at.After(w.to) }

// within copies the answers of a window in the order of time. They come from
// several sockets, so that the record's order is only nearly that.
func (r *Record) within(w window) []Answer {
	var answers []Answer
	for _, a := range r.Answers {
		if w.has(a.At) {
			answers = append(answers, a)
		}
	}
	sort.SliceStable(answers, func(i, j int) bool { return answers[i].At.Before(answers[j].At) })
	return answers
}

// roundsBetween is how many rounds began after one instant and up to another.
func (r *Record) roundsBetween(after, upTo boottime.Instant) int {
	return r.roundsUpTo(upTo) - r.roundsUpTo(after)
}

func (r *Record) roundsUpTo(at boottime.Instant) int {
	return sort.Search(len(r.Rounds), func(i int) bool { return r.Rounds[i].After(at) })
}

// trim forgets what was before an instant, but for the last word on each address.
func (r *Record) trim(before boottime.Instant) {
	r.Rounds = r.Rounds[r.roundsUpTo(before):]
	r.Answers = slices.DeleteFunc(r.Answers, func(a Answer) bool { return a.At.Before(before) })
	r.Probes = slices.DeleteFunc(r.Probes, func(p Probe) bool { return p.Sent.Before(before) })
	var addresses []Address
	for i, a := range r.Addresses {
		later := slices.ContainsFunc(r.Addresses[i+1:], func(b Address) bool { return b.Node == a.Node })
		if !a.At.Before(before) || !later {
			addresses = append(addresses, a)
		}
	}
	r.Addresses = addresses
}

// clone copies the record, so that it can be read while more is written.
func (r *Record) clone() *Record {
	return &Record{
		Rounds: slices.Clone(r.Rounds), Answers: slices.Clone(r.Answers),
		Probes: slices.Clone(r.Probes), Addresses: slices.Clone(r.Addresses),
	}
}
