package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
)

// Member is a voter of the cluster.
type Member struct {
	Name    string
	Address netip.AddrPort
	Witness bool // votes, holds no lease: a good place for the Raft leader
}

// Config is what [Open] needs.
type Config struct {
	Node        string // this node; one of Members
	Members     []Member
	Credentials Credentials
	Dir         string        // data directory, made if needed
	TTL         time.Duration // of sessions; Raft's times derive from it
	Patience    consensus.Patience
	Logger      hclog.Logger // nil discards

	// Query answers another node's question, whatever the assembly makes of it. Nil
	// refuses. It is called from many goroutines.
	Query func(ctx context.Context, body []byte) ([]byte, error)

	wrapDisk func(logStore) logStore // tests put a failing disk here
}

// The times that derive from the TTL (DESIGN §3).
const (
	heartbeatShare   = 10 // heartbeat and election timeout: ttl / 10
	leaderLeaseShare = 2  // leader lease timeout: half of that
	commitTimeout    = 20 * time.Millisecond
	connectionsMax   = 3 // that Raft keeps to each peer
	snapshotsKept    = 2
	snapshotLogs     = 1024            // log entries between two snapshots
	snapshotInterval = 2 * time.Minute // at most one check in that time
	notifyBuffer     = 16              // leadership changes that Raft may be ahead
	shutdownTimeout  = 3 * time.Second // for Raft to end
	refusalMemory    = 5 * time.Minute // for so long a refused connection is in the state
)

// Store is one node's part in the replicated table. It implements the store that
// DESIGN §3 describes.
type Store struct {
	config   Config
	logger   hclog.Logger
	raft     *raft.Raft
	disk     *disk
	link     *mutable
	listener *listener
	asks     map[string]*lane // by node; for keep-alives
	calls    map[string]*lane // by node; for everything else
	leadC    chan bool        // Raft's leadership changes
	changeC  chan struct{}    // capacity 1: the table changed
	dutyC    chan struct{}    // capacity 1: the same, for the leader's duties
	closeC   chan struct{}
	closing  sync.Once
	serving  connections

	mu       sync.Mutex
	table    *consensus.Table
	snapshot *consensus.Table // a copy of table for readers; nil after a change
	lessor   *consensus.Lessor
	clocks   map[string]*consensus.ClockRate // by peer
	lasts    map[string]uint64               // by peer: the last log index it told
	refusal  string                          // the last reason for which a connection was refused, for status
	refused  time.Time                       // when that was
}

// Open opens the data directory, starts Raft, and listens. A cluster that never
// existed is made of Members.
func Open(c Config) (*Store, error) {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	s := &Store{
		config: c, logger: c.Logger, table: consensus.NewTable(), lessor: consensus.NewLessor(c.Patience), clocks: map[string]*consensus.ClockRate{},
		lasts: map[string]uint64{}, asks: map[string]*lane{}, calls: map[string]*lane{}, leadC: make(chan bool, notifyBuffer),
		changeC: make(chan struct{}, 1), dutyC: make(chan struct{}, 1), closeC: make(chan struct{}),
	}
	self, ok := s.member(c.Node)
	if !ok {
		return nil, fmt.Errorf("open store: %q is not among the members", c.Node)
	}
	log, err := openLog(c.Dir)
	if err != nil {
		return nil, err
	}
	s.disk = &disk{logStore: log, logger: c.Logger, closeC: s.closeC}
	if c.wrapDisk != nil {
		s.disk.logStore = c.wrapDisk(log)
	}
	if err := s.listen(self.Address); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := s.startRaft(self); err != nil {
		return nil, errors.Join(err, s.listener.Close(), log.Close())
	}
	s.listener.start() // not before: peers' questions are answered by Raft
	return s, nil
}

func (s *Store) member(name string) (Member, bool) {
	for _, m := range s.config.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

func (s *Store) listen(address netip.AddrPort) error {
	known := func(node string) bool { _, ok := s.member(node); return ok }
	server, client, err := s.config.Credentials.tlsConfigs(known)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{KeepAliveConfig: keepAliveConfig}).Listen(context.Background(), "tcp", address.String())
	if err != nil {
		return fmt.Errorf("listen on this node's address: %w; it is the one in \"member %s\"", err, s.config.Node)
	}
	s.listener = &listener{
		Listener: l, server: server, client: client, serveRPC: s.serve, refused: s.noteRefusal,
		nodeAt: s.nodeAt, raftC: make(chan net.Conn, handshakesMax), closeC: make(chan struct{}),
	}
	for _, m := range s.config.Members {
		if m.Name != s.config.Node {
			s.asks[m.Name], s.calls[m.Name] = s.newLane(m), s.newLane(m)
		}
	}
	return nil
}

func (s *Store) nodeAt(address string) (string, bool) {
	for _, m := range s.config.Members {
		if m.Address.String() == address {
			return m.Name, true
		}
	}
	return "", false
}

func (s *Store) newLane(m Member) *lane {
	return &lane{node: m.Name, address: m.Address.String(), dial: func(ctx context.Context) (*tls.Conn, error) {
		return s.listener.dial(ctx, m.Name, m.Address.String(), ProtocolRPC)
	}}
}

func (s *Store) startRaft(self Member) error {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(self.Name)
	c.HeartbeatTimeout = s.config.TTL / heartbeatShare
	c.ElectionTimeout = c.HeartbeatTimeout
	c.LeaderLeaseTimeout = c.HeartbeatTimeout / leaderLeaseShare
	c.CommitTimeout = commitTimeout
	c.SnapshotThreshold, c.TrailingLogs, c.SnapshotInterval = snapshotLogs, snapshotLogs, snapshotInterval
	c.NotifyCh = s.leadC
	c.NoLegacyTelemetry = true
	c.Logger = newSparing(s.logger.Named("raft"))
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(s.config.Dir, snapshotsKept, c.Logger)
	if err != nil {
		return fmt.Errorf("open snapshots in %s: %w", filepath.Clean(s.config.Dir), err)
	}
	s.link = &mutable{pause: c.HeartbeatTimeout / 2, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s.listener, MaxPool: connectionsMax, Timeout: c.HeartbeatTimeout, Logger: c.Logger,
		ServerAddressProvider: addressBook{s},
	})}
	existed, err := raft.HasExistingState(s.disk, s.disk, snapshots)
	if err != nil {
		return fmt.Errorf("read Raft state: %w", err)
	}
	if !existed {
		if err := raft.BootstrapCluster(c, s.disk, s.disk, snapshots, s.link, s.bootstrap()); err != nil {
			return fmt.Errorf("make the cluster: %w", err)
		}
	}
	if s.raft, err = raft.NewRaft(c, fsm{s}, s.disk, s.disk, snapshots, s.link); err != nil {
		return fmt.Errorf("start Raft: %w", err)
	}
	s.link.raft.Store(s.raft)
	return nil
}

func (s *Store) bootstrap() raft.Configuration {
	var c raft.Configuration
	for _, m := range s.config.Members {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(m.Name), Address: raft.ServerAddress(m.Address.String()),
		})
	}
	return c
}

// addressBook lets a member's address change in the configuration file.
type addressBook struct{ store *Store }

// ServerAddr implements raft.ServerAddressProvider.
func (b addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	m, ok := b.store.member(string(id))
	if !ok {
		return "", fmt.Errorf("address of %s: no member of this configuration", id)
	}
	return raft.ServerAddress(m.Address.String()), nil
}

// Run performs the leader's duties until ctx ends, and closes the store.
func (s *Store) Run(ctx context.Context) error {
	s.lead(ctx)
	return s.Close()
}

// Close ends everything. [Store.Run] calls it.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		s.abdicate()
		close(s.closeC)
		for _, lanes := range []map[string]*lane{s.asks, s.calls} {
			for _, l := range lanes {
				l.close()
			}
		}
		endedC := make(chan error, 1)
		go func() { endedC <- s.raft.Shutdown().Error() }()
		select {
		case err = <-endedC:
		case <-time.After(s.patienceAtClose()):
			err = errors.New("close store: Raft did not end in time")
		}
		err = errors.Join(err, s.listener.Close(), s.link.Close())
		s.serving.closeAll()
		err = errors.Join(err, s.disk.Close())
	})
	return err
}

// abdicate hands the leadership over before an orderly end, so that the others need
// not notice its loss first.
func (s *Store) abdicate() {
	if s.raft.State() != raft.Leader || len(s.config.Members) == 1 {
		return
	}
	doneC := make(chan error, 1)
	go func() { doneC <- s.raft.LeadershipTransfer().Error() }()
	select {
	case err := <-doneC:
		if err != nil {
			s.logger.Debug("could not hand the leadership over at the end", "error", err)
		}
	case <-time.After(s.config.TTL / 2):
	}
}

// patienceAtClose is how long Raft may take to end: no time when its disk fails, for
// then it never does.
func (s *Store) patienceAtClose() time.Duration {
	if s.disk.err() != nil {
		return 0
	}
	return shutdownTimeout
}

// Table is a copy of the table as this node knows it: maybe behind, never ahead.
// It is shared between callers and must not be changed.
func (s *Store) Table() *consensus.Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshot == nil {
		s.snapshot = s.table.Clone()
	}
	return s.snapshot
}

// Changed receives after the table changed, once for any number of changes.
func (s *Store) Changed() <-chan struct{} { return s.changeC }

// notify is called with mu held.
func (s *Store) notify() {
	for _, c := range []chan struct{}{s.changeC, s.dutyC} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// noteRefusal keeps why a peer was not let in. A peer that merely hung up is none.
func (s *Store) noteRefusal(remote net.Addr, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return
	}
	s.mu.Lock()
	first := s.refusal == ""
	s.refusal, s.refused = fmt.Sprintf("%s: %v", remote, err), time.Now()
	s.mu.Unlock()
	if first { // the rest is in status: a wrong key somewhere knocks for ever
		s.logger.Warn("refused a connection; does every node have the same cluster key?", "from", remote, "error", err)
	}
}

// State is what [Store.State] says of the store, for status.
type State struct {
	Leader      string   `json:"leader"` // "" when none is known
	Term        uint64   `json:"term"`
	Voters      []string `json:"voters"`
	Leads       bool     `json:"leads"`                  // this node leads and has applied its barrier
	DiskError   string   `json:"disk_error,omitempty"`   // why writing fails at present
	DiskStalled string   `json:"disk_stalled,omitempty"` // for how long a write has been under way, when long
	Refusal     string   `json:"refusal,omitempty"`      // a connection refused of late, and why
	Clocks      []string `json:"clocks,omitempty"`       // peers whose clocks run too fast or too slow
}

// State describes the store as this node sees it.
func (s *Store) State() State {
	_, leader := s.raft.LeaderWithID()
	state := State{Leader: string(leader), Term: s.raft.CurrentTerm(), Voters: s.voters()}
	s.mu.Lock()
	state.Leads, state.Clocks = s.lessor.Term() == state.Term, s.clockWarnings()
	if time.Since(s.refused) < refusalMemory {
		state.Refusal = s.refusal
	}
	s.mu.Unlock()
	if err := s.disk.err(); err != nil {
		state.DiskError = err.Error()
	}
	if d := s.disk.stalled(); d > s.config.TTL {
		state.DiskStalled = d.Round(time.Millisecond).String()
	}
	return state
}

func (s *Store) voters() []string {
	future := s.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	var voters []string
	for _, server := range future.Configuration().Servers {
		if server.Suffrage == raft.Voter {
			voters = append(voters, string(server.ID))
		}
	}
	return voters
}
