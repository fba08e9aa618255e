package main

import (
	"syscall"
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/fence/guard"
)

// guardProcess is the shell around a real guard core: one thread that takes an
// event, steps, and performs, first in, first out.
type guardProcess struct {
	process
	host  *host
	core  *guard.Core
	inbox []guard.Event
	queue []guard.Action
	busy  bool
	due   bool // the timer has fired
	wound moment
	spin  spin

	child  uint64 // life of the controller that it started; 0: none
	tokens map[string]uint64
}

func newGuardProcess(h *host) *guardProcess {
	g := &guardProcess{process: process{w: h.w, name: h.name + ".grd", steady: !h.w.plan.Gate}, host: h, core: guard.NewCore(0), tokens: map[string]uint64{}}
	g.start()
	g.post(guard.Start{})
	return g
}

// post brings an event; one that finds the process dead is lost with it.
func (g *guardProcess) post(ev guard.Event) {
	if g.alive {
		g.inbox = append(g.inbox, ev)
		g.wake()
	}
}

func (g *guardProcess) wake() {
	if g.busy {
		return
	}
	g.busy = true
	g.after(g.wakeup(), g.turn)
}

// turn takes the next event once everything that followed from the last one was
// performed.
func (g *guardProcess) turn() {
	g.spin.turn(&g.process)
	var ev guard.Event
	switch {
	case len(g.inbox) > 0 && (!g.due || g.w.chance(0.5)):
		ev = g.inbox[0]
		g.inbox = g.inbox[1:]
	case g.due:
		g.due = false
		ev = guard.Tick{}
	default:
		g.busy = false
		g.wind()
		return
	}
	g.step(ev)
}

func (g *guardProcess) step(ev guard.Event) {
	g.queue = append(g.queue, g.core.Step(g.host.clock.read(g.w.now), ev)...)
	g.drain()
}

func (g *guardProcess) drain() {
	if len(g.queue) == 0 {
		g.then(g.turn)
		return
	}
	action := g.queue[0]
	g.queue = g.queue[1:]
	switch a := action.(type) {
	case guard.Perform: // between the clock and the kernel
		if _, opens := a.Action.(fence.OpenGate); opens && g.w.faults.on && g.w.chance(g.w.plan.OpenPause) {
			g.after(g.w.spread(g.w.plan.TTL/2, 3*g.w.plan.TTL), func() { g.perform(action) })
			return
		}
		g.then(func() { g.perform(action) })
	default:
		g.perform(action)
	}
}

func (g *guardProcess) wind() {
	deadline, ok := g.core.Deadline()
	if !ok {
		return
	}
	at := g.host.clock.when(deadline)
	if g.wound > g.w.now && g.wound <= at {
		return
	}
	g.wound = max(at, g.w.now)
	life, wound := g.life, g.wound
	g.w.after(at.sub(g.w.now)+g.lateness(), func() {
		g.resume(life, func() {
			if g.wound == wound {
				g.wound = 0
				g.due = true
				g.wake()
			}
		})
	})
}

func (g *guardProcess) perform(action guard.Action) {
	switch a := action.(type) {
	case guard.Perform:
		done := g.host.kernel.perform(a.Action)
		if _, opens := a.Action.(fence.OpenGate); opens && done.Err == nil {
			g.w.stats.Openings++
			g.w.check.opened(g.host, a.Action.(fence.OpenGate).Group, g.tokens[a.Action.(fence.OpenGate).Group])
		}
		g.w.sayf(g.name, "%T %+v -> %v", a.Action, a.Action, done.Err)
		g.then(func() { g.step(guard.Kernel{Event: done}) })
		return
	case guard.StartChild:
		g.after(g.w.between(time.Millisecond, 30*time.Millisecond), func() {
			g.host.startController()
			g.child = g.host.controller.life
			g.step(guard.ChildStarted{PID: int(g.child)})
		})
		return
	case guard.ApplyRights:
		g.step(guard.RightsApplied{})
		return
	case guard.Exit:
		g.host.guardExited(a.Code)
		return
	default:
		g.tell(action)
	}
	g.drain()
}

// tell performs the actions that have no outcome.
func (g *guardProcess) tell(action guard.Action) {
	switch a := action.(type) {
	case guard.SignalChild:
		g.signal(a.Signal)
	case guard.Send:
		if c := g.host.controller; c != nil && c.alive && c.life == g.child {
			c.fromGuard(a.Message)
		}
	case guard.SendFarewell:
		g.sendFarewell(a.Farewell)
	case guard.Log:
		if a.Warn {
			g.w.sayf(g.name, "%s %v", a.Text, a.Args)
		}
	case guard.Notify, guard.PetWatchdog, guard.DisarmWatchdog, guard.OpenWatchdog:
		// Nobody to notify; no watchdog is configured.
	default:
		panic("sim: unknown action of the guard")
	}
}

func (g *guardProcess) signal(s syscall.Signal) {
	c := g.host.controller
	if c == nil || !c.alive || c.life != g.child {
		return
	}
	if s == syscall.SIGKILL {
		g.host.killController("killed by its guard")
		return
	}
	c.stop = "the guard asks for it"
	c.wake()
}

// sendFarewell proposes the close of the dead controller's session at each peer.
func (g *guardProcess) sendFarewell(f guard.Farewell) {
	session := decodeSession(f.Frame)
	for _, peer := range g.host.w.hosts {
		if peer == g.host {
			continue
		}
		g.w.net.send(&g.w.net.cluster, g.host.number, peer.number, func() { peer.farewell(session) })
	}
	g.after(g.w.between(time.Millisecond, time.Second), func() { g.post(guard.FarewellSent{}) })
}
