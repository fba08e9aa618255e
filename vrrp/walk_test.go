package vrrp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// judge knows what a machine has asked for, and fails the test when it asks for
// what its actions' comments rule out.
type judge struct {
	t        *testing.T
	state    State
	claiming bool
	yielded  bool
	silent   bool
}

func (j *judge) event(ev Event) {
	switch ev := ev.(type) {
	case Granted, Refused, Lost, LeaseHeld, Failed, Stopped:
		j.claiming = false
	case Reconfigured:
		if ev.Config.Plain {
			j.claiming = false
		}
	}
}

func (j *judge) action(ev Event, action Action) {
	switch action := action.(type) {
	case Claim:
		if j.state != Backup || j.claiming {
			j.t.Fatalf("%#v: claim in %s, claiming %t", ev, j.state, j.claiming)
		}
		j.claiming = true
	case Yield:
		if j.state == Backup || j.state == Master && j.yielded {
			j.t.Fatalf("%#v: yield in %s, yielded %t", ev, j.state, j.yielded)
		}
		j.yielded = j.state == Master
	case SendAdvert:
		_, granted := ev.(Granted)
		if j.state != Master && !granted || j.yielded {
			j.t.Fatalf("%#v: %+v in %s, yielded %t", ev, action, j.state, j.yielded)
		}
	case Announce:
		_, granted := ev.(Granted)
		if j.state != Master && !granted || j.yielded {
			j.t.Fatalf("%#v: announcement in %s, yielded %t", ev, j.state, j.yielded)
		}
	case Changed:
		if action.From != j.state || action.From == action.To {
			j.t.Fatalf("%#v: %+v in %s", ev, action, j.state)
		}
		_, granted := ev.(Granted)
		if (action.To == Master) != granted {
			j.t.Fatalf("%#v: %+v", ev, action)
		}
		j.state, j.yielded = action.To, false
	case Silent:
		if action.Silent == j.silent {
			j.t.Fatalf("%#v: %+v twice", ev, action)
		}
		j.silent = action.Silent
	}
}

func randomEvent(r *rand.Rand, plain bool) Event {
	sources := []netip.Addr{lowerAddress, ownAddress, higherAddress}
	names := []string{"n2", "n3"}
	switch r.IntN(14) {
	case 0:
		return Startup{}
	case 1:
		return [...]Event{Failed{"random"}, Stopped{"random"}}[r.IntN(2)]
	case 2, 3, 4:
		ev := advert(sources[r.IntN(3)], []Priority{0, 50, 100, 150, 255}[r.IntN(5)])
		ev.Member = r.IntN(2) == 0
		return ev
	case 5, 6:
		return LeaseFree{time.Duration(r.IntN(3)) * 50 * time.Millisecond}
	case 7:
		return LeaseHeld{names[r.IntN(2)]}
	case 8, 9:
		return Granted{uint64(r.IntN(100))}
	case 10:
		return Refused{"random"}
	case 11:
		return Lost{"random"}
	case 12:
		config := leaseConfig()
		config.Plain = plain
		config.Priority = []Priority{1, 100, 255}[r.IntN(3)]
		config.Preempt = r.IntN(2) == 0
		config.StartupListen = time.Duration(r.IntN(2)) * time.Second
		config.Garp.Refresh = time.Duration(r.IntN(2)) * time.Second
		return Reconfigured{config}
	default:
		return Tick{}
	}
}

// Goal: whatever comes in whatever order, the contract of the actions holds: one
// claim at a time, one yield per MASTER, adverts and announcements only with the
// VIPs on, MASTER only by a grant, a deadline that lies ahead; and the same
// events give the same actions. Method: random walks of two equal machines.
func TestNoSequenceOfEventsBreaksTheContract(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		config := leaseConfig()
		config.Plain = seed%2 == 0
		m, twin := NewMachine(config), NewMachine(config)
		j := &judge{t: t, state: Init}
		now := start
		for range 500 {
			ev := randomEvent(r, config.Plain)
			if at, ok := m.Deadline(); ok && r.IntN(2) == 0 {
				ev, now = Tick{}, at
			} else {
				now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
			}
			j.event(ev)
			actions := m.Step(now, ev)
			for _, action := range actions {
				j.action(ev, action)
			}
			if diff := cmp.Diff(actions, twin.Step(now, ev), cmpAddr); diff != "" {
				t.Fatalf("seed %d: the same events, other actions:\n%s", seed, diff)
			}
			if at, ok := m.Deadline(); ok && !at.After(now) {
				t.Fatalf("seed %d: %#v in %s: deadline %s is not after %s", seed, ev, m.Reason(), at, now)
			}
			if m.State() != j.state || m.Reason() == "" {
				t.Fatalf("seed %d: state %s, reported %s", seed, m.State(), j.state)
			}
		}
	}
}

// Goal: whatever has happened, a plain machine that hears nothing and whose
// claims are granted becomes MASTER (nothing is left stuck), and one with a
// lease does once the store says that it is free.
func TestQuietMachineAlwaysBecomesMaster(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		config := leaseConfig()
		config.Plain = seed%2 == 0
		m := NewMachine(config)
		now := start
		for range 100 {
			now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
			m.Step(now, randomEvent(r, config.Plain))
		}
		m.Step(now, Refused{"the end"})
		m.Step(now, Stopped{"the end"})
		m.Step(now, Startup{})
		m.Step(now, LeaseFree{})
		for range 10 {
			if m.Claiming() {
				break
			}
			if at, ok := m.Deadline(); ok {
				now = at
			}
			m.Step(now, Tick{})
		}
		if !m.Claiming() {
			t.Fatalf("seed %d: never claims: %s", seed, m.Reason())
		}
		m.Step(now, Granted{1})
		if m.State() != Master {
			t.Fatalf("seed %d: %s", seed, m.Reason())
		}
	}
}

// Goal: a configuration that a machine can't run on is refused with a reason.
func TestValidateRefusesWhatAMachineCannotRunOn(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"ID":             func(c *Config) { c.ID = 0 },
		"priority":       func(c *Config) { c.Priority = 0 },
		"version":        func(c *Config) { c.Version = 0 },
		"interval":       func(c *Config) { c.AdvertInterval = time.Millisecond },
		"source":         func(c *Config) { c.Source = netip.Addr{} },
		"listen":         func(c *Config) { c.StartupListen = -1 },
		"repeat":         func(c *Config) { c.Garp.Repeat = GarpRepeatMax + 1 },
		"refresh repeat": func(c *Config) { c.Garp.RefreshRepeat = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			config := leaseConfig()
			spoil(&config)
			if err := config.Validate(); err == nil {
				t.Errorf("accepted: %+v", config)
			}
		})
	}
	if err := leaseConfig().Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}
