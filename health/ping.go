package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ICMP echo (RFC 792, RFC 4443 §4.1): type, code, checksum, identifier and sequence
// number, two bytes each from the third on; then data, which comes back as it was sent.
const (
	icmpHeaderLength = 8
	pingDataLength   = 128 // keepalived's
	pingNonceLength  = 8   // at its end: by this we know our own
	echoRequest4     = 8
	echoReply4       = 0
	echoRequest6     = 128
	echoReply6       = 129
)

// Ping is PING_CHECK: up when an ICMP echo comes back. It needs net.ipv4.ping_group_range
// to allow this process's group, or CAP_NET_RAW; it never changes that setting, as
// keepalived does.
type Ping struct{ Connect } // its ports mean nothing

// Lane is [LaneSocket].
func (p Ping) Lane() Lane { return LaneSocket }

// Bound is the timeout.
func (p Ping) Bound() time.Duration { return p.Timeout }

// Try sends one echo request.
func (p Ping) Try(ctx context.Context) Result {
	conn, err := p.openPing(ctx)
	if err != nil {
		return failed("open a ping socket", err)
	}
	defer conn.Close()
	return p.echo(conn)
}

// echo sends a request and waits for its echo, all within the timeout.
func (p Ping) echo(conn *conn) Result {
	conn.end = time.Now().Add(p.Timeout)
	request, data := p.request()
	if _, err := conn.Write(request); err != nil {
		return failed("send an echo request", err)
	}
	packet := make([]byte, 2*(icmpHeaderLength+pingDataLength))
	for {
		n, err := conn.Read(packet)
		if err != nil {
			return failed("wait for the echo", err)
		}
		if p.answers(packet[:n], data) {
			return up("echoed")
		}
	}
}

func (p Ping) v4() bool { return p.To.Addr().Unmap().Is4() }

// openPing opens a datagram socket for ICMP, or a raw one where that is not allowed.
// Either is connected: echoes of other servers are not for us then.
func (p Ping) openPing(ctx context.Context) (*conn, error) {
	connect, protocol := p.Connect, unix.IPPROTO_ICMPV6
	if p.v4() {
		protocol = unix.IPPROTO_ICMP
	}
	connect.To, connect.From = netip.AddrPortFrom(p.To.Addr(), 0), netip.AddrPortFrom(p.From.Addr(), 0)
	conn, err := connect.open(ctx, socketKind{unix.SOCK_DGRAM, protocol})
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return connect.open(ctx, socketKind{unix.SOCK_RAW, protocol})
	}
	return conn, err
}

// request gives a packet and its data. The kernel writes the identifier of a datagram
// socket, and the checksum of that and of all ICMPv6.
func (p Ping) request() (packet, data []byte) {
	packet = make([]byte, icmpHeaderLength+pingDataLength)
	data = packet[icmpHeaderLength:]
	copy(data, strings.Repeat(checkText, 1+pingDataLength/len(checkText)))
	_, _ = rand.Read(data[pingDataLength-pingNonceLength:]) // never fails
	packet[0] = echoRequest6
	if p.v4() {
		packet[0] = echoRequest4
		binary.BigEndian.PutUint16(packet[2:], internetChecksum(packet))
	}
	return packet, data
}

// answers reports whether a packet is the echo of our data.
func (p Ping) answers(packet, data []byte) bool {
	want := byte(echoReply6)
	if p.v4() {
		want = echoReply4
		if len(packet) > 0 && packet[0]>>4 == 4 { // a raw socket gives the IP header as well; no ICMP type begins like that
			packet = packet[min(int(packet[0]&0xf)*4, len(packet)):]
		}
	}
	return len(packet) >= icmpHeaderLength && packet[0] == want && string(packet[icmpHeaderLength:]) == string(data)
}

// internetChecksum is that of RFC 1071, for an even number of bytes.
func internetChecksum(packet []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(packet); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(packet[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
