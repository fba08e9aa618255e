package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// tosInternetControl is IP precedence 6, as keepalived sends.
	tosInternetControl = 0xc0
	// receiveBufferSize is enough for a few seconds of a noisy segment; the
	// kernel's filter keeps other routers' messages out.
	receiveBufferSize = 64 << 10
	// interfaceCheckInterval is how often a silent Receive makes sure that its
	// interface still exists: the kernel does not tell a raw socket.
	interfaceCheckInterval = time.Second
)

// ErrInterfaceGone is inside every error that comes of an interface that has
// been removed, or replaced by another of the same name: close the socket, and
// open another when there is an interface again.
var ErrInterfaceGone = errors.New("interface is gone")

// SocketConfig says where a [Socket] listens and what it sends from.
type SocketConfig struct {
	Interface string
	Source    netip.Addr   // IPv4, an address of the interface
	Group     netip.Addr   // multicast group; the zero Addr is DefaultGroup; unused with Peers
	Peers     []netip.Addr // unicast peers; none: multicast
	ID        ID           // the kernel passes only this virtual router; 0: all of them
}

// Socket sends and receives VRRP messages on one interface. Send and Receive
// may be called by one goroutine each at a time, Close by anybody.
type Socket struct {
	config       SocketConfig
	destinations []netip.Addr
	index        int // of the interface
	conn         *ipv4.PacketConn
	raw          syscall.RawConn
	buffer       [MessageMax]byte
}

// Open opens a socket in the network namespace of the calling thread, where it
// stays. It needs CAP_NET_RAW.
func Open(config SocketConfig) (*Socket, error) {
	if !config.Group.IsValid() {
		config.Group = DefaultGroup
	}
	s := &Socket{config: config, destinations: config.Peers}
	if len(s.destinations) == 0 {
		s.destinations = []netip.Addr{config.Group}
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open VRRP socket on %s: %w", config.Interface, err)
	}
	return s, nil
}

func (s *Socket) open() error {
	if !s.config.Source.Is4() {
		return fmt.Errorf("source %s is not an IPv4 address", s.config.Source)
	}
	ifi, err := net.InterfaceByName(s.config.Interface)
	if err != nil {
		return fmt.Errorf("find interface: %w: %w", ErrInterfaceGone, err)
	}
	s.index = ifi.Index
	// The wildcard address: a socket bound to ours would not hear multicast.
	listen := net.ListenConfig{Control: s.control}
	conn, err := listen.ListenPacket(context.Background(), "ip4:"+strconv.Itoa(Protocol), "0.0.0.0")
	if err != nil {
		return err
	}
	if err := s.setUp(conn, ifi); err != nil {
		return errors.Join(err, conn.Close())
	}
	return nil
}

// control sets what must be in force before the first packet can arrive.
func (s *Socket) control(_, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) { err = s.bindToDevice(int(fd)) })
	return errors.Join(controlErr, err)
}

func (s *Socket) bindToDevice(fd int) error {
	if err := unix.BindToDevice(fd, s.config.Interface); err != nil {
		return fmt.Errorf("bind to interface: %w", err)
	}
	// Only groups this socket joined, not those of the host's other sockets.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
		return fmt.Errorf("turn off foreign multicast groups: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferSize); err != nil {
		return fmt.Errorf("set receive buffer: %w", err)
	}
	return nil
}

func (s *Socket) setUp(conn net.PacketConn, ifi *net.Interface) error {
	s.conn = ipv4.NewPacketConn(conn)
	var err error
	if s.raw, err = conn.(*net.IPConn).SyscallConn(); err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"filter by virtual router ID", s.setFilter},
		{"ask for TTL and destination", func() error {
			return s.conn.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst, true)
		}},
		{"set TTL", func() error { return s.conn.SetTTL(TTL) }},
		{"set multicast TTL", func() error { return s.conn.SetMulticastTTL(TTL) }},
		{"set TOS", func() error { return s.conn.SetTOS(tosInternetControl) }},
		{"turn off multicast loop", func() error { return s.conn.SetMulticastLoopback(false) }},
		{"set multicast interface", func() error { return s.conn.SetMulticastInterface(ifi) }},
		{"join multicast group", func() error { return s.join(ifi) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (s *Socket) join(ifi *net.Interface) error {
	if len(s.config.Peers) > 0 {
		return nil
	}
	return s.conn.JoinGroup(ifi, &net.IPAddr{IP: s.config.Group.AsSlice()})
}

// setFilter lets only our virtual router's messages wake us. A raw socket's
// filter sees the packet from its IP header on.
func (s *Socket) setFilter() error {
	if s.config.ID == 0 {
		return nil
	}
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadMemShift{Off: 0}, // X = length of the IP header
		bpf.LoadIndirect{Off: offsetID, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(s.config.ID), SkipFalse: 1},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	return s.conn.SetBPF(program)
}

// Destinations are where [Socket.Send] sends to: the group, or the peers.
func (s *Socket) Destinations() []netip.Addr { return s.destinations }

// Receive waits for a message. Its payload is good until the next Receive. After
// Close the error is net.ErrClosed; after the interface's end it has
// [ErrInterfaceGone] in it, within interfaceCheckInterval.
func (s *Socket) Receive() (Packet, error) {
	for {
		packet, err := s.receive()
		if err == nil {
			return packet, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = checkInterface(s.raw, s.config.Interface, s.index)
		}
		if err != nil {
			return Packet{}, fmt.Errorf("receive VRRP on %s: %w", s.config.Interface, err)
		}
	}
}

func (s *Socket) receive() (Packet, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(interfaceCheckInterval)); err != nil {
		return Packet{}, err
	}
	n, control, from, err := s.conn.ReadFrom(s.buffer[:])
	if err != nil {
		return Packet{}, err
	}
	if control == nil {
		return Packet{}, errors.New("no TTL and destination with the packet")
	}
	source, _ := netip.AddrFromSlice(from.(*net.IPAddr).IP)
	destination, _ := netip.AddrFromSlice(control.Dst)
	return Packet{
		Source:      source.Unmap(),
		Destination: destination.Unmap(),
		TTL:         control.TTL,
		Payload:     s.buffer[:n],
	}, nil
}

// checkInterface reports whether the interface is still the one that a socket
// was opened on. It asks on the socket itself, whatever namespace the calling
// thread is in.
func checkInterface(raw syscall.RawConn, name string, index int) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) { err = unix.IoctlIfreq(int(fd), unix.SIOCGIFINDEX, request) })
	switch {
	case controlErr != nil:
		return controlErr
	case errors.Is(err, unix.ENODEV):
		return ErrInterfaceGone
	case err != nil:
		return fmt.Errorf("look up interface: %w", err)
	case int(request.Uint32()) != index:
		return ErrInterfaceGone
	default:
		return nil
	}
}

// Send sends a message to the group, or to every peer. It tries all of them and
// joins the errors. A version 3 message is made for one destination: use
// [Socket.SendTo].
func (s *Socket) Send(payload []byte) error {
	var errs []error
	for _, destination := range s.destinations {
		errs = append(errs, s.SendTo(destination, payload))
	}
	return errors.Join(errs...)
}

// SendTo sends a message to one destination.
func (s *Socket) SendTo(destination netip.Addr, payload []byte) error {
	control := &ipv4.ControlMessage{Src: s.config.Source.AsSlice(), IfIndex: s.index}
	_, err := s.conn.WriteTo(payload, control, &net.IPAddr{IP: destination.AsSlice()})
	if err == nil {
		return nil
	}
	if errors.Is(checkInterface(s.raw, s.config.Interface, s.index), ErrInterfaceGone) {
		err = fmt.Errorf("%w: %w", ErrInterfaceGone, err)
	}
	return fmt.Errorf("send VRRP from %s to %s on %s: %w", s.config.Source, destination, s.config.Interface, err)
}

// Close closes the socket and ends a Receive that waits.
func (s *Socket) Close() error { return s.conn.Close() }
