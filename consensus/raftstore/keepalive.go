package raftstore

import (
	"context"

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
			if err := l.call(ctx, callKeepAlive, question, &a); err != nil {
				return
			}
			if a.From != l.node || a.Round != round {
				s.logger.Warn("a peer answered for another one or another question; its answer is not counted", "peer", l.node, "from", a.From)
				return
			}
			answered(a)
		}()
	}
}

// answer is this voter's answer. The term is read after the question arrived; the
// library raises and persists it before it grants a vote for a higher one.
func (s *Store) answer(question keepAlive) consensus.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := consensus.Answer{Round: question.Round, From: s.config.Node, Term: s.raft.CurrentTerm()}
	if s.lessor.Term() == a.Term && s.raft.State() == raft.Leader {
		a.Leads, a.Voters = true, s.voters()
		a.Yes, a.Gone = s.lessor.Hear(boottime.Now(), question.Session)
	}
	return a
}
