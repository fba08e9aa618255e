package guard

import (
	"fmt"
	"syscall"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Supervision of the checker. Its death costs no VIP and no connection: the
// kernel keeps IPVS as it is (I7), and the next one adopts it.
const (
	// checkerSilence is the silence after which a checker counts as hung.
	checkerSilence = 5 * time.Second

	// checkerStartTimeout is the silence granted before its first message.
	checkerStartTimeout = 30 * time.Second

	// checkerStopTimeout is for a checker to stop: its last scripts run then.
	checkerStopTimeout = 10 * time.Second
)

// checker is the second child. It never reaches childDying: a closed socket is
// followed by its end, or by its silence.
type checker struct {
	child
	wanted bool             // by the last Configure
	heard  bool             // this one has sent something
	stopBy boottime.Instant // when it is killed after being asked to stop; 0: not asked
}

// wantChecker follows the controller's wish. A running checker outlives
// controllers.
func (c *Core) wantChecker(now boottime.Instant, wanted bool) {
	c.checker.wanted = wanted
	switch {
	case wanted && c.checker.phase == childNone && c.checker.restartAt == 0:
		c.checker.restartAt = now
	case !wanted:
		c.stopChecker(now)
	}
}

// stopChecker asks a checker to stop, once.
func (c *Core) stopChecker(now boottime.Instant) {
	ch := &c.checker
	ch.restartAt = 0
	if ch.phase == childNone || ch.stopBy != 0 {
		return
	}
	ch.stopBy = now.Add(checkerStopTimeout)
	if c.stop.hurried {
		ch.stopBy = now
	}
	if ch.phase == childRunning {
		c.emit(SignalChecker{syscall.SIGTERM})
	}
}

// checkerEvent takes what happens to the checker.
func (c *Core) checkerEvent(now boottime.Instant, event Event) {
	ch := &c.checker
	switch ev := event.(type) {
	case ChildStarted:
		ch.child = child{phase: childRunning, startedAt: now, heardAt: now, failures: ch.failures}
		ch.heard = false
		c.log("checker started", "pid", ev.PID)
		if ch.stopBy != 0 { // while it was being started
			c.emit(SignalChecker{syscall.SIGTERM})
		}
	case ChildFailed:
		c.checkerEnded(now, ev.Reason)
	case ChildExited:
		c.checkerEnded(now, ev.Reason)
	case ChildClosed: // its end follows, or its silence is noticed
	case Received:
		ch.heardAt, ch.suspected, ch.heard = now, 0, true
		if _, ok := ev.Message.(Heartbeat); !ok {
			c.killChecker(fmt.Sprintf("it sent %q, which a checker may not say", ev.Message.kind()))
		}
	case Unreadable:
		c.killChecker(ev.Reason)
	default:
		panic(fmt.Sprintf("guard: unknown event %T of the checker", event))
	}
}

func (c *Core) checkerEnded(now boottime.Instant, reason string) {
	ch := &c.checker
	if ch.phase == childNone {
		return
	}
	if ch.phase != childStarting && now.Sub(ch.startedAt) >= restartForgivable {
		ch.failures = 0
	}
	asked := ch.stopBy != 0
	ch.phase, ch.stopBy = childNone, 0
	switch {
	case c.stop.asked || !ch.wanted:
		c.log("checker stopped", "status", reason)
	case asked: // to stop, and wanted again meanwhile
		ch.restartAt = now
	default:
		delay := restartDelay(ch.failures)
		ch.failures++
		ch.restartAt = now.Add(delay)
		c.warn("checker ended; IPVS stays as it is", "status", reason, "restart_in", delay)
	}
}

func (c *Core) killChecker(reason string) {
	if c.checker.phase != childRunning {
		return
	}
	c.warn("killing the checker; IPVS stays as it is", "reason", reason)
	c.checker.phase = childDying
	c.emit(SignalChecker{syscall.SIGKILL})
}

// checkerDeadline is when the checker needs a look, if it does.
func (c *Core) checkerDeadline() (boottime.Instant, bool) {
	ch := &c.checker
	switch ch.phase {
	case childNone:
		return ch.restartAt, ch.restartAt != 0 && ch.wanted && !c.stop.asked
	case childRunning:
		if ch.stopBy != 0 { // its last scripts may keep it from beating
			return ch.stopBy, true
		}
		return c.checkerHungAt(), true
	}
	return 0, false
}

func (c *Core) checkerHungAt() boottime.Instant {
	ch := &c.checker
	switch {
	case ch.suspected != 0:
		return ch.suspected.Add(hungGrace)
	case ch.heard:
		return ch.heardAt.Add(checkerSilence)
	}
	return ch.heardAt.Add(checkerStartTimeout)
}

// superviseChecker starts a checker that is due, and kills one that is hung or
// doesn't stop.
func (c *Core) superviseChecker(now boottime.Instant) {
	at, needed := c.checkerDeadline()
	if !needed || now.Before(at) {
		return
	}
	ch := &c.checker
	switch {
	case ch.phase == childNone:
		ch.phase, ch.restartAt, ch.stopBy = childStarting, 0, 0
		c.emit(StartChecker{})
	case ch.stopBy != 0 && !now.Before(ch.stopBy):
		c.killChecker("it did not stop in time")
	case ch.suspected == 0: // its messages may be waiting unread, if all of us were stopped
		ch.suspected = now
	default:
		c.killChecker(fmt.Sprintf("no message for %v", now.Sub(ch.heardAt)))
	}
}
