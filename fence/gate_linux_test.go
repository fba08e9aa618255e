package fence

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/arp"
	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/test/lab"
)

// long is a timeout that no test outlives.
const long = 30 * time.Second

// equalAddresses compares addresses by value.
var equalAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// A shut gate silences ARP and UDP although the address is there; opening it
// answers; shutting it silences again. Method: the director has the address and
// an echo server all the time; the client asks.
func TestShutGateSilencesAPresentAddress(t *testing.T) {
	r := newRig(t)
	r.pin(vipA)
	r.echo(r.director, vipA)
	probe := r.prober(r.client, vipA)
	gate := r.kernel.Gate
	r.at(func() error { return r.kernel.Addresses.Add(vipA, 0) })
	check := func(step string, want bool) {
		t.Helper()
		if got := r.answersARP(vipA); got != want {
			t.Errorf("%s: ARP answered: %v, want %v", step, got, want)
		}
		if got := answersUDP(probe); got != want {
			t.Errorf("%s: UDP answered: %v, want %v", step, got, want)
		}
	}
	check("no gate", true)
	r.at(func() error { _, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	check("gate set up", false)
	r.at(func() error { return gate.Arm([]VIP{vipA}, long) })
	check("armed", false)
	r.at(func() error { return gate.Open([]VIP{vipA}, long) })
	check("open", true)
	r.at(func() error { return gate.Manage(addressesOf([]VIP{vipA, vipB})) })
	check("another address managed", true)
	r.at(func() error { return gate.Shut([]VIP{vipA}) })
	check("shut", false)
	r.at(func() error { return gate.Shut([]VIP{vipA}) }) // idempotent
	r.at(gate.Remove)
	check("gate removed", true)
	r.at(gate.Remove)
}

// Nothing gets in through a shut gate, even if nobody would answer: IPVS would
// have passed it on by then. Method: a receiver on the VIP that only counts.
func TestShutGateLetsNothingIn(t *testing.T) {
	r := newRig(t)
	r.pin(vipA)
	receiver := r.listen(r.director, vipA)
	probe := r.prober(r.client, vipA)
	r.at(func() error { return r.kernel.Addresses.Add(vipA, 0) })
	r.at(func() error { _, err := r.kernel.Gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	if received(receiver, probe) {
		t.Error("a packet got in through a shut gate")
	}
	r.at(func() error {
		return errors.Join(r.kernel.Gate.Arm([]VIP{vipA}, long), r.kernel.Gate.Open([]VIP{vipA}, long))
	})
	if !received(receiver, probe) {
		t.Error("no packet gets in through an open gate")
	}
}

// Nothing with the VIP as its source is forwarded through a shut gate either, as
// the answers of real servers behind NAT would be. Method: a host behind the
// director sends from the VIP to the client.
func TestShutGateForwardsNothingFromTheVIP(t *testing.T) {
	r := newRig(t)
	behind := r.behind("10.1.0.1/24", "10.1.0.2/24", vipA)
	receiver := r.listen(r.client, VIP{Prefix: clientAddress})
	sender := r.dialFrom(behind, vipA, clientAddress.Addr())
	r.at(func() error { _, err := r.kernel.Gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	if received(receiver, sender) {
		t.Error("a packet from the VIP was forwarded through a shut gate")
	}
	r.at(func() error {
		return errors.Join(r.kernel.Gate.Arm([]VIP{vipA}, long), r.kernel.Gate.Open([]VIP{vipA}, long))
	})
	if !received(receiver, sender) {
		t.Error("no packet from the VIP is forwarded through an open gate")
	}
}

// With nobody alive the gate shuts by itself, no later than the timeout after
// the kernel's acknowledgement (and a jiffy). Method: three refreshes, then
// none; the last probe that is answered was sent before the gate shut.
func TestGateShutsWithoutRefresh(t *testing.T) {
	r := newRig(t)
	r.echo(r.director, vipA)
	gate, timeout := r.kernel.Gate, 600*time.Millisecond
	r.at(func() error { _, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	r.at(func() error { return gate.Arm([]VIP{vipA}, timeout) })
	r.at(func() error { return gate.Open([]VIP{vipA}, timeout) })
	r.at(func() error { return r.kernel.Addresses.Add(vipA, 0) })
	probe := r.prober(r.client, vipA)
	if !answersUDP(probe) {
		t.Fatal("an open gate does not answer")
	}
	var before, after time.Time
	for range 3 {
		before = time.Now()
		r.at(func() error { return gate.Refresh([]VIP{vipA}, timeout) })
		after = time.Now()
	}
	last := lastAnswered(probe, 200*time.Millisecond)
	if late := last.Sub(after.Add(timeout)); late > GateMargin {
		t.Errorf("a probe was answered %v after the gate's end", late)
	}
	if last.Sub(before) < timeout/2 {
		t.Errorf("the gate shut only %v after a refresh for %v", last.Sub(before), timeout)
	}
}

// A refresh that comes after the end is refused as a whole and revives nothing,
// right after the end and also when the kernel has collected the element; nor
// does it touch another element of the same batch. An opening without a live
// armed element is refused in the same way. Method: outcomes, and the sets as
// the kernel lists them.
func TestLateRefreshRevivesNothing(t *testing.T) {
	r := newRig(t)
	gate := r.kernel.Gate
	r.at(func() error { _, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA, vipB})}); return err })
	expired := func(step string, err error) {
		t.Helper()
		if !errors.Is(err, ErrExpired) {
			t.Errorf("%s: got %v, want ErrExpired", step, err)
		}
	}
	leased := func(step string, want ...netip.Addr) {
		t.Helper()
		for _, table := range gate.tables {
			got, err := gate.elements(table.leased)
			r.must(err)
			if diff := cmp.Diff(want, got, equalAddresses, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: leased (-want +got):\n%s", step, diff)
			}
		}
	}
	r.at(func() error {
		expired("open, never armed", gate.Open([]VIP{vipA}, long))
		leased("open, never armed")
		expired("refresh, never opened", gate.Refresh([]VIP{vipA}, long))
		return errors.Join(gate.Arm([]VIP{vipA, vipB}, 100*time.Millisecond), gate.Open([]VIP{vipA}, 100*time.Millisecond))
	})
	time.Sleep(110 * time.Millisecond)
	for _, wait := range []time.Duration{0, 50 * time.Millisecond, 1500 * time.Millisecond} {
		time.Sleep(wait)
		r.at(func() error {
			expired("late refresh", gate.Refresh([]VIP{vipA}, long))
			expired("late opening", gate.Open([]VIP{vipB}, long))
			leased("late")
			return nil
		})
	}
	r.at(func() error {
		if err := errors.Join(gate.Arm([]VIP{vipB}, long), gate.Arm([]VIP{vipB}, long), gate.Open([]VIP{vipB}, long)); err != nil {
			return err
		}
		expired("one of two is over", gate.Refresh([]VIP{vipA, vipB}, long))
		leased("one of two is over", vipB.Prefix.Addr())
		return gate.Refresh([]VIP{vipB}, 100*time.Millisecond) // shortens, too
	})
	time.Sleep(130 * time.Millisecond)
	r.at(func() error { leased("shortened"); return nil })
}

// A timeout that could be rounded to nothing, which the kernel takes for "for
// ever", never reaches it. Method: outcomes of Arm.
func TestGateRefusesTimeoutBelowAJiffy(t *testing.T) {
	r := newRig(t)
	gate := r.kernel.Gate
	r.at(func() error { _, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	r.at(func() error {
		for _, timeout := range []time.Duration{0, 1, time.Millisecond, GateTimeoutMin - 1, -time.Second} {
			if err := gate.Arm([]VIP{vipA}, timeout); !errors.Is(err, ErrExpired) {
				t.Errorf("arm for %v: got %v, want ErrExpired", timeout, err)
			}
		}
		return nil
	})
}

// A BACKUP behind a shut gate is a client like any other: it reaches the VIP on
// the node that holds it, and learns from a gratuitous ARP. Method: a second
// director holds the VIP; the first one, gated, asks it.
func TestBackupReachesTheVIPElsewhere(t *testing.T) {
	r := newRig(t)
	holder := r.host("holder", netip.MustParsePrefix("10.0.0.2/24"))
	r.must(holder.Do(func() error {
		addresses, err := OpenAddresses()
		if err != nil {
			return err
		}
		defer addresses.Close()
		return addresses.Add(vipA, 0)
	}))
	r.echo(holder, vipA)
	r.at(func() error { _, err := r.kernel.Gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	if !answersUDP(r.prober(r.director, vipA)) {
		t.Error("a BACKUP does not reach the VIP on its holder")
	}
}

// A BACKUP learns from the gratuitous ARP of a new holder, whose sender and
// target are both the VIP (RFC 5227 §3). Method: its neighbour table, which has
// the MAC of an earlier holder.
func TestBackupLearnsFromGratuitousARP(t *testing.T) {
	r := newRig(t)
	old := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	r.at(func() error { _, err := r.kernel.Gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	neighbour := func() *netlink.Neigh {
		link, err := netlink.LinkByName("eth0")
		r.must(err)
		return &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_STALE, IP: vipA.Prefix.Addr().AsSlice(), HardwareAddr: old}
	}
	r.at(func() error { return netlink.NeighSet(neighbour()) })
	mac := r.arp.HardwareAddr()
	r.sendARP(arp.OperationRequest, mac, vipA.Prefix.Addr(), vipA.Prefix.Addr())
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		learned := false
		r.at(func() error {
			list, err := netlink.NeighList(neighbour().LinkIndex, netlink.FAMILY_V4)
			for _, n := range list {
				learned = learned || n.IP.Equal(vipA.Prefix.Addr().AsSlice()) && bytes.Equal(n.HardwareAddr, mac)
			}
			return err
		})
		if learned {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the neighbour table still has the earlier holder's MAC")
		}
	}
}

// A question that comes from a VIP passes the gate's way in, for gratuitous ARP
// must; the answer to it doesn't pass the way out. Method: the client asks for
// one VIP in the name of another.
func TestShutGateDoesNotAnswerAnotherVIP(t *testing.T) {
	r := newRig(t)
	r.at(func() error { return r.kernel.Addresses.Add(vipA, 0) })
	ask := func() bool {
		r.sendARP(arp.OperationRequest, r.arp.HardwareAddr(), vipB.Prefix.Addr(), vipA.Prefix.Addr())
		return r.heardARPReply(vipA)
	}
	r.at(func() error {
		_, err := r.kernel.Gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA, vipB})})
		return err
	})
	if ask() {
		t.Error("answered through a shut gate")
	}
	r.at(func() error {
		return errors.Join(r.kernel.Gate.Arm([]VIP{vipA}, long), r.kernel.Gate.Open([]VIP{vipA}, long))
	})
	if !ask() {
		t.Error("not answered through an open gate")
	}
}

// What a previous life managed is reported and stays shut, whatever the new
// configuration says. Method: a gate set up for one VIP and opened, then set up
// by another Gate for the other.
func TestSetUpReportsLeftovers(t *testing.T) {
	r := newRig(t)
	first := r.kernel.Gate
	r.at(func() error {
		if leftover, err := first.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); err != nil || len(leftover) != 0 {
			t.Errorf("first life: leftover %v, error %v", leftover, err)
		}
		if err := errors.Join(first.Arm([]VIP{vipA}, long), first.Open([]VIP{vipA}, long), r.kernel.Addresses.Add(vipA, 0)); err != nil {
			return err
		}
		first.Close()
		second, err := NewGate()
		if err != nil {
			return err
		}
		defer second.Close()
		leftover, err := second.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipB})})
		if diff := cmp.Diff(addressesOf([]VIP{vipA}), leftover, equalAddresses); diff != "" {
			t.Errorf("leftover (-want +got):\n%s", diff)
		}
		return err
	})
	if r.answersARP(vipA) {
		t.Error("a leftover answers behind the new gate")
	}
}

// Our tables removed by somebody else are told apart from a lapse. Method: nft
// flush ruleset, as many nftables.conf begin with.
func TestFlushedRulesetIsNotALapse(t *testing.T) {
	lab.Require(t, "nft")
	r := newRig(t)
	gate := r.kernel.Gate
	r.at(func() error { _, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})}); return err })
	r.at(func() error { return errors.Join(gate.Arm([]VIP{vipA}, long), gate.Open([]VIP{vipA}, long)) })
	r.at(func() error { return exec.Command("nft", "flush", "ruleset").Run() })
	for verb, change := range map[string]func([]VIP, time.Duration) error{"arm": gate.Arm, "open": gate.Open, "refresh": gate.Refresh} {
		r.at(func() error {
			if err := change([]VIP{vipA}, long); !errors.Is(err, ErrGateGone) || errors.Is(err, ErrExpired) {
				t.Errorf("%s: got %v, want ErrGateGone", verb, err)
			}
			return nil
		})
	}
	r.at(func() error {
		if err := gate.Shut([]VIP{vipA}); !errors.Is(err, ErrGateGone) {
			t.Errorf("shut: got %v, want ErrGateGone", err)
		}
		_, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA})})
		return err
	})
}

// The largest configuration fits into one transaction.
func TestGateHoldsVIPsMax(t *testing.T) {
	r := newRig(t)
	var vips []VIP
	for i := range VIPsMax {
		address := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		vips = append(vips, VIP{Prefix: netip.PrefixFrom(address, 32), Interface: "eth0"})
	}
	gate := r.kernel.Gate
	r.at(func() error {
		if _, err := gate.SetUp(SetUpGate{Managed: addressesOf(vips)}); err != nil {
			return err
		}
		if err := errors.Join(gate.Arm(vips, long), gate.Open(vips, long), gate.Refresh(vips, long)); err != nil {
			return err
		}
		got, err := gate.elements(gate.tables[1].leased)
		if len(got) != VIPsMax {
			t.Errorf("%d of %d are leased", len(got), VIPsMax)
		}
		return err
	})
}

// A director that is a real server, too, keeps its VIP on lo: the gate shuts ARP
// alone, so that it answers what the MASTER sends it; but that goes to its own address,
// where IPVS has nothing to direct, until the VIP is leased. Method: a neighbour entry
// in the place of ARP, and an echo server on each of the two addresses.
func TestGateOfARealServerShutsARPAlone(t *testing.T) {
	r := newRig(t)
	r.at(func() error { // as every real server of DR has it: ARP never speaks of the VIP
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/arp_announce", []byte("2"), 0o644)
	})
	r.at(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(vipA.Prefix)})
	})
	r.pin(vipA)
	gate := r.kernel.Gate
	r.at(func() error {
		_, err := gate.SetUp(SetUpGate{Managed: addressesOf([]VIP{vipA}), ARPOnly: true})
		return err
	})
	if r.answersARP(vipA) {
		t.Error("ARP is answered")
	}
	own := r.listen(r.director, VIP{Prefix: directorAddress})
	vips := r.listen(r.director, vipA)
	r.at(func() error { return gate.Arm([]VIP{vipA}, long) })
	for _, step := range []struct {
		leased bool
		at     *net.UDPConn
	}{{false, own}, {true, vips}} {
		if step.leased {
			r.at(func() error { return gate.Open([]VIP{vipA}, long) })
		}
		probe := r.prober(r.client, vipA)
		_, err := probe.Write([]byte("who is there"))
		r.must(err)
		r.must(step.at.SetReadDeadline(time.Now().Add(5 * time.Second)))
		buffer := make([]byte, 64)
		n, from, err := step.at.ReadFromUDPAddrPort(buffer)
		if err != nil {
			t.Fatalf("leased %v: it comes to the wrong address: %v", step.leased, err)
		}
		_, err = step.at.WriteToUDPAddrPort(buffer[:n], from)
		r.must(err)
		r.must(probe.SetReadDeadline(time.Now().Add(5 * time.Second)))
		if _, err := probe.Read(buffer); err != nil {
			t.Errorf("leased %v: the answer does not come from the VIP: %v", step.leased, err)
		}
	}
}
