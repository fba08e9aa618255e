package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	portSingleHop = 3784 // RFC 5881 §4
	portMultihop  = 4784 // RFC 5883 §5

	// sourcePortMin and sourcePortMax are where source ports come from (RFC 5881 §4).
	sourcePortMin, sourcePortMax = 49152, 65535
	sourcePortTries              = 64

	// receiveBufferSize bounds the queue of packets that wait for us, for all sessions of a
	// port together, in octets; the kernel makes net.core.rmem_max of it where that is less.
	receiveBufferSize = 1 << 20
	// readMax is how many packets are read from a port before timers have their turn.
	readMax = 1024
	// tosInternetControl is IP precedence 6, as routing protocols send.
	tosInternetControl = 0xc0
)

// port is what a listener listens on.
type port struct{ v6, multihop bool }

func portOf(c Config) port { return port{v6: c.Neighbor.Is6(), multihop: c.Multihop} }

func (p port) number() uint16 {
	if p.multihop {
		return portMultihop
	}
	return portSingleHop
}

func (p port) network() string {
	if p.v6 {
		return "udp6"
	}
	return "udp4"
}

// listener receives the packets of all sessions of a port.
type listener struct {
	port port
	conn *net.UDPConn
	raw  syscall.RawConn
}

// listen opens a listener in the network namespace of the calling thread.
func listen(p port) (*listener, error) {
	packets, err := net.ListenPacket(p.network(), fmt.Sprintf(":%d", p.number()))
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("%w: another BFD program has it (FRR's bfdd, BIRD, keepalived?); stop that or remove the sessions here", err)
	}
	if err != nil {
		return nil, err
	}
	l := &listener{port: p, conn: packets.(*net.UDPConn)}
	if err := l.setUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up UDP port %d: %w", p.number(), err), l.conn.Close())
	}
	return l, nil
}

func (l *listener) setUp() (err error) {
	if l.raw, err = l.conn.SyscallConn(); err != nil {
		return err
	}
	if l.port.v6 {
		err = ipv6.NewPacketConn(l.conn).SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst, true)
	} else {
		err = ipv4.NewPacketConn(l.conn).SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst, true)
	}
	return errors.Join(err, l.conn.SetReadBuffer(receiveBufferSize))
}

// await says on readyC whenever there may be packets, until the listener is closed or doneC
// is. It reads nothing itself: only one goroutine may, or a timer could overtake a packet.
func (l *listener) await(readyC chan<- struct{}, doneC <-chan struct{}) {
	var peek [1]byte
	for {
		err := l.raw.Read(func(fd uintptr) bool {
			_, _, err := unix.Recvfrom(int(fd), peek[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			return !errors.Is(err, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		select {
		case readyC <- struct{}{}:
		case <-doneC:
			return
		}
	}
}

// read takes up to readMax packets, none of which it waits for. Their payload is good
// until take returns.
func (l *listener) read(take func(Arrival)) error {
	var payload [PayloadMax]byte
	control := make([]byte, 128)
	var err error
	controlErr := l.raw.Control(func(fd uintptr) {
		for range readMax {
			var n, controlN int
			var from unix.Sockaddr
			n, controlN, _, from, err = unix.Recvmsg(int(fd), payload[:], control, unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return
			}
			take(l.arrival(int(fd), from, payload[:n], control[:controlN]))
		}
	})
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return errors.Join(controlErr, err)
}

func (l *listener) arrival(fd int, from unix.Sockaddr, payload, control []byte) Arrival {
	a := Arrival{Multihop: l.port.multihop, Payload: payload}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		var m ipv4.ControlMessage
		_ = m.Parse(control) // what can't be parsed has TTL 0, which is dropped
		a.Source, a.TTL = netip.AddrFrom4(from.Addr), m.TTL
		a.Destination, _ = netip.AddrFromSlice(m.Dst.To4())
	case *unix.SockaddrInet6:
		var m ipv6.ControlMessage
		_ = m.Parse(control)
		a.Source, a.TTL = netip.AddrFrom16(from.Addr), m.HopLimit
		a.Destination, _ = netip.AddrFromSlice(m.Dst)
		if from.ZoneId != 0 {
			a.Source = a.Source.WithZone(interfaceName(fd, from.ZoneId))
		}
	}
	return a
}

func (l *listener) close() { _ = l.conn.Close() }

// sender sends the packets of one session, from a port of its own. RFC 5881 §4: "The same
// UDP source port number MUST be used for all BFD Control packets associated with a
// particular session. The source port number SHOULD be unique among all BFD sessions".
type sender struct {
	config Config
	conn   *net.UDPConn
	raw    syscall.RawConn
	buffer []byte

	failure string // of the last packet; "": it has gone
}

// openSender opens a sender in the network namespace of the calling thread.
func openSender(c Config) (*sender, error) {
	source := c.Source
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
		if c.Neighbor.Is6() {
			source = netip.IPv6Unspecified()
		}
	}
	if source.IsLinkLocalUnicast() && source.Is6() && source.Zone() == "" {
		source = source.WithZone(c.Neighbor.Zone())
	}
	open := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setSending(raw, c) }}
	var err error
	for range sourcePortTries {
		from := netip.AddrPortFrom(source, uint16(sourcePortMin+rand.IntN(sourcePortMax-sourcePortMin+1)))
		var packets net.PacketConn
		packets, err = open.ListenPacket(context.Background(), portOf(c).network(), from.String())
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			err = errno // without the port, which is another at each try: the same trouble reads the same
		}
		if err != nil {
			return nil, fmt.Errorf("send from %s: %w", source, err)
		}
		s := &sender{config: c, conn: packets.(*net.UDPConn)}
		s.raw, err = s.conn.SyscallConn()
		return s, err
	}
	return nil, fmt.Errorf("find a free UDP port for %s: %w", source, err)
}

func setSending(raw syscall.RawConn, c Config) error {
	var errs []error
	err := raw.Control(func(fd uintptr) {
		level, ttl, tos := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_TOS
		if c.Neighbor.Is6() {
			level, ttl, tos = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_TCLASS
		}
		errs = append(errs,
			unix.SetsockoptInt(int(fd), level, ttl, c.TTL),
			unix.SetsockoptInt(int(fd), level, tos, tosInternetControl),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 0), // nobody reads: the least there is
		)
	})
	return errors.Join(append(errs, err)...)
}

// send sends a packet at once, or not at all.
func (s *sender) send(p Packet) error {
	s.buffer = p.Append(s.buffer[:0])
	var err error
	controlErr := s.raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), s.buffer, unix.MSG_DONTWAIT, s.destination(int(fd)))
	})
	if err = errors.Join(controlErr, err); err != nil {
		return fmt.Errorf("send to %s: %w", s.config.Neighbor, err)
	}
	return nil
}

// destination looks its interface up each time, where it has one: an interface that was
// removed and made again has another index.
func (s *sender) destination(fd int) unix.Sockaddr {
	number := int(portOf(s.config).number())
	if s.config.Neighbor.Is4() {
		return &unix.SockaddrInet4{Port: number, Addr: s.config.Neighbor.As4()}
	}
	return &unix.SockaddrInet6{Port: number, Addr: s.config.Neighbor.As16(), ZoneId: interfaceIndex(fd, s.config.Neighbor.Zone())}
}

func (s *sender) close() { _ = s.conn.Close() }

// interfaceName and interfaceIndex ask on a socket, whatever namespace the calling thread is
// in. They give "" and 0 for what there is none of, which no session and no route has.
func interfaceName(fd int, index uint32) string {
	request, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	request.SetUint32(index)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		return ""
	}
	return request.Name()
}

func interfaceIndex(fd int, name string) uint32 {
	request, err := unix.NewIfreq(name)
	if name == "" || err != nil {
		return 0
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0
	}
	return request.Uint32()
}
