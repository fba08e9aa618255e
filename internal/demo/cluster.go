package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hafence/hafence/test/lab"
)

// Options are what [Open] needs.
type Options struct {
	Program string             // the hafence program; hafence-guard is beside it
	TTL     time.Duration      // lease_ttl; 0: hafence's default
	KeepLog string             // directory that the nodes' logs are copied to at the end; "": none
	Service *Service           // a virtual server on the VIP; nil: none. Needs a kernel with IPVS
	Extra   func(*Node) string // more of a node's configuration; nil: none
	Plain   bool               // plain VRRP without leases (consensus off): for a kernel too slow for Raft
	Ungated bool               // do without the packet gate: the kernel lacks its families of nf_tables
}

// DefaultTTL is hafence's own lease_ttl (DESIGN §3).
const DefaultTTL = 1500 * time.Millisecond

const (
	statusTimeout = 2 * time.Second
	stopPatience  = 15 * time.Second       // for a node to end that was asked to
	liveMemory    = 100 * time.Millisecond // a node that answered within it answers
	guardProgram  = "hafence-guard"
)

// Cluster is three nodes and a client on a switch, in network namespaces that
// vanish with this process.
type Cluster struct {
	Switch   *lab.Switch
	Nodes    []*Node
	Client   *lab.Host
	Observer *Observer
	Servers  []*Server // of Options.Service

	options Options
	dir     string
	back    *lab.Switch // of the servers, with NAT
	owned   []*lab.Host // the servers', where they have their own
	closed  bool
}

// Open builds the network and writes the configurations. Nothing runs yet but
// the observer. A *Missing error says what this host lacks.
func Open(options Options) (*Cluster, error) {
	if options.TTL == 0 {
		options.TTL = DefaultTTL
	}
	if err := require(options.Program, !options.Ungated); err != nil {
		return nil, err
	}
	c := &Cluster{options: options}
	if err := c.build(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) build() error {
	var err error
	if c.dir, err = os.MkdirTemp("", "hafence-demo-"); err != nil {
		return fmt.Errorf("make a directory for the nodes: %w", err)
	}
	key := filepath.Join(c.dir, "cluster.key")
	if out, err := exec.Command(c.options.Program, "keygen", key).CombinedOutput(); err != nil {
		return fmt.Errorf("make a cluster key: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if c.Switch, err = lab.NewSwitch(); err != nil {
		return err
	}
	for i := range nodeCount {
		if err := c.addNode(i); err != nil {
			return err
		}
	}
	if c.options.Service != nil {
		if err := c.addServers(); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := os.WriteFile(n.ConfigFile(), []byte(c.configuration(n, key)), 0o644); err != nil {
			return fmt.Errorf("write the configuration of %s: %w", n.Name, err)
		}
	}
	if c.Client, err = lab.NewHost("client"); err != nil {
		return err
	}
	if _, err = c.Switch.Plug(c.Client, interfaceName, netip.PrefixFrom(clientAddress, subnetBits)); err != nil {
		return err
	}
	scene := Scene{Switch: c.Switch, Client: c.Client, VIP: vip, Observer: observerAddress}
	for _, n := range c.Nodes {
		scene.Nodes = append(scene.Nodes, n.Port)
	}
	c.Observer, err = Observe(scene)
	return err
}

func (c *Cluster) addNode(i int) error {
	name := nodeName(i)
	host, err := lab.NewHost(name)
	if err != nil {
		return err
	}
	n := &Node{Name: name, Index: i, Address: nodeAddress(i), Host: host, dir: filepath.Join(c.dir, name), program: c.options.Program}
	c.Nodes = append(c.Nodes, n)
	if n.Port, err = c.Switch.Plug(host, interfaceName, netip.PrefixFrom(n.Address, subnetBits)); err != nil {
		return err
	}
	if err := os.MkdirAll(n.DataDir(), 0o700); err != nil {
		return fmt.Errorf("make the directory of %s: %w", name, err)
	}
	return nil
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

// configuration is a node's, as a user would write it.
func (c *Cluster) configuration(n *Node, key string) string {
	var b strings.Builder
	if c.options.Plain {
		b.WriteString("consensus off\n")
	} else {
		fmt.Fprintf(&b, "consensus {\n    node %s\n", n.Name)
		for i := range nodeCount {
			fmt.Fprintf(&b, "    member %s %s\n", nodeName(i), nodeAddress(i))
		}
		fmt.Fprintf(&b, "    key_file %s\n    data_dir %s\n    lease_ttl %v\n}\n", key, n.DataDir(), c.options.TTL.Seconds())
	}
	fmt.Fprintf(&b, "status {\n    socket %s\n}\n", n.SocketPath())
	fmt.Fprintf(&b, `vrrp_instance %s {
    state BACKUP
    interface %s
    virtual_router_id %d
    priority %d
    advert_int 1
    virtual_ipaddress {
        %s
%s    }
}
`, instanceName, interfaceName, routerID, priorities[n.Index], vip, c.secondAddress())
	if c.options.Ungated {
		b.WriteString("fence {\n    gate off\n}\n")
	}
	b.WriteString(c.serviceConfiguration())
	if c.options.Extra != nil {
		b.WriteString(c.options.Extra(n))
	}
	return b.String()
}

// TTL is the cluster's lease_ttl.
func (c *Cluster) TTL() time.Duration { return c.options.TTL }

// Start starts every node that doesn't run.
func (c *Cluster) Start() error {
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.Start())
	}
	return errors.Join(errs...)
}

// Replug gives a node an interface anew, as it was, after lab.Switch.Unplug.
func (c *Cluster) Replug(n *Node) error {
	port, err := c.Switch.Plug(n.Host, interfaceName, netip.PrefixFrom(n.Address, subnetBits))
	if err == nil {
		n.Port = port
	}
	return err
}

// Isolate cuts a node off from the other nodes; the client still reaches it.
func (c *Cluster) Isolate(n *Node) error {
	return c.towardsOthers(n, func(other *Node) error { return c.Switch.Part(n.Port, other.Port) })
}

// BlockVRRP drops VRRP between all nodes, and nothing else.
func (c *Cluster) BlockVRRP() error {
	for i, a := range c.Nodes {
		for _, b := range c.Nodes[i+1:] {
			if err := c.Switch.Block(a.Port, b.Port, vrrpProtocol); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) towardsOthers(n *Node, do func(other *Node) error) error {
	for _, other := range c.Nodes {
		if other != n {
			if err := do(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// Heal undoes every fault: the network is whole and every node runs. It waits for
// one that is just stopping.
func (c *Cluster) Heal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	errs := []error{c.Switch.Join()}
	for _, n := range c.Nodes {
		errs = append(errs, n.Port.Heal())
		switch {
		case n.stopping:
			errs = append(errs, n.AwaitStopped(ctx))
		case n.Running():
			errs = append(errs, n.Thaw())
		}
	}
	return errors.Join(append(errs, c.Start())...)
}

// CopyLogs copies the nodes' logs to a directory.
func (c *Cluster) CopyLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	for _, n := range c.Nodes {
		text, err := os.ReadFile(n.LogFile())
		if errors.Is(err, os.ErrNotExist) {
			continue // it was never started
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, n.Name+".log"), text, 0o644)
		}
		if err != nil {
			return fmt.Errorf("keep the log of %s: %w", n.Name, err)
		}
	}
	return nil
}

// Close kills everything and leaves nothing behind but the logs that were asked
// for. A second call does nothing.
func (c *Cluster) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.end())
	}
	if c.options.KeepLog != "" {
		errs = append(errs, c.CopyLogs(c.options.KeepLog))
	}
	if c.Observer != nil {
		errs = append(errs, c.Observer.Close())
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.Host.Close())
	}
	if c.Client != nil {
		errs = append(errs, c.Client.Close())
	}
	errs = append(errs, c.closeServers())
	if c.Switch != nil {
		errs = append(errs, c.Switch.Close())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
