package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// syncDraft is lvs_sync_daemon while it is read.
type syncDraft struct {
	SyncDaemon
	node *node
	id   *int
}

// syncDaemon reads "INTERFACE [[inst] INSTANCE] [id ID] [maxlen BYTES] …".
func (c *checker) syncDaemon(n *node, _ *Global) {
	args, ok := c.values(n, 13)
	if !ok || !c.interfaceName(n.wordPos(1), args[0].text) {
		return
	}
	d := &syncDraft{node: n}
	d.Interface = args[0].text
	numbers := map[string]struct {
		into *int
		r    Range
	}{
		"id":     {new(int), Range{0, 255, ""}},
		"maxlen": {&d.MaxLength, Range{1, 65507, ""}},
		"port":   {&d.Port, portRange},
		"ttl":    {&d.TTL, Range{1, 255, ""}},
	}
	for i := 1; i < len(args); i += 2 {
		name, value, at := args[i].text, "", n.wordPos(i+2)
		if i+1 < len(args) {
			value = args[i+1].text
		}
		number, known := numbers[name]
		switch {
		case known:
			v, err := strconv.Atoi(value)
			if err != nil || float64(v) < number.r.Min || float64(v) > number.r.Max {
				c.errorf(at, "", "lvs_sync_daemon: %s %q is not a number from %v", name, clip(value), number.r)
				return
			}
			*number.into = v
			if name == "id" {
				d.id = number.into
			}
		case name == "inst":
			d.Instance = value
		case name == "group":
			addr, err := netip.ParseAddr(value)
			if err != nil || !addr.IsMulticast() {
				c.errorf(at, "", "lvs_sync_daemon: group %q is not a multicast address", clip(value))
				return
			}
			d.Group = addr
		case i == 1: // the instance without "inst" before it
			d.Instance = name
			i--
		default:
			c.errorf(n.wordPos(i+1), n.name()+" "+n.kw.Args, "lvs_sync_daemon: %q is unknown", clip(name))
			return
		}
	}
	c.sync = d
}

// oldSyncInterface reads lvs_sync_daemon_interface of an instance.
func (c *checker) oldSyncInterface(n *node, d *draft) {
	text, ok := c.value(n)
	if !ok || !c.interfaceName(n.wordPos(1), text) {
		return
	}
	c.warnf(n.pos(), fmt.Sprintf("lvs_sync_daemon %s %s in global_defs", text, d.Name), "lvs_sync_daemon_interface is an old form of lvs_sync_daemon")
	if c.sync != nil {
		c.warnf(n.pos(), "", "there is one lvs_sync_daemon already: this one is left out")
		return
	}
	c.sync = &syncDraft{node: n, SyncDaemon: SyncDaemon{Interface: text, Instance: d.Name}}
}

// finishSync finds the instance whose state the daemon has.
func (c *checker) finishSync() {
	d := c.sync
	if d == nil {
		return
	}
	if d.id != nil {
		d.ID = *d.id
	}
	if d.Instance != "" {
		i := slices.IndexFunc(c.drafts, func(v *draft) bool { return v.Name == d.Instance })
		if i < 0 {
			c.errorf(d.node.pos(), "", "lvs_sync_daemon: there is no vrrp_instance %q", clip(d.Instance))
			return
		}
		if d.id == nil {
			d.ID = c.drafts[i].RouterID
		}
	} else {
		c.warnf(d.node.pos(), "name the vrrp_instance whose MASTER has the connections",
			"lvs_sync_daemon without an instance: this node sends and receives at all times")
	}
	c.config.LVS.Sync = &d.SyncDaemon
}

// ipvsTimeouts reads "[tcp S] [tcpfin S] [udp S]".
func (c *checker) ipvsTimeouts(n *node, _ *Global) {
	args, ok := c.values(n, 6)
	if !ok {
		return
	}
	into := map[string]*time.Duration{"tcp": &c.config.LVS.Timeouts.TCP, "tcpfin": &c.config.LVS.Timeouts.TCPFin, "udp": &c.config.LVS.Timeouts.UDP}
	for i := 0; i < len(args); i += 2 {
		d := into[args[i].text]
		if d == nil || i+1 == len(args) {
			c.errorf(n.wordPos(i+1), "lvs_timeouts "+n.kw.Args, "lvs_timeouts: %q is unknown, or has no value", clip(args[i].text))
			return
		}
		s, err := strconv.Atoi(args[i+1].text)
		if err != nil || s < 0 || s > 2678400 {
			c.errorf(n.wordPos(i+2), "", "lvs_timeouts: %s %q is not a number of seconds from 0 to 2678400", args[i].text, clip(args[i+1].text))
			return
		}
		*d = time.Duration(s) * time.Second
	}
}

// sslSetters are the keywords of the SSL block.
var sslSetters = map[string]setter[CheckTLS]{
	"ca":          func(c *checker, n *node, v *CheckTLS) { v.CA, _ = c.absolute(n) },
	"certificate": func(c *checker, n *node, v *CheckTLS) { v.Certificate, _ = c.absolute(n) },
	"key":         func(c *checker, n *node, v *CheckTLS) { v.Key, _ = c.absolute(n) },
}
