package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// consensusDraft is the consensus block while it is read.
type consensusDraft struct {
	Consensus
	node *node
	self *node // "node NAME"
	key  *node // "key_file FILE"
	tls  *node
}

// consensus reads the consensus block, or "consensus off".
func (c *checker) consensus(n *node, _ *Config) {
	if len(n.words) > 1 {
		text, _ := c.value(n)
		switch {
		case !isOff(text):
			c.errorf(n.wordPos(1), "consensus { … }, or consensus off", "consensus %q is unknown", clip(text))
		case n.block:
			c.errorf(n.pos(), "leave out off, or the braces", "consensus off takes no braces")
		default:
			c.off = n
			c.config.ConsensusOff = true
			c.warnf(n.pos(), "a consensus block needs three nodes; the third may be a witness",
				"consensus is off: during a partition two nodes may answer for one virtual address")
		}
		return
	}
	c.cluster = &consensusDraft{Consensus: c.config.Consensus, node: n}
	walk(c, "consensus", n.children, c.cluster, consensusSetters)
}

// consensusSetters are the keywords of consensus.
var consensusSetters = map[string]setter[consensusDraft]{
	"node": func(c *checker, n *node, v *consensusDraft) {
		if text, ok := c.value(n); ok && c.nodeName(n.wordPos(1), text) {
			v.Node, v.self = text, n
		}
	},
	"member": (*checker).member,
	"key_file": func(c *checker, n *node, v *consensusDraft) {
		v.KeyFile, _ = c.absolute(n)
		v.key = n
	},
	"tls": func(c *checker, n *node, v *consensusDraft) {
		c.noArgs(n)
		v.tls = n
		walk(c, "tls", n.children, &v.TLS, tlsSetters)
	},
	"data_dir": func(c *checker, n *node, v *consensusDraft) {
		if text, ok := c.absolute(n); ok {
			v.DataDir = text
		}
	},
	"lease_ttl": func(c *checker, n *node, v *consensusDraft) {
		if d, ok := c.seconds(n, true); ok {
			v.LeaseTTL = d
		}
	},
	"clock_drift": func(c *checker, n *node, v *consensusDraft) {
		text, ok := c.value(n)
		if !ok {
			return
		}
		f, ok := decimal(strings.TrimSuffix(text, "%"))
		if r := n.kw.Range; !ok || f < r.Min || f > r.Max {
			c.errorf(n.wordPos(1), "", "clock_drift %q is not a percentage from %v", clip(text), r)
			return
		}
		v.ClockDrift = f / 100
	},
}

// tlsSetters are the keywords of tls.
var tlsSetters = map[string]setter[TLS]{
	"ca":          func(c *checker, n *node, v *TLS) { v.CA, _ = c.absolute(n) },
	"certificate": func(c *checker, n *node, v *TLS) { v.Certificate, _ = c.absolute(n) },
	"key":         func(c *checker, n *node, v *TLS) { v.Key, _ = c.absolute(n) },
}

// member reads "member NAME IP[:PORT] [witness]".
func (c *checker) member(n *node, v *consensusDraft) {
	args, ok := c.values(n, 3)
	if !ok {
		return
	}
	if len(args) < 2 {
		c.errorf(n.wordPos(2), "", "member %s has no address: member %s", clip(args[0].text), n.kw.Args)
		return
	}
	m := Member{Name: args[0].text}
	if !c.nodeName(n.wordPos(1), m.Name) {
		return
	}
	if m.Address, ok = c.memberAddress(n, args[1].text); !ok {
		return
	}
	if len(args) == 3 {
		if args[2].text != "witness" {
			c.errorf(n.wordPos(3), "", "member %s: %q is unknown behind an address; only witness is known", m.Name, clip(args[2].text))
			return
		}
		m.Witness = true
	}
	for _, other := range v.Members {
		switch {
		case other.Name == m.Name:
			c.errorf(n.wordPos(1), "", "member %s is listed twice", m.Name)
			return
		case other.Address == m.Address:
			c.errorf(n.wordPos(2), "", "members %s and %s have the same address %v", other.Name, m.Name, m.Address)
			return
		}
	}
	v.Members = append(v.Members, m)
}

// memberAddress reads IP, IP:PORT, IPv6 or [IPv6]:PORT.
func (c *checker) memberAddress(n *node, text string) (netip.AddrPort, bool) {
	at := n.wordPos(2)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	ap := netip.AddrPortFrom(addr, DefaultPort)
	if err != nil {
		if ap, err = netip.ParseAddrPort(text); err != nil {
			c.errorf(at, "a name could stand for another host tomorrow, and its look-up can stall", "member address %q is not IP[:PORT]", clip(text))
			return netip.AddrPort{}, false
		}
	}
	ip := ap.Addr().Unmap()
	if !hostAddress(ip) || ip.Zone() != "" || ap.Port() == 0 {
		c.errorf(at, "", "member address %q is not one that other nodes can reach", clip(text))
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, ap.Port()), true
}

// nodeName checks the name of a member: what a host name may have.
func (c *checker) nodeName(at pos, name string) bool {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("-_.", r)
	})
	if bad || name == "" || len(name) > nodeBytesMax {
		c.errorf(at, "", "node name %q must have 1 to %d letters, digits, '-', '_' and '.'", clip(name), nodeBytesMax)
		return false
	}
	return true
}

// finishConsensus checks the block as a whole.
func (c *checker) finishConsensus() {
	v := c.cluster
	if c.off != nil {
		c.errorf(c.off.pos(), "leave one of them out", "consensus is both off and a block (line %d)", v.node.pos().line)
	}
	c.finishMembers(v)
	c.finishNode(v)
	c.finishKeys(v)
	c.config.Consensus = v.Consensus
}

// finishMembers checks their number: an even one tolerates no more failures than
// the odd one below it.
func (c *checker) finishMembers(v *consensusDraft) {
	at := v.node.pos()
	directors := 0
	for _, m := range v.Members {
		if !m.Witness {
			directors++
		}
	}
	listed := 0
	for _, n := range v.node.children {
		if n.name() == "member" {
			listed++
		}
	}
	if listed != len(v.Members) {
		return // a member with an error of its own; counting the others would mislead
	}
	switch n := len(v.Members); {
	case n == 0:
		c.errorf(at, exampleMembers(v.Node), "consensus has no members")
	case n > votersMax:
		c.errorf(at, "further directors gain nothing: three members survive one failure, five survive two",
			"consensus has %d members; more than %d only slow each other down", n, votersMax)
	case n%2 == 0:
		c.errorf(at, "add a member, which may be a witness (it votes and holds no address), or remove one",
			"consensus has %d members, but needs an odd number: a majority of %d is %d, so that %d members survive no more failures than %d", n, n, n/2+1, n, n-1)
	case directors == 0:
		c.errorf(at, "", "consensus has witnesses only: no member may hold a virtual address")
	case n == 1:
		c.warnf(at, "", "consensus has one member: nobody can take over from it")
	}
}

// finishNode finds out which member this node is.
func (c *checker) finishNode(v *consensusDraft) {
	at, origin := v.node.pos(), "the short host name"
	if v.self != nil {
		at, origin = v.self.wordPos(1), "as node says"
	}
	if c.node != "" {
		v.Node, origin = c.node, "as the command line says"
	}
	if len(v.Members) == 0 || slices.ContainsFunc(v.Members, func(m Member) bool { return m.Name == v.Node }) {
		return
	}
	var names []string
	for _, m := range v.Members {
		names = append(names, m.Name)
	}
	c.errorf(at, "node NAME says which member this host is; the members are "+strings.Join(names, ", "),
		"this node, %q (%s), is not among the members", clip(v.Node), origin)
}

// finishKeys checks that members beyond this host are spoken to with a key.
func (c *checker) finishKeys(v *consensusDraft) {
	if v.tls != nil {
		if v.key != nil {
			c.errorf(v.tls.pos(), "leave one of them out", "both key_file and tls are given")
		}
		for _, name := range []string{"ca", "certificate", "key"} {
			if !slices.ContainsFunc(v.tls.children, func(n *node) bool { return n.name() == name }) {
				c.errorf(v.tls.pos(), "", "tls needs %s", name)
			}
		}
		return
	}
	remote := slices.IndexFunc(v.Members, func(m Member) bool { return !m.Address.Addr().IsLoopback() })
	if v.key == nil && remote >= 0 {
		c.errorf(v.node.pos(), "make a key with \"hafence keygen\", copy it to every node, and say\nkey_file /etc/hafence/cluster.key",
			"consensus has no key_file: without one, members talk on loopback addresses only (%s is %v)",
			v.Members[remote].Name, v.Members[remote].Address.Addr())
	}
}

// exampleMembers shows members as they could be written.
func exampleMembers(node string) string {
	if node == "" {
		node = "lb1"
	}
	if strings.ContainsAny(node, "{}\" \t#!") {
		node = "lb1" // not a name that could be written
	}
	return fmt.Sprintf("member %s 192.0.2.11\nmember lb2 192.0.2.12\nmember w1 192.0.2.13 witness", node)
}

// exampleConsensus shows a whole block.
func exampleConsensus(node string) string {
	members := "    " + strings.ReplaceAll(exampleMembers(node), "\n", "\n    ")
	return "add, with your own names and addresses:\nconsensus {\n" + members +
		"\n    key_file /etc/hafence/cluster.key    # made by: hafence keygen\n}\n" +
		"or say \"consensus off\" to be a plain VRRP router, where two nodes may answer during a partition"
}
