package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// serverGroup is a virtual_server_group.
type serverGroup struct {
	node     *node
	services []VirtualService
}

// virtualServerGroup reads a virtual_server_group: addresses, ranges, networks
// and marks, each on a line.
func (c *checker) virtualServerGroup(n *node, _ *Config) {
	name, ok := c.value(n)
	if !ok || !c.printable(n.wordPos(1), "the name of a virtual_server_group", name) || !c.named("virtual_server_group", name, n) {
		return
	}
	g := &serverGroup{node: n}
	for _, entry := range n.children {
		if len(entry.words) == 0 {
			continue
		}
		services, ok := c.groupEntry(n, entry)
		if !ok {
			continue
		}
		if len(g.services)+len(services) > groupServicesMax {
			c.errorf(entry.pos(), "", "virtual_server_group %s has more than %d services", clip(name), groupServicesMax)
			return
		}
		g.services = append(g.services, services...)
	}
	c.serverGroups[name] = g
}

// groupEntry reads one line of a virtual_server_group.
func (c *checker) groupEntry(n, entry *node) ([]VirtualService, bool) {
	words := entry.words
	if words[0].text == "fwmark" {
		return c.groupMark(n, entry)
	}
	port := 0
	if len(words) > 1 {
		var ok bool
		if port, ok = c.port(n, entry.wordPos(1), words[1].text); !ok {
			return nil, false
		}
	}
	if len(words) > 2 {
		c.warnf(entry.wordPos(2), "one entry on each line", "%q is ignored behind an address and a port", clip(words[2].text))
	}
	first, last, ok := c.addressRange(n, entry, words[0].text)
	if !ok {
		return nil, false
	}
	var services []VirtualService
	for addr := first; ; addr = addr.Next() {
		if len(services) > groupServicesMax {
			c.errorf(entry.pos(), "", "%s stands for more than %d services", clip(words[0].text), groupServicesMax)
			return nil, false
		}
		services = append(services, VirtualService{Address: netip.AddrPortFrom(addr, uint16(port)), IPv6: addr.Is6()})
		if addr == last {
			return services, true
		}
	}
}

// groupMark reads "fwmark NUMBER [inet|inet6]".
func (c *checker) groupMark(n, entry *node) ([]VirtualService, bool) {
	args := entry.args()
	if len(args) == 0 {
		c.errorf(entry.pos(), "", "fwmark needs a number")
		return nil, false
	}
	mark, ok := c.mark(n, entry.wordPos(1), args[0].text)
	s := VirtualService{Mark: mark}
	if len(args) > 1 {
		switch args[1].text {
		case "inet":
		case "inet6":
			s.IPv6 = true
		default:
			c.errorf(entry.wordPos(2), "", "fwmark: %q is neither inet nor inet6", clip(args[1].text))
			return nil, false
		}
	}
	return []VirtualService{s}, ok
}

// addressRange reads "A", "A-B" with B an address or the last part of one, as
// decimal for IPv4 and hexadecimal for IPv6, or "NETWORK/BITS".
func (c *checker) addressRange(n, entry *node, text string) (first, last netip.Addr, ok bool) {
	if strings.Contains(text, "/") {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.Addr().BitLen()-network.Bits() > 16 {
			c.errorf(entry.pos(), "", "%s: %q is not a network of at most 65536 addresses", n.name(), clip(text))
			return first, last, false
		}
		network = network.Masked()
		last = network.Addr()
		for range 1<<(network.Addr().BitLen()-network.Bits()) - 1 {
			last = last.Next()
		}
		return network.Addr(), last, true
	}
	from, to, ranged := strings.Cut(text, "-")
	if first, ok = c.address(n, entry.pos(), from); !ok || !ranged {
		return first, first, ok
	}
	last, ok = lastOfRange(first, to)
	if !ok || last.BitLen() != first.BitLen() || last.Less(first) {
		c.errorf(entry.pos(), "", "%s: %q is not a range of addresses", n.name(), clip(text))
		return first, last, false
	}
	return first, last, true
}

// lastOfRange reads the end of a range: an address, or its last part.
func lastOfRange(first netip.Addr, text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr, true
	}
	base, bits := 10, 8
	if first.Is6() {
		base, bits = 16, 16
	}
	part, err := strconv.ParseUint(text, base, bits)
	if err != nil {
		return netip.Addr{}, false
	}
	raw := first.AsSlice()
	raw[len(raw)-1] = byte(part)
	if first.Is6() {
		raw[len(raw)-2] = byte(part >> 8)
	}
	return netip.AddrFromSlice(raw)
}
