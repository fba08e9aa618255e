package guard

import (
	"fmt"
	"syscall"
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

func (c *Core) startChild() {
	c.child.phase = childStarting
	c.emit(StartChild{})
}

func (c *Core) childStarted(now boottime.Instant, ev ChildStarted) {
	c.child = child{phase: childRunning, startedAt: now, heardAt: now, failures: c.child.failures}
	c.log("controller started", "pid", ev.PID)
	if c.stop.asked { // while it was being started
		c.emit(SignalChild{syscall.SIGTERM})
	}
}

// childClosed: without its socket a controller is as good as dead.
func (c *Core) childClosed(now boottime.Instant) {
	if c.child.phase != childRunning {
		return
	}
	c.child.phase, c.child.killAt = childDying, now.Add(closedGrace)
	c.bereaved(now, "the controller's socket is closed")
}

// killChild ends a controller that is not well.
func (c *Core) killChild(now boottime.Instant, reason string) {
	if c.child.phase != childRunning {
		return
	}
	c.warn("killing the controller", "reason", reason)
	c.child.phase, c.child.killAt = childDying, 0
	c.emit(SignalChild{syscall.SIGKILL})
	c.bereaved(now, "the controller was killed: "+reason)
}

// bereaved withdraws everything, once per controller, and readies its farewell.
func (c *Core) bereaved(now boottime.Instant, cause string) {
	if held := len(c.owner.Held()); held > 0 {
		c.warn("withdrawing every VIP", "cause", cause, "vips", held)
	}
	c.fence(now, fence.DropAll{Cause: cause})
	if len(c.farewell.Frame) > 0 {
		farewell := c.farewell
		c.parting = &farewell
	}
	c.farewell = Farewell{}
}

func (c *Core) childEnded(now boottime.Instant, code int, reason string) {
	ch := &c.child
	if ch.phase == childNone {
		return
	}
	if ch.phase == childRunning {
		c.bereaved(now, "the controller is dead")
	}
	hopeless := code == ExitConfiguration && !ch.configured
	if ch.phase != childStarting && now.Sub(ch.startedAt) >= restartForgivable {
		ch.failures = 0
	}
	ch.phase = childNone
	switch {
	case c.stop.asked:
		c.log("controller stopped", "status", reason)
		return
	case hopeless:
		c.warn("the controller refuses its configuration", "status", reason)
		c.stop = stop{asked: true, code: ExitConfiguration, killAt: now}
		return
	}
	delay := restartDelay(ch.failures)
	ch.failures++
	ch.restartAt = now.Add(delay)
	c.warn("controller ended", "status", reason, "restart_in", delay)
}

// restartDelay is the wait before a restart after so many failures in a row:
// none, then doubling from restartDelayMin up to restartDelayMax.
func restartDelay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	delay := restartDelayMin
	for range failures - 1 {
		if delay *= 2; delay >= restartDelayMax {
			return restartDelayMax
		}
	}
	return delay
}

// hungAt is when the running controller's silence needs looking at.
func (c *Core) hungAt() boottime.Instant {
	if c.child.suspected != 0 {
		return c.child.suspected.Add(hungGrace)
	}
	return c.child.heardAt.Add(c.silenceAllowed())
}

func (c *Core) silenceAllowed() time.Duration {
	if !c.child.configured {
		return startTimeout
	}
	if c.configure.HeartbeatTimeout <= 0 {
		return HeartbeatTimeoutDefault
	}
	return max(c.configure.HeartbeatTimeout, heartbeatTimeoutMin)
}

func (c *Core) superviseChild(now boottime.Instant) {
	ch := &c.child
	switch ch.phase {
	case childNone:
		if !c.stop.asked && ch.restartAt != 0 && !now.Before(ch.restartAt) {
			c.startChild()
		}
	case childRunning:
		if now.Before(c.hungAt()) {
			return
		}
		if ch.suspected == 0 {
			ch.suspected = now
			return
		}
		c.killChild(now, fmt.Sprintf("no message for %v", now.Sub(ch.heardAt)))
	case childDying:
		if ch.killAt != 0 && !now.Before(ch.killAt) {
			ch.killAt = 0
			c.emit(SignalChild{syscall.SIGKILL})
		}
	}
}

// terminate begins the end. Asked a second time, it doesn't wait any longer.
func (c *Core) terminate(now boottime.Instant) {
	if c.stop.asked {
		c.stop.killAt, c.stop.hurried = now, true
		if c.checker.stopBy != 0 {
			c.checker.stopBy = now
		}
		return
	}
	c.stop = stop{asked: true, code: exitFine, killAt: now.Add(stopTimeout)}
	c.log("stopping")
	c.emit(Notify{"STOPPING=1"})
	if c.child.phase == childRunning {
		c.emit(SignalChild{syscall.SIGTERM})
	}
}

// advanceStop goes on with the end: the controller's, then the checker's, the VIPs',
// the farewell, the gate, the watchdog, the guard.
func (c *Core) advanceStop(now boottime.Instant) {
	if !c.stop.asked || c.stop.done {
		return
	}
	if c.child.phase != childNone {
		if !now.Before(c.stop.killAt) {
			c.killChild(now, "it did not stop in time")
		}
		return
	}
	c.stopChecker(now) // not before: what the VIPs still bring goes through IPVS
	if c.stop.withdrawBy == 0 {
		c.stop.withdrawBy = now.Add(withdrawTimeout)
		if !c.owner.Clean() {
			c.fence(now, fence.DropAll{Cause: "the guard stops"})
		}
	}
	c.stop.expired = !now.Before(c.stop.withdrawBy)
	if (!c.owner.Clean() || c.parting != nil || c.sending > 0) && !c.stop.expired {
		return
	}
	if c.checker.phase != childNone {
		return
	}
	c.stop.done = true
	switch {
	case !c.owner.Withdrawn():
		// The watchdog stays armed: it is all that is left to silence the host.
		c.warn("VIPs could not be withdrawn; leaving them to the packet gate and the watchdog")
		c.stop.code = max(c.stop.code, exitFailed)
	default:
		if c.owner.Clean() && c.owner.GateUp() {
			c.emit(Perform{fence.RemoveGate{}})
		}
		if c.watchdog.interval > 0 {
			c.emit(DisarmWatchdog{})
			c.watchdog.interval = 0
		}
	}
	c.emit(Exit{c.stop.code})
}
