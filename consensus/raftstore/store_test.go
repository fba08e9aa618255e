package raftstore

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/consensus/storetest"
)

var testPatience = consensus.Patience{Drift: 0.01, Margin: consensus.DefaultMargin}

// cluster is a cluster on loopback in this process.
type cluster struct {
	t       testing.TB
	ttl     time.Duration
	key     ClusterKey
	dir     string
	members []Member
	stores  map[string]*Store
	stop    map[string]func()

	wrapDisk func(logStore) logStore // for the next start
}

// newCluster makes a cluster and starts every node.
func newCluster(t testing.TB, nodes []string, ttl time.Duration) *cluster {
	c := prepareCluster(t, nodes, ttl)
	for _, name := range nodes {
		c.start(name)
	}
	return c
}

// prepareCluster makes a cluster whose nodes are not started.
func prepareCluster(t testing.TB, nodes []string, ttl time.Duration) *cluster {
	c := &cluster{t: t, ttl: ttl, key: NewClusterKey(), dir: t.TempDir(), stores: map[string]*Store{}, stop: map[string]func(){}}
	for _, name := range nodes {
		c.members = append(c.members, Member{Name: name, Address: freeAddress(t)})
	}
	t.Cleanup(func() {
		for name := range c.stores {
			c.kill(name)
		}
	})
	return c
}

func freeAddress(t testing.TB) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func (c *cluster) config(name string) Config {
	credentials, err := NewCredentials(c.key, name)
	if err != nil {
		c.t.Fatal(err)
	}
	level := hclog.Error
	if testing.Verbose() {
		level = hclog.Info
	}
	return Config{
		Node: name, Members: c.members, Credentials: credentials, Dir: filepath.Join(c.dir, name), TTL: c.ttl, Patience: testPatience,
		Logger: hclog.New(&hclog.LoggerOptions{Name: name, Level: level}),
	}
}

func (c *cluster) start(name string) *Store {
	config := c.config(name)
	config.wrapDisk = c.wrapDisk
	s, err := Open(config)
	if err != nil {
		c.t.Fatalf("open %s: %v", name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = s.Run(ctx) })
	c.stores[name], c.stop[name] = s, func() { cancel(); wait.Wait() }
	return s
}

func (c *cluster) kill(name string) {
	c.stop[name]()
	delete(c.stores, name)
}

// leader waits for a node that leads and has applied its barrier.
func (c *cluster) leader() string {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		for name, s := range c.stores {
			if s.State().Leads {
				return name
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads")
	return ""
}

func TestRaftStoreConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T, nodes []string, ttl time.Duration) []storetest.Store {
		c := newCluster(t, nodes, ttl)
		var stores []storetest.Store
		for _, name := range nodes {
			stores = append(stores, c.stores[name])
		}
		return stores
	})
}
