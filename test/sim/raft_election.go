package main

import (
	"time"

	"github.com/hafence/hafence/consensus"
)

// watchLeader looks for the leader's silence, again and again.
func (r *raft) watchLeader() {
	wait := r.timeout() + r.w.between(0, r.timeout())
	r.proc.after(wait, func() {
		r.enqueue(func() {
			if r.role != leader && r.w.now.sub(r.contact) >= r.timeout() {
				r.stand(r.w.plan.PreVote, false)
			}
			r.watchLeader()
		})
	})
}

type requestVote struct {
	term      uint64
	from      string
	pre       bool
	transfer  bool // the leader has asked for it
	last      uint64
	lastTerm  uint64
	answering func(granted bool, term uint64)
}

// stand begins an election, or asks first whether one would succeed.
func (r *raft) stand(pre, transfer bool) {
	if _, voter := r.self(); !voter {
		return
	}
	r.hint = ""
	if pre {
		r.role, r.pre, r.votes = candidate, true, map[string]bool{r.name: true}
		r.canvass(r.term+1, transfer)
		return
	}
	r.role, r.pre, r.votes = candidate, false, nil
	r.setTerm(r.term+1, func() {
		r.write(func(d *disk) { d.vote = r.name }, func() {
			r.votes = map[string]bool{r.name: true}
			r.canvass(r.term, transfer)
		})
	})
}

func (r *raft) self() (name string, voter bool) {
	for _, v := range r.voters() {
		voter = voter || v == r.name
	}
	return r.name, voter
}

func (r *raft) canvass(term uint64, transfer bool) {
	last, lastTerm := r.disk.last()
	pre := r.pre
	for _, p := range r.peers() {
		m := requestVote{term: term, from: r.name, pre: pre, transfer: transfer, last: last, lastTerm: lastTerm}
		m.answering = func(granted bool, now uint64) {
			r.enqueue(func() { r.onVote(m, p, granted, now) })
		}
		r.send(p, func(to *raft) { to.enqueue(func() { to.onRequestVote(m) }) })
	}
	r.count(term)
}

func (r *raft) onVote(m requestVote, from string, granted bool, term uint64) {
	switch {
	case term > r.term && !granted:
		r.follow()
		r.setTerm(term, func() {})
	case r.role != candidate || r.pre != m.pre || !granted || m.pre && m.term != r.term+1 || !m.pre && m.term != r.term:
	default:
		r.votes[from] = true
		r.count(m.term)
	}
}

func (r *raft) count(term uint64) {
	if !r.isMajority(func(v string) bool { return r.votes[v] }) {
		return
	}
	if r.pre {
		r.stand(false, false)
		return
	}
	r.lead()
}

func (r *raft) onRequestVote(m requestVote) {
	answer := func(granted bool) {
		term := r.term
		r.send(m.from, func(to *raft) { m.answering(granted, term) })
	}
	last, lastTerm := r.disk.last()
	current := m.lastTerm > lastTerm || m.lastTerm == lastTerm && m.last >= last
	led := r.role == leader || r.hint != "" && r.w.now.sub(r.contact) < r.timeout()
	switch {
	case m.term < r.term:
		answer(false)
	case r.w.plan.Sticky && led && !m.transfer:
		answer(false)
	case m.pre:
		answer(current)
	case m.term > r.term:
		r.follow()
		r.setTerm(m.term, func() { r.onRequestVote(m) })
	case !current || r.disk.vote != "" && r.disk.vote != m.from:
		answer(false)
	default:
		r.write(func(d *disk) { d.vote = m.from }, func() {
			r.contact = r.w.now
			answer(true)
		})
	}
}

// follow gives up whatever this node was.
func (r *raft) follow() {
	was := r.role
	r.role, r.hint, r.votes = follower, "", nil
	if was != leader {
		return
	}
	r.w.say(r.name, "no longer leads")
	waiting := r.waiting
	r.waiting = nil
	for _, w := range waiting {
		w.done(consensus.Result{}, false)
	}
	r.store.office(false)
}

func (r *raft) lead() {
	r.w.stats.Elections++
	r.w.say(r.name, "leads")
	r.role, r.hint = leader, r.name
	r.match, r.next, r.told = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	r.sent, r.heard = map[string]moment{}, map[string]moment{}
	last, _ := r.disk.last()
	for _, p := range r.voters() {
		r.next[p], r.heard[p] = last+1, r.w.now
	}
	r.began = last + 1
	r.store.office(true)
	r.beat(r.term)
	r.append(entry{}, nil)
}

// beat sends heartbeats for as long as the term lasts, whatever the main loop
// waits for, and repeats what was not confirmed.
func (r *raft) beat(term uint64) {
	if r.role != leader || r.term != term {
		return
	}
	last, _ := r.disk.last()
	for _, p := range r.peers() {
		if r.muted {
			break
		}
		m := appendEntries{term: r.term, from: r.name, heartbeat: true}
		r.send(p, func(to *raft) { to.onHeartbeat(m) })
		behind := r.match[p] < last || r.told[p] < r.commit
		if behind && r.w.now.sub(r.sent[p]) > r.timeout()/2 {
			r.replicate(p)
		}
	}
	if !r.busy {
		r.enqueue(r.checkLease)
	}
	r.proc.after(r.timeout()/4+r.w.between(0, time.Millisecond), func() { r.beat(term) })
}

// checkLease steps down from a leadership that no majority has confirmed lately.
func (r *raft) checkLease() {
	if r.role != leader || !r.w.plan.LeaderLease {
		return
	}
	if !r.isMajority(func(v string) bool { return v == r.name || r.w.now.sub(r.heard[v]) < r.timeout() }) {
		r.follow()
	}
}

// transfer hands the leadership to a voter that has everything.
func (r *raft) transfer(to string) {
	r.enqueue(func() {
		last, _ := r.disk.last()
		if r.role != leader || to == r.name || r.match[to] != last {
			return
		}
		r.w.say(r.name, "hands the leadership to "+to)
		term := r.term
		r.send(to, func(to *raft) {
			to.enqueue(func() {
				if to.term == term && to.role == follower {
					to.stand(false, true)
				}
			})
		})
	})
}
