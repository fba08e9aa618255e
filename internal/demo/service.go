package demo

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/test/lab"
)

// Service is a virtual server on the VIP, with two real servers behind it.
type Service struct {
	Method string // "NAT", "DR" or "TUN"
	// Patience is how long a visitor waits for a connection and an answer; 0: 300 ms.
	Patience time.Duration
	// Local makes the first two directors the real servers, with the VIP on lo.
	Local bool
}

// The service's network: with NAT the real servers are on a switch of their own,
// behind the directors, and their gateway moves with the VIP.
var (
	gateway     = netip.MustParseAddr("10.78.0.100")
	backNodes   = netip.MustParseAddr("10.78.0.11")
	backServers = netip.MustParseAddr("10.78.0.31")
	servers     = netip.MustParseAddr("10.77.0.31")
)

const (
	serverCount   = 2
	servicePort   = 80
	backInterface = "eth1"
	// checkInterval is delay_loop, in seconds: small, so that the story is short.
	checkInterval = "0.2"
)

// Server is a real server: it answers every line with its name.
type Server struct {
	Name    string
	Address netip.Addr
	Host    *lab.Host

	mu       sync.Mutex
	listener net.Listener // nil: it is down
	open     map[net.Conn]bool
	peers    map[netip.AddrPort]bool // who has connected
	tasks    sync.WaitGroup
}

// addServers builds the real servers and tells the directors of them.
func (c *Cluster) addServers() error {
	var err error
	wiring := c.Switch
	if c.options.Service.Method == "NAT" {
		if wiring, err = lab.NewSwitch(); err != nil {
			return err
		}
		c.back = wiring
		for i, n := range c.Nodes {
			if _, err := wiring.Plug(n.Host, backInterface, netip.PrefixFrom(plus(backNodes, i), subnetBits)); err != nil {
				return err
			}
		}
	}
	for _, n := range c.Nodes {
		if err := n.Host.Do(func() error { return sysctl("ipv4/ip_forward", "1") }); err != nil {
			return err
		}
	}
	for i := range serverCount {
		if err := c.addServer(i, wiring); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) addServer(i int, wiring *lab.Switch) error {
	s := &Server{Name: fmt.Sprintf("s%d", i+1), Address: c.serverAddress(i), open: map[net.Conn]bool{}, peers: map[netip.AddrPort]bool{}}
	c.Servers = append(c.Servers, s)
	if c.options.Service.Local {
		s.Host = c.Nodes[i].Host
	} else {
		var err error
		if s.Host, err = lab.NewHost(s.Name); err != nil {
			return err
		}
		c.owned = append(c.owned, s.Host)
		if _, err := wiring.Plug(s.Host, interfaceName, netip.PrefixFrom(s.Address, subnetBits)); err != nil {
			return err
		}
	}
	if err := s.Host.Do(func() error { return c.options.Service.prepare() }); err != nil {
		return fmt.Errorf("make %s a real server: %w", s.Name, err)
	}
	return s.Up()
}

func (c *Cluster) serverAddress(i int) netip.Addr {
	switch {
	case c.options.Service.Local:
		return c.Nodes[i].Address
	case c.options.Service.Method == "NAT":
		return plus(backServers, i)
	}
	return plus(servers, i)
}

// prepare makes the calling thread's host a real server for the method.
func (s *Service) prepare() error {
	if s.Method == "NAT" {
		return netlink.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()})
	}
	// What every real server of DR and TUN needs: the VIP is there, and ARP never
	// speaks of it.
	device := "lo"
	if s.Method == "TUN" {
		device = "tunl0" // which takes every tunnel's packets, and is in each namespace
	}
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	for _, setting := range [][2]string{
		{"ipv4/conf/all/arp_ignore", "1"}, {"ipv4/conf/all/arp_announce", "2"},
		{"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/" + device + "/rp_filter", "0"},
	} {
		if err := sysctl(setting[0], setting[1]); err != nil {
			return err
		}
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: netlink.NewIPNet(vip.AsSlice())}); err != nil {
		return fmt.Errorf("add the VIP on %s: %w", device, err)
	}
	return netlink.LinkSetUp(link)
}

func sysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set net.%s: %w", strings.ReplaceAll(name, "/", "."), err)
	}
	return nil
}

// Up lets the server answer, unless it does.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	err := s.Host.Do(func() error {
		listener, err := net.Listen("tcp4", fmt.Sprintf(":%d", servicePort))
		s.listener = listener
		return err
	})
	if err != nil {
		s.listener = nil
		return fmt.Errorf("%s: listen: %w", s.Name, err)
	}
	listener := s.listener
	s.tasks.Go(func() { s.accept(listener) })
	return nil
}

// Down ends the server: connections are cut and new ones refused.
func (s *Server) Down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	err := s.listener.Close()
	s.listener = nil
	for conn := range s.open {
		_ = conn.Close()
	}
	return err
}

// Peers are the addresses that have ever connected, checks among them.
func (s *Server) Peers() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []netip.AddrPort
	for p := range s.peers {
		all = append(all, p)
	}
	return all
}

func (s *Server) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		if peer, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			from := peer.AddrPort()
			s.peers[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())] = true
		}
		s.mu.Unlock()
		s.tasks.Go(func() { s.serve(conn) })
	}
}

func (s *Server) serve(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if _, err := fmt.Fprintln(conn, s.Name); err != nil {
			break
		}
	}
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	_ = conn.Close() // it may be closed already
}

// closeServers ends the service; what is not there is no error.
func (c *Cluster) closeServers() error {
	var errs []error
	for _, s := range c.Servers {
		errs = append(errs, s.Down())
		s.tasks.Wait()
	}
	for _, host := range c.owned {
		errs = append(errs, host.Close())
	}
	if c.back != nil {
		errs = append(errs, c.back.Close())
	}
	return errors.Join(errs...)
}

// serviceConfiguration is the part of a node's configuration about the service.
func (c *Cluster) serviceConfiguration() string {
	service := c.options.Service
	if service == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n    lvs_sync_daemon %s %s\n}\n", interfaceName, instanceName)
	if service.Local {
		b.WriteString("fence {\n    vip_on_lo on\n}\n")
	}
	fmt.Fprintf(&b, "virtual_server %s %d {\n    protocol TCP\n    lvs_sched rr\n    lvs_method %s\n    delay_loop %s\n",
		vip, servicePort, service.Method, checkInterval)
	for i := range serverCount {
		fmt.Fprintf(&b, "    real_server %s %d {\n        TCP_CHECK {\n            connect_timeout 1\n            retry 0\n        }\n    }\n",
			c.serverAddress(i), servicePort)
	}
	b.WriteString("}\n")
	return b.String()
}

// secondAddress is the real servers' gateway, which moves with the VIP.
func (c *Cluster) secondAddress() string {
	if c.options.Service == nil || c.options.Service.Method != "NAT" {
		return ""
	}
	return fmt.Sprintf("        %s dev %s\n", gateway, backInterface)
}
