package config

import (
	"net/netip"
	"slices"
	"time"
)

// draft is a vrrp_instance while it is read.
type draft struct {
	Instance
	node     *node
	at       map[string]*node // where each keyword was said last
	authType string
	noVIP    bool
	vipPos   []pos // of each address
}

// said reports whether the block has a keyword.
func (d *draft) said(name string) bool { return d.at[name] != nil }

// instance reads a vrrp_instance block.
func (c *checker) instance(n *node, _ *Config) {
	name, ok := c.value(n)
	if !ok || !c.printable(n.wordPos(1), "the name of a vrrp_instance", name) || !c.named("vrrp_instance", name, n) {
		return
	}
	d := &draft{node: n, at: map[string]*node{}}
	d.Name = name
	for _, child := range n.children {
		d.at[child.name()] = child
	}
	walk(c, "vrrp_instance", n.children, d, instanceSetters)
	c.drafts = append(c.drafts, d)
}

// instanceSetters are the keywords of vrrp_instance.
var instanceSetters = map[string]setter[draft]{
	"state": func(c *checker, n *node, d *draft) {
		text, ok := c.value(n)
		if ok && text != "MASTER" && text != "BACKUP" {
			c.warnf(n.wordPos(1), "", "state %q is neither MASTER nor BACKUP: it counts as BACKUP", clip(text))
		}
		d.StateMaster = text == "MASTER"
	},
	"interface": func(c *checker, n *node, d *draft) {
		if text, ok := c.value(n); ok && c.interfaceName(n.wordPos(1), text) {
			d.Interface = text
		}
	},
	"virtual_router_id": func(c *checker, n *node, d *draft) { d.RouterID, _ = c.integer(n) },
	"priority":          func(c *checker, n *node, d *draft) { d.Priority, _ = c.integer(n) },
	"advert_int":        func(c *checker, n *node, d *draft) { d.AdvertInterval, _ = c.seconds(n, false) },
	"version":           func(c *checker, n *node, d *draft) { d.Version, _ = c.version(n) },
	"authentication": func(c *checker, n *node, d *draft) {
		c.noArgs(n)
		walk(c, "authentication", n.children, d, authenticationSetters)
	},
	"virtual_ipaddress":    (*checker).virtualAddresses,
	"no_virtual_ipaddress": func(_ *checker, _ *node, d *draft) { d.noVIP = true },
	"unicast_src_ip":       (*checker).source,
	"mcast_src_ip":         (*checker).source,
	"unicast_peer":         (*checker).unicastPeers,
	"nopreempt":            func(_ *checker, _ *node, d *draft) { d.NoPreempt = true },
	"preempt":              func(_ *checker, _ *node, d *draft) { d.NoPreempt = false },
	"preempt_delay":        func(c *checker, n *node, d *draft) { d.PreemptDelay, _ = c.seconds(n, false) },
	"accept":               func(*checker, *node, *draft) {},

	"lvs_sync_daemon_interface": (*checker).oldSyncInterface,

	"garp_master_delay":          func(c *checker, n *node, d *draft) { c.delay(n, &d.GARP.Delay) },
	"garp_master_repeat":         func(c *checker, n *node, d *draft) { c.count(n, &d.GARP.Repeat) },
	"garp_master_refresh":        func(c *checker, n *node, d *draft) { c.delay(n, &d.GARP.Refresh) },
	"garp_master_refresh_repeat": func(c *checker, n *node, d *draft) { c.count(n, &d.GARP.RefreshRepeat) },
}

// authenticationSetters are the keywords of authentication.
var authenticationSetters = map[string]setter[draft]{
	"auth_type": func(c *checker, n *node, d *draft) {
		text, ok := c.value(n)
		switch {
		case !ok:
		case text == "AH":
			c.errorf(n.wordPos(1), "write PASS, or leave authentication out", "auth_type AH is not supported by this version")
		case text != "PASS":
			c.errorf(n.wordPos(1), "write PASS", "auth_type is neither PASS nor AH") // no quote: it may be the password
		default:
			d.authType = text
		}
	},
	"auth_pass": func(c *checker, n *node, d *draft) {
		// The password itself must stay out of every message.
		args, ok := c.values(n, 1)
		if !ok {
			return
		}
		switch {
		case args[0].joined:
			c.warnf(n.wordPos(1), "put the whole password in double quotes", "auth_pass: a double quote ends or begins the password")
		case n.line.cut && len(n.args()) == 1:
			c.warnf(n.wordPos(1), "put the password in double quotes if that is part of it", "auth_pass: the password ends where a # or ! begins a comment")
		}
		d.AuthPass = args[0].text
		if len(d.AuthPass) > passwordBytesMax {
			c.warnf(n.wordPos(1), "", "auth_pass: only the first %d bytes of the password count", passwordBytesMax)
			d.AuthPass = d.AuthPass[:passwordBytesMax]
		}
	},
}

func (c *checker) source(n *node, d *draft) {
	if text, ok := c.value(n); ok {
		if addr, ok := c.ipv4(n, n.wordPos(1), text); ok {
			d.UnicastSource = addr
		}
	}
}

func (c *checker) unicastPeers(n *node, d *draft) {
	c.noArgs(n)
	for _, entry := range n.children {
		if len(entry.words) == 0 {
			continue
		}
		addr, ok := c.ipv4(n, entry.pos(), entry.words[0].text)
		if !ok {
			continue
		}
		if rest := entry.args(); len(rest) > 0 {
			switch _, err := netip.ParseAddr(rest[0].text); {
			case err == nil:
				c.errorf(entry.wordPos(1), "", "unicast_peer: one address on each line")
			case rest[0].text == "min_ttl" || rest[0].text == "max_ttl":
				c.warnf(entry.wordPos(1), "", "%s is not acted on: %s", rest[0].text, whyReceive)
			default:
				c.errorf(entry.wordPos(1), "", "unicast_peer: %q is unknown behind an address", clip(rest[0].text))
			}
		}
		if slices.Contains(d.UnicastPeers, addr) {
			c.warnf(entry.pos(), "", "unicast_peer: %v is listed twice", addr)
			continue
		}
		d.UnicastPeers = append(d.UnicastPeers, addr)
	}
}

// finishInstance applies defaults and what keepalived does about keywords that
// don't go together.
func (c *checker) finishInstance(d *draft) {
	c.finishGARP(d)
	if d.Version == 0 {
		d.Version = c.config.Global.VRRPVersion
	}
	if !d.said("virtual_router_id") {
		c.errorf(d.node.wordPos(1), "virtual_router_id 51, the same on every node", "vrrp_instance %s has no virtual_router_id", d.Name)
	}
	if !d.said("interface") && !(d.said("unicast_src_ip") && d.said("unicast_peer")) {
		c.errorf(d.node.wordPos(1), "", "vrrp_instance %s has no interface", d.Name)
	}
	if len(d.Addresses) == 0 && !d.noVIP && !d.said("virtual_ipaddress") {
		c.warnf(d.node.wordPos(1), "no_virtual_ipaddress says that this is meant", "vrrp_instance %s has no virtual_ipaddress", d.Name)
	}
	c.finishPriority(d)
	c.finishInterval(d)
	c.finishPreemption(d)
	c.finishAuthentication(d)
	c.finishUnicast(d)
	c.config.Instances = append(c.config.Instances, d.Instance)
}

// finishGARP takes the global schedule for what the instance doesn't say.
func (c *checker) finishGARP(d *draft) {
	global := c.config.Global.GARP
	if !d.said("garp_master_delay") {
		d.GARP.Delay = global.Delay
	}
	if !d.said("garp_master_repeat") {
		d.GARP.Repeat = global.Repeat
	}
	if !d.said("garp_master_refresh") {
		d.GARP.Refresh = global.Refresh
	}
	if !d.said("garp_master_refresh_repeat") {
		d.GARP.RefreshRepeat = global.RefreshRepeat
	}
}

func (c *checker) finishPriority(d *draft) {
	switch {
	case d.said("priority"):
	case d.StateMaster:
		d.Priority = priorityOwner
		c.warnf(d.at["state"].pos(), "write a priority", "state MASTER without a priority means priority %d, the owner of the addresses", priorityOwner)
	default:
		d.Priority = priorityDefault
	}
	if d.Priority == priorityOwner && !d.said("state") {
		d.StateMaster = true
	}
}

// finishInterval rounds as keepalived does for version 2, half up and to one
// second at least.
func (c *checker) finishInterval(d *draft) {
	if !d.said("advert_int") {
		d.AdvertInterval = advertIntervalDefault
		return
	}
	rounded := max((d.AdvertInterval + time.Second/2).Truncate(time.Second), time.Second)
	if d.AdvertInterval != 0 && rounded != d.AdvertInterval {
		c.warnf(d.at["advert_int"].wordPos(1), "", "version 2 advertises in whole seconds: advert_int %v counts as %v", d.AdvertInterval, rounded)
		d.AdvertInterval = rounded
	}
}

func (c *checker) finishPreemption(d *draft) {
	if d.NoPreempt && d.StateMaster {
		c.warnf(d.at["nopreempt"].pos(), "write state BACKUP on every node", "nopreempt does not work with state MASTER: it is left out")
		d.NoPreempt = false
	}
	if d.NoPreempt && d.Priority == priorityOwner {
		c.warnf(d.at["nopreempt"].pos(), "", "nopreempt does not work with priority %d: it is left out", priorityOwner)
		d.NoPreempt = false
	}
	if d.PreemptDelay == 0 {
		return
	}
	switch at := d.at["preempt_delay"].pos(); {
	case d.NoPreempt:
		c.warnf(at, "", "preempt_delay does nothing with nopreempt: it is left out")
		d.PreemptDelay = 0
	case d.StateMaster:
		c.warnf(at, "write state BACKUP", "preempt_delay does not work with state MASTER: it is left out")
		d.PreemptDelay = 0
	}
}

func (c *checker) finishAuthentication(d *draft) {
	block := d.at["authentication"]
	switch {
	case block == nil:
	case d.authType != "" && d.AuthPass == "":
		c.warnf(block.pos(), "add auth_pass", "auth_type PASS without auth_pass means no authentication")
	case d.authType == "" && d.AuthPass != "":
		c.warnf(block.pos(), "add auth_type PASS", "auth_pass without auth_type means no authentication")
		d.AuthPass = ""
	}
}

func (c *checker) finishUnicast(d *draft) {
	if d.said("unicast_src_ip") && len(d.UnicastPeers) == 0 {
		c.warnf(d.at["unicast_src_ip"].pos(), "list the other nodes in unicast_peer", "unicast_src_ip without unicast_peer: advertisements go out by multicast")
	}
	if i := slices.Index(d.UnicastPeers, d.UnicastSource); i >= 0 && d.UnicastSource.IsValid() {
		c.warnf(d.at["unicast_peer"].pos(), "@^id before an entry leaves it out on one host", "unicast_peer: %v is the source itself and left out", d.UnicastSource)
		d.UnicastPeers = slices.Delete(d.UnicastPeers, i, i+1)
	}
}
