package config

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serverDraft is a virtual_server while it is read.
type serverDraft struct {
	VirtualServer
	timing
	node    *node
	at      map[string]*node
	group   string // name of its virtual_server_group
	method  Method // of real servers that name none
	sorry   Method
	host    string // virtualhost
	weight  int
	inhibit bool
	mask    string // persistence_granularity
	family  string // ip_family
	reals   []*realDraft
}

func (d *serverDraft) said(name string) bool { return d.at[name] != nil }

// virtualServer reads a virtual_server block.
func (c *checker) virtualServer(n *node, _ *Config) {
	d := &serverDraft{node: n, at: map[string]*node{}, weight: 1}
	if !c.serviceOf(n, d) {
		return
	}
	for _, child := range n.children {
		d.at[child.name()] = child
	}
	walk(c, "virtual_server", n.children, d, serverSetters)
	c.servers = append(c.servers, d)
}

// serviceOf reads what follows virtual_server: what it is a service for.
func (c *checker) serviceOf(n *node, d *serverDraft) bool {
	args, ok := c.values(n, 2)
	switch {
	case !ok:
		return false
	case args[0].text == "group" && len(args) == 2:
		d.group = args[1].text
		return true
	case args[0].text == "fwmark" && len(args) == 2:
		mark, ok := c.mark(n, n.wordPos(2), args[1].text)
		d.Services = []VirtualService{{Mark: mark}}
		return ok
	}
	addr, ok := c.endpoint(n, args, 1)
	d.Services = []VirtualService{{Address: addr, IPv6: addr.Addr().Is6()}}
	return ok
}

// endpoint reads "IP [PORT]"; first is the index of args[0] in the line.
func (c *checker) endpoint(n *node, args []word, first int) (netip.AddrPort, bool) {
	addr, ok := c.address(n, n.wordPos(first), args[0].text)
	port := 0
	if ok && len(args) > 1 {
		port, ok = c.port(n, n.wordPos(first+1), args[1].text)
	}
	return netip.AddrPortFrom(addr, uint16(port)), ok
}

// address returns an IP address of either family that a host can have.
func (c *checker) address(n *node, at pos, text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	switch addr = addr.Unmap(); {
	case err != nil:
		c.errorf(at, "", "%s: %q is not an IP address", n.name(), clip(text))
	case !hostAddress(addr) || addr.Zone() != "":
		c.errorf(at, "", "%s: %v is not the address of a host", n.name(), addr)
	default:
		return addr, true
	}
	return netip.Addr{}, false
}

// port returns a port; 0 is allowed, as it is in keepalived, and means every port.
func (c *checker) port(n *node, at pos, text string) (int, bool) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		c.errorf(at, "", "%s: %q is not a port from 0 to 65535", n.name(), clip(text))
		return 0, false
	}
	return int(port), true
}

func (c *checker) mark(n *node, at pos, text string) (int, bool) {
	mark, err := strconv.ParseUint(text, 0, 32)
	if err != nil || mark == 0 {
		c.errorf(at, "", "%s: %q is not a mark from %v", n.name(), clip(text), fwmarkRange)
		return 0, false
	}
	return int(mark), true
}

// serverSetters are the keywords of virtual_server.
var serverSetters = func() map[string]setter[serverDraft] {
	all := map[string]setter[serverDraft]{
		"real_server": (*checker).realServer,
		"lvs_sched":   (*checker).scheduler,
		"lb_algo":     (*checker).scheduler,
		"lvs_method":  func(c *checker, n *node, d *serverDraft) { c.method(n, &d.method) },
		"lb_kind":     func(c *checker, n *node, d *serverDraft) { c.method(n, &d.method) },
		"hashed":      func(_ *checker, _ *node, d *serverDraft) { d.Flags.Hashed = true },
		"ops":         func(_ *checker, _ *node, d *serverDraft) { d.Flags.OnePacket = true },
		"flag-1":      func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag1 = true },
		"flag-2":      func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag2 = true },
		"flag-3":      func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag3 = true },
		"sh-fallback": func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag1 = true },
		"sh-port":     func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag2 = true },
		"mh-fallback": func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag1 = true },
		"mh-port":     func(_ *checker, _ *node, d *serverDraft) { d.Flags.Flag2 = true },
		"persistence_engine": func(c *checker, n *node, d *serverDraft) {
			text, ok := c.value(n)
			if ok && text != "sip" {
				c.errorf(n.wordPos(1), "", "persistence_engine %q is unknown: the kernel has sip only", clip(text))
				return
			}
			d.Persistence.Engine = text
		},
		"persistence_timeout":     (*checker).persistenceTimeout,
		"persistence_granularity": func(c *checker, n *node, d *serverDraft) { d.mask, _ = c.value(n) },
		"protocol": func(c *checker, n *node, d *serverDraft) {
			text, ok := c.value(n)
			if p := strings.ToUpper(text); ok && (p == "TCP" || p == "UDP" || p == "SCTP") {
				d.Protocol = p
			} else if ok {
				c.errorf(n.wordPos(1), "", "protocol %q is none of TCP, UDP and SCTP", clip(text))
			}
		},
		"ha_suspend": func(_ *checker, _ *node, d *serverDraft) { d.HASuspend = true },
		"ip_family": func(c *checker, n *node, d *serverDraft) {
			text, ok := c.value(n)
			if ok && text != "inet" && text != "inet6" {
				c.errorf(n.wordPos(1), "", "ip_family %q is neither inet nor inet6", clip(text))
				return
			}
			d.family = text
		},
		"omega":       func(_ *checker, _ *node, d *serverDraft) { d.Omega = true },
		"quorum":      func(c *checker, n *node, d *serverDraft) { d.Quorum, _ = c.integer(n) },
		"hysteresis":  func(c *checker, n *node, d *serverDraft) { d.Hysteresis, _ = c.integer(n) },
		"quorum_up":   func(c *checker, n *node, d *serverDraft) { d.QuorumUp = c.script(n) },
		"quorum_down": func(c *checker, n *node, d *serverDraft) { d.QuorumDown = c.script(n) },
		"sorry_server": func(c *checker, n *node, d *serverDraft) {
			if args, ok := c.values(n, 2); ok {
				if addr, ok := c.endpoint(n, args, 1); ok {
					d.Sorry = &SorryServer{Address: addr}
				}
			}
		},
		"sorry_server_inhibit":    func(*checker, *node, *serverDraft) {},
		"sorry_server_lvs_method": func(c *checker, n *node, d *serverDraft) { c.method(n, &d.sorry) },
		"virtualhost":             func(c *checker, n *node, d *serverDraft) { d.host, _ = c.value(n) },
		"inhibit_on_failure":      func(_ *checker, _ *node, d *serverDraft) { d.inhibit = true },
		"weight": func(c *checker, n *node, d *serverDraft) {
			if weight, ok := c.integer(n); ok {
				d.weight = weight
			}
		},
	}
	maps.Copy(all, timingSetters(func(d *serverDraft) *timing { return &d.timing }))
	return all
}()

// schedulers are those of Linux 6.18 (net/netfilter/ipvs/Kconfig).
var schedulers = []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"}

func (c *checker) scheduler(n *node, d *serverDraft) {
	text, ok := c.value(n)
	switch {
	case !ok:
	case !slices.Contains(schedulers, text):
		hint := "one of " + strings.Join(schedulers, " ")
		c.warnf(n.wordPos(1), hint, "%s %q is not a scheduler of the kernel: it counts as %s", n.name(), clip(text), schedulerDefault)
	default:
		d.Scheduler = text
	}
}

func (c *checker) persistenceTimeout(n *node, d *serverDraft) {
	if len(n.args()) == 0 {
		d.Persistence.Timeout = persistenceDefault
		return
	}
	if text := n.args()[0].text; text == "0" {
		c.warnf(n.wordPos(1), "", "persistence_timeout 0 is left out: there is no persistence")
		return
	}
	d.Persistence.Timeout, _ = c.wholeSeconds(n)
}

// method reads "NAT", "DR" or "TUN [type …]".
func (c *checker) method(n *node, m *Method) {
	args, ok := c.values(n, 6)
	if !ok {
		return
	}
	kind := strings.ToUpper(args[0].text)
	if kind != "NAT" && kind != "DR" && kind != "TUN" {
		c.errorf(n.wordPos(1), "", "%s %q is none of NAT, DR and TUN", n.name(), clip(args[0].text))
		return
	}
	*m = Method{Kind: kind}
	if kind == "TUN" {
		m.Tunnel = Tunnel{Type: "ipip", Checksum: "nocsum"}
		c.tunnel(n, args[1:], &m.Tunnel)
	} else if len(args) > 1 {
		c.warnf(n.wordPos(2), "", "%q is ignored: it only matters with TUN", clip(args[1].text))
	}
}

func (c *checker) tunnel(n *node, args []word, t *Tunnel) {
	for i := 0; i < len(args); i++ {
		at, value := n.wordPos(i+2), ""
		if i+1 < len(args) {
			value = args[i+1].text
		}
		switch word := args[i].text; word {
		case "type":
			if value != "ipip" && value != "gue" && value != "gre" {
				c.errorf(at, "", "%s: type %q is none of ipip, gue and gre", n.name(), clip(value))
				return
			}
			t.Type = value
			i++
		case "port":
			t.Port, _ = c.port(n, n.wordPos(i+3), value)
			i++
		case "nocsum", "csum", "remcsum":
			t.Checksum = word
		default:
			c.errorf(at, n.name()+" "+n.kw.Args, "%s: %q is unknown", n.name(), clip(word))
			return
		}
	}
	if t.Type == "gue" && t.Port == 0 {
		c.errorf(n.pos(), "type gue port 6080", "%s: type gue needs a port", n.name())
	}
	if t.Type == "gre" && t.Checksum == "remcsum" {
		c.errorf(n.pos(), "csum or nocsum", "%s: remcsum is for type gue only", n.name())
	}
}

// timing is what may be said of a virtual server, a real server and a check;
// the innermost counts.
type timing struct {
	interval, timeout, retryDelay, warmup *time.Duration
	retries                               *int
	alpha, logFailures                    *bool
}

// within fills in what is not said from the block around.
func (t timing) within(outer timing) timing {
	t.interval = cmp.Or(t.interval, outer.interval)
	t.timeout = cmp.Or(t.timeout, outer.timeout)
	t.retryDelay = cmp.Or(t.retryDelay, outer.retryDelay)
	t.warmup = cmp.Or(t.warmup, outer.warmup)
	t.retries = cmp.Or(t.retries, outer.retries)
	t.alpha = cmp.Or(t.alpha, outer.alpha)
	t.logFailures = cmp.Or(t.logFailures, outer.logFailures)
	return t
}

// timingSetters are the keywords of timing, for a block whose draft has one.
func timingSetters[T any](of func(*T) *timing) map[string]setter[T] {
	seconds := func(field func(*timing) **time.Duration) setter[T] {
		return func(c *checker, n *node, d *T) {
			if value, ok := c.seconds(n, false); ok {
				*field(of(d)) = &value
			}
		}
	}
	return map[string]setter[T]{
		"delay_loop":         seconds(func(t *timing) **time.Duration { return &t.interval }),
		"connect_timeout":    seconds(func(t *timing) **time.Duration { return &t.timeout }),
		"delay_before_retry": seconds(func(t *timing) **time.Duration { return &t.retryDelay }),
		"warmup":             seconds(func(t *timing) **time.Duration { return &t.warmup }),
		"retry": func(c *checker, n *node, d *T) {
			if value, ok := c.integer(n); ok {
				of(d).retries = &value
			}
		},
		"alpha": func(_ *checker, _ *node, d *T) { of(d).alpha = new(true) },
	}
}

// orElse returns what p points at, or otherwise.
func orElse[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}
