package raftstore

import (
	"errors"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

var errMuted = errors.New("muted: this leader's disk stalls, and another shall be elected")

// mutable is Raft's transport with a switch. A leader whose disk stalls goes on
// sending heartbeats, so that nobody else is elected and nothing commits; the
// library has no way out of that (its main loop waits for the disk). Muted, it
// looks dead to the others, who elect a leader with a working disk.
type mutable struct {
	*raft.NetworkTransport
	muted atomic.Bool
}

// AppendEntries implements raft.Transport.
func (m *mutable) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if m.muted.Load() {
		return errMuted
	}
	return m.NetworkTransport.AppendEntries(id, target, args, resp)
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
