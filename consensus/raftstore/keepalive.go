package raftstore

import (
	"context"
	"fmt"
	"math"

	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

// Ask puts the question of one round to every voter, this node included, and
// gives each answer to answered, from goroutines of its own. Voters that don't
// answer within the TTL are left out. The caller has read the round's t0 before.
func (s *Store) Ask(round uint64, session consensus.Session, answered func(consensus.Answer)) {
	question := keepAlive{Round: round, Session: session}
	go answered(s.answer(question))
	for _, l := range s.asks {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), s.config.TTL/2)
			defer cancel()
			var a consensus.Answer
			asked := boottime.Now()
			if err := l.call(ctx, callKeepAlive, question, &a); err != nil {
				return
			}
			s.noteClock(l.node, asked, boottime.Now(), a.Clock)
			if a.From != l.node || a.Round != round {
				s.logger.Warn("a peer answered for another one or another question; its answer is not counted", "peer", l.node, "from", a.From)
				return
			}
			s.noteLast(l.node, a.Last)
			answered(a)
		}()
	}
}

// answer is this voter's answer. The term is read after the question arrived; the
// library raises and persists it before it grants a vote for a higher one.
func (s *Store) answer(question keepAlive) consensus.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := consensus.Answer{Round: question.Round, From: s.config.Node, Term: s.raft.CurrentTerm(), Clock: boottime.Now(), Last: s.raft.LastIndex()}
	if s.lessor.Term() == a.Term && s.raft.State() == raft.Leader {
		a.Leads, a.Voters = true, s.voters()
		a.Yes, a.Gone = s.lessor.Hear(boottime.Now(), question.Session)
	}
	return a
}

// noteLast remembers how far a peer's log has come, for placement.
func (s *Store) noteLast(node string, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasts[node] = last
}

// noteClock watches how fast a peer's clock runs.
func (s *Store) noteClock(node string, asked, answered, clock boottime.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate, ok := s.clocks[node]
	if !ok {
		rate = &consensus.ClockRate{}
		s.clocks[node] = rate
	}
	rate.Note(asked, answered, clock)
}

// clockWarnings names the peers whose clocks differ from this node's by more than
// half of what is allowed for, with mu held.
func (s *Store) clockWarnings() []string {
	var texts []string
	for _, m := range s.config.Members {
		rate, ok := s.clocks[m.Name]
		if !ok {
			continue
		}
		if excess := rate.Excess(); math.Abs(excess) > s.config.Patience.Drift/2 {
			texts = append(texts, fmt.Sprintf("the clock of %s runs %+.2f %% against this node's; clock_drift allows for %.2f %%, and above it two nodes could answer",
				m.Name, 100*excess, 100*s.config.Patience.Drift))
		}
	}
	return texts
}
