package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// scopes are the names of rtnetlink(7)'s scopes.
var scopes = []string{"global", "link", "host", "site", "nowhere"}

// Words behind a virtual address that are known but not acted on.
var (
	addressRefused = map[string]string{
		"peer":          "point-to-point addresses are not there yet",
		"use_vmac":      "virtual MAC addresses are not there yet",
		"autojoin":      "multicast addresses are not there yet",
		"noprefixroute": "the route would be added",
		"preferred_lft": "hafence sets the lifetimes itself",
	}
	addressIgnored = map[string]string{
		"home":       whyIPv6,
		"-nodad":     whyIPv6,
		"mngtmpaddr": whyIPv6,
		"no_track":   "hafence always restores an address that others remove",
	}
	addressWords = []string{"brd", "broadcast", "dev", "scope", "label", "home", "-nodad", "mngtmpaddr", "no_track",
		"peer", "use_vmac", "autojoin", "noprefixroute", "preferred_lft"}
)

// virtualAddresses reads a virtual_ipaddress block.
func (c *checker) virtualAddresses(n *node, d *draft) {
	c.noArgs(n)
	for _, entry := range n.children {
		if len(entry.words) == 0 {
			continue
		}
		if vip, ok := c.virtualAddress(n, entry); ok {
			d.Addresses = append(d.Addresses, vip)
			d.vipPos = append(d.vipPos, entry.pos())
		}
	}
	if len(d.Addresses) > addressesMax {
		c.errorf(n.pos(), "put the rest into another vrrp_instance with a virtual_router_id of its own",
			"vrrp_instance %s has %d virtual addresses; an advertisement has room for %d (RFC 3768 section 5.3.5)", d.Name, len(d.Addresses), addressesMax)
	}
	if len(n.children) == 0 {
		c.warnf(n.pos(), "", "virtual_ipaddress is empty")
	}
}

// virtualAddress reads one entry: an address and what is to be known of it.
func (c *checker) virtualAddress(n, entry *node) (VIP, bool) {
	if entry.block {
		c.errorf(entry.pos(), "is a '}' missing above?", "an address takes no braces")
		return VIP{}, false
	}
	prefix, ok := c.virtualPrefix(n, entry)
	if !ok {
		return VIP{}, false
	}
	vip := VIP{Prefix: prefix, Scope: "global"}
	for i := 1; i < len(entry.words); i++ {
		name, at := entry.words[i].text, entry.wordPos(i)
		value := ""
		switch name {
		case "brd", "broadcast", "dev", "scope", "label":
			if i++; i == len(entry.words) {
				c.errorf(at, "", "%s needs a value", name)
				return VIP{}, false
			}
			value, at = entry.words[i].text, entry.wordPos(i)
		}
		switch name {
		case "brd", "broadcast":
			vip.Broadcast, ok = c.broadcast(at, value, prefix)
		case "dev":
			vip.Interface, ok = value, c.interfaceName(at, value)
		case "scope":
			vip.Scope, ok = c.scope(at, value)
		case "label":
			vip.Label, ok = c.label(at, value)
		default:
			ok = c.addressWord(at, name)
		}
		if !ok {
			return VIP{}, false
		}
	}
	return vip, true
}

// virtualPrefix reads the address itself.
func (c *checker) virtualPrefix(n, entry *node) (netip.Prefix, bool) {
	text, at := entry.words[0].text, entry.pos()
	host, bits, slash := strings.Cut(text, "/")
	addr, ok := c.ipv4(n, at, host)
	if !ok {
		return netip.Prefix{}, false
	}
	length := 32
	if slash {
		i, err := strconv.Atoi(bits)
		if err != nil || !digits(bits) || i < 1 || i > 32 {
			c.errorf(at, "", "virtual_ipaddress %s: the prefix length is not from 1 to 32", clip(text))
			return netip.Prefix{}, false
		}
		length = i
	}
	return netip.PrefixFrom(addr, length), true
}

// broadcast reads an address, "+" (all host bits set) or "-" (all clear).
func (c *checker) broadcast(at pos, text string, prefix netip.Prefix) (netip.Addr, bool) {
	switch text {
	case "-":
		return prefix.Masked().Addr(), true
	case "+":
		bytes := prefix.Addr().As4()
		for i := prefix.Bits(); i < 32; i++ {
			bytes[i/8] |= 0x80 >> (i % 8)
		}
		return netip.AddrFrom4(bytes), true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() {
		c.errorf(at, "", "brd %q is not an IPv4 address, + or -", clip(text))
		return netip.Addr{}, false
	}
	return addr, true
}

func (c *checker) scope(at pos, text string) (string, bool) {
	for _, s := range scopes {
		if s == text {
			return text, true
		}
	}
	if i, err := strconv.Atoi(text); err == nil && digits(text) && i <= 255 {
		return text, true
	}
	c.errorf(at, "", "scope %q is neither of %s nor a number from 0 to 255", clip(text), strings.Join(scopes, ", "))
	return "", false
}

// label reads an address label; keepalived drops an address whose label is too
// long, and a VIP must not go missing like that.
func (c *checker) label(at pos, text string) (string, bool) {
	if text == "" || len(text) > labelBytesMax {
		c.errorf(at, "", "label %q must have 1 to %d bytes", clip(text), labelBytesMax)
		return "", false
	}
	return text, true
}

// addressWord reports a word that stands for no value; it returns false after
// an error.
func (c *checker) addressWord(at pos, name string) bool {
	if reason, ok := addressIgnored[name]; ok {
		c.once("virtual_ipaddress/"+name, at, Warning, "", name+" is not acted on: "+reason)
		return true
	}
	if reason, ok := addressRefused[name]; ok {
		c.once("virtual_ipaddress/"+name, at, Error, "", name+" is not supported by this version: "+reason)
		return false
	}
	hint := "one address on each line"
	if near := nearestWord(addressWords, name); near != "" {
		hint = "did you mean " + near + "?"
	}
	c.errorf(at, hint, "%q is unknown behind a virtual address", clip(name))
	return false
}
