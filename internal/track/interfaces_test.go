package track

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/test/lab"
)

// An interface is faulty without carrier, without an address of its own, when down
// and when it is gone; each is noticed without asking, and so is its return.
func TestInterfaceFaultsAreNoticedAndNamed(t *testing.T) {
	lab.Require(t, "ip")
	sw, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	defer sw.Close()
	host, err := lab.NewHost("a")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	port, err := sw.Plug(host, "eth0", netip.MustParsePrefix("192.0.2.1/24"))
	if err != nil {
		t.Fatal(err)
	}
	var watch *Interfaces
	if err := host.Do(func() (err error) { watch, err = OpenInterfaces(); return err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = watch.Run(ctx) }()

	vip := netip.MustParseAddr("192.0.2.100")
	own := func(a netip.Addr) bool { return a == vip }
	until := func(what string, ok func(Interface) bool) {
		t.Helper()
		timeout := time.After(20 * time.Second)
		for look := watch.Look("eth0", own); !ok(look); look = watch.Look("eth0", own) {
			select {
			case <-watch.Changed():
			case <-timeout:
				t.Fatalf("never: %s; it is %+v", what, look)
			}
		}
	}
	run := func(args ...string) {
		t.Helper()
		if err := host.Run("ip", args...); err != nil {
			t.Fatal(err)
		}
	}
	faulty := func(text string) func(Interface) bool {
		return func(i Interface) bool { return strings.Contains(i.Fault, text) }
	}
	well := func(i Interface) bool { return i.Fault == "" && i.Address == netip.MustParseAddr("192.0.2.1") }

	until("well", well)
	if got := watch.Owner(netip.MustParseAddr("192.0.2.1")); got != "eth0" {
		t.Errorf("owner %q", got)
	}
	if err := port.Cut(); err != nil {
		t.Fatal(err)
	}
	until("no carrier", faulty("no carrier"))
	if err := port.Heal(); err != nil {
		t.Fatal(err)
	}
	until("well after the cut", well)
	run("addr", "add", "192.0.2.100/32", "dev", "eth0")
	run("addr", "del", "192.0.2.1/24", "dev", "eth0")
	until("no address but the VIP", faulty("no IPv4 address of its own"))
	run("addr", "add", "192.0.2.1/24", "dev", "eth0")
	until("well with an address", well)
	run("link", "set", "eth0", "down")
	until("down", faulty("is down"))
	run("link", "del", "eth0")
	until("gone", faulty("interface eth0: "))
}

// Notifications that were lost end nothing: the loss counts as a change, later
// changes are noticed, and only the context's end ends Run, while somebody looks.
// Method: a tiny receive buffer that overflows before Run begins to read.
func TestWatchOutlivesAnOverflow(t *testing.T) {
	lab.Require(t, "ip")
	host, err := lab.NewHost("a")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	run := func(args ...string) {
		t.Helper()
		if err := host.Run("ip", args...); err != nil {
			t.Fatal(err)
		}
	}
	var watch *Interfaces
	if err := host.Do(func() (err error) { watch, err = OpenInterfaces(); return err }); err != nil {
		t.Fatal(err)
	}
	if err := watch.socket.SetReceiveBufferSize(1, false); err != nil { // the kernel takes its minimum
		t.Fatal(err)
	}
	run("link", "add", "d0", "type", "veth", "peer", "name", "d1")
	for range 10 {
		run("link", "set", "d0", "up")
		run("link", "set", "d0", "down")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	endedC := make(chan error, 1)
	go func() { endedC <- watch.Run(ctx) }()

	timeout := time.After(20 * time.Second)
	own := func(netip.Addr) bool { return false }
	for i, change := range []string{"up", "down", "up", "down"} {
		run("link", "set", "d0", change)
		down := change == "down"
		for strings.Contains(watch.Look("d0", own).Fault, "is down") != down {
			t.Fatalf("d0 is not seen %s", change)
		}
		select {
		case <-watch.Changed():
		case err := <-endedC:
			t.Fatalf("the watch ended with the overflow: %v", err)
		case <-timeout:
			t.Fatalf("change %d was not noticed", i)
		}
	}

	lookedC := make(chan struct{})
	go func() {
		defer close(lookedC)
		for !strings.Contains(watch.Look("d0", own).Fault, errClosed.Error()) {
			_ = watch.Owner(netip.IPv4Unspecified())
		}
	}()
	cancel()
	if err := <-endedC; err != nil {
		t.Errorf("Run at the end of its context: %v", err)
	}
	<-lookedC
}

// A dump that a change disturbed is taken again, a bounded number of times; an
// address in the last of them counts, and its absence is an error. Method: a
// kernel that is disturbed so many times.
func TestDisturbedDumpIsNoFault(t *testing.T) {
	address, err := netlink.ParseAddr("192.0.2.1/24")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		disturbed int            // dumps
		first     []netlink.Addr // what these have
		found     bool
		err       error
		dumps     int
	}{
		{name: "calm", found: true, dumps: 1},
		{name: "twice", disturbed: 2, found: true, dumps: 3},
		{name: "always, address listed", disturbed: 100, first: []netlink.Addr{*address}, found: true, dumps: listAttemptsMax},
		{name: "always, address missing", disturbed: 100, err: netlink.ErrDumpInterrupted, dumps: listAttemptsMax},
	} {
		dumps := 0
		found, err := search(func() ([]netlink.Addr, error) {
			if dumps++; dumps <= c.disturbed {
				return c.first, netlink.ErrDumpInterrupted
			}
			return []netlink.Addr{*address}, nil
		}, func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") })
		if (found != nil) != c.found || !errors.Is(err, c.err) || dumps != c.dumps {
			t.Errorf("%s: found %v, error %v after %d dumps; want %v, %v, %d", c.name, found, err, dumps, c.found, c.err, c.dumps)
		}
	}
}

// The owner of an IPv6 address is found and its coming and going is told of, as with
// IPv4, while an interface with nothing else has no address of its own. Method: an
// address on lo, after every other change has been read.
func TestOwnerOfIPv6Address(t *testing.T) {
	lab.Require(t, "ip")
	host, err := lab.NewHost("a")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if err := host.Do(func() error { _, err := os.Stat("/proc/net/if_inet6"); return err }); err != nil {
		lab.Skip(t, "IPv6 in the kernel")
	}
	if err := host.Run("ip", "addr", "flush", "dev", "lo"); err != nil {
		t.Fatal(err)
	}
	var watch *Interfaces
	if err := host.Do(func() (err error) { watch, err = OpenInterfaces(); return err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	endedC := make(chan error, 1)
	go func() { endedC <- watch.Run(ctx) }()
	defer func() { cancel(); <-endedC }()

	address := netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct{ change, owner string }{{"add", "lo"}, {"del", ""}} {
		if err := host.Run("ip", "-6", "addr", c.change, "2001:db8::1/128", "dev", "lo", "nodad"); err != nil {
			t.Fatal(err)
		}
		timeout := time.After(20 * time.Second)
		select {
		case <-watch.Changed():
		case <-timeout:
			t.Fatalf("addr %s was not noticed", c.change)
		}
		if got := watch.Owner(address); got != c.owner {
			t.Errorf("after addr %s the owner is %q, want %q", c.change, got, c.owner)
		}
		look := watch.Look("lo", func(netip.Addr) bool { return false })
		if !strings.Contains(look.Fault, "no IPv4 address of its own") {
			t.Errorf("after addr %s: %+v", c.change, look)
		}
	}
}
