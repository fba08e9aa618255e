package config

import (
	"net/netip"
	"time"
)

// globalSetters are the keywords of global_defs.
var globalSetters = map[string]setter[Global]{
	"router_id": func(c *checker, n *node, v *Global) {
		if text, ok := c.value(n); ok && c.printable(n.wordPos(1), "router_id", text) {
			v.RouterID = text
		}
	},
	"vrrp_version": func(c *checker, n *node, v *Global) {
		if version, ok := c.version(n); ok {
			v.VRRPVersion = version
		}
	},
	"vrrp_garp_master_delay":          func(c *checker, n *node, v *Global) { c.delay(n, &v.GARP.Delay) },
	"vrrp_garp_master_repeat":         func(c *checker, n *node, v *Global) { c.count(n, &v.GARP.Repeat) },
	"vrrp_garp_master_refresh":        func(c *checker, n *node, v *Global) { c.delay(n, &v.GARP.Refresh) },
	"vrrp_garp_master_refresh_repeat": func(c *checker, n *node, v *Global) { c.count(n, &v.GARP.RefreshRepeat) },
	"vrrp_mcast_group4": func(c *checker, n *node, v *Global) {
		text, ok := c.value(n)
		if !ok {
			return
		}
		addr, err := netip.ParseAddr(text)
		if err != nil || !addr.Is4() || !addr.IsMulticast() {
			c.errorf(n.wordPos(1), "", "vrrp_mcast_group4 %q is not an IPv4 multicast address", clip(text))
			return
		}
		v.MulticastIPv4 = addr
	},
	"script_user":              func(c *checker, n *node, v *Global) { v.ScriptUser, v.ScriptGroup = c.userGroup(n) },
	"checker_log_all_failures": func(c *checker, n *node, _ *Global) { c.flag(n, func(on bool) { c.config.LVS.LogFailures = on }) },
	"rs_init_notifies":         func(c *checker, _ *node, _ *Global) { c.config.LVS.InitNotify = true },
	"lvs_flush_on_stop":        func(c *checker, _ *node, _ *Global) { c.config.LVS.FlushOnStop = true },
	"lvs_flush_onstop":         func(c *checker, _ *node, _ *Global) { c.config.LVS.FlushOnStop = true },
	"lvs_sync_daemon":          (*checker).syncDaemon,
	"lvs_timeouts":             (*checker).ipvsTimeouts,
	"vrrp_startup_delay": func(c *checker, n *node, v *Global) {
		if d, ok := c.seconds(n, false); ok {
			v.StartupDelay = d
		}
	},
}

// version returns a VRRP version that is supported.
func (c *checker) version(n *node) (int, bool) {
	version, ok := c.integer(n)
	if ok && version != 2 {
		c.errorf(n.wordPos(1), "write 2, on every node and on other routers of the same VRID",
			"VRRP version %d is not supported by this version of hafence", version)
		return 0, false
	}
	return version, ok
}

// delay takes whole seconds.
func (c *checker) delay(n *node, d *time.Duration) {
	if value, ok := c.wholeSeconds(n); ok {
		*d = value
	}
}

// count takes a number of packets.
func (c *checker) count(n *node, i *int) {
	if value, ok := c.repeat(n); ok {
		*i = value
	}
}
