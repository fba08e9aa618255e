package raftstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

// snapshotMax is the longest snapshot accepted, in bytes: a table at its limits
// stays below.
const snapshotMax = 256 << 20

// fsm applies the log to the table. Its methods are called by Raft's goroutine.
type fsm struct{ store *Store }

// Apply implements raft.FSM. Its result is a consensus.Result.
func (f fsm) Apply(log *raft.Log) any {
	command, err := consensus.DecodeCommand(log.Data)
	if errors.Is(err, consensus.ErrVersion) {
		return consensus.Result{Outcome: consensus.OtherVersion}
	}
	if err != nil {
		return consensus.Result{Outcome: consensus.Invalid}
	}
	if expiry, ok := command.(consensus.ExpireSession); ok && expiry.Term != log.Term {
		return consensus.Result{Outcome: consensus.Stale} // its leader lost the lead before it was proposed
	}
	return f.store.apply(command)
}

// apply changes the table, tells the lessor, and wakes whoever watches.
func (s *Store) apply(command consensus.Command) consensus.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	result := s.table.Apply(command)
	s.snapshot = nil
	s.lessor.Follow(boottime.Now(), s.table.Sessions())
	s.notify()
	return result
}

// Snapshot implements raft.FSM.
func (f fsm) Snapshot() (raft.FSMSnapshot, error) { return fsmSnapshot{f.store.Table()}, nil }

// Restore implements raft.FSM.
func (f fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, snapshotMax))
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	table := consensus.NewTable()
	if err := json.Unmarshal(body, table); err != nil {
		return err
	}
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table, s.snapshot = table, nil
	s.notify()
	return nil
}

type fsmSnapshot struct{ table *consensus.Table }

// Persist implements raft.FSMSnapshot.
func (f fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	body, err := json.Marshal(f.table)
	if err == nil {
		_, err = sink.Write(body)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (fsmSnapshot) Release() {}
