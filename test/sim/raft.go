package main

import (
	"slices"
	"time"

	"github.com/hafence/hafence/consensus"
)

type role uint8

const (
	follower role = iota + 1
	candidate
	leader
)

func (r role) String() string {
	return [...]string{follower: "follower", candidate: "candidate", leader: "leader"}[r]
}

// raft is a model of the Raft library, with the features that the lease's safety
// could notice: one main loop that waits for its disk; heartbeats that bypass it;
// terms and votes on disk before they are answered; pre-vote, the leader's lease
// and leadership transfer, each of them in some runs only. Its log is never
// compacted.
type raft struct {
	w     *world
	host  *host
	store *store
	proc  *process // the controller that it runs in
	disk  *disk
	name  string

	role    role
	term    uint64 // what the rest of the program reads: raised after it is on disk
	hint    string // who leads, as far as this node knows; "" for nobody
	contact moment // when that leader was last heard
	commit  uint64
	applied uint64
	votes   map[string]bool
	pre     bool // the votes are pre-votes

	// Leading.
	match, next map[string]uint64
	told        map[string]uint64 // commit index confirmed
	sent        map[string]moment
	heard       map[string]moment
	began       uint64 // index of the term's first entry
	muted       bool
	waiting     []waiter

	inbox   []func()
	busy    bool
	held    bool   // the main loop waits for the disk
	writing moment // since when; 0: no write is under way
}

// waiter waits for its entry to be applied.
type waiter struct {
	index uint64
	term  uint64
	done  func(result consensus.Result, ok bool)
}

func newRaft(s *store) *raft {
	r := &raft{
		w: s.w, host: s.host, store: s, proc: s.proc, disk: s.host.disk, name: s.host.name,
		role: follower, term: s.host.disk.term,
	}
	r.watchLeader()
	return r
}

// timeout is Raft's heartbeat and election timeout (DESIGN §3).
func (r *raft) timeout() time.Duration { return r.w.plan.TTL / 10 }

// --- the main loop ---

func (r *raft) enqueue(fn func()) {
	r.inbox = append(r.inbox, fn)
	r.kick()
}

func (r *raft) kick() {
	if r.busy || len(r.inbox) == 0 {
		return
	}
	r.busy = true
	r.proc.after(r.proc.wakeup(), func() {
		fn := r.inbox[0]
		r.inbox = r.inbox[1:]
		r.run(fn)
	})
}

func (r *raft) run(fn func()) {
	r.held = false
	fn()
	if !r.held {
		r.busy = false
		r.kick()
	}
}

// write changes the disk and goes on with then; the main loop waits.
func (r *raft) write(change func(d *disk), then func()) {
	r.held = true
	r.writing = r.w.now
	r.disk.write(func() { change(r.disk) }, func() {
		r.proc.after(0, func() {
			r.writing = 0
			r.run(then)
		})
	})
}

// setTerm goes to a higher term: to disk first, then to whoever reads it.
func (r *raft) setTerm(term uint64, then func()) {
	r.write(func(d *disk) { d.term, d.vote = term, "" }, func() {
		r.term = term
		then()
	})
}

// --- configuration ---

// voters are those of the latest configuration in the log, committed or not.
func (r *raft) voters() []string {
	v, _ := r.configuration()
	return v
}

func (r *raft) configuration() (voters []string, index uint64) {
	return r.disk.configuration()
}

func (r *raft) peers() []string {
	return slices.DeleteFunc(slices.Clone(r.voters()), func(n string) bool { return n == r.name })
}

func (r *raft) isMajority(has func(voter string) bool) bool {
	count := 0
	voters := r.voters()
	for _, v := range voters {
		if has(v) {
			count++
		}
	}
	return count > len(voters)/2
}

// change proposes another configuration, one voter different, if this leader's
// last one is committed.
func (r *raft) change(voters []string) {
	r.enqueue(func() {
		if _, index := r.configuration(); r.role != leader || index > r.commit || r.commit < r.began {
			return
		}
		r.w.say(r.name, "proposes another configuration")
		r.append(entry{voters: voters}, nil)
	})
}

// --- the log ---

// propose appends a command if this node leads, and calls done once it is applied
// or lost.
func (r *raft) propose(c consensus.Command, done func(result consensus.Result, ok bool)) {
	r.enqueue(func() {
		if r.role != leader {
			done(consensus.Result{}, false)
			return
		}
		r.append(entry{command: c}, done)
	})
}

// barrier calls done once everything before it, and an entry of this term, is
// applied.
func (r *raft) barrier(done func(consensus.Result, bool)) { r.propose(nil, done) }

// append is called in the main loop of a leader: first its own disk, then the
// others.
func (r *raft) append(e entry, done func(consensus.Result, bool)) {
	r.w.serial++
	e.term, e.id = r.term, r.w.serial
	r.write(func(d *disk) { d.add(e) }, func() {
		index, _ := r.disk.last()
		if done != nil {
			r.waiting = append(r.waiting, waiter{index: index, term: e.term, done: done})
		}
		r.replicateAll()
		r.advance()
	})
}

func (r *raft) replicateAll() {
	for _, p := range r.peers() {
		r.replicate(p)
	}
}

// replicate sends what a peer has not confirmed. It runs beside the main loop.
func (r *raft) replicate(peer string) {
	if r.role != leader || r.muted {
		return
	}
	next := max(r.next[peer], 1)
	last, _ := r.disk.last()
	next = min(next, last+1)
	m := appendEntries{
		term: r.term, from: r.name, commit: r.commit, previous: next - 1, previousTerm: r.disk.termAt(next - 1),
		entries: r.disk.log[next-1:],
	}
	r.sent[peer] = r.w.now
	r.send(peer, func(to *raft) { to.enqueue(func() { to.onAppend(m) }) })
}

// advance commits what a majority has, if it is of this term.
func (r *raft) advance() {
	last, _ := r.disk.last()
	r.match[r.name] = last
	for index := last; index > r.commit && r.disk.termAt(index) == r.term; index-- {
		if r.isMajority(func(v string) bool { return r.match[v] >= index }) {
			r.commit = index
			r.apply()
			// Followers hear of it with the next entry, or soon.
			r.proc.after(r.w.between(0, 20*time.Millisecond), func() {
				for _, p := range r.peers() {
					if r.told[p] < r.commit {
						r.replicate(p)
					}
				}
			})
			return
		}
	}
}

func (r *raft) apply() {
	for r.applied < r.commit && r.applied < uint64(len(r.disk.log)) {
		r.applied++
		e := r.disk.log[r.applied-1]
		r.w.check.committed(r.applied, e)
		var result consensus.Result
		if e.command != nil {
			result = r.store.apply(e)
		}
		for _, w := range r.waiting {
			if w.index == r.applied {
				w.done(result, w.term == e.term)
			}
		}
		r.waiting = slices.DeleteFunc(r.waiting, func(w waiter) bool { return w.index <= r.applied })
	}
}

// --- messages ---

type appendEntries struct {
	term         uint64
	from         string
	heartbeat    bool
	previous     uint64
	previousTerm uint64
	entries      []entry
	commit       uint64
}

type appendReply struct {
	term  uint64
	from  string
	beat  bool
	ok    bool
	match uint64
	told  uint64 // its commit index
	hint  uint64 // where to go on after a refusal
}

// send runs fn at a peer's raft, if it has one by then.
func (r *raft) send(peer string, fn func(to *raft)) {
	to := r.w.host(peer)
	r.w.net.send(&r.w.net.cluster, r.host.number, to.number, func() {
		if c := to.controller; c.serves() {
			c.after(0, func() { fn(c.store.raft) })
		}
	})
}

// onHeartbeat bypasses the main loop, as in the library, where it needs no disk.
func (r *raft) onHeartbeat(m appendEntries) {
	if r.role == follower && m.term == r.term {
		r.hint, r.contact = m.from, r.w.now
		r.reply(m, appendReply{ok: true})
		return
	}
	r.enqueue(func() { r.onAppend(m) })
}

func (r *raft) reply(m appendEntries, a appendReply) {
	a.term, a.from, a.beat = r.term, r.name, m.heartbeat
	r.send(m.from, func(to *raft) {
		if to.role == leader && to.term == a.term {
			to.heard[a.from] = r.w.now
		}
		if !a.beat || a.term > to.term {
			to.enqueue(func() { to.onAppendReply(a) })
		}
	})
}

func (r *raft) onAppend(m appendEntries) {
	switch {
	case m.term < r.term:
		r.reply(m, appendReply{})
		return
	case m.term > r.term:
		r.follow()
		r.setTerm(m.term, func() { r.onAppend(m) })
		return
	case r.role != follower:
		r.follow()
	}
	r.hint, r.contact = m.from, r.w.now
	if m.heartbeat {
		r.reply(m, appendReply{ok: true})
		return
	}
	last, _ := r.disk.last()
	if m.previous > last || r.disk.termAt(m.previous) != m.previousTerm {
		r.reply(m, appendReply{hint: min(m.previous, last+1)})
		return
	}
	matched := m.previous + uint64(len(m.entries))
	for i, e := range m.entries {
		index := m.previous + uint64(i) + 1
		if r.disk.termAt(index) == e.term {
			continue
		}
		rest := m.entries[i:]
		r.write(func(d *disk) { d.log = append(slices.Clip(d.log[:index-1]), rest...) }, func() { r.appended(m, matched) })
		return
	}
	r.appended(m, matched)
}

func (r *raft) appended(m appendEntries, matched uint64) {
	r.contact = r.w.now
	r.commit = max(r.commit, min(m.commit, matched))
	r.apply()
	r.reply(m, appendReply{ok: true, match: matched, told: r.commit})
}

func (r *raft) onAppendReply(a appendReply) {
	switch {
	case a.term > r.term:
		r.follow()
		r.setTerm(a.term, func() {})
		return
	case a.term < r.term || r.role != leader || a.beat:
		return
	case a.ok:
		r.match[a.from] = max(r.match[a.from], a.match)
		r.next[a.from] = max(r.next[a.from], a.match+1)
		r.told[a.from] = max(r.told[a.from], a.told)
		r.advance()
	default:
		r.next[a.from] = max(min(a.hint, r.next[a.from]), r.match[a.from]+1, 1)
		r.replicate(a.from)
	}
}
