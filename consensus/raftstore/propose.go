package raftstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
)

const (
	proposePause   = 20 * time.Millisecond // before a proposal is tried again
	enqueueTimeout = time.Second           // for Raft to take a proposal in
	passTimeout    = time.Second           // for a proposal made on another's behalf
)

// ErrNoLeader is returned when no node leads the cluster, as far as this one
// knows: no quorum, or an election under way.
var ErrNoLeader = errors.New("no Raft leader")

// Propose commits a command, through the leader wherever it is, and returns what
// it came to. It tries again until ctx ends: commands are idempotent, and an error
// leaves open whether the command was, or will be, committed.
func (s *Store) Propose(ctx context.Context, command consensus.Command) (consensus.Result, error) {
	encoded, err := consensus.EncodeCommand(command)
	if err != nil {
		return consensus.Result{}, err
	}
	for {
		result, err := s.proposeOnce(ctx, proposal{Command: encoded})
		if err == nil {
			return result, nil
		}
		select {
		case <-ctx.Done():
			return consensus.Result{}, fmt.Errorf("propose %T: %w", command, errors.Join(err, ctx.Err()))
		case <-s.closeC:
			return consensus.Result{}, fmt.Errorf("propose %T: %w", command, raft.ErrRaftShutdown)
		case <-time.After(proposePause):
		}
	}
}

// proposeFor is a peer's proposal: applied here or passed on once. The guard of a
// dead controller sends its farewell to any peer.
func (s *Store) proposeFor(ctx context.Context, p proposal) (consensus.Result, error) {
	if _, err := consensus.DecodeCommand(p.Command); err != nil {
		return consensus.Result{}, err
	}
	if p.Passed && s.raft.State() != raft.Leader {
		return consensus.Result{}, ErrNoLeader
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	return s.proposeOnce(ctx, p)
}

func (s *Store) proposeOnce(ctx context.Context, p proposal) (consensus.Result, error) {
	if s.raft.State() == raft.Leader {
		return s.commit(ctx, p.Command)
	}
	_, leader := s.raft.LeaderWithID()
	lane, ok := s.calls[string(leader)]
	if !ok {
		return consensus.Result{}, ErrNoLeader
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	var result consensus.Result
	err := lane.call(ctx, callPropose, proposal{Command: p.Command, Passed: true}, &result)
	return result, err
}

func (s *Store) commit(ctx context.Context, encoded []byte) (consensus.Result, error) {
	future := s.raft.Apply(encoded, enqueueTimeout)
	doneC := make(chan error, 1)
	go func() { doneC <- future.Error() }()
	select {
	case err := <-doneC:
		if err != nil {
			return consensus.Result{}, fmt.Errorf("commit: %w", err)
		}
	case <-ctx.Done(): // the disk stalls, or no majority: it may commit yet
		return consensus.Result{}, fmt.Errorf("commit: %w", ctx.Err())
	}
	// Followers learn that an entry is committed with the next one, or after
	// commitTimeout. A barrier is that next one: the successor of a handover need not
	// wait.
	s.raft.Barrier(enqueueTimeout)
	return future.Response().(consensus.Result), nil
}

// Query asks another node, which answers with its Config.Query.
func (s *Store) Query(ctx context.Context, node string, body []byte) ([]byte, error) {
	lane, ok := s.calls[node]
	if !ok {
		return nil, fmt.Errorf("query %s: no such peer", node)
	}
	var answer json.RawMessage
	err := lane.call(ctx, callQuery, json.RawMessage(body), &answer)
	return answer, err
}

// Farewell is what a guard needs to close this node's session when the controller
// is dead: whom to tell, and the very frame to send to each over TLS.
type Farewell struct {
	Peers       []string // addresses, host:port
	ServerNames []string // the peers' names in their certificates, in the same order
	Protocol    string   // ALPN
	Frame       []byte
}

// Farewell makes the frame that closes a session. It stays valid for as long as
// the session lives.
func (s *Store) Farewell(session consensus.Session) (Farewell, error) {
	command, err := consensus.EncodeCommand(consensus.CloseSession{Session: session})
	if err != nil {
		return Farewell{}, err
	}
	body, err := json.Marshal(proposal{Command: command})
	if err != nil {
		return Farewell{}, fmt.Errorf("encode farewell: %w", err)
	}
	f := Farewell{Protocol: ProtocolRPC}
	for _, m := range s.config.Members {
		if m.Name != s.config.Node {
			f.Peers, f.ServerNames = append(f.Peers, m.Address.String()), append(f.ServerNames, m.Name)
		}
	}
	f.Frame, err = encodeFrame(request{ID: 1, Kind: callPropose, Body: body})
	return f, err
}
