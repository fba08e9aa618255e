package guard

import (
	"fmt"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// received takes a message of the living controller. What a dead or dying one
// had said before doesn't count any more.
func (c *Core) received(now boottime.Instant, message Message) {
	if c.child.phase != childRunning {
		return
	}
	c.child.heardAt, c.child.suspected = now, 0
	switch m := message.(type) {
	case Configure:
		c.configureFrom(now, m)
	case Arm:
		c.fence(now, fence.Arm(m))
	case Open:
		c.fence(now, fence.Open(m))
	case Refresh:
		c.fence(now, fence.Refresh(m))
	case Drop:
		c.log("dropping", "groups", m.Groups, "cause", m.Cause)
		c.fence(now, fence.Drop(m))
	case Farewell:
		c.farewell = m
	case Heartbeat:
	case Ready:
		c.emit(Notify{"READY=1\nSTATUS=" + oneLine(m.Status)})
	case Reloading:
		c.emit(Notify{reloadingState})
	case Stopping:
		c.emit(Notify{"STOPPING=1"})
	default:
		c.killChild(now, fmt.Sprintf("it sent %q, which only a guard may say", message.kind()))
	}
}

// configureFrom sets up rights and watchdog before the VIPs, so that the answer
// can tell about all of them.
func (c *Core) configureFrom(now boottime.Instant, m Configure) {
	if !c.configured || m.LockMemory != c.configure.LockMemory || m.RealtimePriority != c.configure.RealtimePriority {
		c.emit(ApplyRights{LockMemory: m.LockMemory, RealtimePriority: m.RealtimePriority})
	}
	if m.Watchdog != c.watchdog.path || m.WatchdogTimeout != c.watchdog.timeout || c.watchdog.reason != "" {
		if c.watchdog.interval > 0 {
			c.emit(DisarmWatchdog{})
		}
		c.watchdog = watchdog{path: m.Watchdog, timeout: m.WatchdogTimeout}
		if m.Watchdog != "" {
			c.emit(OpenWatchdog{Path: m.Watchdog, Timeout: m.WatchdogTimeout})
		}
	}
	c.configure, c.configured, c.child.configured = m, true, true
	c.wantChecker(now, m.Checker)
	c.fence(now, fence.Configure{Seq: m.Seq, TTL: m.TTL, Gate: m.Gate, ARPOnly: m.GateARPOnly, Lifetime: m.Lifetime, Groups: m.Groups})
}

func (c *Core) watchdogOpened(now boottime.Instant, ev WatchdogOpened) {
	c.watchdog.reason, c.watchdog.caution = ev.Reason, ev.Caution
	if ev.Caution != "" {
		c.warn("the watchdog is armed, but", "caution", ev.Caution)
	}
	if ev.Reason == "" {
		c.watchdog.petting = petting{interval: ev.Timeout / watchdogPetsPerTimeout, at: now}
	}
}

// fence steps the owner, and turns its reports into messages.
func (c *Core) fence(now boottime.Instant, event fence.Event) {
	if done, ok := event.(fence.Done); ok && done.Err != nil {
		c.warn("the kernel refuses", "action", fmt.Sprintf("%T", done.Action), "error", done.Err.Error())
	}
	for _, action := range c.owner.Step(now, event) {
		c.relay(action)
	}
}

func (c *Core) relay(action fence.Action) {
	switch a := action.(type) {
	case fence.Configured:
		c.gateReason = a.GateReason
		c.relayConfigured(a)
	case fence.Armed:
		c.send(Armed(a))
	case fence.Opened:
		if a.Error == "" {
			c.log("opened", "group", a.Group, "token", a.Token)
		} else {
			c.warn("not opened", "group", a.Group, "token", a.Token, "error", a.Error)
		}
		c.send(Opened(a))
	case fence.Refreshed:
		c.send(Refreshed(a))
	case fence.Dropped:
		if a.Error == "" {
			c.log("dropped", "groups", a.Groups)
		}
		c.send(Dropped(a))
	case fence.Lapsed:
		c.warn("lapsed", "group", a.Group, "token", a.Token, "cause", a.Cause)
		c.send(Lapsed(a))
	case fence.Repaired:
		c.warn("somebody removed a VIP; it is back", "group", a.Group, "vip", a.VIP.String(), "count", a.Count)
		c.send(Repaired(a))
	case fence.GateChanged:
		c.gateReason = a.Reason
		c.warn("the packet gate has changed", "in_place", a.Gate, "reason", a.Reason)
		c.send(LayersChanged{Layers: c.layers()})
	default:
		c.emit(Perform{action})
	}
}

func (c *Core) relayConfigured(a fence.Configured) {
	answer := Configured{Seq: a.Seq, Layers: c.layers(), Error: a.Error}
	for _, address := range a.Removed {
		answer.Removed = append(answer.Removed, address.String())
	}
	c.log("configured", "removed", answer.Removed, "missing", answer.Layers.Missing, "error", a.Error)
	c.send(answer)
}

// send sends to the living controller; nobody else wants to know.
func (c *Core) send(m Message) {
	if c.child.phase == childRunning {
		c.emit(Send{m})
	}
}

func (c *Core) layers() Layers {
	layers := Layers{
		Gate:             c.configure.Gate && c.owner.GateUp(),
		Lifetime:         c.configure.Lifetime,
		Watchdog:         c.watchdog.interval > 0,
		MemoryLocked:     c.rights.MemoryLocked,
		OOMProtected:     c.rights.OOMProtected,
		RealtimePriority: c.rights.RealtimePriority,
		Missing:          append([]string(nil), c.rights.Missing...),
	}
	if c.configure.Gate && !layers.Gate {
		layers.Missing = append(layers.Missing, "packet gate: "+c.gateReason)
	}
	if c.configure.Watchdog != "" && !layers.Watchdog {
		layers.Missing = append(layers.Missing, "watchdog: "+c.watchdog.reason)
	}
	if c.watchdog.caution != "" {
		layers.Cautions = append(layers.Cautions, "watchdog: "+c.watchdog.caution)
	}
	return layers
}

// reloadingState is completed by the shell with MONOTONIC_USEC, which
// sd_notify(3) wants in the same datagram.
const reloadingState = "RELOADING=1"

// oneLine keeps a status from becoming another variable of sd_notify(3).
func oneLine(s string) string {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' {
			return s[:i]
		}
	}
	return s
}
