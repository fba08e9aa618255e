// Package localstore is a lease store within one process: a single voter, no disk,
// no network. It serves "consensus off", where a node leases from itself so that
// everything above works alike, and the tests and simulations of what lies above.
//
// It keeps I1 and I2 between the nodes of this process by the same pure parts as
// the real stores, and passes the same suite. Every method may be called from any
// goroutine.
//
//	cluster := localstore.New(boottime.Now, patience)
//	store := cluster.Node("n1")
package localstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

// term is the one term of a cluster that never elects, voter its only voter.
const (
	term  = 1
	voter = "local"
)

// ErrNoQuorum is returned while [Cluster.SetQuorum] has taken the quorum away, and
// after the end.
var ErrNoQuorum = errors.New("no quorum")

// Cluster is a whole cluster's store in this process.
type Cluster struct {
	mu      sync.Mutex
	now     func() boottime.Instant
	table   *consensus.Table
	lessor  *consensus.Lessor
	nodes   []*Node
	timer   *time.Timer
	closed  bool
	silence bool // no answers: no quorum
}

// Node is one node's view of a [Cluster].
type Node struct {
	cluster *Cluster
	name    string
	changeC chan struct{} // capacity 1
}

// New makes a cluster's store that reads the time from now.
func New(now func() boottime.Instant, patience consensus.Patience) *Cluster {
	c := &Cluster{now: now, table: consensus.NewTable(), lessor: consensus.NewLessor(patience)}
	c.lessor.Lead(now(), term, nil)
	return c
}

// Node gives a node's view.
func (c *Cluster) Node(name string) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &Node{cluster: c, name: name, changeC: make(chan struct{}, 1)}
	c.nodes = append(c.nodes, n)
	return n
}

// SetQuorum takes the quorum away or gives it back: without it nothing commits and
// nobody answers.
func (c *Cluster) SetQuorum(there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence = !there
}

// Close ends the expiry of sessions.
func (c *Cluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Propose is storetest.Store's.
func (n *Node) Propose(ctx context.Context, command consensus.Command) (consensus.Result, error) {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silence || c.closed {
		return consensus.Result{}, ErrNoQuorum
	}
	c.expire()
	return c.apply(command), nil
}

// apply is called with mu held.
func (c *Cluster) apply(command consensus.Command) consensus.Result {
	result := c.table.Apply(command)
	c.lessor.Follow(c.now(), c.table.Sessions())
	for _, node := range c.nodes {
		select {
		case node.changeC <- struct{}{}:
		default:
		}
	}
	c.wind()
	return result
}

// expire ends what is overdue, with mu held.
func (c *Cluster) expire() {
	for _, session := range c.lessor.Overdue(c.now()) {
		c.apply(consensus.ExpireSession{Session: session, Term: term})
	}
}

// wind sets the timer for the next expiry, with mu held.
func (c *Cluster) wind() {
	if c.timer != nil {
		c.timer.Stop()
	}
	next, ok := c.lessor.Deadline()
	if !ok || c.closed {
		return
	}
	c.timer = time.AfterFunc(next.Sub(c.now()), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			c.expire()
			c.wind()
		}
	})
}

// Ask is storetest.Store's.
func (n *Node) Ask(round uint64, session consensus.Session, answered func(consensus.Answer)) {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silence || c.closed {
		return
	}
	c.expire()
	yes, gone := c.lessor.Hear(c.now(), session)
	go answered(consensus.Answer{
		Round: round, From: voter, Term: term, Leads: true, Yes: yes, Gone: gone, Voters: []string{voter},
	})
}

// Table is storetest.Store's.
func (n *Node) Table() *consensus.Table {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.cluster.table.Clone()
}

// Changed is storetest.Store's.
func (n *Node) Changed() <-chan struct{} { return n.changeC }
