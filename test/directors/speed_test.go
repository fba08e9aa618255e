package directors

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/test/lab/kernel"
)

// The promises of this file, and how much slower a machine of the lab may be on a busy
// host. What is measured is logged.
const (
	removalPromise = 50 * time.Millisecond  // after the last failed try
	applyPromise   = 3 * time.Second        // of 2,284 services with 37,298 destinations
	reloadPromise  = 200 * time.Millisecond // of one change to that, once the file is read
	labSlack       = 4
)

// ipvs opens the IPVS of a node.
func (c *cluster) ipvs(n *demo.Node) *lvs.Kernel {
	c.Helper()
	var k *lvs.Kernel
	c.must(n.Host.Do(func() (err error) {
		k, err = lvs.Open()
		return err
	}))
	c.Cleanup(k.Close)
	return k
}

// has reports whether a service of IPVS has a destination, and its weight.
func has(services []lvs.Service, address netip.Addr) (lvs.Weight, bool) {
	for _, s := range services {
		for _, d := range s.Destinations {
			if d.Addr.Addr() == address {
				return d.Weight, true
			}
		}
	}
	return 0, false
}

// Goal: a real server is out of IPVS within 50 ms of its last failed try, and back as
// soon after a successful one. Method: the kernel's table, read all the time, and the
// time of the try as the checker tells it.
func TestFailedServerLeavesIPVSAtOnce(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	c := open(t, demo.Options{Service: &demo.Service{Method: "DR"}, Plain: true, Ungated: true})
	n, s := c.Nodes[0], c.Servers[0]
	c.must(n.Start())
	k := c.ipvs(n)
	await := func(what string, present bool) boottime.Instant {
		t.Helper()
		c.until(what, func() bool {
			services, err := k.Services()
			c.must(err)
			_, there := has(services, s.Address)
			return there == present && len(services) > 0
		})
		return boottime.Now()
	}
	await("the real server is in IPVS", true)
	for _, change := range []struct {
		what string
		do   func() error
		up   bool
	}{{"leaves", s.Down, false}, {"returns", s.Up, true}} {
		c.must(change.do())
		changed := await("the real server "+change.what, change.up)
		tried := c.lastChange(n, s.Address, change.up)
		took := changed.Sub(tried)
		t.Logf("it %s %v after the try that decided", change.what, took.Round(time.Millisecond))
		if took > removalPromise*labSlack {
			t.Errorf("it %s after %v", change.what, took)
		}
	}
}

// lastChange is when the first of the latest tries with one outcome ended.
func (c *cluster) lastChange(n *demo.Node, address netip.Addr, up bool) boottime.Instant {
	c.Helper()
	asked := boottime.Now()
	told, err := n.Servers(context.Background())
	c.must(err)
	for _, r := range told.VirtualServers[0].RealServers {
		if !strings.Contains(r.Name, address.String()) {
			continue
		}
		history := r.Checks[0].History
		first := slices.IndexFunc(history, func(t status.Try) bool { return t.Up != up })
		if first < 0 {
			first = len(history)
		}
		if first > 0 {
			return asked.Add(-time.Duration(history[first-1].Ago * float64(time.Second)))
		}
	}
	c.Fatalf("no try that decided: %+v", told.VirtualServers[0])
	return 0
}

// Goal: a large user's site (keepalived #2318) is in IPVS within 3 s, and one change of
// it within 200 ms of the reading of the file. Method: 2,284 services
// with 37,298 destinations in a machine of the lab; the kernel's table from outside.
func TestLargeSiteIsAppliedInTime(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	const services, destinations = 2284, 37298
	weight := 1
	c := open(t, demo.Options{Plain: true, Ungated: true, Extra: func(*demo.Node) string { return largeSite(services, destinations, weight) }})
	n := c.Nodes[0]
	k := c.ipvs(n)
	count := func() (total int) {
		have, err := k.Services()
		c.must(err)
		for _, s := range have {
			total += len(s.Destinations)
		}
		return total
	}
	began := boottime.Now()
	c.must(n.Start())
	c.until("the site is in IPVS", func() bool { return count() == destinations })
	t.Logf("start of all processes, three readings of the file, apply, and a reading of IPVS: %v", boottime.Now().Sub(began).Round(time.Millisecond))
	c.until("the checker says how it went", func() bool { return ipvsTook.MatchString(c.log(n)) })
	applied, err := time.ParseDuration(ipvsTook.FindStringSubmatch(c.log(n))[1])
	c.must(err)
	t.Logf("first apply: %v", applied)
	if applied > applyPromise*labSlack {
		t.Errorf("the first apply took %v", applied)
	}
	text, err := os.ReadFile(n.ConfigFile())
	c.must(err)
	changed := strings.Replace(string(text), "weight 1\n", "weight 7\n", 1)
	c.must(os.WriteFile(n.ConfigFile(), []byte(changed), 0o644))
	began = boottime.Now()
	c.must(n.Reload())
	c.until("the change is in IPVS", func() bool { return reloadTook.MatchString(c.log(n)) })
	took, err := time.ParseDuration(reloadTook.FindStringSubmatch(c.log(n))[1])
	c.must(err)
	t.Logf("reload with one change of %d: %v once the file is read; %v from SIGHUP", destinations, took, boottime.Now().Sub(began).Round(time.Millisecond))
	if took > reloadPromise*labSlack {
		t.Errorf("the reload took %v", took)
	}
	have, err := k.Services()
	c.must(err)
	first := slices.IndexFunc(have, func(s lvs.Service) bool { return s.Addr == netip.MustParseAddrPort("10.0.0.1:80") })
	if w, _ := has(have[first:first+1], netip.MustParseAddr("172.16.0.1")); w != 7 {
		t.Errorf("after the reload the weight is %d", w)
	}
}

// What the checker says of its first apply, and of a reload.
var (
	ipvsTook   = regexp.MustCompile(`checking: .*ipvs_took=([0-9.a-zµ]+)`)
	reloadTook = regexp.MustCompile(`checker: configuration reloaded: .*ipvs_took=([0-9.a-zµ]+)`)
)

func (c *cluster) log(n *demo.Node) string {
	text, err := os.ReadFile(n.LogFile())
	c.must(err)
	return string(text)
}

func largeSite(services, destinations, weight int) string {
	var b strings.Builder
	for i := range services {
		fmt.Fprintf(&b, "virtual_server 10.%d.%d.1 80 {\nlvs_sched rr\nlvs_method TUN\nprotocol TCP\n", i/250, i%250)
		for j := i; j < destinations; j += services {
			fmt.Fprintf(&b, "real_server 172.16.%d.%d 80 {\nweight %d\n}\n", i%250, j/services+1, weight)
		}
		b.WriteString("}\n")
	}
	return b.String()
}
