package raftstore

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
)

// I3: a voter whose disk stalls answers keep-alives, and must not be chosen to lead:
// the handover would never end, and nothing would commit. Method: the leader holds a
// lease, and the only voter without one has a stalled disk; commits go on for longer
// than placement waits.
func TestLeadershipIsNotHandedToAStalledDisk(t *testing.T) {
	c, disks := withDisks(t)
	leader := c.leader()
	second := c.other(leader)
	third := c.other(leader, second)
	keepers := map[string]*keeper{leader: c.keep(leader), second: c.keep(second), third: c.keep(third)}
	disks[third].stalled.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	for name, group := range map[string]string{leader: "g1", second: "g2"} {
		if r, err := c.stores[leader].Propose(ctx, consensus.Acquire{Session: keepers[name].session, Group: group}); err != nil || r.Outcome != consensus.OK {
			t.Fatalf("acquire %s: %v, %v", group, r.Outcome, err)
		}
	}
	for range 3 {
		<-time.After(placementPause) // quiet, so that placement is free to act
		c.mustCommit(second, keepers[second].session)
	}
}

// mustCommit fails the test unless a command commits in time.
func (c *cluster) mustCommit(through string, s consensus.Session) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if _, err := c.stores[through].Propose(ctx, consensus.SetCandidate{Session: s, Group: "g", Priority: 7, Eligible: true}); err != nil {
		c.t.Fatalf("nothing commits: %v", err)
	}
}

// logStall is a disk that writes its votes, and holds up its log while stalled is set.
type logStall struct {
	logStore
	stalled atomic.Bool
}

func (d *logStall) StoreLogs(logs []*raft.Log) error {
	for d.stalled.Load() {
		<-time.After(5 * time.Millisecond)
	}
	return d.logStore.StoreLogs(logs)
}

// I3: a node that wins an election, and whose first write stalls, makes room for
// another leader; and takes part again when its disk does. Method: hand over to it.
func TestElectedNodeWhoseFirstWriteStallsMakesRoom(t *testing.T) {
	c := prepareCluster(t, threeNodes, testTTL)
	disks := map[string]*logStall{}
	for _, name := range threeNodes {
		d := &logStall{}
		disks[name] = d
		c.wrapDisk = func(s logStore) logStore { d.logStore = s; return d }
		c.start(name)
	}
	t.Cleanup(func() {
		for _, d := range disks {
			d.stalled.Store(false)
		}
	})
	leader := c.leader()
	target := c.other(leader)
	third := c.other(leader, target)
	disks[target].stalled.Store(true)
	if err := c.handOver(leader, target); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another leader", func() bool { return c.stores[leader].State().Leads || c.stores[third].State().Leads })
	k := c.keep(third)
	c.mustCommit(third, k.session)
	disks[target].stalled.Store(false)
	eventually(t, "the healed node has caught up", func() bool {
		return len(c.stores[target].Table().Sessions()) == 1 && !c.stores[target].link.muted.Load()
	})
}

// An elected node goes on trying to take office after the first barrier failed.
// Method: its first write stalls for longer than the barrier waits; alone, it has
// nobody to make room for.
func TestElectedNodeTakesOfficeWhenItsDiskRecovers(t *testing.T) {
	c := prepareCluster(t, []string{"n1"}, testTTL)
	d := &logStall{}
	c.wrapDisk = func(s logStore) logStore { d.logStore = s; return d }
	c.start("n1")
	c.leader()
	c.kill("n1")
	d = &logStall{}
	d.stalled.Store(true)
	store := c.start("n1")
	t.Cleanup(func() { d.stalled.Store(false) })
	eventually(t, "elected", func() bool { return store.raft.State() == raft.Leader })
	<-time.After(barrierTimeout + time.Second)
	d.stalled.Store(false)
	c.leader()
}

// I3: a leader that has no barrier for ttl / 2 makes room, whatever its disk says: a
// handover that never ended outlives its term in the library, which then refuses
// every write of that node.
func TestLeaderThatCommitsNothingMakesRoom(t *testing.T) {
	s := &Store{config: Config{TTL: testTTL}, logger: hclog.NewNullLogger(), disk: &disk{}, link: &mutable{}}
	for _, step := range []struct {
		waiting time.Duration
		muted   bool
	}{{testTTL / 2, false}, {testTTL/2 + 1, true}, {testTTL, true}, {0, false}} {
		if s.muteIfUseless(step.waiting); s.link.muted.Load() != step.muted {
			t.Errorf("waiting %v for the barrier: muted %v, want %v", step.waiting, !step.muted, step.muted)
		}
	}
}

// I3: after a handover to a stalled disk that timed out, the cluster commits again.
// Method: hand over to it, let another lead, and hand the leadership back.
func TestClusterCommitsAfterAnUnendingHandover(t *testing.T) {
	c, disks := withDisks(t)
	leader := c.leader()
	second := c.other(leader)
	third := c.other(leader, second)
	k := c.keep(second)
	disks[third].stalled.Store(true)
	c.mustCommit(second, k.session) // what the third node does not have
	if c.handOver(leader, third) == nil {
		t.Fatal("the leadership went to the stalled disk; the test proves nothing")
	}
	for end := time.Now().Add(patient); c.stores[second].raft.State() != raft.Leader && time.Now().Before(end); {
		c.stores[leader].link.muted.Store(true) // the duties unmute it
		<-time.After(20 * time.Millisecond)
	}
	c.stores[leader].link.muted.Store(false)
	disks[third].stalled.Store(false)
	eventually(t, "the second node leads", func() bool { return c.stores[second].State().Leads })
	eventually(t, "the leadership handed back", func() bool { return c.handOver(second, leader) == nil })
	k = c.keep(third)
	c.mustCommit(third, k.session)
}

// handOver hands the leadership from a node to another, as placement does.
func (c *cluster) handOver(from, to string) error {
	return c.stores[from].raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(c.address(to))).Error()
}

// A write that ends does not hide another one that stalls.
func TestStallIsSeenBesideWritesThatEnd(t *testing.T) {
	d := &disk{closeC: make(chan struct{})}
	startedC, releaseC, endedC := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(endedC)
		_ = d.write("log", func() error { close(startedC); <-releaseC; return nil })
	}()
	<-startedC
	<-time.After(50 * time.Millisecond)
	_ = d.write("vote", func() error { return nil })
	if got := d.stalled(); got < 50*time.Millisecond {
		t.Errorf("stalled %v beside a write that ended, want at least 50 ms", got)
	}
	inner := make(chan time.Duration, 1)
	_ = d.write("vote", func() error {
		close(releaseC)
		<-endedC
		inner <- d.stalled()
		return nil
	})
	if got := <-inner; got >= 50*time.Millisecond {
		t.Errorf("stalled %v after the oldest write ended, want the younger one's time", got)
	}
	if got := d.stalled(); got != 0 {
		t.Errorf("stalled %v with no write under way", got)
	}
}

// The socket of a peer that vanished is closed by the kernel, on both sides.
func TestConnectionsOfVanishedPeersEnd(t *testing.T) {
	c := newCluster(t, []string{"n1", "n2"}, testTTL)
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	conn, err := c.stores["n1"].listener.dial(ctx, "n2", c.address("n2"), ProtocolRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	probed(t, conn.NetConn())
	serving := &c.stores["n2"].serving
	eventually(t, "a served connection", func() bool { serving.mu.Lock(); defer serving.mu.Unlock(); return len(serving.conns) > 0 })
	serving.mu.Lock()
	defer serving.mu.Unlock()
	for served := range serving.conns {
		probed(t, served.NetConn())
	}
}

func probed(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on, idle int
	if err := raw.Control(func(fd uintptr) {
		on, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		idle, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
	}); err != nil {
		t.Fatal(err)
	}
	if on != 1 || idle != int(keepAliveConfig.Idle.Seconds()) {
		t.Errorf("SO_KEEPALIVE %d, TCP_KEEPIDLE %d s, want 1 and %v", on, idle, keepAliveConfig.Idle)
	}
}
