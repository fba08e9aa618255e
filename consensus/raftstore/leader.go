package raftstore

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

const (
	idleTick       = time.Hour       // when nothing is due
	barrierTimeout = 5 * time.Second // for the barrier of a new term to be taken in
	expireTimeout  = 5 * time.Second // for an expiry to commit
	placementPause = 2 * time.Second // between two attempts to hand leadership over
	placementShare = 3               // a lease must have been settled for ttl / 3
	stallShare     = 4               // the disk is looked at every ttl / 4 while leading
	officeShare    = 2               // a leader must have applied its barrier within ttl / 2
)

// lead performs the leader's duties until ctx ends: the barrier of a new term,
// expiries, a stalled disk, and where the leader ought to be.
func (s *Store) lead(ctx context.Context) {
	var (
		electedC = make(chan uint64, 1) // terms whose barrier has been applied
		timer    = time.NewTimer(idleTick)
		placer   placer
		elected  boottime.Instant // when Raft made this node the leader; 0 when it has not
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.depose()
			return
		case leading := <-s.leadC:
			if leading {
				elected = boottime.Now()
				go s.takeOffice(ctx, electedC)
			} else {
				elected = 0
				s.depose()
			}
		case term := <-electedC:
			s.inaugurate(term)
		case <-s.dutyC:
			placer.settled = boottime.Now().Add(s.config.TTL / placementShare)
		case <-timer.C:
		}
		timer.Reset(s.duties(&placer, elected))
	}
}

// takeOffice waits until everything committed before this node's term is applied,
// for as long as it leads in that term: the first write of a term may be slow, and
// an unfinished handover refuses barriers.
func (s *Store) takeOffice(ctx context.Context, electedC chan<- uint64) {
	term := s.raft.CurrentTerm()
	for s.raft.Barrier(barrierTimeout).Error() != nil {
		if !s.link.leads(term) {
			return // deposed before it began
		}
		select {
		case <-ctx.Done():
			return
		case <-s.closeC:
			return
		case <-time.After(proposePause):
		}
	}
	select {
	case electedC <- term:
	case <-ctx.Done():
	}
}

// inaugurate begins to answer keep-alives. If this node no longer leads in term,
// the answers will not count: they are tied to the term.
func (s *Store) inaugurate(term uint64) {
	if s.raft.State() != raft.Leader || s.raft.CurrentTerm() != term {
		return
	}
	s.mu.Lock()
	s.lessor.Lead(boottime.Now(), term, s.table.Sessions())
	s.mu.Unlock()
	s.logger.Info("leads the cluster", "term", term)
}

func (s *Store) depose() {
	s.mu.Lock()
	led := s.lessor.Term() != 0
	s.lessor.Depose()
	s.mu.Unlock()
	s.link.muted.Store(false)
	if led {
		s.logger.Info("no longer leads the cluster")
	}
}

// duties does what is due and returns the time until something is again. elected is
// when Raft made this node the leader, 0 when it does not lead.
func (s *Store) duties(p *placer, elected boottime.Instant) time.Duration {
	now := boottime.Now()
	s.mu.Lock()
	leads := s.lessor.Term() != 0
	overdue, term := s.lessor.Overdue(now), s.lessor.Term()
	next, any := s.lessor.Deadline()
	s.mu.Unlock()
	switch {
	case !leads && elected == 0:
		return idleTick
	case !leads: // elected, and without its barrier yet
		s.muteIfUseless(now.Sub(elected))
		return s.config.TTL / stallShare
	}
	for _, session := range overdue {
		go s.expire(session, term)
	}
	s.muteIfUseless(0)
	s.place(now, p)
	wait := s.config.TTL / stallShare
	if any {
		wait = min(wait, max(next.Sub(now), time.Millisecond))
	}
	return wait
}

// expire proposes the end of a session that was counted out in a term.
func (s *Store) expire(session consensus.Session, term uint64) {
	s.logger.Warn("a node's session is over: not heard from for longer than its TTL", "node", session.Node, "epoch", session.Epoch)
	encoded, err := consensus.EncodeCommand(consensus.ExpireSession{Session: session, Term: term})
	if err != nil {
		panic("raftstore: " + err.Error()) // a session from the table always encodes
	}
	ctx, cancel := context.WithTimeout(context.Background(), expireTimeout)
	defer cancel()
	if _, err := s.commit(ctx, encoded); err != nil {
		s.logger.Warn("cannot commit the end of a session; a leader will try again", "node", session.Node, "error", err)
	}
}

// muteIfUseless makes room for another leader when this one's disk does not write,
// or when it has been waiting too long for the barrier of its term (0 when it is not
// waiting). No leader answers keep-alives before that, so it is given up sooner.
func (s *Store) muteIfUseless(waiting time.Duration) {
	stalled := s.disk.stalled()
	mute := stalled > s.config.TTL || waiting > s.config.TTL/officeShare
	if s.link.muted.Swap(mute) == mute || !mute {
		return
	}
	if stalled > s.config.TTL/officeShare {
		s.logger.Error("the data directory does not finish writing; leaving the leadership to another node", "for", stalled.Round(time.Millisecond))
		return
	}
	s.logger.Error("elected, but nothing commits; leaving the leadership to another node", "for", waiting.Round(time.Millisecond))
}

// placer remembers when leadership was last offered to somebody.
type placer struct {
	settled boottime.Instant // the table has been quiet until then
	next    boottime.Instant // no attempt before
}

// place hands leadership to a voter without a lease when this node holds one, so
// that the death of a MASTER needs no election before its lease can expire.
func (s *Store) place(now boottime.Instant, p *placer) {
	if now.Before(p.settled) || now.Before(p.next) {
		return
	}
	target, ok := s.placement(now)
	if !ok {
		return
	}
	p.next = now.Add(placementPause)
	go func() {
		address, err := addressBook{s}.ServerAddr(raft.ServerID(target))
		if err == nil {
			err = s.raft.LeadershipTransferToServer(raft.ServerID(target), address).Error()
		}
		if err != nil {
			s.logger.Debug("could not hand the leadership over", "to", target, "error", err)
		}
	}()
}

// placement chooses the voter that should lead instead: one that holds no lease, was
// heard from lately, and has all that is committed; a witness first. A voter whose
// disk stalls answers keep-alives, but its log stays behind. Raft must not be asked
// to hand over to it: that never ends, and nothing commits meanwhile.
func (s *Store) placement(now boottime.Instant) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	holders := map[string]bool{}
	for _, group := range s.table.Groups() {
		holders[s.table.Lease(group).Holder.Node] = true
	}
	if !holders[s.config.Node] {
		return "", false
	}
	best, found := "", false
	committed := s.raft.CommitIndex()
	for _, m := range s.config.Members {
		session, ok := s.table.Session(m.Name)
		if !ok || holders[m.Name] {
			continue
		}
		if silence, ok := s.lessor.Silence(now, session.Session); !ok || silence > s.config.TTL/2 {
			continue
		}
		if s.lasts[m.Name] < committed {
			continue
		}
		if !found || m.Witness {
			best, found = m.Name, true
		}
	}
	return best, found
}
