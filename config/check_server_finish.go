package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// finishServers resolves groups, applies defaults, and finds what is there twice.
func (c *checker) finishServers() {
	first := map[string]*serverDraft{}
	services, destinations, checks := 0, 0, 0
	for _, d := range c.servers {
		if !c.finishServer(d) {
			continue
		}
		c.uniqueServices(d, first)
		c.config.VirtualServers = append(c.config.VirtualServers, d.VirtualServer)
		services += len(d.Services)
		destinations += len(d.Services) * len(d.RealServers)
		if d.Sorry != nil {
			destinations += len(d.Services)
		}
		for _, r := range d.RealServers {
			checks += len(r.Checks)
		}
		if services > servicesMax || destinations > destinationsMax || checks > checksMax {
			c.errorf(d.node.pos(), "", "more than %d services, %d real servers in all of them or %d health checks: one host cannot have so many",
				servicesMax, destinationsMax, checksMax)
			return
		}
		c.uniqueDestinations(d)
	}
}

// uniqueServices refuses a service that two virtual servers claim.
func (c *checker) uniqueServices(d *serverDraft, first map[string]*serverDraft) {
	for _, s := range d.Services {
		key := fmt.Sprintf("%s %v %d %v", d.Protocol, s.Address, s.Mark, s.IPv6)
		if s.Mark != 0 { // the kernel tells marked services apart by mark and family alone
			key = fmt.Sprintf("mark %d %v", s.Mark, s.IPv6)
		}
		if other := first[key]; other != nil {
			c.errorf(d.node.pos(), "write its real servers into one block", "virtual_server %s is there already, in line %d", d.Name, other.node.pos().line)
			return
		}
		first[key] = d
	}
}

// finishServer reports whether the virtual server counts.
func (c *checker) finishServer(d *serverDraft) bool {
	at := d.node.wordPos(1)
	if !c.finishServices(d) {
		return false
	}
	if d.Protocol == "" {
		d.Protocol = "UDP"
		if d.Services[0].Mark == 0 {
			c.once("no protocol", at, Warning, "protocol TCP", fmt.Sprintf("virtual_server %s has no protocol: it counts as UDP, as in keepalived", d.label()))
		}
	}
	d.Name = d.label()
	if d.Scheduler == "" {
		d.Scheduler = schedulerDefault
		c.once("no scheduler", at, Warning, "lvs_sched "+schedulerDefault, fmt.Sprintf("virtual_server %s has no lvs_sched: it counts as %s", d.Name, schedulerDefault))
	}
	if d.method.Kind == "" {
		d.method = Method{Kind: methodDefault}
		if slices.ContainsFunc(d.reals, func(r *realDraft) bool { return r.method.Kind == "" }) {
			c.once("no method", at, Warning, "lvs_method "+methodDefault, fmt.Sprintf("virtual_server %s has no lvs_method: it counts as %s", d.Name, methodDefault))
		}
	}
	c.finishPersistence(d)
	seen := map[netip.AddrPort]bool{}
	for _, r := range d.reals {
		if !c.finishReal(d, r) {
			continue
		}
		if seen[r.Address] {
			c.warnf(r.node.wordPos(1), "", "real_server %v is in %s already: this one is left out", r.Address, d.Name)
			continue
		}
		seen[r.Address] = true
		d.RealServers = append(d.RealServers, r.RealServer)
	}
	if len(d.RealServers) == 0 {
		c.warnf(at, "", "virtual_server %s has no real_server: it is left out", d.Name)
		return false
	}
	c.finishQuorum(d)
	c.finishSorry(d)
	if d.HASuspend && !slices.ContainsFunc(d.Services, func(s VirtualService) bool { return s.Mark == 0 }) {
		c.warnf(d.at["ha_suspend"].pos(), "", "ha_suspend does nothing: virtual_server %s has marks and no address, so it is never suspended", d.Name)
		d.HASuspend = false
	}
	return true
}

// label names a virtual server as keepalived does.
func (d *serverDraft) label() string {
	switch {
	case d.group != "":
		return "[" + d.group + "]:" + strings.ToLower(d.Protocol)
	case d.Services[0].Mark != 0:
		if d.Services[0].IPv6 {
			return fmt.Sprintf("[FWM %d IPv6]", d.Services[0].Mark)
		}
		return fmt.Sprintf("[FWM %d]", d.Services[0].Mark)
	}
	return nameOf(d.Services[0].Address, d.Protocol)
}

// nameOf names an address as keepalived does: "[192.0.2.1]:tcp:80".
func nameOf(addr netip.AddrPort, protocol string) string {
	return fmt.Sprintf("[%v]:%s:%d", addr.Addr(), strings.ToLower(protocol), addr.Port())
}

// finishServices finds the group, and the family of marked services.
func (c *checker) finishServices(d *serverDraft) bool {
	if d.group != "" {
		g := c.serverGroups[d.group]
		if g == nil {
			c.errorf(d.node.wordPos(2), "", "there is no virtual_server_group %q", clip(d.group))
			return false
		}
		if len(g.services) == 0 {
			c.warnf(d.node.wordPos(2), "", "virtual_server_group %s is empty: the virtual server is left out", clip(d.group))
			return false
		}
		d.Services = slices.Clone(g.services)
	} else if d.Services[0].Mark != 0 {
		d.Services[0].IPv6 = d.family == "inet6" || d.family == "" && len(d.reals) > 0 && d.reals[0].Address.Addr().Is6()
	}
	return true
}

func (c *checker) finishPersistence(d *serverDraft) {
	at := d.node.wordPos(1)
	everyPort := slices.ContainsFunc(d.Services, func(s VirtualService) bool { return s.Mark == 0 && s.Address.Port() == 0 })
	if everyPort && d.Persistence.Timeout == 0 {
		d.Persistence.Timeout = persistenceDefault
		c.warnf(at, "name a port, or persistence_timeout", "virtual_server %s has no port, which a persistent service alone may have: persistence_timeout %d is set",
			d.Name, int(persistenceDefault.Seconds()))
	}
	if d.mask == "" {
		return
	}
	// The narrowest family counts: IPv4, unless each service is IPv6.
	v4 := slices.ContainsFunc(d.Services, func(s VirtualService) bool { return !s.IPv6 })
	bits, ok := maskBits(d.mask, !v4)
	if !ok {
		c.errorf(d.at["persistence_granularity"].wordPos(1), "255.255.255.0, or a number of bits",
			"persistence_granularity %q is not a mask for every service of %s", clip(d.mask), d.Name)
		return
	}
	d.Persistence.Bits = bits
	if d.Persistence.Timeout == 0 {
		c.warnf(d.at["persistence_granularity"].pos(), "", "persistence_granularity does nothing without persistence_timeout")
	}
}

// maskBits reads a mask with points, or a number of bits.
func maskBits(text string, v6 bool) (int, bool) {
	width := 32
	if v6 {
		width = 128
	}
	if bits, err := strconv.Atoi(text); err == nil {
		return bits, bits >= 1 && bits <= width
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() || v6 {
		return 0, false
	}
	for bits := 1; bits <= 32; bits++ {
		if netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked().Addr() == addr {
			return bits, true
		}
	}
	return 0, false
}

// finishQuorum keeps the quorum within what the real servers weigh, as keepalived does.
func (c *checker) finishQuorum(d *serverDraft) {
	total := 0
	for _, r := range d.RealServers {
		total += r.Weight
	}
	d.Quorum = cmp.Or(d.Quorum, 1)
	if limit := max(total, 1); d.Quorum > limit {
		c.warnf(d.at["quorum"].wordPos(1), "", "virtual_server %s: quorum %d is more than its real servers weigh: it counts as %d", d.Name, d.Quorum, limit)
		d.Quorum = limit
	}
	if d.Hysteresis >= d.Quorum && d.Hysteresis > 0 {
		c.warnf(d.at["hysteresis"].wordPos(1), "", "virtual_server %s: hysteresis %d is not below quorum %d: it counts as %d", d.Name, d.Hysteresis, d.Quorum, d.Quorum-1)
		d.Hysteresis = d.Quorum - 1
	}
}

func (c *checker) finishSorry(d *serverDraft) {
	if d.Sorry == nil {
		if d.said("sorry_server_inhibit") || d.said("sorry_server_lvs_method") {
			c.warnf(d.node.wordPos(1), "", "virtual_server %s: sorry_server_… does nothing without sorry_server", d.Name)
		}
		return
	}
	d.Sorry.Inhibit = d.said("sorry_server_inhibit")
	if d.Sorry.Method = d.sorry; d.sorry.Kind == "" {
		d.Sorry.Method = d.method
	}
	if !c.family(d, d.at["sorry_server"], d.Sorry.Address, d.Sorry.Method) {
		return
	}
	if d.group == "" && d.Services[0].Mark == 0 {
		port := destinationPort(d.Sorry.Address.Port(), d.Sorry.Method, d.Services[0].Address.Port())
		d.Sorry.Address = netip.AddrPortFrom(d.Sorry.Address.Addr(), port)
	}
	if slices.ContainsFunc(d.RealServers, func(r RealServer) bool { return r.Address == d.Sorry.Address }) {
		c.warnf(d.at["sorry_server"].wordPos(1), "",
			"sorry_server %v is also a real_server of %s: when the quorum is lost it stands in whatever its checks say", d.Sorry.Address, d.Name)
	}
}
