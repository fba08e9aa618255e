package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/node"
)

// host is one machine: its clock, kernel and disk, which nobody can kill, and the
// two processes, which are started again by what plays the service manager.
type host struct {
	w       *world
	number  int
	name    string
	address netip.Addr // source of its adverts
	clock   clock
	kernel  *kernel
	disk    *disk
	link    bool
	boots   int

	guard      *guardProcess
	controller *controller
	wanted     bool // the service manager keeps it running
	watch      int  // number of the restart under way
	opened     consensus.Session
}

func newHost(w *world, number int) *host {
	h := &host{
		w: w, number: number, name: fmt.Sprintf("n%d", number+1), link: true,
		address: netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + number)}),
	}
	h.clock = clock{base: boottime.Instant(w.between(time.Minute, 2400*time.Hour)), rate: w.plan.Rates[number]}
	h.disk = &disk{w: w, term: 1, log: []entry{{term: 1, voters: w.plan.names()}}}
	h.kernel = newKernel(h)
	return h
}

func (w *world) host(name string) *host { return w.hosts[name[1]-'1'] }

// startGuard is the service manager's start.
func (h *host) startGuard() {
	if h.guard != nil && h.guard.alive {
		return
	}
	h.w.say(h.name, "starts")
	h.wanted = true
	h.guard = newGuardProcess(h)
}

// startController is fork and exec by the guard.
func (h *host) startController() {
	h.opened = consensus.Session{}
	h.controller = newController(h)
	c := h.controller
	c.after(h.w.between(time.Millisecond, 50*time.Millisecond), c.open)
	h.w.sayf(h.name, "controller %d starts", c.life)
}

// session is what the controller's farewell would close.
func (h *host) session() (consensus.Session, bool) { return h.opened, !h.opened.IsZero() }

// killController is the death of the controller: its guard sees the socket close,
// and the process end.
func (h *host) killController(cause string) {
	c := h.controller
	if c == nil || !c.alive {
		return
	}
	h.w.say(h.name, "controller dies: "+cause)
	h.controllerExited(-1)
}

func (h *host) controllerExited(code int) {
	c := h.controller
	c.kill()
	h.disk.crash()
	g := h.guard
	if g == nil || !g.alive || g.child != c.life-1 {
		return
	}
	exited := guard.ChildExited{Code: code, Reason: "ended"}
	if h.w.chance(0.5) {
		g.post(guard.ChildClosed{})
	}
	life := g.life
	h.w.after(h.w.between(0, time.Millisecond), func() {
		if g.life == life {
			g.post(exited)
		}
	})
}

// killGuard is the death of the guard: its controller sees the socket close, and
// the service manager clears up and starts anew.
func (h *host) killGuard(cause string) {
	if h.guard == nil || !h.guard.alive {
		return
	}
	h.w.say(h.name, "guard dies: "+cause)
	h.guard.kill()
	if c := h.controller; c.serves() {
		c.guardGone = true
		c.wake()
	}
	h.restart()
}

func (h *host) guardExited(code int) {
	h.w.say(h.name, fmt.Sprintf("guard exits: %d", code))
	h.guard.kill()
	if h.wanted {
		h.restart()
	}
}

// restart is what the service manager does after the main process has ended: what
// is left of the service is killed, then it is started again.
func (h *host) restart() {
	h.watch++
	watch := h.watch
	h.w.after(h.w.between(0, 500*time.Millisecond), func() {
		if h.watch != watch {
			return
		}
		h.killController("left behind by its guard")
		if !h.wanted {
			return
		}
		h.w.after(h.w.between(10*time.Millisecond, time.Second), func() {
			if h.watch == watch && h.wanted {
				h.startGuard()
			}
		})
	})
}

// reboot loses everything but the disk.
func (h *host) reboot(down time.Duration) {
	h.w.say(h.name, fmt.Sprintf("loses power for %v", down))
	h.watch++
	watch := h.watch
	if h.guard != nil {
		h.guard.kill()
	}
	h.killController("power is lost")
	h.kernel.boot()
	h.boots++
	h.clock.origin, h.clock.base = h.w.now, boottime.Instant(h.w.between(time.Millisecond, time.Second))
	h.w.after(down, func() {
		if h.watch == watch {
			h.startGuard()
		}
	})
}

// hear takes an advertisement from the LAN.
func (h *host) hear(ev node.Received) {
	c := h.controller
	if h.link && c.serves() && !h.w.plan.witness(h) {
		c.post(&c.packets, ev)
	}
}

// farewell is a dead peer's guard closing that peer's session through this node.
func (h *host) farewell(session consensus.Session) {
	if c := h.controller; c.serves() {
		c.after(c.wakeup(), func() {
			c.store.submit(consensus.CloseSession{Session: session}, false, func(consensus.Result, bool) {})
		})
	}
}

// lose removes a VIP as another program would.
func (h *host) lose(v fence.VIP) {
	k := h.kernel
	if k.present[v.Prefix.Addr()] <= h.w.now {
		return
	}
	h.w.say(h.name, "somebody removes "+v.String())
	delete(k.present, v.Prefix.Addr())
	h.w.check.changed(h)
	if g := h.guard; g != nil && g.alive {
		g.post(guard.Kernel{Event: fence.AddressLost{VIP: v}})
	}
}
