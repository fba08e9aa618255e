package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
)

const (
	testTTL = 1500 * time.Millisecond
	patient = 20 * time.Second
)

var threeNodes = []string{"n1", "n2", "n3"}

// keeper keeps a session alive as a node does, and notes whether it ever lapsed.
type keeper struct {
	session consensus.Session
	lapses  atomic.Int64
	stop    func()
}

// keep opens a session on a node's store and keeps it until the test ends.
func (c *cluster) keep(name string) *keeper {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	k := &keeper{stop: func() { cancel(); wait.Wait() }}
	c.t.Cleanup(k.stop)
	within, done := context.WithTimeout(ctx, patient)
	defer done()
	result, err := c.stores[name].Propose(within, consensus.OpenSession{Node: name, Host: "host of " + name, Life: int64(boottime.Now()), TTL: c.ttl})
	if err != nil || result.Outcome != consensus.OK {
		c.t.Fatalf("open a session on %s: %v, %v", name, result.Outcome, err)
	}
	k.session = result.Session
	store := c.stores[name]
	wait.Go(func() { k.run(ctx, store, c.ttl) })
	return k
}

func (k *keeper) run(ctx context.Context, store *Store, ttl time.Duration) {
	holder := consensus.NewHolder(consensus.NewHolderConfig(ttl))
	answerC := make(chan consensus.Answer, 64)
	timer := time.NewTimer(0)
	perform := func(actions []consensus.HolderAction) {
		for _, action := range actions {
			switch a := action.(type) {
			case consensus.Ask:
				store.Ask(a.Round, a.Session, func(answer consensus.Answer) {
					select {
					case answerC <- answer:
					case <-ctx.Done():
					}
				})
			case consensus.Extended:
				for range holder.Step(boottime.Now(), consensus.Refreshed{Round: a.Round}) {
					panic("a question at the instant of the answer")
				}
			case consensus.Lapsed, consensus.Gone:
				k.lapses.Add(1)
			}
		}
	}
	perform(holder.Step(boottime.Now(), consensus.SessionOpened{Session: k.session}))
	for {
		if at, ok := holder.Deadline(); ok {
			timer.Reset(max(0, at.Sub(boottime.Now())))
		}
		select {
		case <-ctx.Done():
			return
		case a := <-answerC:
			perform(holder.Step(boottime.Now(), consensus.Answered{Answer: a}))
		case <-timer.C:
			perform(holder.Step(boottime.Now(), consensus.HolderTick{}))
		}
	}
}

// eventually waits for what has no promised time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func (c *cluster) other(names ...string) string {
	for _, m := range c.members {
		for _, n := range names {
			if m.Name == n {
				goto next
			}
		}
		return m.Name
	next:
	}
	c.t.Fatal("no other node")
	return ""
}

// DESIGN §3: "the death of a leader that is not the holder must not cost the VIP".
func TestDeathOfTheLeaderDoesNotCostASession(t *testing.T) {
	c := newCluster(t, threeNodes, testTTL)
	leader := c.leader()
	k := c.keep(c.other(leader))
	eventually(t, "a session in the table", func() bool { return len(c.stores[leader].Table().Sessions()) == 1 })
	c.kill(leader)
	c.leader()
	<-time.After(testTTL)
	if n := k.lapses.Load(); n != 0 {
		t.Fatalf("the session lapsed %d times", n)
	}
}

// countingDisk counts writes, and holds them up while stalled is set.
type countingDisk struct {
	logStore
	writes  atomic.Int64
	stalled atomic.Bool
	fail    atomic.Pointer[error]
}

func (d *countingDisk) StoreLogs(logs []*raft.Log) error {
	return d.write(func() error { return d.logStore.StoreLogs(logs) })
}

func (d *countingDisk) Set(key, value []byte) error {
	return d.write(func() error { return d.logStore.Set(key, value) })
}

func (d *countingDisk) SetUint64(key []byte, value uint64) error {
	return d.write(func() error { return d.logStore.SetUint64(key, value) })
}

func (d *countingDisk) write(do func() error) error {
	d.writes.Add(1)
	for d.stalled.Load() {
		<-time.After(5 * time.Millisecond)
	}
	if err := d.fail.Load(); err != nil {
		return *err
	}
	return do()
}

// withDisks makes a cluster whose nodes write to counting disks.
func withDisks(t *testing.T) (*cluster, map[string]*countingDisk) {
	disks := map[string]*countingDisk{}
	c := prepareCluster(t, threeNodes, testTTL)
	for _, name := range threeNodes {
		disk := &countingDisk{}
		disks[name] = disk
		c.wrapDisk = func(s logStore) logStore { disk.logStore = s; return disk }
		c.start(name)
	}
	t.Cleanup(func() { // before the stores are closed
		for _, d := range disks {
			d.stalled.Store(false)
			d.fail.Store(nil)
		}
	})
	return c, disks
}

// I5: keeping a lease writes nothing to disk. Method: count the writes of all three
// nodes over two TTLs of keep-alives.
func TestKeepingASessionWritesNothing(t *testing.T) {
	c, disks := withDisks(t)
	k := c.keep(c.other(c.leader()))
	for range 5 { // an election writes, and happens on a noisy machine
		leader := c.leader()
		<-time.After(testTTL) // the leader's barrier and the session's entry settle
		term, before := c.stores[leader].State().Term, writes(disks)
		<-time.After(2 * testTTL)
		if c.stores[leader].State().Term != term {
			continue
		}
		if diff := cmp.Diff(before, writes(disks)); diff != "" {
			t.Errorf("writes of each node (-before +after):\n%s", diff)
		}
		if k.lapses.Load() != 0 {
			t.Error("the session lapsed; the test proves nothing")
		}
		return
	}
	t.Fatal("an election each time: this machine is too busy to tell")
}

func writes(disks map[string]*countingDisk) map[string]int64 {
	counts := map[string]int64{}
	for name, d := range disks {
		counts[name] = d.writes.Load()
	}
	return counts
}

// DESIGN §3: "A leader whose disk stalls hands leadership over: keep-alives go on
// meanwhile (I5), but nobody could take over from a holder that dies."
func TestLeaderWithAStalledDiskMakesRoomAndCostsNoSession(t *testing.T) {
	c, disks := withDisks(t)
	leader := c.leader()
	holder := c.other(leader)
	k := c.keep(holder)
	disks[leader].stalled.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	// Somebody must be able to commit although the leader's disk does not finish.
	result, err := c.stores[holder].Propose(ctx, consensus.Acquire{Session: k.session, Group: "g"})
	if err != nil || result.Outcome != consensus.OK {
		t.Fatalf("acquire while the leader's disk stalls: %v, %v", result.Outcome, err)
	}
	eventually(t, "another leader", func() bool {
		return slices.ContainsFunc(threeNodes, func(name string) bool { return name != leader && c.stores[name].State().Leads })
	})
	if n := k.lapses.Load(); n != 0 {
		t.Fatalf("the session lapsed %d times", n)
	}
}

// I5: a full disk never costs a VIP, and says so. The library would panic on the
// failed write of a term.
func TestFullDiskCostsNoSessionAndNoProcess(t *testing.T) {
	c, disks := withDisks(t)
	leader := c.leader()
	holder := c.other(leader)
	third := c.other(leader, holder)
	k := c.keep(holder)
	full := errors.New("no space left on device")
	disks[holder].fail.Store(&full)
	disks[third].fail.Store(nil)
	// An election: every node would write its new term.
	if err := c.stores[leader].raft.LeadershipTransferToServer(raft.ServerID(third), raft.ServerAddress(c.address(third))).Error(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another leader", func() bool { return c.stores[third].State().Leads })
	eventually(t, "the full disk in the state", func() bool {
		return strings.Contains(c.stores[holder].State().DiskError, "no space left")
	})
	<-time.After(2 * testTTL)
	if n := k.lapses.Load(); n != 0 {
		t.Fatalf("the session lapsed %d times", n)
	}
	disks[holder].fail.Store(nil)
	eventually(t, "the node votes again", func() bool {
		s := c.stores[holder].State()
		return s.DiskError == "" && s.Term == c.stores[third].State().Term
	})
}

func (c *cluster) address(name string) string {
	for _, m := range c.members {
		if m.Name == name {
			return m.Address.String()
		}
	}
	return ""
}

// A node with another cluster key takes no part, in either direction, and the
// others say that it knocks.
func TestWrongClusterKeyIsKeptOut(t *testing.T) {
	c := prepareCluster(t, threeNodes, testTTL)
	c.start("n1")
	c.start("n2")
	c.key = NewClusterKey()
	intruder := c.start("n3")
	c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), 2*testTTL)
	defer cancel()
	if _, err := intruder.Propose(ctx, consensus.OpenSession{Node: "n3", Host: "h", Life: 1, TTL: testTTL}); err == nil {
		t.Fatal("the intruder opened a session")
	}
	eventually(t, "a refusal in the state", func() bool {
		return c.stores["n1"].State().Refusal != "" || c.stores["n2"].State().Refusal != ""
	})
}

// A certificate of the cluster for a name that is no member is refused.
func TestStrangersNameIsKeptOut(t *testing.T) {
	c := newCluster(t, []string{"n1"}, testTTL)
	credentials, err := NewCredentials(c.key, "stranger")
	if err != nil {
		t.Fatal(err)
	}
	_, client, err := credentials.tlsConfigs(func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	client.ServerName, client.NextProtos = "n1", []string{ProtocolRPC}
	conn, err := tls.Dial("tcp", c.address("n1"), client)
	if err == nil { // TLS 1.3: the server's refusal arrives with the first read
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patient))
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(c.stores["n1"].State().Refusal, "no member") {
		t.Fatalf("err %v, refusal %q", err, c.stores["n1"].State().Refusal)
	}
}

// The guard's farewell: the very bytes, sent to any one peer over TLS, close the
// session, also where that peer does not lead.
func TestFarewellClosesTheSessionThroughAnyPeer(t *testing.T) {
	c := newCluster(t, threeNodes, testTTL)
	leader := c.leader()
	for turn, through := range []string{leader, c.other(leader)} {
		from := c.other(through, c.other(through))
		if turn == 1 && from == leader {
			from = c.other(through, leader)
		}
		k := c.keep(from)
		farewell, err := c.stores[from].Farewell(k.session)
		if err != nil {
			t.Fatal(err)
		}
		k.stop()
		credentials := c.config(from).Credentials
		_, client, err := credentials.tlsConfigs(nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range farewell.ServerNames {
			if name != through {
				continue
			}
			client.ServerName, client.NextProtos = name, []string{farewell.Protocol}
			conn, err := tls.Dial("tcp", farewell.Peers[i], client)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(farewell.Frame); err != nil {
				t.Fatal(err)
			}
			var answer response
			if err := readFrame(conn, &answer); err != nil || answer.Error != "" {
				t.Fatalf("answer of %s: %v %q", through, err, answer.Error)
			}
			_ = conn.Close()
		}
		eventually(t, "the session's end", func() bool { _, there := c.stores[leader].Table().Session(from); return !there })
	}
}

// What was committed is there after all nodes were started anew.
func TestTableSurvivesARestartOfAll(t *testing.T) {
	c := newCluster(t, threeNodes, testTTL)
	k := c.keep("n1")
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if _, err := c.stores["n1"].Propose(ctx, consensus.Acquire{Session: k.session, Group: "g"}); err != nil {
		t.Fatal(err)
	}
	k.stop()
	for _, name := range threeNodes {
		c.kill(name)
	}
	for _, name := range threeNodes {
		c.start(name)
	}
	eventually(t, "the token", func() bool { return c.stores["n2"].Table().Lease("g").Token == 1 })
	// Nobody keeps the session: it counts as heard when the new leader began, and then expires.
	eventually(t, "a free lease", func() bool { return c.stores["n2"].Table().Lease("g").Holder.IsZero() })
}

// The leader that holds a lease hands leadership to a voter without one.
func TestLeadershipLeavesTheHolder(t *testing.T) {
	c := newCluster(t, threeNodes, testTTL)
	leader := c.leader()
	keepers := map[string]*keeper{}
	for _, name := range threeNodes {
		keepers[name] = c.keep(name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if _, err := c.stores[leader].Propose(ctx, consensus.Acquire{Session: keepers[leader].session, Group: "g"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another leader", func() bool {
		for name, s := range c.stores {
			if name != leader && s.State().Leads {
				return true
			}
		}
		return false
	})
	for name, k := range keepers {
		if k.lapses.Load() != 0 {
			t.Errorf("%s lapsed", name)
		}
	}
}

// An expiry is for the term that counted: one that was held up and is proposed in a
// later term changes nothing, for the session may have been heard there.
func TestExpiryOfAnotherTermChangesNothing(t *testing.T) {
	c := newCluster(t, []string{"n1"}, testTTL)
	c.leader()
	k := c.keep("n1")
	store := c.stores["n1"]
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	term := store.State().Term
	result, err := store.Propose(ctx, consensus.ExpireSession{Session: k.session, Term: term - 1})
	if err != nil || result.Outcome != consensus.Stale {
		t.Fatalf("of the term before: %v, %v, want %v", result.Outcome, err, consensus.Stale)
	}
	if _, there := store.Table().Session("n1"); !there {
		t.Fatal("the session is gone")
	}
	if result, err = store.Propose(ctx, consensus.ExpireSession{Session: k.session, Term: term}); err != nil || result.Outcome != consensus.OK {
		t.Fatalf("of the present term: %v, %v", result.Outcome, err)
	}
}

// I3: a node that was away for long counts at once when it is back. The library
// would write to it only after a back-off of up to 10.24 s, and if another node
// failed meanwhile nothing would commit. Method: away for as long as makes the
// library's back-off exceed what is allowed here.
func TestReturnedNodeCountsAtOnce(t *testing.T) {
	c := newCluster(t, threeNodes, testTTL)
	away := c.other(c.leader())
	c.kill(away)
	<-time.After(8 * time.Second)
	leader := c.leader()
	third := c.other(leader, away)
	c.start(away)
	eventually(t, "the returned node knows the leader", func() bool { return c.stores[away].State().Leader == leader })
	c.kill(third)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if _, err := c.stores[leader].Propose(ctx, consensus.OpenSession{Node: away, Host: "h", Life: 1, TTL: testTTL}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > testTTL {
		t.Fatalf("the commit took %v", took)
	}
}
