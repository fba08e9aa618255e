package main

import "time"

// process is something that can be stopped and killed: nothing of it runs while
// it is frozen, and nothing ever runs of a life that is over. Everything that the
// simulated programs do goes through [process.after] or [process.then], so that a
// pause can fall between any two steps.
type process struct {
	w      *world
	name   string
	alive  bool
	life   uint64
	frozen moment // nothing runs before
	steady bool   // never hesitates: see plan.Gate
}

// after runs fn in this life of the process, d from now or once it is thawed.
func (p *process) after(d time.Duration, fn func()) {
	life := p.life
	p.w.after(d, func() { p.resume(life, fn) })
}

func (p *process) resume(life uint64, fn func()) {
	switch {
	case !p.alive || p.life != life:
	case p.w.now < p.frozen:
		p.w.at(p.frozen, func() { p.resume(life, fn) })
	default:
		fn()
	}
}

// then runs what comes next in the same thread: at once as a rule, and sometimes
// after the thread, or the whole process, was not scheduled for a while.
func (p *process) then(fn func()) {
	w := p.w
	switch {
	case p.w.faults.on && !p.steady && w.chance(w.plan.Hesitation):
		pause := w.spread(w.plan.PauseMin, 3*w.plan.TTL)
		if w.chance(0.5) {
			p.freeze(pause)
		}
		w.sayf(p.name, "not scheduled for %v", pause)
		p.after(pause, fn)
	case w.chance(0.05):
		p.after(w.between(time.Microsecond, 300*time.Microsecond), fn)
	default:
		fn()
	}
}

func (p *process) freeze(d time.Duration) { p.frozen = max(p.frozen, p.w.now.add(d)) }

func (p *process) start() {
	p.life++
	p.alive, p.frozen = true, 0
}

func (p *process) kill() {
	p.life++
	p.alive = false
}

// wakeup is how long a thread that was waiting takes to run.
func (p *process) wakeup() time.Duration {
	if !p.steady && p.w.chance(0.01) {
		return p.w.between(0, 5*time.Millisecond)
	}
	return p.w.between(2*time.Microsecond, 60*time.Microsecond)
}

// lateness is how late a timer fires.
func (p *process) lateness() time.Duration {
	if !p.steady && p.w.faults.on && p.w.chance(0.01) {
		return p.w.between(0, 130*time.Millisecond)
	}
	return p.w.between(20*time.Microsecond, time.Millisecond)
}

// spinMax bounds how often a thread may go round within spinWindow: a core whose
// deadline does not move on after its tick would otherwise stop the world.
const (
	spinMax    = 20000
	spinWindow = 100 * time.Millisecond
)

// spin notices a thread that does nothing else.
type spin struct {
	since moment
	turns int
}

func (s *spin) turn(p *process) {
	if p.w.now.sub(s.since) > spinWindow {
		s.since, s.turns = p.w.now, 0
	}
	if s.turns++; s.turns > spinMax {
		p.w.fail("progress", "%s spins: %d turns within %v", p.name, s.turns, spinWindow)
	}
}
