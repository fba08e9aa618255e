package directors

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/test/lab"
	"github.com/hafence/hafence/test/lab/kernel"
)

// The demo's network, as far as these tests touch it.
var (
	vip           = netip.MustParseAddr("10.77.0.100")
	gateway       = netip.MustParseAddr("10.78.0.100")
	clientAddress = netip.MustParseAddr("10.77.0.200")
)

// settle is longer than a dead node's kernel goes on answering: half the lease and
// the address's lifetime.
const settle = leaseTTL + 2*time.Second

// pinned makes a host send what is for an address to a node's cable, as a neighbour
// that has heard of no failover would.
func (c *cluster) pinned(host *lab.Host, device string, address netip.Addr, to net.HardwareAddr) {
	c.Helper()
	c.must(host.Do(func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: address.AsSlice(), HardwareAddr: to,
		})
	}))
}

// mac is the hardware address of a node's interface.
func (c *cluster) mac(host *lab.Host, device string) (mac net.HardwareAddr) {
	c.Helper()
	c.must(host.Do(func() error {
		link, err := netlink.LinkByName(device)
		if err == nil {
			mac = link.Attrs().HardwareAddr
		}
		return err
	}))
	return mac
}

// knock tries to connect from the client to the VIP and returns the port it came from.
func (c *cluster) knock() (port uint16, answered bool) {
	c.Helper()
	var fd int
	c.must(c.Client.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: vip.As4()})
		if err == unix.EINPROGRESS {
			err = nil
		}
		return err
	}))
	defer unix.Close(fd)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	_, _ = unix.Poll(poll, int(2*time.Second/time.Millisecond))
	failure, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	c.must(err)
	name, err := unix.Getsockname(fd)
	c.must(err)
	return uint16(name.(*unix.SockaddrInet4).Port), failure == 0 && poll[0].Revents&unix.POLLOUT != 0 && poll[0].Revents&unix.POLLERR == 0
}

// seen reports whether a real server has had a connection from a port of the client.
func (c *cluster) seen(port uint16) bool {
	for _, s := range c.Servers {
		if slices.Contains(s.Peers(), netip.AddrPortFrom(clientAddress, port)) {
			return true
		}
	}
	return false
}

// serving starts the cluster and waits until the preferred node directs.
func (c *cluster) serving() {
	c.Helper()
	c.must(c.Start())
	c.until("n1 answers for the VIP and directs", func() bool {
		if !c.Nodes[0].AnswersAt(c.Observer.Record(), boottime.Now()) {
			return false
		}
		_, answered := c.knock()
		return answered
	})
}

// Goal: a dead director directs nothing, even if the address is still there or comes
// back: the gate shuts prerouting, before IPVS. Method: DR; every process of the
// MASTER is killed; the client's neighbour table still names it; the VIP is put back
// on it by hand.
func TestDeadDirectorDirectsNothing(t *testing.T) {
	if !kernel.Run(t, gated...) {
		return
	}
	c := open(t, demo.Options{Service: &demo.Service{Method: "DR"}, Plain: true})
	c.serving()
	dead := c.Nodes[0]
	c.pinned(c.Client, "eth0", vip, c.mac(dead.Host, "eth0"))
	port, answered := c.knock()
	if !answered {
		t.Fatal("the pinned MASTER does not direct: the test shows nothing")
	}
	c.until("a real server sees the client", func() bool { return c.seen(port) })
	c.must(dead.Kill())
	<-time.After(settle)
	for _, put := range []bool{false, true} {
		if put {
			c.putBack(dead)
		}
		port, answered := c.knock()
		if answered || c.seen(port) {
			t.Errorf("VIP put back %v: the dead director still directs", put)
		}
	}
}

// Goal: neither do answers of real servers leave a dead director in the VIP's name: the
// gate shuts postrouting. Method: NAT; the real servers' neighbour tables still name the
// dead MASTER as their gateway; what it sends is listened to on its cable.
func TestDeadDirectorAnswersForNobody(t *testing.T) {
	if !kernel.Run(t, gated...) {
		return
	}
	c := open(t, demo.Options{Service: &demo.Service{Method: "NAT"}, Plain: true})
	c.serving()
	dead := c.Nodes[0]
	for _, s := range c.Servers {
		c.pinned(s.Host, "eth0", gateway, c.mac(dead.Host, "eth1"))
	}
	talk := demo.NewTalk(c.Client)
	defer talk.Close()
	c.until("a conversation", func() bool { _, said, _, _ := talk.Said(); return said > 2 })
	c.must(dead.Kill())
	<-time.After(settle)
	frames := c.listen(dead)
	<-time.After(settle) // the real servers repeat what nobody acknowledges
	if n := frames(); n > 0 {
		t.Errorf("%d packets of the VIP left the dead director", n)
	}
}

// listen counts the IP packets of the VIP that leave a node; the function returned
// ends it.
func (c *cluster) listen(n *demo.Node) func() int {
	c.Helper()
	var conn *packet.Conn
	c.must(c.Switch.Do(func() error {
		device, err := net.InterfaceByName(n.Port.Name)
		if err == nil {
			conn, err = packet.Listen(device, packet.Raw, unix.ETH_P_ALL, nil)
		}
		return err
	}))
	countC := make(chan int)
	go func() {
		count := 0
		frame := make([]byte, 2048)
		source := vip.As4()
		for {
			size, _, err := conn.ReadFrom(frame)
			if err != nil {
				countC <- count
				return
			}
			if size >= 34 && frame[12] == 8 && frame[13] == 0 && [4]byte(frame[26:30]) == source {
				count++
			}
		}
	}()
	return func() int {
		_ = conn.Close()
		return <-countC
	}
}

// putBack puts the VIP on a node by hand.
func (c *cluster) putBack(n *demo.Node) {
	c.Helper()
	c.must(n.Host.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.AddrReplace(link, &netlink.Addr{IPNet: netlink.NewIPNet(vip.AsSlice())})
	}))
}
