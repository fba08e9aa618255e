package fence

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// Adding and removing twice is the same as once, and removing says whether the
// address was there, wherever it was. Method: the kernel's list after each step.
func TestAddressesAreIdempotent(t *testing.T) {
	r := newRig(t)
	addresses := r.kernel.Addresses
	r.at(func() error { return errors.Join(addresses.Add(vipA, 0), addresses.Add(vipA, 3*time.Second)) })
	present := func() (found bool) {
		r.at(func() error {
			list, err := addresses.list()
			for _, p := range list {
				found = found || p.prefix == vipA.Prefix
			}
			return err
		})
		return found
	}
	if !present() {
		t.Fatal("the address is not there after Add")
	}
	remove := func(v VIP, want bool) {
		t.Helper()
		r.at(func() error {
			found, err := addresses.Remove(v)
			if found != want {
				t.Errorf("remove %s: found %v, want %v", v, found, want)
			}
			return err
		})
	}
	remove(vipA, true)
	remove(vipA, false)
	if present() {
		t.Fatal("the address is there after Remove")
	}
	remove(VIP{Prefix: vipA.Prefix, Interface: "gone0"}, false)
	wide := vipA
	wide.Prefix = netip.PrefixFrom(vipA.Prefix.Addr(), 24)
	r.at(func() error { return addresses.Add(wide, 0) })
	remove(anywhere(vipA.Prefix.Addr()), true)
	remove(anywhere(vipA.Prefix.Addr()), false)
}

// An address on a loopback interface is the operator's and stays.
func TestRemoveAnywhereSparesLoopback(t *testing.T) {
	r := newRig(t)
	onLoopback := vipA
	onLoopback.Interface = "lo"
	r.at(func() error { return r.kernel.Addresses.Add(onLoopback, 0) })
	r.at(func() error {
		found, err := r.kernel.Addresses.Remove(anywhere(vipA.Prefix.Addr()))
		if found {
			t.Error("an address was removed from lo")
		}
		return err
	})
}

// valid_lft clears the address away after everybody is dead, label, scope and
// all. Method: add for 1 s and wait; the kernel is up to 1.3 s late.
func TestLifetimeClearsTheAddress(t *testing.T) {
	r := newRig(t)
	labelled := vipA
	labelled.Label, labelled.Scope = "eth0:vip", 253
	r.at(func() error { return r.kernel.Addresses.Add(labelled, time.Second) })
	r.at(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(link, netlink.FAMILY_V4)
		for _, a := range list {
			if a.IP.Equal(labelled.Prefix.Addr().AsSlice()) && (a.Label != "eth0:vip" || a.Scope != 253 || a.ValidLft < 1 || a.ValidLft > 1) {
				t.Errorf("added as label %q scope %d valid_lft %d", a.Label, a.Scope, a.ValidLft)
			}
		}
		return err
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var lost []VIP
		r.at(func() (err error) { lost, _, err = r.kernel.Addresses.Missing([]VIP{labelled}); return err })
		if len(lost) == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the address is still there 5 s after being added for 1 s")
		}
	}
}

// A removal by hand and a vanished interface are noticed. Method: Watch, then
// Missing after each change.
func TestWatchNoticesRemovals(t *testing.T) {
	r := newRig(t)
	done := make(chan struct{})
	var changedC <-chan struct{}
	r.at(func() (err error) { changedC, err = Watch(done); return err })
	r.at(func() error { return errors.Join(r.kernel.Addresses.Add(vipA, 0), r.kernel.Addresses.Add(vipB, 0)) })
	await := func(what string, wantLost []VIP, wantInterfaces []string) {
		t.Helper()
		deadline := time.After(5 * time.Second)
		for {
			select { // first the notification, then the look
			case <-changedC:
			case <-deadline:
				t.Fatalf("%s: no notification", what)
			}
			var lost []VIP
			var interfaces []string
			r.at(func() (err error) {
				lost, interfaces, err = r.kernel.Addresses.Missing([]VIP{vipA, vipB})
				return err
			})
			if cmp.Equal(wantLost, lost, cmp.Comparer(func(a, b VIP) bool { return a == b })) && cmp.Equal(wantInterfaces, interfaces) {
				return
			}
		}
	}
	await("nothing", nil, nil)
	r.must(r.director.Run("ip", "address", "del", vipA.Prefix.String(), "dev", "eth0"))
	await("removal by hand", []VIP{vipA}, nil)
	r.must(r.director.Run("ip", "link", "del", "eth0"))
	await("vanished interface", nil, []string{"eth0"})
	close(done)
	for range changedC { // closed when the goroutine has ended
	}
}

// Withdraw needs nobody: address gone, gate shut, and no gate is no failure.
// Method: an open VIP, withdrawn with sockets of its own, twice.
func TestWithdrawSilencesWithoutAGuard(t *testing.T) {
	r := newRig(t)
	gate := r.kernel.Gate
	r.at(func() error { _, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	r.at(func() error {
		return errors.Join(gate.Arm([]VIP{vipA}, long), gate.Open([]VIP{vipA}, long), r.kernel.Addresses.Add(vipA, 0))
	})
	if !r.answersARP(vipA) {
		t.Fatal("an open VIP does not answer")
	}
	r.at(func() error { return Withdraw([]VIP{vipA}) })
	r.at(func() error {
		for _, table := range gate.tables {
			if leased, err := gate.elements(table.leased); err != nil || len(leased) != 0 {
				t.Errorf("after Withdraw leased has %v, error %v", leased, err)
			}
		}
		return nil
	})
	if r.answersARP(vipA) {
		t.Error("a withdrawn VIP answers")
	}
	r.at(gate.Remove)
	r.at(func() error { return Withdraw([]VIP{vipA}) })
}
