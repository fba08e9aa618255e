package health

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// exchangeFactor bounds a whole exchange of several phases, such as HTTP: it may take
// this many times the timeout of one phase. keepalived has no such bound, and waits
// for ever for a server that sends one byte at a time.
const exchangeFactor = 4

// Connect is how a check reaches its server: keepalived's connection options.
type Connect struct {
	To        netip.AddrPort // connect_ip, connect_port, or the real server itself
	From      netip.AddrPort // bindto, bind_port; no address, or port 0: any
	Interface string         // bind_if; "": any
	Mark      uint32         // fwmark; 0: none
	Timeout   time.Duration  // connect_timeout: of the connection, and of each phase after it; above 0
}

// socketKind is a socket's type and protocol.
type socketKind struct{ socketType, protocol int }

var (
	tcpSocket = socketKind{unix.SOCK_STREAM, unix.IPPROTO_TCP}
	udpSocket = socketKind{unix.SOCK_DGRAM, unix.IPPROTO_UDP}
)

// open makes a socket and connects it. The connection ends with ctx; who opens closes.
//
// This goes past package net, which asks the kernel so much about each connection that
// it costs a third more, and there may be ten thousand of them.
func (c *Connect) open(ctx context.Context, kind socketKind) (*conn, error) {
	to, family := sockaddr(c.to())
	fd, err := unix.Socket(family, kind.socketType|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, kind.protocol)
	if err != nil {
		return nil, err
	}
	err = c.begin(fd, to)
	if err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd)
		return nil, err
	}
	// From here on the runtime's poller waits for the socket.
	now := time.Now()
	made := &conn{file: os.NewFile(uintptr(fd), ""), timeout: c.Timeout, end: now.Add(exchangeFactor * c.Timeout)}
	made.stop = context.AfterFunc(ctx, func() { _ = made.file.Close() })
	if err == unix.EINPROGRESS {
		err = await(made.file, to, now.Add(c.Timeout))
	}
	if err != nil {
		_ = made.Close()
		return nil, err
	}
	return made, nil
}

// begin sets the socket's options and begins to connect it.
func (c *Connect) begin(fd int, to unix.Sockaddr) error {
	if err := c.setOptions(fd); err != nil {
		return err
	}
	if c.From.Addr().IsValid() || c.From.Port() != 0 {
		from, _ := sockaddr(c.from())
		if err := unix.Bind(fd, from); err != nil {
			return err
		}
	}
	return unix.Connect(fd, to)
}

func (c *Connect) setOptions(fd int) error {
	if c.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(c.Mark)); err != nil {
			return fmt.Errorf("set mark %d: %w", c.Mark, err)
		}
	}
	if c.Interface != "" {
		if err := unix.BindToDevice(fd, c.Interface); err != nil {
			return fmt.Errorf("bind to interface %s: %w", c.Interface, err)
		}
	}
	if c.From.Port() != 0 {
		// The last try's connection may still be in TIME_WAIT.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return fmt.Errorf("reuse port %d: %w", c.From.Port(), err)
		}
	}
	return nil
}

// to is the address to connect to; a link-local one is on the given interface.
func (c *Connect) to() netip.AddrPort { return c.zoned(c.To) }

// from is the address to connect from, where any part of it is given.
func (c *Connect) from() netip.AddrPort {
	addr := c.From.Addr()
	switch {
	case addr.IsValid():
	case c.To.Addr().Unmap().Is4():
		addr = netip.IPv4Unspecified()
	default:
		addr = netip.IPv6Unspecified()
	}
	return c.zoned(netip.AddrPortFrom(addr, c.From.Port()))
}

func (c *Connect) zoned(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is6() && a.Addr().IsLinkLocalUnicast() && a.Addr().Zone() == "" && c.Interface != "" {
		return netip.AddrPortFrom(a.Addr().WithZone(c.Interface), a.Port())
	}
	return a
}

// await returns when the connection is made or has failed. To call connect again
// is how to ask without a race: an event that came before the wait is not missed.
func await(file *os.File, to unix.Sockaddr, deadline time.Time) error {
	if file.SetDeadline(deadline) != nil {
		return os.ErrClosed
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		result = unix.Connect(int(fd), to)
		return result != unix.EALREADY && result != unix.EINTR
	})
	switch {
	case err != nil:
		return err
	case result == unix.EISCONN:
		return nil
	}
	return result
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	if addr := a.Addr().Unmap(); addr.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: addr.As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: scope(a.Addr().Zone())}, unix.AF_INET6
}

// scope is the index of an interface, 0 where there is none of that name.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	device, err := net.InterfaceByName(zone)
	if err != nil {
		return 0 // the kernel refuses a link-local address without one
	}
	return uint32(device.Index)
}

// conn is a connected socket. Each read and write has its own timeout, within an end
// for all of them. It is a net.Conn, for package tls.
type conn struct {
	file    *os.File
	stop    func() bool // forgets the context
	timeout time.Duration
	end     time.Time
	ended   bool // the other side has closed, and that has been read
}

// Read reads within the timeout.
func (c *conn) Read(p []byte) (int, error) {
	if c.file.SetReadDeadline(c.deadline()) != nil {
		return 0, os.ErrClosed // nothing else can be wrong with it
	}
	n, err := c.file.Read(p)
	c.ended = c.ended || err == io.EOF
	return n, err
}

// Write writes within the timeout.
func (c *conn) Write(p []byte) (int, error) {
	if c.file.SetWriteDeadline(c.deadline()) != nil {
		return 0, os.ErrClosed
	}
	return c.file.Write(p)
}

func (c *conn) deadline() time.Time {
	if next := time.Now().Add(c.timeout); next.Before(c.end) {
		return next
	}
	return c.end
}

// Close closes the connection, with FIN where everything has been read.
func (c *conn) Close() error {
	c.stop()
	return c.file.Close()
}

// LocalAddr is for net.Conn; nobody asks.
func (c *conn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is for net.Conn; nobody asks.
func (c *conn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline does nothing: each read and write sets its own.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
