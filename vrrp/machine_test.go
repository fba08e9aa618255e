package vrrp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

var (
	ownAddress    = netip.MustParseAddr("10.9.0.5")
	lowerAddress  = netip.MustParseAddr("10.9.0.2")
	higherAddress = netip.MustParseAddr("10.9.0.9")
)

// start is an instant that is neither zero nor round, so that a timer counted
// from the wrong place shows.
const start = boottime.Instant(1_234_567_891_011)

// Timers of the test configuration: version 2, priority 100, one second.
const (
	skew100 = 609375 * time.Microsecond
	down100 = 3*time.Second + skew100
)

func leaseConfig() Config {
	return Config{
		ID: 51, Priority: 100, AdvertInterval: time.Second, Version: Version2,
		Preempt: true, Source: ownAddress, Garp: DefaultGarp,
	}
}

func plainConfig() Config {
	config := leaseConfig()
	config.Plain = true
	return config
}

// play drives a machine by hand. Its clock moves only when the test says so.
type play struct {
	t   *testing.T
	m   *Machine
	now boottime.Instant
}

func newPlay(t *testing.T, config Config) *play {
	return &play{t: t, m: NewMachine(config), now: start}
}

// step checks that an event leads to exactly these actions, and to a deadline
// that is not over already.
func (p *play) step(ev Event, want ...Action) {
	p.t.Helper()
	got := p.m.Step(p.now, ev)
	if diff := cmp.Diff(want, got, cmpAddr); diff != "" {
		p.t.Fatalf("%T%+v in %s (-want +got):\n%s", ev, ev, p.m.Reason(), diff)
	}
	if at, ok := p.m.Deadline(); ok && !at.After(p.now) {
		p.t.Fatalf("%T%+v: deadline %s is not after now, %s", ev, ev, at, p.now)
	}
}

// deadline checks that the next deadline is in d, and goes there.
func (p *play) deadline(d time.Duration) {
	p.t.Helper()
	at, ok := p.m.Deadline()
	if !ok {
		p.t.Fatalf("no deadline, want one in %s", d)
	}
	if got := at.Sub(p.now); got != d {
		p.t.Fatalf("deadline in %s, want %s", got, d)
	}
	p.now = at
}

func (p *play) noDeadline() {
	p.t.Helper()
	if at, ok := p.m.Deadline(); ok {
		p.t.Fatalf("deadline in %s, want none", at.Sub(p.now))
	}
}

func (p *play) pass(d time.Duration) { p.now = p.now.Add(d) }

// idle lets time pass and every deadline in it come, with nothing to be done.
func (p *play) idle(d time.Duration) {
	p.t.Helper()
	end := p.now.Add(d)
	for at, ok := p.m.Deadline(); ok && !at.After(end); at, ok = p.m.Deadline() {
		p.now = at
		p.step(Tick{})
	}
	p.now = end
	p.step(Tick{})
}

func (p *play) state(want State) {
	p.t.Helper()
	if got := p.m.State(); got != want {
		p.t.Fatalf("state is %s, want %s", got, want)
	}
}

func (p *play) reason(want string) {
	p.t.Helper()
	if got := p.m.Reason(); got != want {
		p.t.Fatalf("reason is %q, want %q", got, want)
	}
}

// advert is an advertisement from outside the cluster; memberAdvert from inside.
func advert(source netip.Addr, priority Priority) Received {
	return Received{Source: source, Advert: Advertisement{
		Version: Version2, ID: 51, Priority: priority, Interval: time.Second, Auth: NoAuth(),
	}}
}

func memberAdvert(source netip.Addr, priority Priority) Received {
	ev := advert(source, priority)
	ev.Member = true
	return ev
}

// claimFree is the claim of a free lease; grant the way from there to MASTER.
var claimFree = Claim{"the lease is free"}

func (p *play) start() {
	p.t.Helper()
	p.step(Startup{}, Changed{Init, Backup, "started"})
}

func (p *play) grant(token uint64) {
	p.t.Helper()
	p.step(Granted{token}, SendAdvert{100}, Announce{5}, Changed{Backup, Master, p.m.grantCauseFor(token)})
}

// grantCauseFor is what a grant with the token will be called.
func (m *Machine) grantCauseFor(token uint64) string {
	after := *m
	after.token = token
	return after.grantCause()
}

// backup is a started machine whose lease n2 holds; master one whose lease is
// its own.
func backup(t *testing.T, config Config) *play {
	t.Helper()
	p := newPlay(t, config)
	p.start()
	p.step(LeaseHeld{"n2"})
	return p
}

func master(t *testing.T, config Config) *play {
	t.Helper()
	p := newPlay(t, config)
	p.start()
	p.grant(7)
	return p
}
