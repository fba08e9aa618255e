package config

import (
	"net/netip"
	"slices"
)

// destinationPort is the port a real server or sorry server has behind a service
// of port service: only NAT can change the port of a packet.
func destinationPort(written uint16, m Method, service uint16) uint16 {
	if written == 0 || m.Kind != "NAT" {
		return service
	}
	return written
}

// uniqueDestinations refuses servers of a group that IPVS would not tell apart: a
// service has each address and port once. Without a group the ports are filled in
// before, and what is then there twice is left out.
func (c *checker) uniqueDestinations(d *serverDraft) {
	if d.group == "" {
		return
	}
	for _, service := range d.servicePorts() {
		first := map[netip.AddrPort]RealServer{}
		for _, r := range d.RealServers {
			at := netip.AddrPortFrom(r.Address.Addr(), destinationPort(r.Address.Port(), r.Method, service))
			if other, taken := first[at]; taken {
				c.sameDestination(d, "real_server "+r.Address.String(), other, at)
				return
			}
			first[at] = r
		}
		if d.Sorry == nil {
			continue
		}
		at := netip.AddrPortFrom(d.Sorry.Address.Addr(), destinationPort(d.Sorry.Address.Port(), d.Sorry.Method, service))
		if other, taken := first[at]; taken && other.Address != d.Sorry.Address {
			c.sameDestination(d, "sorry_server "+d.Sorry.Address.String(), other, at)
			return
		}
	}
}

func (c *checker) sameDestination(d *serverDraft, what string, other RealServer, at netip.AddrPort) {
	c.errorf(d.node.wordPos(1), "without NAT, or without a port, a server has the port of the service: keep one of the two, or write the same port in both",
		"virtual_server %s: %s and real_server %v are both %v behind a service of port %d", d.Name, what, other.Address, at, at.Port())
}

// servicePorts are the ports of services with an address, each once, in order.
// A marked service leaves each server the port that is written.
func (d *serverDraft) servicePorts() []uint16 {
	var ports []uint16
	for _, s := range d.Services {
		if s.Mark == 0 {
			ports = append(ports, s.Address.Port())
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// mixesFamilies reports whether a server is of another family of addresses than
// one of the services.
func (d *serverDraft) mixesFamilies(server netip.AddrPort) bool {
	return slices.ContainsFunc(d.Services, func(s VirtualService) bool { return s.IPv6 != server.Addr().Is6() })
}

// family refuses a server of another family of addresses than a service where the
// kernel does: only TUN carries one in the other, and its synchronisation has no
// words for it (ip_vs_add_dest). It reports whether the method can reach the server.
func (c *checker) family(d *serverDraft, n *node, server netip.AddrPort, m Method) bool {
	at, what := n.wordPos(1), n.name()
	switch {
	case !d.mixesFamilies(server):
	case m.Kind != "TUN":
		c.errorf(at, "lvs_method TUN can carry one family in the other",
			"%s %v is of another family of addresses than %s", what, server.Addr(), d.Name)
		return false
	case c.sync != nil:
		c.errorf(at, "leave out lvs_sync_daemon, or write a virtual_server for each family",
			"%s %v is of another family of addresses than %s, which the kernel refuses together with lvs_sync_daemon", what, server.Addr(), d.Name)
	}
	return true
}
