package bfd

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// RetryInterval is how long a session whose sockets could not be opened waits for the
// next try.
const RetryInterval = time.Second

// Arrival is a datagram that has come to one of the two ports.
type Arrival struct {
	Source, Destination netip.Addr // a link-local source has its interface as zone
	TTL                 int        // or hop limit, on arrival
	Multihop            bool       // it came to port 4784; else to 3784
	Payload             []byte
}

// Change says that a neighbour has come up or gone down, or why nothing can be known of it.
type Change struct {
	Name string // of the session
	Up   bool
	// Local says that it failed on this side, that the port is taken, for example: nothing
	// is known of the neighbour, and the session is tried again. Up is false.
	Local  bool
	Reason string // one short line for people
}

// Order is something a [Table] wants done, in order. The types are Open, Close, Transmit
// and Report.
type Order interface{ order() }

// Open opens the sockets of a session; then [Table.Opened] or [Table.Failed] says how it went.
type Open struct{ Config Config }

// Close closes what Open has opened, after the last Transmit. It answers a Failed, too.
type Close struct{ Name string }

// Transmit sends a packet. It comes only between Opened and Close.
type Transmit struct {
	Name   string
	Packet Packet
}

// Report tells the owner, after the packets that go with it.
type Report struct{ Change Change }

func (Open) order()     {}
func (Close) order()    {}
func (Transmit) order() {}
func (Report) order()   {}

// Table is all sessions of a host: it finds the one that a packet belongs to, and the one
// that needs a tick. It is pure apart from its random source, and for one goroutine.
type Table struct {
	random  *rand.Rand
	entries []*entry // by name
	drops   [dropReasonEnd]uint64
}

// entry is a configured session.
type entry struct {
	config        Config
	discriminator uint32
	session       *Session // nil while there are no sockets
	failure       string   // what was last reported of the sockets; "" when they are open
	notSent       string   // why the last packet could not be sent; "" when it could
	retry         boottime.Timer
}

// NewTable returns a table without sessions. random gives discriminators and jitter, and
// should be hard to guess.
func NewTable(random *rand.Rand) *Table { return &Table{random: random} }

// Configure replaces all sessions; configs have passed [Check]. A session that differs
// in its timing at most goes on; any other ends, with a farewell, or begins.
func (t *Table) Configure(now boottime.Instant, configs []Config) []Order {
	var orders []Order
	wanted := map[string]Config{}
	for _, c := range configs {
		wanted[c.Name] = c
	}
	var kept []*entry
	for _, e := range t.entries {
		c, ok := wanted[e.config.Name]
		if !ok || !c.sameWay(e.config) {
			orders = append(orders, e.end(now)...)
			continue
		}
		delete(wanted, c.Name)
		kept = append(kept, e)
		e.config = c
		orders = append(orders, e.step(now, Retimed{Timing: c.Timing})...)
	}
	t.entries = kept
	for _, c := range configs {
		if _, isNew := wanted[c.Name]; isNew {
			t.entries = append(t.entries, &entry{config: c})
			orders = append(orders, Open{Config: c})
		}
	}
	slices.SortFunc(t.entries, func(a, b *entry) int { return cmp.Compare(a.config.Name, b.config.Name) })
	return orders
}

// Opened says that a session can send and receive.
func (t *Table) Opened(now boottime.Instant, name string) []Order {
	e := t.named(name)
	if e == nil {
		return nil
	}
	e.failure, e.notSent = "", ""
	e.discriminator = t.newDiscriminator()
	e.session = NewSession(SessionOptions{
		Discriminator: e.discriminator, Timing: e.config.Timing, Passive: e.config.Passive, Random: t.random,
	})
	return e.step(now, Start{})
}

// newDiscriminator draws one that no session has. §6.8.1: "It MUST be unique across all BFD
// sessions on this system, and nonzero. It SHOULD be set to a random […] value".
func (t *Table) newDiscriminator() uint32 {
	for {
		d := t.random.Uint32()
		if d != 0 && !slices.ContainsFunc(t.entries, func(e *entry) bool { return e.discriminator == d }) {
			return d
		}
	}
}

// Failed says that a session's sockets could not be opened, or work no more. It is tried
// again after [RetryInterval]. What was known of the neighbour is not taken back: nothing
// has been heard from it to the contrary.
func (t *Table) Failed(now boottime.Instant, name, reason string) []Order {
	e := t.named(name)
	if e == nil {
		return nil
	}
	e.retry.Set(now.Add(RetryInterval))
	e.session, e.discriminator = nil, 0
	orders := []Order{Close{Name: name}}
	if reason != e.failure {
		e.failure = reason
		orders = append(orders, Report{Change{Name: name, Local: true, Reason: reason}})
	}
	return orders
}

// NotSent says why packets can't be sent any more, and with an empty reason that they can.
// A packet that isn't sent is a packet lost, as on the way: Detection Times tell.
func (t *Table) NotSent(name, reason string) {
	if e := t.named(name); e != nil {
		e.notSent = reason
	}
}

// Arrived takes a datagram.
func (t *Table) Arrived(now boottime.Instant, a Arrival) []Order {
	packet, err := Decode(a.Payload)
	if reason, dropped := err.(DropReason); dropped {
		t.drops[reason]++
		return nil
	}
	e := t.find(packet, a)
	switch {
	case e == nil:
		t.drops[DropNoSession]++
	case a.TTL < e.config.TTL-e.config.MaxHops:
		t.drops[DropTTL]++
	default:
		return e.step(now, Received{Packet: packet})
	}
	return nil
}

// find is §6.8.6: "If the Your Discriminator field is nonzero, it MUST be used to select the
// session"; else the addresses do, and a session with a source before one without.
func (t *Table) find(p Packet, a Arrival) *entry {
	var found *entry
	for _, e := range t.entries {
		switch {
		case e.session == nil || e.config.Multihop != a.Multihop:
		case p.YourDiscriminator != 0:
			if p.YourDiscriminator == e.discriminator {
				return e
			}
		case e.config.Neighbor != a.Source:
		case e.config.Source.IsValid() && e.config.Source.WithZone("") == a.Destination:
			return e
		case !e.config.Source.IsValid():
			found = e
		}
	}
	return found
}

// Tick does what is due. What had been received before must have been delivered before.
func (t *Table) Tick(now boottime.Instant) []Order {
	var orders []Order
	for _, e := range t.entries {
		if e.retry.Due(now) {
			e.retry.Stop()
			orders = append(orders, Open{Config: e.config})
		}
		if e.session == nil {
			continue
		}
		if at, ok := e.session.Deadline(); ok && !at.After(now) {
			orders = append(orders, e.step(now, Tick{})...)
		}
	}
	return orders
}

// Stop ends all sessions, with a farewell each.
func (t *Table) Stop(now boottime.Instant) []Order { return t.Configure(now, nil) }

// Deadline is when the table next needs a [Table.Tick]; false: never.
func (t *Table) Deadline() (boottime.Instant, bool) {
	var first boottime.Timer
	for _, e := range t.entries {
		next := e.retry
		if e.session != nil {
			next.At, next.On = e.session.Deadline()
		}
		if next.On && (!first.On || next.At.Before(first.At)) {
			first = next
		}
	}
	return first.At, first.On
}

// Drops is how many packets were ignored for a reason.
func (t *Table) Drops(reason DropReason) uint64 { return t.drops[reason] }

// SessionStatus is a session as people want to see it.
type SessionStatus struct {
	Name          string
	Neighbor      netip.Addr
	State         State         // Down while there are no sockets
	Reason        string        // how it came to be in its state
	DetectionTime time.Duration // 0 while the neighbour has not been heard
	SendError     string        // why packets can't be sent; "" when they can
}

// Status lists all sessions by name.
func (t *Table) Status() []SessionStatus {
	all := make([]SessionStatus, 0, len(t.entries))
	for _, e := range t.entries {
		s := SessionStatus{Name: e.config.Name, Neighbor: e.config.Neighbor, SendError: e.notSent, State: Down, Reason: cmp.Or(e.failure, "not started")}
		if e.session != nil {
			s.State, s.Reason, s.DetectionTime = e.session.State(), e.session.Reason(), e.session.DetectionTime()
		}
		all = append(all, s)
	}
	return all
}

func (t *Table) named(name string) *entry {
	i, ok := slices.BinarySearchFunc(t.entries, name, func(e *entry, name string) int { return cmp.Compare(e.config.Name, name) })
	if !ok {
		return nil
	}
	return t.entries[i]
}

// step passes an event on, and puts the session's name on what follows from it.
func (e *entry) step(now boottime.Instant, event Event) []Order {
	if e.session == nil {
		return nil
	}
	var orders []Order
	for _, action := range e.session.Step(now, event) {
		switch action := action.(type) {
		case Send:
			orders = append(orders, Transmit{Name: e.config.Name, Packet: action.Packet})
		case Judge:
			orders = append(orders, Report{Change{Name: e.config.Name, Up: action.Up, Reason: action.Reason}})
		default:
			panic(fmt.Sprintf("bfd: unknown action %T", action))
		}
	}
	return orders
}

func (e *entry) end(now boottime.Instant) []Order {
	return append(e.step(now, Stop{}), Close{Name: e.config.Name})
}
