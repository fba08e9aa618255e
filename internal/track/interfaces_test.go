package track

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

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
