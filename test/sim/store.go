package main

import (
	"slices"
	"time"

	"github.com/hafence/hafence/consensus"
)

// The times of consensus/raftstore.
const (
	proposePause   = 20 * time.Millisecond
	passTimeout    = time.Second
	placementPause = 2 * time.Second
	placementShare = 3
	stallShare     = 4
)

// store is what consensus/raftstore does around Raft, on the real table and the
// real lessor.
type store struct {
	w     *world
	host  *host
	proc  *process
	raft  *raft
	table *consensus.Table
	// shared is what readers got of the table; nil after a change.
	shared *consensus.Table
	lessor *consensus.Lessor
	dirty  bool // the table changed since the controller looked

	offices   []bool // leadership changes that were not taken in yet
	onDuty    bool   // a look at the duties is scheduled
	settled   moment
	placeNext moment
	seen      moment // variant freshCount only: when the first session was seen
}

func newStore(h *host, proc *process) *store {
	s := &store{
		w: h.w, host: h, proc: proc, table: consensus.NewTable(),
		lessor: consensus.NewLessor(h.w.variant.patience(h.w.plan.patience())),
	}
	s.raft = newRaft(s)
	return s
}

// apply changes the table by an entry of the log.
func (s *store) apply(e entry) consensus.Result {
	if !s.w.counts(e) {
		return consensus.Result{Outcome: consensus.Stale}
	}
	result := s.table.Apply(e.command)
	s.shared = nil
	s.lessor.Follow(s.host.clock.read(s.w.now), s.table.Sessions())
	s.settled = s.w.now.add(s.w.plan.TTL / placementShare)
	if s.seen == 0 {
		s.seen = s.w.now
	}
	if !s.dirty {
		s.dirty = true
		s.host.controller.wake()
	}
	return result
}

// counts reports whether a command of the log is applied: an expiry only in the
// term whose leader counted.
func (w *world) counts(e entry) bool {
	x, ok := e.command.(consensus.ExpireSession)
	return !ok || x.Term == e.term || w.variant.unboundExpiry
}

func (s *store) tableCopy() *consensus.Table {
	s.dirty = false
	if s.shared == nil {
		s.shared = s.table.Clone()
	}
	return s.shared
}

// --- the leader's duties ---

// office brings a leadership change to the goroutine that does the duties.
func (s *store) office(leads bool) {
	s.offices = append(s.offices, leads)
	s.proc.after(s.proc.wakeup(), func() {
		s.proc.then(func() {
			leads := s.offices[0]
			s.offices = s.offices[1:]
			switch {
			case !leads:
				s.lessor.Depose()
				s.raft.muted = false
			case s.w.variant.noBarrier:
				s.inaugurate(s.raft.term)
			default:
				s.takeOffice()
			}
		})
	})
}

func (s *store) takeOffice() {
	term := s.raft.term
	s.raft.barrier(func(_ consensus.Result, ok bool) {
		if ok {
			s.proc.after(s.proc.wakeup(), func() { s.proc.then(func() { s.inaugurate(term) }) })
		}
	})
}

func (s *store) inaugurate(term uint64) {
	if s.raft.role != leader || s.raft.term != term {
		return
	}
	begin := s.w.now
	if s.w.variant.noFreshCount {
		begin = s.seen
	}
	s.lessor.Lead(s.host.clock.read(begin), term, s.table.Sessions())
	s.w.sayf(s.host.name, "answers keep-alives in term %d", term)
	s.duties()
}

func (s *store) duties() {
	now := s.host.clock.read(s.w.now)
	if s.lessor.Term() == 0 {
		return
	}
	term := s.lessor.Term()
	for _, session := range s.lessor.Overdue(now) {
		s.w.sayf(s.host.name, "session %v is overdue", session)
		s.proc.after(s.proc.wakeup(), func() { s.proc.then(func() { s.expire(session, term) }) })
	}
	s.raft.muted = s.raft.writing != 0 && s.w.now.sub(s.raft.writing) > s.w.plan.TTL
	s.place()
	wait := s.w.plan.TTL / stallShare
	if next, ok := s.lessor.Deadline(); ok {
		wait = min(wait, max(s.host.clock.when(next).sub(s.w.now), time.Millisecond))
	}
	if !s.onDuty {
		s.onDuty = true
		s.proc.after(wait+s.proc.lateness(), func() {
			s.onDuty = false
			s.duties()
		})
	}
}

func (s *store) expire(session consensus.Session, term uint64) {
	x := consensus.ExpireSession{Session: session, Term: term}
	if s.w.variant.lateExpiry {
		s.propose(x, func(consensus.Result, string) {})
		return
	}
	s.raft.propose(x, func(consensus.Result, bool) {})
}

// place hands the leadership to a voter without a lease.
func (s *store) place() {
	if !s.w.plan.Placement || s.w.now < s.settled || s.w.now < s.placeNext || s.raft.role != leader {
		return
	}
	holders := map[string]bool{}
	for _, g := range s.table.Groups() {
		holders[s.table.Lease(g).Holder.Node] = true
	}
	if !holders[s.host.name] {
		return
	}
	for _, h := range s.w.hosts {
		session, ok := s.table.Session(h.name)
		if !ok || holders[h.name] || !slices.Contains(s.raft.voters(), h.name) {
			continue
		}
		if silence, ok := s.lessor.Silence(s.host.clock.read(s.w.now), session.Session); ok && silence <= s.w.plan.TTL/2 {
			s.placeNext = s.w.now.add(placementPause)
			s.raft.transfer(h.name)
			return
		}
	}
}

// --- keep-alives ---

// ask puts a question to every member and hands each answer over.
func (s *store) ask(round uint64, session consensus.Session, answered func(consensus.Answer)) {
	s.proc.after(s.proc.wakeup(), func() { s.proc.then(func() { answered(s.answer(round, session)) }) })
	for _, peer := range s.w.hosts {
		if peer == s.host {
			continue
		}
		s.call(peer, func(at *store, reply func(func())) {
			a := at.answer(round, session)
			reply(func() { answered(a) })
		})
	}
}

// call runs fn at a peer's store, and what fn gives to reply back here, if this
// process still lives.
func (s *store) call(peer *host, fn func(at *store, reply func(func()))) {
	life := s.proc.life
	s.w.net.send(&s.w.net.cluster, s.host.number, peer.number, func() {
		c := peer.controller
		if !c.serves() {
			return
		}
		c.after(c.wakeup(), func() {
			c.then(func() {
				fn(c.store, func(back func()) {
					c.then(func() {
						s.w.net.send(&s.w.net.cluster, peer.number, s.host.number, func() { s.proc.resume(life, back) })
					})
				})
			})
		})
	})
}

func (s *store) answer(round uint64, session consensus.Session) consensus.Answer {
	a := consensus.Answer{Round: round, From: s.host.name, Term: s.raft.term}
	if s.lessor.Term() == a.Term && s.raft.role == leader {
		a.Leads, a.Voters = true, s.raft.voters()
		a.Yes, a.Gone = s.lessor.Hear(s.host.clock.read(s.w.now), session)
		if s.w.variant.yesWhileExpiring && !a.Gone {
			a.Yes = true
		}
	}
	return a
}

// --- proposals ---

// propose commits a command through whoever leads, trying again for one TTL.
func (s *store) propose(c consensus.Command, done func(result consensus.Result, failure string)) {
	p := &proposal{store: s, command: c, done: done, until: s.w.now.add(s.w.plan.TTL)}
	s.proc.after(s.w.plan.TTL, func() { p.end(consensus.Result{}, "no answer within the TTL") })
	p.try()
}

type proposal struct {
	store   *store
	command consensus.Command
	done    func(result consensus.Result, failure string)
	until   moment
	ended   bool
	tries   int
}

func (p *proposal) end(result consensus.Result, failure string) {
	if !p.ended {
		p.ended = true
		p.done(result, failure)
	}
}

func (p *proposal) try() {
	if p.ended {
		return
	}
	p.tries++
	try := p.tries
	s := p.store
	settle := func(result consensus.Result, ok bool) {
		if ok {
			p.end(result, "")
		} else if p.tries == try {
			s.proc.after(proposePause, p.try)
		}
	}
	s.submit(p.command, false, settle)
	s.proc.after(passTimeout, func() {
		if p.tries == try && s.raft.role != leader {
			p.try()
		}
	})
}

// submit proposes here, or passes the command on to the leader, once.
func (s *store) submit(c consensus.Command, passed bool, settle func(consensus.Result, bool)) {
	switch {
	case s.raft.role == leader:
		s.raft.propose(c, settle)
	case passed || s.raft.hint == "" || s.raft.hint == s.host.name:
		settle(consensus.Result{}, false)
	default:
		s.call(s.w.host(s.raft.hint), func(at *store, reply func(func())) {
			at.submit(c, true, func(result consensus.Result, ok bool) { reply(func() { settle(result, ok) }) })
		})
	}
}
