package vrrp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// broadcast is every station of an Ethernet segment.
var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Announcer tells the hosts and switches of one segment, by gratuitous ARP, that
// an address is now at this interface. It is for one goroutine at a time.
type Announcer struct {
	ifi  *net.Interface
	conn *packet.Conn
	raw  syscall.RawConn
}

// OpenAnnouncer opens an announcer for an interface in the network namespace of
// the calling thread, where it stays. It needs CAP_NET_RAW.
func OpenAnnouncer(name string) (*Announcer, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("open announcer on %s: %w: %w", name, ErrInterfaceGone, err)
	}
	if len(ifi.HardwareAddr) != len(broadcast) {
		return nil, fmt.Errorf("open announcer on %s: the interface has no Ethernet address", name)
	}
	// Nothing is ever read here, so nothing may queue up: the filter drops all
	// that arrives.
	deaf, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return nil, fmt.Errorf("open announcer on %s: %w", name, err)
	}
	// Datagram: the kernel writes the Ethernet header.
	conn, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_ARP, &packet.Config{Filter: deaf})
	if err != nil {
		return nil, fmt.Errorf("open announcer on %s: %w", name, err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("open announcer on %s: %w", name, errors.Join(err, conn.Close()))
	}
	return &Announcer{ifi: ifi, conn: conn, raw: raw}, nil
}

// Announce broadcasts one gratuitous ARP for address, as keepalived does: a
// request in which sender and target are the address (RFC 5227 §3), and the
// target's hardware address is all ones.
//
// A hardware address that has changed since OpenAnnouncer takes a new Announcer.
func (a *Announcer) Announce(address netip.Addr) error {
	if err := a.send(address); err != nil {
		return fmt.Errorf("announce %s on %s: %w", address, a.ifi.Name, err)
	}
	return nil
}

func (a *Announcer) send(address netip.Addr) error {
	message, err := arp.NewPacket(arp.OperationRequest, a.ifi.HardwareAddr, address, broadcast, address)
	if err != nil {
		return err
	}
	frame, err := message.MarshalBinary()
	if err != nil {
		return err
	}
	_, err = a.conn.WriteTo(frame, &packet.Addr{HardwareAddr: broadcast})
	if err != nil && errors.Is(checkInterface(a.raw, a.ifi.Name, a.ifi.Index), ErrInterfaceGone) {
		return fmt.Errorf("%w: %w", ErrInterfaceGone, err)
	}
	return err
}

// Close closes the announcer.
func (a *Announcer) Close() error { return a.conn.Close() }
