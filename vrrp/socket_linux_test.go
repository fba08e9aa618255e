package vrrp

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/test/lab"
)

func sendOn(t *testing.T, socket *Socket, advert Advertisement) []byte {
	t.Helper()
	message := encode(t, advert, Path{})
	if err := socket.Send(message); err != nil {
		t.Fatal(err)
	}
	return message
}

// Goal: a message reaches every other router of the segment once, whole, with
// TTL 255 and the configured source, and not ourselves. Method: three sockets on
// a switch; the sender then hears the answer first, so it has not heard itself.
func TestMulticastReachesOthersAndNotOurselves(t *testing.T) {
	s := newSegment(t)
	addresses := []netip.Addr{ourAddress, keepalivedAddress, neighbourAddress}
	var sockets []*Socket
	for _, address := range addresses {
		sockets = append(sockets, openOn(t, s.host(address), SocketConfig{Source: address}))
	}
	message := sendOn(t, sockets[0], passAdvert())
	want := Packet{Source: ourAddress, Destination: DefaultGroup, TTL: TTL, Payload: message}
	for _, socket := range sockets[1:] {
		if diff := cmp.Diff(want, await(t, socket, everything), cmpAddr); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	answer := sendOn(t, sockets[1], passAdvert())
	want = Packet{Source: keepalivedAddress, Destination: DefaultGroup, TTL: TTL, Payload: answer}
	if diff := cmp.Diff(want, await(t, sockets[0], everything), cmpAddr); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func everything(Packet) bool { return true }

// Goal: a unicast router sends to each of its peers, once. Method: as above.
func TestUnicastReachesEveryPeer(t *testing.T) {
	s := newSegment(t)
	peers := []netip.Addr{keepalivedAddress, neighbourAddress}
	sender := openOn(t, s.host(ourAddress), SocketConfig{Source: ourAddress, Peers: peers})
	var sockets []*Socket
	for _, peer := range peers {
		sockets = append(sockets, openOn(t, s.host(peer), SocketConfig{Source: peer, Peers: []netip.Addr{ourAddress}}))
	}
	message := sendOn(t, sender, passAdvert())
	for i, socket := range sockets {
		want := Packet{Source: ourAddress, Destination: peers[i], TTL: TTL, Payload: message}
		if diff := cmp.Diff(want, await(t, socket, everything), cmpAddr); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// Goal: the source is the configured address, and not another of the interface
// that the kernel would rather take; the type of service is keepalived's.
// Method: an interface with two addresses; the raw IP header at the peer.
func TestSentPacketHasConfiguredSourceAndTOS(t *testing.T) {
	s := newSegment(t)
	host, peer := s.host(ourAddress), s.host(keepalivedAddress)
	second := netip.MustParseAddr("10.9.0.55")
	if err := host.Run("ip", "address", "add", second.String()+"/24", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	sender := openOn(t, host, SocketConfig{Source: second, Peers: []netip.Addr{keepalivedAddress}})
	var conn net.PacketConn
	if err := peer.Do(func() (err error) { conn, err = net.ListenPacket("ip4:112", "0.0.0.0"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	sendOn(t, sender, passAdvert())
	header := make([]byte, 1500)
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, _, err := conn.(*net.IPConn).ReadMsgIP(header, nil); err != nil {
		t.Fatal(err)
	}
	if header[1] != 0xc0 || header[8] != TTL || header[9] != Protocol {
		t.Errorf("TOS %#x, TTL %d, protocol %d; want 0xc0, 255, 112", header[1], header[8], header[9])
	}
	if source := netip.AddrFrom4([4]byte(header[12:16])); source != second {
		t.Errorf("source %s, want %s", source, second)
	}
}

// Goal: other virtual routers' messages stay in the kernel. Method: one of theirs,
// then one of ours; ours is the first to arrive.
func TestSocketHearsItsOwnRouterIDOnly(t *testing.T) {
	s := newSegment(t)
	sender := openOn(t, s.host(ourAddress), SocketConfig{Source: ourAddress})
	socket := openOn(t, s.host(keepalivedAddress), SocketConfig{Source: keepalivedAddress, ID: 51})
	other := passAdvert()
	other.ID = 52
	sendOn(t, sender, other)
	want := sendOn(t, sender, passAdvert())
	if diff := cmp.Diff(want, await(t, socket, everything).Payload); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Goal: a group that another socket of the host has joined is not ours.
func TestSocketHearsItsOwnGroupOnly(t *testing.T) {
	s := newSegment(t)
	other := netip.MustParseAddr("224.0.0.81")
	sender := openOn(t, s.host(ourAddress), SocketConfig{Source: ourAddress})
	host := s.host(keepalivedAddress)
	openOn(t, host, SocketConfig{Source: keepalivedAddress, Group: other})
	socket := openOn(t, host, SocketConfig{Source: keepalivedAddress})
	message := encode(t, passAdvert(), Path{})
	if err := sender.SendTo(other, message); err != nil {
		t.Fatal(err)
	}
	sendOn(t, sender, passAdvert())
	if got := await(t, socket, everything).Destination; got != DefaultGroup {
		t.Errorf("heard a packet to %s, want %s first", got, DefaultGroup)
	}
}

// Goal: Close ends a Receive that waits, with net.ErrClosed.
func TestCloseEndsReceive(t *testing.T) {
	s := newSegment(t)
	socket := openOn(t, s.host(ourAddress), SocketConfig{Source: ourAddress})
	errC := make(chan error, 1)
	go func() {
		_, err := socket.Receive()
		errC <- err
	}()
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-errC:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("error is %v, want net.ErrClosed", err)
		}
	case <-time.After(patience):
		t.Fatal("Receive still waits")
	}
}

// Goal: the end of an interface is told apart from every other error, by Open,
// Send, Receive and Announce; also when another of the same name follows.
// Method: remove a host's interface, once for good and once for a new one.
func TestVanishedInterfaceIsATypedError(t *testing.T) {
	for name, replaced := range map[string]bool{"gone": false, "replaced": true} {
		t.Run(name, func(t *testing.T) {
			s := newSegment(t)
			host := s.host(ourAddress)
			socket := openOn(t, host, SocketConfig{Source: ourAddress})
			announcer := openAnnouncerOn(t, host)
			removeInterface(t, host)
			if replaced {
				s.plug(host, ourAddress)
			}
			timeout := time.AfterFunc(patience, func() { _ = socket.Close() })
			defer timeout.Stop()
			if _, err := socket.Receive(); !errors.Is(err, ErrInterfaceGone) {
				t.Errorf("Receive: %v, want ErrInterfaceGone", err)
			}
			if err := socket.Send(encode(t, passAdvert(), Path{})); !errors.Is(err, ErrInterfaceGone) {
				t.Errorf("Send: %v, want ErrInterfaceGone", err)
			}
			if err := announcer.Announce(testVIP); !errors.Is(err, ErrInterfaceGone) {
				t.Errorf("Announce: %v, want ErrInterfaceGone", err)
			}
			if replaced {
				return
			}
			err := host.Do(func() error {
				_, err := Open(SocketConfig{Interface: "eth0", Source: ourAddress})
				return err
			})
			if !errors.Is(err, ErrInterfaceGone) {
				t.Errorf("Open: %v, want ErrInterfaceGone", err)
			}
		})
	}
}

func removeInterface(t *testing.T, host *lab.Host) {
	t.Helper()
	err := host.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: a missing source address is an error that names it, and no panic.
func TestSendFromAForeignAddressFails(t *testing.T) {
	s := newSegment(t)
	socket := openOn(t, s.host(ourAddress), SocketConfig{Source: netip.MustParseAddr("10.9.0.77")})
	err := socket.Send(encode(t, passAdvert(), Path{}))
	if err == nil || errors.Is(err, ErrInterfaceGone) {
		t.Errorf("error is %v, want one about the source", err)
	}
}
