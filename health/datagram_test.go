package health

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab"
)

// serveUDP answers each datagram with those that reply makes of it.
func serveUDP(t *testing.T, reply func([]byte) [][]byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	doneC := make(chan struct{})
	go func() {
		defer close(doneC)
		packet := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(packet)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			for _, r := range reply(packet[:n]) {
				_, _ = conn.WriteToUDPAddrPort(r, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-doneC
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// mute answers nothing.
func mute([]byte) [][]byte { return nil }

// Goal (UDP_CHECK): up unless an ICMP error comes back; any answer will do.
func TestUDPIsUpUnlessRefused(t *testing.T) {
	heardC := make(chan string, 1)
	echo := serveUDP(t, func(p []byte) [][]byte { heardC <- string(p); return [][]byte{{}} })
	wantUp(t, UDP{Connect: Connect{To: echo, Timeout: patient}})
	if heard := <-heardC; heard != "keepalived check - keepalived ch" {
		t.Errorf("the server heard %q", heard)
	}
	wantUp(t, UDP{Connect: Connect{To: serveUDP(t, mute), Timeout: hasty}})
	wantDown(t, UDP{Connect: Connect{To: nobody(t), Timeout: patient}}, "connection refused")
}

// Goal (require_reply, min_reply_length, max_reply_length): the right reply must come, in
// time, of the right length, with the right bits.
func TestUDPReply(t *testing.T) {
	says := func(text string) Connect {
		return Connect{To: serveUDP(t, func(p []byte) [][]byte { return [][]byte{append(p, text...)} }), Timeout: patient}
	}
	payload := []byte("ask:")
	wantUp(t, UDP{says("well"), payload, &UDPReply{MaxLength: 255}})
	wantUp(t, UDP{says("well"), payload, &UDPReply{Data: []byte("ask:we"), MinLength: 8, MaxLength: 8}})
	wantUp(t, UDP{says("well"), payload, &UDPReply{Data: []byte("ask:well and more than came"), MaxLength: 255}})
	wantDown(t, UDP{says("ill"), payload, &UDPReply{Data: []byte("ask:well"), MaxLength: 255}}, "differs at byte 4")
	wantUp(t, UDP{says("ill"), payload, &UDPReply{Data: []byte("ask:ixx"), Ignore: []byte{4: 0, 5: 0xff, 6: 0xff}, MaxLength: 255}})
	wantDown(t, UDP{says("ill"), payload, &UDPReply{MinLength: 8, MaxLength: 255}}, "has 7 bytes, less than 8")
	wantDown(t, UDP{says("well"), payload, &UDPReply{MaxLength: 7}}, "more than 7")
	wantDown(t, UDP{Connect{To: serveUDP(t, mute), Timeout: hasty}, payload, &UDPReply{MaxLength: 255}}, "timed out")
}

// dnsCheck asks for the SOA of example.
func dnsCheck(t *testing.T, to netip.AddrPort) DNS {
	t.Helper()
	kind, name, err := ParseDNSQuestion("soa", "example")
	if err != nil {
		t.Fatal(err)
	}
	return DNS{Connect{To: to, Timeout: patient}, kind, name}
}

// dnsReply makes a reply of a query, as change wants it.
func dnsReply(t *testing.T, query []byte, change func(*dnsmessage.Message)) []byte {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		t.Error(err)
	}
	message.Response = true
	if change != nil {
		change(&message)
	}
	reply, err := message.Pack()
	if err != nil {
		t.Error(err)
	}
	return reply
}

// Goal (§2.8 DNS_CHECK): a query with recursion desired; up with rcode 0, also without an
// answer in it, and down with any other.
func TestDNSAnswer(t *testing.T) {
	serves := func(change func(*dnsmessage.Message)) netip.AddrPort {
		return serveUDP(t, func(q []byte) [][]byte { return [][]byte{dnsReply(t, q, change)} })
	}
	wantUp(t, dnsCheck(t, serves(func(m *dnsmessage.Message) {
		q := m.Questions[0]
		if !m.RecursionDesired || q.Type != dnsmessage.TypeSOA || q.Name.String() != "example." {
			t.Errorf("the server was asked %+v", m)
		}
		m.Questions[0].Name = dnsmessage.MustNewName("EXAMPLE.")
	})))
	wantDown(t, dnsCheck(t, serves(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure })), "ServerFailure")
	wantDown(t, dnsCheck(t, serves(func(m *dnsmessage.Message) { m.RCode, m.Questions = dnsmessage.RCodeFormatError, nil })), "FormatError")
}

// Goal: a server that lies is not listened to: neither a wrong ID, question or direction
// nor garbage is an answer; what comes after them is.
func TestDNSLies(t *testing.T) {
	lies := func(q []byte) [][]byte {
		id := func(m *dnsmessage.Message) { m.ID++ }
		return [][]byte{
			{}, {1, 2, 3}, []byte(strings.Repeat("x", 600)),
			dnsReply(t, q, id),
			dnsReply(t, q, func(m *dnsmessage.Message) { m.Response = false }),
			dnsReply(t, q, func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeA }),
			dnsReply(t, q, func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }),
			dnsReply(t, q, func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("other.") }),
			dnsReply(t, q, func(m *dnsmessage.Message) { m.Questions = nil }),
		}
	}
	liar := dnsCheck(t, serveUDP(t, lies))
	liar.Timeout = hasty
	wantDown(t, liar, "timed out")
	wantUp(t, dnsCheck(t, serveUDP(t, func(q []byte) [][]byte { return append(lies(q), dnsReply(t, q, nil)) })))
	wantDown(t, dnsCheck(t, nobody(t)), "refused")
}

// Goal: what can't be asked is refused when the configuration is read.
func TestDNSQuestionsThatCannotBeAsked(t *testing.T) {
	for kind, name := range map[string]string{"PTR": "example", "A": "a..b", "AAAA": strings.Repeat("x", 64), "MX": strings.Repeat("x.", 200)} {
		if _, _, err := ParseDNSQuestion(kind, name); err == nil {
			t.Errorf("%s %s was accepted", kind, name)
		}
	}
	if _, name, err := ParseDNSQuestion("TXT", "."); err != nil || name.String() != "." {
		t.Errorf("the root: %v, %v", name, err)
	}
}

// Goal: no message, whoever made it, does harm.
func FuzzDNSAnswers(f *testing.F) {
	question := dnsmessage.Question{Name: dnsmessage.MustNewName("example."), Type: dnsmessage.TypeSOA, Class: dnsmessage.ClassINET}
	query, err := dnsQuery(7, question)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(query)
	f.Fuzz(func(_ *testing.T, message []byte) { dnsAnswers(message, 7, question) })
}

// Goal (PING_CHECK): an echo comes back, by a datagram socket where the kernel allows it
// and by a raw one where not; nobody there is down.
func TestPingEchoes(t *testing.T) {
	lab.Require(t) // for the raw socket
	wantUp(t, Ping{Connect{To: netip.MustParseAddrPort("127.0.0.1:0"), Timeout: patient}})
	wantUp(t, Ping{Connect{To: netip.MustParseAddrPort("127.0.0.1:80"), From: netip.MustParseAddrPort("127.0.0.9:0"), Timeout: patient}})
	if _, err := net.Listen("tcp", "[::1]:0"); err == nil {
		wantUp(t, Ping{Connect{To: netip.MustParseAddrPort("[::1]:0"), Timeout: patient}})
	}
	for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_RAW} {
		p := Ping{Connect{To: netip.MustParseAddrPort("127.0.0.1:0"), Timeout: patient}}
		conn, err := p.open(t.Context(), socketKind{kind, unix.IPPROTO_ICMP})
		if kind == unix.SOCK_DGRAM && errors.Is(err, os.ErrPermission) {
			continue // not in ping_group_range: the raw one below is what is used
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := p.echo(conn); !r.Up {
			t.Errorf("socket type %d: %s", kind, r.Reason)
		}
		_ = conn.Close()
	}
}

// Goal: only the echo of our own data counts.
func TestPingKnowsItsOwnEcho(t *testing.T) {
	p4 := Ping{Connect{To: netip.MustParseAddrPort("10.0.0.1:0")}}
	p6 := Ping{Connect{To: netip.MustParseAddrPort("[fd00::1]:0")}}
	for p, reply := range map[Ping]byte{p4: echoReply4, p6: echoReply6} {
		packet, data := p.request()
		if p.answers(packet, data) {
			t.Error("a request is taken for its answer")
		}
		packet[0] = reply
		if !p.answers(packet, data) {
			t.Error("the echo is not recognised")
		}
		other, _ := p.request()
		other[0] = reply
		for _, wrong := range [][]byte{other, packet[:20], packet[:3], {}, {0x4f}} {
			if p.answers(wrong, data) {
				t.Errorf("%x is taken for the echo", wrong)
			}
		}
		withHeader := append(append([]byte{0x45}, make([]byte, 19)...), packet...)
		if got := p.answers(withHeader, data); got != p.v4() {
			t.Errorf("behind an IPv4 header: %v", got)
		}
	}
	// RFC 1071: the sum over a packet with its checksum is all ones.
	packet, _ := p4.request()
	if sum := internetChecksum(packet); sum != 0 {
		t.Errorf("checksum of a packet with its checksum: %#x", sum)
	}
}
