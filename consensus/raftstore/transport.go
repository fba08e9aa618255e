package raftstore

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

var errMuted = errors.New("muted: this leader can commit nothing, and another shall be elected")

// mutable is Raft's transport with a switch. A leader whose disk stalls, or
// whose handover never ends, goes on sending heartbeats, so that nobody else is elected and nothing commits; the
// library has no way out of that (its main loop waits for the disk). Muted, it
// looks dead to the others, who elect a leader with a working disk.
type mutable struct {
	*raft.NetworkTransport
	muted atomic.Bool
	raft  atomic.Pointer[raft.Raft] // whose transport it is; nil until it has been made
	pause time.Duration             // between two tries
}

// AppendEntries implements raft.Transport. Entries for a peer that is away are
// tried again here, at an even pace, for as long as this node leads in their term.
// The library would wait twice as long after each failure, up to 10.24 s
// (replication.go, maxFailureScale): nothing would commit for so long when the
// third of three nodes fails just after the second has come back.
func (m *mutable) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	for {
		if m.muted.Load() {
			return errMuted
		}
		err := m.NetworkTransport.AppendEntries(id, target, args, resp)
		if err == nil || isHeartbeat(args) || !m.leads(args.Term) {
			return err
		}
		time.Sleep(m.pause)
	}
}

// leads reports whether this node still leads in a term.
func (m *mutable) leads(term uint64) bool {
	r := m.raft.Load()
	return r != nil && r.State() == raft.Leader && r.CurrentTerm() == term
}

// isHeartbeat tells the library's heartbeats, which have a pace of their own.
func isHeartbeat(args *raft.AppendEntriesRequest) bool {
	return len(args.Entries) == 0 && args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && args.LeaderCommitIndex == 0
}

// AppendEntriesPipeline implements raft.Transport.
func (m *mutable) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	if m.muted.Load() {
		return nil, errMuted
	}
	pipeline, err := m.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return mutablePipeline{pipeline, m}, nil
}

type mutablePipeline struct {
	raft.AppendPipeline
	transport *mutable
}

// AppendEntries implements raft.AppendPipeline.
func (p mutablePipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if p.transport.muted.Load() {
		return nil, errMuted
	}
	return p.AppendPipeline.AppendEntries(args, resp)
}
