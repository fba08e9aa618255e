// Package storetest is the conformance suite that every lease store passes, and an
// in-memory store that passes it too, for tests and simulation of what lies above.
//
// [Run] takes a function that makes a cluster; each test opens its own. [Memory]
// keeps I1 and I2 by the same pure parts as the real stores, with a single voter
// and no disk.
//
//	storetest.Run(t, func(t *testing.T, nodes []string, ttl time.Duration) []storetest.Store { … })
package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

// Store is what a lease store offers to a node (DESIGN §3).
type Store interface {
	// Propose commits a command and says what it came to. An error leaves open
	// whether the command was, or will be, committed.
	Propose(ctx context.Context, command consensus.Command) (consensus.Result, error)
	// Ask puts a keep-alive's question; answered is called once for each answer.
	Ask(round uint64, session consensus.Session, answered func(consensus.Answer))
	// Table is the state as this node knows it, not to be changed.
	Table() *consensus.Table
	// Changed receives after the table changed.
	Changed() <-chan struct{}
}

// memoryTerm is the one term of a cluster that never elects.
const memoryTerm = 1

// Memory is a whole cluster's store in this process.
type Memory struct {
	mu      sync.Mutex
	now     func() boottime.Instant
	table   *consensus.Table
	lessor  *consensus.Lessor
	nodes   []*MemoryNode
	timer   *time.Timer
	closed  bool
	silence bool // no answers: no quorum
}

// MemoryNode is one node's view of a [Memory].
type MemoryNode struct {
	memory  *Memory
	name    string
	changeC chan struct{} // capacity 1
}

// NewMemory makes a cluster's store that reads the time from now.
func NewMemory(now func() boottime.Instant, patience consensus.Patience) *Memory {
	m := &Memory{now: now, table: consensus.NewTable(), lessor: consensus.NewLessor(patience)}
	m.lessor.Lead(now(), memoryTerm, nil)
	return m
}

// Node gives a node's view.
func (m *Memory) Node(name string) *MemoryNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &MemoryNode{memory: m, name: name, changeC: make(chan struct{}, 1)}
	m.nodes = append(m.nodes, n)
	return n
}

// SetQuorum takes the quorum away or gives it back: without it nothing commits and
// nobody answers.
func (m *Memory) SetQuorum(there bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silence = !there
}

// Close ends the expiry of sessions.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
}

// Propose implements [Store].
func (n *MemoryNode) Propose(ctx context.Context, command consensus.Command) (consensus.Result, error) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silence || m.closed {
		return consensus.Result{}, context.DeadlineExceeded
	}
	m.expire()
	return m.apply(command), nil
}

// apply is called with mu held.
func (m *Memory) apply(command consensus.Command) consensus.Result {
	result := m.table.Apply(command)
	m.lessor.Follow(m.now(), m.table.Sessions())
	for _, node := range m.nodes {
		select {
		case node.changeC <- struct{}{}:
		default:
		}
	}
	m.wind()
	return result
}

// expire ends what is overdue, with mu held.
func (m *Memory) expire() {
	for _, session := range m.lessor.Overdue(m.now()) {
		m.apply(consensus.ExpireSession{Session: session})
	}
}

// wind sets the timer for the next expiry, with mu held.
func (m *Memory) wind() {
	if m.timer != nil {
		m.timer.Stop()
	}
	next, ok := m.lessor.Deadline()
	if !ok || m.closed {
		return
	}
	m.timer = time.AfterFunc(next.Sub(m.now()), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.closed {
			m.expire()
			m.wind()
		}
	})
}

// Ask implements [Store].
func (n *MemoryNode) Ask(round uint64, session consensus.Session, answered func(consensus.Answer)) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silence || m.closed {
		return
	}
	m.expire()
	yes, gone := m.lessor.Hear(m.now(), session)
	go answered(consensus.Answer{
		Round: round, From: "memory", Term: memoryTerm, Leads: true, Yes: yes, Gone: gone, Voters: []string{"memory"},
	})
}

// Table implements [Store].
func (n *MemoryNode) Table() *consensus.Table {
	n.memory.mu.Lock()
	defer n.memory.mu.Unlock()
	return n.memory.table.Clone()
}

// Changed implements [Store].
func (n *MemoryNode) Changed() <-chan struct{} { return n.changeC }
