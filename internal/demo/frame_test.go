package demo

import (
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
)

var (
	ownMAC  = mac{2, 0, 0, 0, 0, 1}
	nodeMAC = mac{2, 0, 0, 0, 0, 2}
	vipEcho = netip.AddrPortFrom(netip.MustParseAddr("10.77.0.100"), EchoPort)
)

// reply is a node's ARP reply for an address.
func reply(to mac, sender netip.Addr) []byte {
	frame := arpProbe(nodeMAC, vipEcho.Addr())
	copy(frame, to[:])
	frame[ethernetBytes+7] = arpReply
	copy(frame[ethernetBytes+14:], sender.AsSlice())
	return frame
}

// Only an ARP reply or a datagram for the VIP, to us, is an answer. Method:
// frames that are, and frames that nearly are.
func TestOnlyAnswersForTheVIPCount(t *testing.T) {
	other := netip.MustParseAddr("10.77.0.11")
	us := netip.AddrPortFrom(netip.MustParseAddr("10.77.0.250"), EchoPort)
	request := reply(ownMAC, vipEcho.Addr())
	request[ethernetBytes+7] = arpRequest
	for _, c := range []struct {
		name  string
		frame []byte
		want  Via
	}{
		{"the VIP's own request", request, 0},
		{"ARP reply", reply(ownMAC, vipEcho.Addr()), ViaARP},
		{"ARP reply for another address", reply(ownMAC, other), 0},
		{"ARP reply to another host", reply(nodeMAC, vipEcho.Addr()), 0},
		{"our own request", arpProbe(ownMAC, vipEcho.Addr()), 0},
		{"datagram", udpFrame(ownMAC, nodeMAC, us, vipEcho, []byte("x")), ViaIP},
		{"datagram from another address", udpFrame(ownMAC, nodeMAC, us, netip.AddrPortFrom(other, EchoPort), nil), 0},
		{"datagram from another port", udpFrame(ownMAC, nodeMAC, us, netip.AddrPortFrom(vipEcho.Addr(), 9), nil), 0},
		{"cut short", udpFrame(ownMAC, nodeMAC, us, vipEcho, nil)[:ethernetBytes+ipv4Bytes], 0},
		{"nothing", nil, 0},
	} {
		if got := answerVia(c.frame, ownMAC, vipEcho); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Our datagrams have a header that a kernel takes. Method: an independent parser,
// and the checksum of a header with its checksum is 0.
func TestDatagramHasAValidHeader(t *testing.T) {
	us := netip.AddrPortFrom(netip.MustParseAddr("10.77.0.250"), EchoPort)
	packet := udpFrame(nodeMAC, ownMAC, vipEcho, us, question(7))[ethernetBytes:]
	header, err := ipv4.ParseHeader(packet)
	if err != nil {
		t.Fatal(err)
	}
	if header.TotalLen != len(packet) || header.Protocol != 17 || header.Dst.String() != vipEcho.Addr().String() || header.Src.String() != us.Addr().String() {
		t.Errorf("header = %v", header)
	}
	if sum := checksum(packet[:ipv4Bytes]); sum != 0 {
		t.Errorf("the checksum is off by %#x", sum)
	}
}

// FuzzAnswer: whatever a cable carries, reading it does not panic.
func FuzzAnswer(f *testing.F) {
	f.Add(reply(ownMAC, vipEcho.Addr()))
	f.Add(udpFrame(ownMAC, nodeMAC, vipEcho, vipEcho, question(1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = answerVia(data, ownMAC, vipEcho)
		if number, node, ok := parseAnswer(data); ok && (len(data) != answerBytes || node > 255 || number == 0 && data[0] != 0) {
			t.Errorf("%x is read as %d, %d", data, number, node)
		}
	})
}
