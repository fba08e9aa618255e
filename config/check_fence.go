package config

import "time"

// fenceSetters are the keywords of fence.
var fenceSetters = map[string]setter[Fence]{
	"gate": func(c *checker, n *node, v *Fence) {
		if on, ok := c.onOff(n); ok {
			v.Gate = on
		}
		if !v.Gate {
			c.warnf(n.pos(), "", "gate off: if every hafence process of a node stops, its virtual addresses stay on it until their lifetime ends, up to 3 s after the lease")
		}
	},
	"lifetime": func(c *checker, n *node, v *Fence) {
		if on, ok := c.onOff(n); ok {
			v.Lifetime = on
		}
		if !v.Lifetime {
			c.warnf(n.pos(), "", "lifetime off: if every hafence process of a node dies, its virtual addresses stay on it")
		}
	},
	"watchdog": (*checker).watchdog,
	"watchdog_timeout": func(c *checker, n *node, v *Fence) {
		if d, ok := c.wholeSeconds(n); ok {
			v.WatchdogTimeout = d
		}
	},
	"realtime_priority": func(c *checker, n *node, v *Fence) { v.RealtimePriority, _ = c.integer(n) },
	"vip_on_lo": func(c *checker, n *node, v *Fence) {
		if on, ok := c.onOff(n); ok {
			v.VIPOnLo = on
			c.onLo = n
		}
	},
	"lock_memory": func(c *checker, n *node, v *Fence) {
		if on, ok := c.onOff(n); ok {
			v.LockMemory = on
		}
	},
}

// watchdog reads "watchdog DEVICE [timeout SECONDS]" and "watchdog off".
func (c *checker) watchdog(n *node, v *Fence) {
	args, ok := c.values(n, 3)
	if !ok {
		return
	}
	v.Watchdog = ""
	if !isOff(args[0].text) {
		if !c.checkAbsolute(n, n.wordPos(1), args[0].text) {
			return
		}
		v.Watchdog = args[0].text
	}
	switch {
	case len(args) == 1:
	case args[1].text != "timeout":
		c.errorf(n.wordPos(2), "", "watchdog: %q is unknown behind the device; only timeout is known", clip(args[1].text))
	case len(args) == 2:
		c.errorf(n.wordPos(3), "", "watchdog: timeout needs a number of seconds")
	default:
		r := lookup("fence", "watchdog_timeout").Range
		if d, ok := c.duration(n, n.wordPos(3), args[2].text, r, true); ok {
			v.WatchdogTimeout = d.Truncate(time.Second)
		}
	}
}

// statusSetters are the keywords of status.
var statusSetters = map[string]setter[Status]{
	"socket": func(c *checker, n *node, v *Status) {
		text, ok := c.absolute(n)
		switch {
		case !ok:
		case len(text) > socketBytesMax:
			c.errorf(n.wordPos(1), "", "socket: the path is longer than the %d bytes a Unix socket can have", socketBytesMax)
		default:
			v.Socket = text
		}
	},
}
