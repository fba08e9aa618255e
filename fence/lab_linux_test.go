package fence

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab"
)

const (
	probeTimeout = 250 * time.Millisecond // an answer in the lab takes well under 1 ms, but machines are shared
	echoPort     = 7                      // RFC 862
)

var (
	clientAddress   = netip.MustParsePrefix("10.0.0.100/24")
	directorAddress = netip.MustParsePrefix("10.0.0.1/24")
	vipA            = VIP{Prefix: netip.MustParsePrefix("10.0.0.50/32"), Interface: "eth0"}
	vip6            = netip.MustParsePrefix("2001:db8::1/128")
	vipB            = VIP{Prefix: netip.MustParsePrefix("10.0.0.51/32"), Interface: "eth0"}
)

// rig is a director and a client on one switch. Everything is judged from the
// client.
type rig struct {
	t        *testing.T
	sw       *lab.Switch
	director *lab.Host
	client   *lab.Host
	kernel   *Kernel // of the director
	arp      *arp.Client
}

func newRig(t *testing.T) *rig {
	lab.Require(t)
	r := &rig{t: t}
	sw, err := lab.NewSwitch()
	r.must(err)
	t.Cleanup(func() { _ = sw.Close() })
	r.sw = sw
	r.director = r.host("director", directorAddress)
	r.client = r.host("client", clientAddress)
	r.must(r.director.Do(func() (err error) { r.kernel, err = OpenKernel(); return err }))
	t.Cleanup(r.kernel.Close)
	if r.kernel.Gate == nil {
		lab.Skip(t, "nf_tables: "+r.kernel.GateErr.Error())
	}
	r.must(r.client.Do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		r.arp, err = arp.Dial(eth0)
		return err
	}))
	t.Cleanup(func() { _ = r.arp.Close() })
	return r
}

func (r *rig) host(name string, address netip.Prefix) *lab.Host {
	r.t.Helper()
	h, err := lab.NewHost(name)
	r.must(err)
	r.t.Cleanup(func() { _ = h.Close() })
	_, err = r.sw.Plug(h, "eth0", address)
	r.must(err)
	return h
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// at performs fn on the director.
func (r *rig) at(fn func() error) {
	r.t.Helper()
	r.must(r.director.Do(fn))
}

// answersARP asks the segment who has the VIP.
func (r *rig) answersARP(v VIP) bool {
	r.t.Helper()
	r.must(r.arp.Request(v.Prefix.Addr()))
	return r.heardARPReply(v)
}

// sendARP broadcasts a packet from the client.
func (r *rig) sendARP(operation arp.Operation, mac net.HardwareAddr, sender, target netip.Addr) {
	r.t.Helper()
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	packet, err := arp.NewPacket(operation, mac, sender, broadcast, target)
	r.must(err)
	r.must(r.arp.WriteTo(packet, broadcast))
}

// heardARPReply reports whether somebody claims the VIP.
func (r *rig) heardARPReply(v VIP) bool {
	r.t.Helper()
	r.must(r.arp.SetReadDeadline(time.Now().Add(probeTimeout)))
	for {
		packet, _, err := r.arp.Read()
		if err != nil {
			return false
		}
		if packet.Operation == arp.OperationReply && packet.SenderIP == v.Prefix.Addr() {
			return true
		}
	}
}

// listen opens a UDP socket on the VIP, whether the host has the address or not.
func (r *rig) listen(h *lab.Host, v VIP) *net.UDPConn {
	r.t.Helper()
	var conn net.PacketConn
	r.must(h.Do(func() (err error) {
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) })
		}}
		conn, err = config.ListenPacket(r.t.Context(), "udp4", netip.AddrPortFrom(v.Prefix.Addr(), echoPort).String())
		return err
	}))
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

// echo answers UDP to the VIP on a host.
func (r *rig) echo(h *lab.Host, v VIP) {
	r.t.Helper()
	server := r.listen(h, v)
	var group sync.WaitGroup
	group.Go(func() {
		buf := make([]byte, 64)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	r.t.Cleanup(func() { _ = server.Close(); group.Wait() })
}

// behind makes a host on the director's second interface, with the VIP as its
// own, that sends everything through the director.
func (r *rig) behind(directorSide, ownSide string, v VIP) *lab.Host {
	r.t.Helper()
	sw, err := lab.NewSwitch()
	r.must(err)
	r.t.Cleanup(func() { _ = sw.Close() })
	gateway := netip.MustParsePrefix(directorSide)
	_, err = sw.Plug(r.director, "eth1", gateway)
	r.must(err)
	h, err := lab.NewHost("behind")
	r.must(err)
	r.t.Cleanup(func() { _ = h.Close() })
	_, err = sw.Plug(h, "eth0", netip.MustParsePrefix(ownSide), v.Prefix)
	r.must(err)
	r.must(h.Run("ip", "route", "add", "default", "via", gateway.Addr().String()))
	for _, name := range []string{"ip_forward=1", "conf/all/rp_filter=0", "conf/eth1/rp_filter=0", "conf/eth0/rp_filter=0"} {
		key, value, _ := strings.Cut(name, "=")
		r.at(func() error { return os.WriteFile("/proc/sys/net/ipv4/"+key, []byte(value), 0) })
	}
	return h
}

// dialFrom opens a UDP socket on host from the VIP to port 7 of an address.
func (r *rig) dialFrom(h *lab.Host, v VIP, to netip.Addr) *net.UDPConn {
	r.t.Helper()
	var conn *net.UDPConn
	r.must(h.Do(func() (err error) {
		conn, err = net.DialUDP("udp4",
			net.UDPAddrFromAddrPort(netip.AddrPortFrom(v.Prefix.Addr(), 0)),
			net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, echoPort)))
		return err
	}))
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// received reports whether one of a few packets arrives.
func received(receiver, sender *net.UDPConn) bool {
	_ = receiver.SetReadDeadline(time.Now().Add(5 * probeTimeout)) // neighbours may have to be found
	for range 3 {
		_, _ = sender.Write([]byte("?"))
	}
	_, err := receiver.Read(make([]byte, 64))
	return err == nil
}

// prober sends UDP from host to the VIP.
func (r *rig) prober(h *lab.Host, v VIP) *net.UDPConn {
	r.t.Helper()
	var conn net.Conn
	r.must(h.Do(func() (err error) {
		conn, err = net.Dial("udp4", netip.AddrPortFrom(v.Prefix.Addr(), echoPort).String())
		return err
	}))
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

// pin gives the client the director's MAC for the VIP, so that IP is judged
// apart from ARP.
func (r *rig) pin(v VIP) {
	r.t.Helper()
	var mac net.HardwareAddr
	r.at(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err == nil {
			mac = eth0.HardwareAddr
		}
		return err
	})
	r.must(r.client.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: v.Prefix.Addr().AsSlice(), HardwareAddr: mac,
		})
	}))
}

func answersUDP(conn *net.UDPConn) bool {
	buf := make([]byte, 64)
	_ = conn.SetReadDeadline(time.Now().Add(probeTimeout))
	_, _ = conn.Write([]byte("?"))
	_, err := conn.Read(buf)
	return err == nil
}

// lastAnswered probes every millisecond until nothing has been answered for the
// quiet time, and returns when the last answered probe was sent.
func lastAnswered(conn *net.UDPConn, quiet time.Duration) time.Time {
	var last time.Time
	began := time.Now()
	buf := make([]byte, 64)
	for time.Since(began) < quiet || time.Since(last) < quiet {
		sent := time.Now()
		if _, err := conn.Write([]byte("?")); err != nil {
			continue
		}
		_ = conn.SetReadDeadline(sent.Add(5 * time.Millisecond))
		if _, err := conn.Read(buf); err == nil {
			last = sent
			time.Sleep(time.Millisecond)
		}
	}
	return last
}
