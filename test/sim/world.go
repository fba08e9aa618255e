package main

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// moment is true time: nanoseconds since the run began. Nobody in the simulated
// cluster can read it; see clock.
type moment int64

func (m moment) add(d time.Duration) moment       { return m + moment(d) }
func (m moment) sub(earlier moment) time.Duration { return time.Duration(m - earlier) }
func (m moment) String() string                   { return fmt.Sprintf("%.6f", float64(m)/float64(time.Second)) }

// world is one simulated cluster: one thread, one queue of events, one source of
// chance. The same seed gives the same run.
type world struct {
	plan    plan
	variant variant
	random  *rand.Rand
	now     moment
	queue   eventQueue
	serial  uint64 // of the last event scheduled
	events  uint64 // that have happened

	hosts   []*host
	net     *network
	check   *checker
	faults  *faults
	digest  hash.Hash64
	trace   io.Writer // nil: no trace
	verdict *Violation
	stats   stats
}

// stats are what a run has seen, to show that it saw something.
type stats struct {
	Takeovers      int // changes of a lease's holder in the log
	Openings       int // of a gate
	Lapses         int // of a node's session, or of the gate
	Elections      int // terms that somebody led
	Faults         int
	StaleAnnounces int // gratuitous ARP sent when the sender no longer answered and another node did
	StaleAdverts   int // the same for advertisements
}

// Violation is a broken promise.
type Violation struct {
	Invariant string
	At        moment
	Text      string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s broken at %v s: %s", v.Invariant, v.At, v.Text)
}

type event struct {
	at     moment
	serial uint64
	run    func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].serial < q[j].serial
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return last
}

func newWorld(p plan, v variant, trace io.Writer) *world {
	w := &world{
		plan: p, variant: v, trace: trace, digest: fnv.New64a(),
		random: rand.New(rand.NewPCG(p.Seed, 0x68616665_6e636500)),
	}
	w.net = newNetwork(w)
	w.check = newChecker(w)
	for n := range p.Nodes {
		w.hosts = append(w.hosts, newHost(w, n))
	}
	w.faults = &faults{w: w}
	return w
}

// after schedules run. Events of one moment happen in the order of their
// scheduling.
func (w *world) after(d time.Duration, run func()) { w.at(w.now.add(max(d, 0)), run) }

func (w *world) at(at moment, run func()) {
	w.serial++
	heap.Push(&w.queue, event{at: max(at, w.now), serial: w.serial, run: run})
}

// runUntil lets events happen until end, or until a promise is broken.
func (w *world) runUntil(end moment) {
	var line [8]byte
	for len(w.queue) > 0 && w.queue[0].at <= end && w.verdict == nil {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.events++
		binary.LittleEndian.PutUint64(line[:], uint64(e.at)^e.serial<<40)
		_, _ = w.digest.Write(line[:])
		e.run()
	}
	w.now = max(w.now, end)
}

// say writes a line of the trace. What is said is part of the digest.
func (w *world) say(who, text string) {
	_, _ = io.WriteString(w.digest, text)
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%14v %-7s %s\n", w.now, who, text)
	}
}

// sayf is say for what is too frequent to be formatted without a reader.
func (w *world) sayf(who, format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%14v %-7s %s\n", w.now, who, fmt.Sprintf(format, args...))
	}
}

func (w *world) fail(invariant, format string, args ...any) {
	if w.verdict == nil {
		w.verdict = &Violation{Invariant: invariant, At: w.now, Text: fmt.Sprintf(format, args...)}
		w.say("CHECK", w.verdict.Error())
	}
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return p > 0 && w.random.Float64() < p }

// between draws a duration evenly.
func (w *world) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.random.Int64N(int64(high-low)+1))
}

// spread draws a duration so that each order of magnitude is as likely as
// another.
func (w *world) spread(low, high time.Duration) time.Duration {
	l, h := math.Log(float64(low)), math.Log(float64(high))
	return time.Duration(math.Exp(l + w.random.Float64()*(h-l)))
}

func (w *world) pick(n int) int { return w.random.IntN(n) }
