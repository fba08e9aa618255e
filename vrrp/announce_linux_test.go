package vrrp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab"
)

func openAnnouncerOn(t *testing.T, h *lab.Host) *Announcer {
	t.Helper()
	var announcer *Announcer
	err := h.Do(func() (err error) {
		announcer, err = OpenAnnouncer("eth0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = announcer.Close() })
	return announcer
}

func hardwareAddress(t *testing.T, h *lab.Host) (address net.HardwareAddr) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		address = ifi.HardwareAddr
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// arpFrames listens to ARP on a host's interface.
func arpFrames(t *testing.T, h *lab.Host) *packet.Conn {
	t.Helper()
	var conn *packet.Conn
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ARP, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// announcementOf waits for an ARP frame whose sender is the address.
func announcementOf(t *testing.T, conn *packet.Conn, address netip.Addr) []byte {
	t.Helper()
	const senderIP = 14 + 14
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for frame := make([]byte, 1500); ; {
		n, _, err := conn.ReadFrom(frame)
		if err != nil {
			t.Fatalf("no announcement of %s: %v", address, err)
		}
		if n >= senderIP+4 && bytes.Equal(frame[senderIP:senderIP+4], address.AsSlice()) {
			return frame[:n]
		}
	}
}

// Goal: our announcement is keepalived's, octet for octet. Method: capture one of
// each from a third host; only the sender's hardware address may differ.
func TestAnnouncementIsKeepalivedsOctetForOctet(t *testing.T) {
	s := newSegment(t, "keepalived")
	theirs, ours := s.host(keepalivedAddress), s.host(ourAddress)
	listener := arpFrames(t, s.host(neighbourAddress))
	k := startKeepalived(t, theirs, captureConfigs["v2-pass.hex"])
	want := bytes.Clone(announcementOf(t, listener, testVIP))
	k.stop()
	want = bytes.ReplaceAll(want, hardwareAddress(t, theirs), hardwareAddress(t, ours))

	announcer := openAnnouncerOn(t, ours)
	other := netip.MustParseAddr("10.9.0.200") // keepalived's own repeats come first
	if err := announcer.Announce(other); err != nil {
		t.Fatal(err)
	}
	want = bytes.ReplaceAll(want, testVIP.AsSlice(), other.AsSlice())
	if diff := cmp.Diff(want, announcementOf(t, listener, other)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Goal: a neighbour that knew the VIP elsewhere sends to us after one
// announcement. Method: a third host's neighbour table, with a stale entry put
// in by hand.
func TestAnnouncementMovesANeighboursEntry(t *testing.T) {
	s := newSegment(t)
	director, client := s.host(ourAddress), s.host(neighbourAddress)
	stale := net.HardwareAddr{2, 0, 0, 0, 0, 99}
	var index int
	err := client.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		index = link.Attrs().Index
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_REACHABLE,
			IP: testVIP.AsSlice(), HardwareAddr: stale,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	want := hardwareAddress(t, director)
	if err := openAnnouncerOn(t, director).Announce(testVIP); err != nil {
		t.Fatal(err)
	}
	var got net.HardwareAddr
	for end := time.Now().Add(patience); !bytes.Equal(got, want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the entry is %s, want %s", got, want)
		}
		got = neighbourEntry(t, client, index)
	}
}

func neighbourEntry(t *testing.T, h *lab.Host, index int) (address net.HardwareAddr) {
	t.Helper()
	err := h.Do(func() error {
		entries, err := netlink.NeighList(index, unix.AF_INET)
		for _, entry := range entries {
			if entry.IP.Equal(testVIP.AsSlice()) {
				address = entry.HardwareAddr
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return address
}
