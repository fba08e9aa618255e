package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/demo"
)

// Goals of the checker.
const (
	goalTCPCPU   = 25   // % of one core: 10,000 TCP_CHECK every 5 s
	goalHTTPCPU  = 10   // % of one core: 1,000 HTTP_GET every 5 s
	goalLateness = 200  // ms, p99
	goalCheckRSS = 250  // MB
	goalFailed   = 1000 // ms: all of 1,000 that fail at once
	goalLate     = 50   // ms: adverts and keep-alives meanwhile
)

const (
	serversPort    = 8080
	serversEach    = 100             // real servers of a virtual server
	serversWarm    = 8 * time.Second // until every check has run once
	advertInterval = time.Second
	lookInterval   = 10 * time.Millisecond
	vrrpProtocol   = 112
)

// serverFigures measures one node's checker while it checks thousands of real servers
// on that node's loopback, which this process is. The kernel need not have IPVS.
func serverFigures(ctx context.Context, options demo.Options, d time.Duration) ([]figure, error) {
	var all []figure
	for _, measure := range []func(context.Context, demo.Options, time.Duration) ([]figure, error){
		tcpFigures, httpFigures, failureFigures,
	} {
		figures, err := measure(ctx, options, d)
		if err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	return all, nil
}

func tcpFigures(ctx context.Context, options demo.Options, d time.Duration) ([]figure, error) {
	const count = 10_000
	used, err := checking(ctx, options, site{count: count, check: "TCP_CHECK {\n}\n", interval: 5}, d)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d TCP_CHECK every 5 s: ", count)
	return []figure{
		newFigure(name+"CPU of the checker", []float64{used.cpu}, goalTCPCPU, "%", "of one core"),
		newFigure(name+"checks late, p99", []float64{used.p99}, goalLateness, "ms", fmt.Sprintf("worst %.0f ms", used.late)),
		newFigure(name+"RSS of the checker", []float64{used.rss}, goalCheckRSS, "MB", ""),
		newFigure(name+"descriptors, most seen", []float64{used.descriptors}, count, "", ""),
	}, nil
}

func httpFigures(ctx context.Context, options demo.Options, d time.Duration) ([]figure, error) {
	const count = 1000
	used, err := checking(ctx, options, site{count: count, check: "HTTP_GET {\nurl {\npath /\n}\n}\n", interval: 5, http: true}, d)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d HTTP_GET every 5 s: ", count)
	return []figure{
		newFigure(name+"CPU of the checker", []float64{used.cpu}, goalHTTPCPU, "%", "of one core"),
		newFigure(name+"checks late, p99", []float64{used.p99}, goalLateness, "ms", fmt.Sprintf("worst %.0f ms", used.late)),
	}, nil
}

// site is what a node is to check.
type site struct {
	count    int
	check    string
	interval float64 // seconds
	http     bool
}

// configuration is the site as a user would write it.
func (s site) configuration() string {
	var b strings.Builder
	for i := 0; i < s.count; i += serversEach {
		fmt.Fprintf(&b, "virtual_server 192.0.2.%d 80 {\nprotocol TCP\nlvs_sched rr\ndelay_loop %g\nretry 0\n", i/serversEach+1, s.interval)
		for j := i; j < min(i+serversEach, s.count); j++ {
			fmt.Fprintf(&b, "real_server 127.1.%d.%d %d {\n%s}\n", j>>8, j&255, serversPort, s.check)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// bench is a cluster whose first node checks a site.
type bench struct {
	*demo.Cluster
	node     *demo.Node
	listener net.Listener
}

func openBench(options demo.Options, s site) (*bench, error) {
	options.Extra = func(n *demo.Node) string {
		if n.Index != 0 {
			return ""
		}
		return s.configuration()
	}
	cluster, err := demo.Open(options)
	if err != nil {
		return nil, err
	}
	b := &bench{Cluster: cluster, node: cluster.Nodes[0]}
	err = b.node.Host.Do(func() (err error) {
		b.listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", serversPort))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	if s.http {
		go func() {
			_ = http.Serve(b.listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
		}()
	} else {
		go accept(b.listener)
	}
	return b, nil
}

// accept takes connections and ends them.
func accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

func (b *bench) close() error { return errors.Join(b.listener.Close(), b.Cluster.Close()) }

// cost is what checking has cost.
type cost struct{ cpu, rss, descriptors, p99, late float64 }

// checking measures the checker of a node while nothing fails.
func checking(ctx context.Context, options demo.Options, s site, d time.Duration) (cost, error) {
	b, err := openBench(options, s)
	if err != nil {
		return cost{}, err
	}
	defer b.close()
	if err := b.node.Start(); err != nil {
		return cost{}, err
	}
	if err := wait(ctx, serversWarm); err != nil {
		return cost{}, err
	}
	pid, err := b.checker()
	if err != nil {
		return cost{}, err
	}
	before, err := usageOf(pid)
	if err != nil {
		return cost{}, err
	}
	var c cost
	began := boottime.Now()
	for boottime.Now().Sub(began) < d {
		if err := wait(ctx, 10*lookInterval); err != nil {
			return cost{}, err
		}
		if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
			c.descriptors = max(c.descriptors, float64(len(entries)))
		}
	}
	took := boottime.Now().Sub(began)
	after, err := usageOf(pid)
	if err != nil {
		return cost{}, err
	}
	told, err := b.node.Servers(ctx)
	if err != nil {
		return cost{}, err
	}
	if down, all := told.Down(); down > 0 || all != s.count {
		return cost{}, fmt.Errorf("%d of %d real servers are down, want none of %d", down, all, s.count)
	}
	c.cpu = 100 * float64(after.ticks-before.ticks) / clockTicks / took.Seconds()
	c.rss, c.p99, c.late = float64(after.rss)/1e6, told.Lateness.P99*1000, told.Lateness.Max*1000
	return c, nil
}

// checker finds the checker's process.
func (b *bench) checker() (int, error) {
	pids, err := b.node.Processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && slices.Contains(strings.Split(string(line), "\x00"), "checker") {
			return pid, nil
		}
	}
	return 0, errors.New("no checker runs")
}

// failureFigures lets 1,000 real servers fail at once on the MASTER, and looks at the
// network and at the session meanwhile.
func failureFigures(ctx context.Context, options demo.Options, _ time.Duration) ([]figure, error) {
	const count = 1000
	b, err := openBench(options, site{count: count, check: "TCP_CHECK {\n}\n", interval: 0.5})
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.Start(); err != nil {
		return nil, err
	}
	if err := wait(ctx, serversWarm); err != nil {
		return nil, err
	}
	adverts, err := listenForAdverts(b)
	if err != nil {
		return nil, err
	}
	defer adverts.Close()
	watched, stop := context.WithCancel(ctx)
	lateC, leastC := make(chan float64, 1), make(chan float64, 1)
	go func() { lateC <- latestAdvert(watched, adverts) }()
	go func() { leastC <- leastLeft(watched, b.node) }()
	if err := wait(ctx, 3*advertInterval); err != nil {
		stop()
		return nil, err
	}
	began := boottime.Now()
	_ = b.listener.Close()
	took, err := allDown(ctx, b.node, count)
	failed := took.Sub(began)
	if err == nil {
		err = wait(ctx, 3*advertInterval)
	}
	stop()
	late, least := <-lateC, <-leastC
	if err != nil {
		return nil, err
	}
	// A keep-alive every tenth of the lease: what is left is never less than nine.
	keepAlive := max(milliseconds(options.TTL)*0.9-least, 0)
	interval := 500.0
	name := fmt.Sprintf("%d real servers fail at once: ", count)
	return []figure{
		newFigure(name+"all down", []float64{milliseconds(failed) - interval}, goalFailed, "ms", "beyond delay_loop 0.5 s"),
		newFigure(name+"adverts late", []float64{late}, goalLate, "ms", "as the network sees them"),
		newFigure(name+"keep-alives late", []float64{keepAlive}, goalLate, "ms", "by what is left of the lease"),
	}, nil
}

// allDown waits until the checker has noticed.
func allDown(ctx context.Context, n *demo.Node, count int) (boottime.Instant, error) {
	for {
		told, err := n.Servers(ctx)
		if err != nil {
			return 0, err
		}
		if down, _ := told.Down(); down == count {
			return boottime.Now(), nil
		}
		if err := wait(ctx, lookInterval); err != nil {
			return 0, err
		}
	}
}

// listenForAdverts joins VRRP's group on the client's cable.
func listenForAdverts(b *bench) (*ipv4.PacketConn, error) {
	var conn *ipv4.PacketConn
	err := b.Client.Do(func() error {
		raw, err := net.ListenPacket(fmt.Sprintf("ip4:%d", vrrpProtocol), "0.0.0.0")
		if err != nil {
			return err
		}
		conn = ipv4.NewPacketConn(raw)
		device, err := net.InterfaceByName("eth0")
		if err == nil {
			err = conn.JoinGroup(device, &net.IPAddr{IP: net.IPv4(224, 0, 0, 18)})
		}
		return err
	})
	return conn, err
}

// latestAdvert is by how many milliseconds the latest advertisement was late.
func latestAdvert(ctx context.Context, conn *ipv4.PacketConn) float64 {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	var last boottime.Instant
	var late time.Duration
	buffer := make([]byte, 2048)
	for {
		if _, _, _, err := conn.ReadFrom(buffer); err != nil {
			return milliseconds(late)
		}
		now := boottime.Now()
		if last != 0 {
			late = max(late, now.Sub(last)-advertInterval)
		}
		last = now
	}
}

// leastLeft is the least time in milliseconds that was left of the node's lease.
func leastLeft(ctx context.Context, n *demo.Node) float64 {
	least := 0.0
	for ctx.Err() == nil {
		told, err := n.Status(ctx)
		if err == nil {
			for _, node := range told.Nodes {
				left := node.TimeLeft * 1000
				if node.Name == n.Name && left > 0 && (least == 0 || left < least) {
					least = left
				}
			}
		}
		_ = wait(ctx, 2*lookInterval)
	}
	return least
}
