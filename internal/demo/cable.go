package demo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// cable asks one node, and nobody else, at the switch's end of its cable. It
// speaks with that end's own hardware address, which the bridge takes for its
// own: the answers are not flooded to the other nodes.
type cable struct {
	socket *socket
	port   unix.SockaddrLinklayer
	own    mac // of the switch's end
	node   mac
	arp    []byte
	vip    netip.AddrPort
	from   netip.AddrPort
}

func openCable(scene Scene, port *lab.Port) (*cable, error) {
	c := &cable{vip: netip.AddrPortFrom(scene.VIP, EchoPort), from: netip.AddrPortFrom(scene.Observer, EchoPort)}
	err := errors.Join(
		scene.Switch.Do(func() error { return c.openAt(port.Name) }),
		port.Host.Do(func() error { return c.introduce(port.Interface) }),
	)
	if err != nil {
		err = fmt.Errorf("observe the cable of %s: %w", port.Host.Name, err)
		if c.socket != nil {
			err = errors.Join(err, c.socket.close())
		}
		return nil, err
	}
	c.arp = arpProbe(c.own, scene.VIP)
	return c, nil
}

// openAt listens at the switch's end: to every protocol, for a bridge takes the
// frames of a port before a socket for one of them could see them.
func (c *cable) openAt(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	c.own = mac(link.Attrs().HardwareAddr)
	everything := networkOrder(unix.ETH_P_ALL)
	c.port = unix.SockaddrLinklayer{Protocol: everything, Ifindex: link.Attrs().Index}
	if c.socket, err = newSocket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
		return err
	}
	return c.socket.control(func(fd int) error {
		filter, err := onlyTo(c.own)
		if err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter),
			unix.Bind(fd, &c.port),
		)
	})
}

// introduce tells the node's kernel where the observer is, so that it need not ask.
func (c *cable) introduce(ifname string) error {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find %s: %w", ifname, err)
	}
	c.node = mac(link.Attrs().HardwareAddr)
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: c.from.Addr().AsSlice(), HardwareAddr: c.own[:],
	})
}

// onlyTo lets frames to one hardware address through: neither what the node says
// to others nor what is sent to the node.
func onlyTo(own mac) (*unix.SockFprog, error) {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(own[:]), SkipTrue: 3},
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(binary.BigEndian.Uint16(own[4:])), SkipTrue: 1},
		bpf.RetConstant{Val: datagramMax},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}, nil
}

// ask asks both ways. A cable that is cut takes nothing.
func (c *cable) ask(number uint64) {
	_ = c.socket.send(c.arp, &c.port)
	_ = c.socket.send(udpFrame(c.node, c.own, c.vip, c.from, question(number)), &c.port)
}

// listen reports answers until the socket is closed.
func (c *cable) listen(answered func(Via, boottime.Instant)) {
	buffer := make([]byte, datagramMax)
	for {
		n, at, err := c.socket.receive(buffer)
		if err != nil {
			return
		}
		if via := answerVia(buffer[:n], c.own, c.vip); via != 0 {
			answered(via, at)
		}
	}
}

// client asks for the VIP as any host would.
type client struct {
	socket *socket
	vip    unix.SockaddrInet4
}

func openClient(scene Scene) (*client, error) {
	c := &client{vip: unix.SockaddrInet4{Port: EchoPort, Addr: scene.VIP.As4()}}
	err := scene.Client.Do(func() (err error) {
		if c.socket, err = newSocket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
			return err
		}
		return c.socket.control(func(fd int) error { return unix.Bind(fd, &unix.SockaddrInet4{}) })
	})
	if err != nil {
		return nil, fmt.Errorf("open the client: %w", err)
	}
	return c, nil
}

func (c *client) ask(number uint64) error { return c.socket.send(question(number), &c.vip) }

func (c *client) listen(answered func(number uint64, node int, at boottime.Instant)) {
	buffer := make([]byte, datagramMax)
	for {
		n, at, err := c.socket.receive(buffer)
		if err != nil {
			return
		}
		if number, node, ok := parseAnswer(buffer[:n]); ok {
			answered(number, node, at)
		}
	}
}

// addressChange is a change of a host's addresses.
type addressChange struct {
	address netip.Addr
	present bool
}

// subscribe tells a host's IPv4 addresses, and their changes until doneC is
// closed.
func subscribe(host *lab.Host, doneC <-chan struct{}) (<-chan addressChange, error) {
	updates := make(chan netlink.AddrUpdate)
	err := host.Do(func() error {
		return netlink.AddrSubscribeWithOptions(updates, doneC, netlink.AddrSubscribeOptions{ListExisting: true})
	})
	if err != nil {
		return nil, err
	}
	changes := make(chan addressChange)
	go func() {
		defer close(changes)
		for u := range updates {
			if address, ok := netip.AddrFromSlice(u.LinkAddress.IP); ok {
				changes <- addressChange{address.Unmap(), u.NewAddr}
			}
		}
	}()
	return changes, nil
}

// networkOrder swaps the bytes of a number where the host's order is another.
func networkOrder(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}
