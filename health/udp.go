package health

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// checkText is what keepalived fills packets with whose content doesn't matter.
const checkText = "keepalived check - "

// udpFillLength is the length of a datagram without a payload of its own.
const udpFillLength = 32

// UDP is UDP_CHECK: up unless an ICMP error comes back within the timeout, and, with
// Reply, up only when the right datagram does. Without Reply each successful try takes
// all of the timeout, unless the server answers something.
type UDP struct {
	Connect
	Payload []byte    // nil: keepalived's filling
	Reply   *UDPReply // nil: none is needed
}

// UDPReply is what must come back (require_reply).
type UDPReply struct {
	Data      []byte // compared as far as both it and the reply go; nil: anything
	Ignore    []byte // bits of Data that may differ ("x" in the configuration); nil: none
	MinLength int
	MaxLength int
}

// Lane is [LaneSocket].
func (u UDP) Lane() Lane { return LaneSocket }

// Bound is the timeout.
func (u UDP) Bound() time.Duration { return u.Timeout }

// Try sends a datagram and waits.
func (u UDP) Try(ctx context.Context) Result {
	conn, err := u.open(ctx, udpSocket)
	if err != nil {
		return failed("connect", err)
	}
	defer conn.Close()
	conn.end = time.Now().Add(u.Timeout)
	reportICMP(conn.file, u.To.Addr().Unmap().Is4())
	if _, err := conn.Write(u.payload()); err != nil {
		return failed("send", err)
	}
	reply := make([]byte, u.replyMax()+1) // one more shows what is too long
	n, err := conn.Read(reply)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && u.Reply == nil:
		return up("no error came back")
	case err != nil && err != io.EOF: // which is an empty datagram here
		return failed("wait for a reply", err)
	case u.Reply == nil:
		return up("replied")
	}
	return u.Reply.judge(reply[:n])
}

func (u UDP) payload() []byte {
	if u.Payload != nil {
		return u.Payload
	}
	return []byte(strings.Repeat(checkText, 1+udpFillLength/len(checkText))[:udpFillLength])
}

func (u UDP) replyMax() int {
	if u.Reply == nil {
		return 0
	}
	return u.Reply.MaxLength
}

func (r *UDPReply) judge(reply []byte) Result {
	switch n := len(reply); {
	case n > r.MaxLength:
		return down("the reply has more than %d bytes", r.MaxLength)
	case n < r.MinLength:
		return down("the reply has %d bytes, less than %d", n, r.MinLength)
	}
	for i := range min(len(reply), len(r.Data)) {
		different := reply[i] ^ r.Data[i]
		if i < len(r.Ignore) {
			different &^= r.Ignore[i]
		}
		if different != 0 {
			return down("the reply differs at byte %d", i)
		}
	}
	return up("replied")
}

// reportICMP has all ICMP errors reported, those of routers too. Without it only the
// server's own "port unreachable" would be; so its failure is no reason not to check.
func reportICMP(file *os.File, v4 bool) {
	level, option := unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	if v4 {
		level, option = unix.IPPROTO_IP, unix.IP_RECVERR
	}
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, option, 1) })
	}
}
