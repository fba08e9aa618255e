package bfd

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

var (
	cmpAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

	routerAddress = netip.MustParseAddr("192.0.2.1")
	ourAddress    = netip.MustParseAddr("192.0.2.9")
	otherAddress  = netip.MustParseAddr("192.0.2.10")
)

func testConfig(name string, change ...func(*Config)) Config {
	c := Config{Name: name, Neighbor: routerAddress, TTL: 255, Timing: testTiming}
	for _, do := range change {
		do(&c)
	}
	return c
}

func from(source netip.Addr) func(*Config) { return func(c *Config) { c.Source = source } }
func multihop(c *Config)                   { c.Multihop = true }

// newTable is a table whose sessions are open, and when.
func newTable(t *testing.T, configs ...Config) (*Table, boottime.Instant) {
	t.Helper()
	if err := Check(configs); err != nil {
		t.Fatal(err)
	}
	table, now := NewTable(rand.New(rand.NewPCG(1, 2))), boottime.Instant(time.Hour)
	table.Configure(now, configs)
	for _, c := range configs {
		table.Opened(now, c.Name)
	}
	return table, now
}

func arrival(p Packet) Arrival {
	return Arrival{Source: routerAddress, Destination: ourAddress, TTL: 255, Payload: p.Append(nil)}
}

func first(state State) Packet { return Packet{State: state, Multiplier: 3, MyDiscriminator: theirs} }

// reached gives the names of the sessions that have left Down.
func reached(table *Table) string {
	var names []string
	for _, s := range table.Status() {
		if s.State != Down {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, " ")
}

// RFC 5880 §6.8.6: "If the Your Discriminator field is nonzero, it MUST be used to select the
// session with which this BFD packet is associated. If no session is found, the packet MUST
// be discarded. […] If the Your Discriminator field is zero, the session MUST be selected
// based on some combination of other fields".
//
// Goal: the right session, or a counted drop. Method: sessions that differ in one thing each.
func TestTableFindsTheSession(t *testing.T) {
	configs := []Config{
		testConfig("any"), testConfig("ours", from(ourAddress)), testConfig("far", multihop),
		testConfig("other", func(c *Config) { c.Neighbor = otherAddress }),
		testConfig("zoned", func(c *Config) { c.Neighbor = netip.MustParseAddr("fe80::1%eth0") }),
		testConfig("zoned2", func(c *Config) { c.Neighbor = netip.MustParseAddr("fe80::1%eth1") }),
	}
	tests := map[string]struct {
		change func(*Arrival)
		want   string
	}{
		"by source and destination": {func(*Arrival) {}, "ours"},
		"by source alone":           {func(a *Arrival) { a.Destination = otherAddress }, "any"},
		"by another source":         {func(a *Arrival) { a.Source = otherAddress }, "other"},
		"by port":                   {func(a *Arrival) { a.Multihop = true }, "far"},
		"by interface":              {func(a *Arrival) { a.Source = netip.MustParseAddr("fe80::1%eth1") }, "zoned2"},
		"by nothing":                {func(a *Arrival) { a.Source = ourAddress }, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			table, now := newTable(t, configs...)
			a := arrival(first(Down))
			test.change(&a)
			table.Arrived(now, a)
			same(t, test.want, reached(table))
			same(t, test.want == "", table.Drops(DropNoSession) == 1)
		})
	}
	t.Run("by discriminator, whatever the source", func(t *testing.T) {
		table, now := newTable(t, configs...)
		p := first(Init)
		p.YourDiscriminator = table.named("other").discriminator
		table.Arrived(now, arrival(p))
		same(t, "other", reached(table))
		p.YourDiscriminator++
		table.Arrived(now, arrival(p))
		same(t, uint64(1), table.Drops(DropNoSession))
	})
	t.Run("not by the discriminator of the other port", func(t *testing.T) {
		table, now := newTable(t, configs...)
		p := first(Init)
		p.YourDiscriminator = table.named("far").discriminator
		table.Arrived(now, arrival(p))
		same(t, "", reached(table))
	})
}

// RFC 5881 §5: "All received BFD Control packets that are demultiplexed to the session MUST be
// discarded if the received TTL or Hop Limit is not equal to 255." keepalived's max_hops
// allows more, and its hop limit of 64 counts as 255 does.
//
// Goal: as many hops as are allowed. Method: TTLs at and beyond the limit.
func TestTableDropsWhatHasComeTooFar(t *testing.T) {
	for _, test := range []struct{ ttl, hops, arrived, dropped int }{
		{255, 0, 255, 0}, {255, 0, 254, 1}, {255, 2, 253, 0}, {255, 2, 252, 1},
		{64, 0, 64, 0}, {64, 0, 63, 1}, {255, 255, 0, 0}, {255, 0, 0, 1},
	} {
		table, now := newTable(t, testConfig("r", func(c *Config) { c.TTL, c.MaxHops = test.ttl, test.hops }))
		a := arrival(first(Down))
		a.TTL = test.arrived
		table.Arrived(now, a)
		if got := int(table.Drops(DropTTL)); got != test.dropped || (reached(table) == "") != (test.dropped == 1) {
			t.Errorf("%+v: got %d drops, state %v", test, got, table.Status()[0].State)
		}
	}
}

// Goal: what Decode drops is counted, once, and reaches no session. Method: a short one.
func TestTableCountsDrops(t *testing.T) {
	table, now := newTable(t, testConfig("r"))
	a := arrival(first(Down))
	a.Payload = a.Payload[:10]
	table.Arrived(now, a)
	same(t, "", reached(table))
	for _, reason := range DropReasons() {
		same(t, reason == DropTooShort, table.Drops(reason) == 1)
	}
}

// RFC 5880 §6.8.1: bfd.LocalDiscr "MUST be unique across all BFD sessions on this system, and
// nonzero".
//
// Goal: that, with a random source that repeats itself. Method: one that does.
func TestDiscriminatorsAreUnique(t *testing.T) {
	table := NewTable(rand.New(&repeating{}))
	table.Configure(0, []Config{testConfig("a"), testConfig("b", multihop)})
	for _, e := range table.entries {
		e.discriminator = 100 // not 0, which might keep another from being 0
	}
	for i, want := range []uint32{1, 2} {
		table.entries[i].discriminator = table.newDiscriminator()
		same(t, want, table.entries[i].discriminator)
	}
}

// repeating is a random source that gives 0, 0, 1, 1, 2, 2 …
type repeating struct{ n uint64 }

func (r *repeating) Uint64() uint64 {
	r.n++
	return (r.n - 1) / 2 << 32
}

// Goal: a reload keeps what it can: a session with other times goes on, one that is gone or
// goes another way says farewell before its sockets close, and a new one opens. Method:
// whole slices of orders.
func TestReloadKeepsSessions(t *testing.T) {
	table, now := newTable(t, testConfig("kept"), testConfig("gone", multihop), testConfig("moved", from(ourAddress)))
	table.Arrived(now, arrival(first(Down))) // "moved"
	a := arrival(first(Down))
	a.Destination = otherAddress
	table.Arrived(now, a) // "kept"

	kept, moved := testConfig("kept"), testConfig("moved", from(otherAddress))
	kept.Timing.MinRx = time.Second
	fresh := testConfig("fresh", from(routerAddress))
	discriminators := map[string]uint32{}
	for _, e := range table.entries {
		discriminators[e.config.Name] = e.discriminator
	}
	farewell := Packet{State: AdminDown, Diagnostic: DiagnosticAdmin, Multiplier: 3, DesiredMinTx: time.Second, RequiredMinRx: testTiming.MinRx}
	gone, left := farewell, farewell
	gone.MyDiscriminator = discriminators["gone"]
	left.MyDiscriminator, left.YourDiscriminator = discriminators["moved"], theirs
	poll := Packet{State: Init, Poll: true, Multiplier: 3, MyDiscriminator: discriminators["kept"], YourDiscriminator: theirs,
		DesiredMinTx: time.Second, RequiredMinRx: time.Second}
	want := []Order{
		Transmit{"gone", gone}, Close{"gone"},
		Transmit{"kept", poll},
		Transmit{"moved", left}, Close{"moved"},
		Open{fresh}, Open{moved},
	}
	got := table.Configure(now, []Config{fresh, kept, moved})
	if diff := cmp.Diff(want, got, cmpAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	same(t, []Order(nil), table.Configure(now, []Config{fresh, kept, moved}))
	same(t, "kept", reached(table))
}

// Goal: a session whose port is taken is said to be in trouble of our own making, once for
// each cause, and is tried again; the others go on. Method: failures, time, success.
func TestTakenPortIsTriedAgain(t *testing.T) {
	table, now := newTable(t, testConfig("a"), testConfig("b", multihop))
	taken := "address already in use"
	want := []Order{Close{"b"}, Report{Change{Name: "b", Local: true, Reason: taken}}}
	same(t, want, table.Failed(now, "b", taken))
	table.Arrived(now, arrival(first(Down)))
	same(t, "a", reached(table))

	now = now.Add(RetryInterval)
	if at, ok := table.Deadline(); !ok || at.After(now) {
		t.Errorf("deadline %v, %v; want one by %v", at, ok, now)
	}
	opens := func() (opens int) {
		for _, order := range table.Tick(now) {
			if o, ok := order.(Open); ok && o.Config.Name == "b" {
				opens++
			}
		}
		return opens
	}
	same(t, 1, opens())
	same(t, 0, opens())
	same(t, []Order{Close{"b"}}, table.Failed(now, "b", taken))
	now = now.Add(RetryInterval)
	same(t, 1, opens())
	same(t, 1, len(table.Opened(now, "b")))
	same(t, "not started", NewSession(SessionOptions{}).Reason())
	same(t, "waiting for the neighbour", table.Status()[1].Reason)
}

// Goal: a stop says farewell to all, and leaves nothing to do. Method: orders, deadline.
func TestTableStops(t *testing.T) {
	table, now := newTable(t, testConfig("a"), testConfig("b", multihop))
	var said []string
	for _, order := range table.Stop(now) {
		switch order := order.(type) {
		case Transmit:
			said = append(said, order.Name+" "+order.Packet.State.String())
		case Close:
			said = append(said, order.Name+" closed")
		}
	}
	same(t, []string{"a AdminDown", "a closed", "b AdminDown", "b closed"}, said)
	if _, ok := table.Deadline(); ok || len(table.Opened(now, "a")) > 0 || len(table.Failed(now, "a", "x")) > 0 {
		t.Error("there is something to do after the end")
	}
}

// Goal: the first thing due is what the table waits for. Method: all deadlines.
func TestTableWaitsForTheFirst(t *testing.T) {
	table, _ := newTable(t, testConfig("a"), testConfig("b", multihop), testConfig("c", from(ourAddress)))
	for range 100 {
		at, ok := table.Deadline()
		if !ok {
			t.Fatal("no deadline")
		}
		for _, e := range table.entries {
			if own, ok := e.session.Deadline(); ok && own.Before(at) {
				t.Fatalf("%s is due at %v, the table at %v", e.config.Name, own, at)
			}
		}
		table.Tick(at)
	}
}

// Goal: why nothing goes out can be seen, until it does. Method: status.
func TestStatusTellsOfSendErrors(t *testing.T) {
	table, _ := newTable(t, testConfig("a"))
	table.NotSent("a", "network is unreachable")
	same(t, "network is unreachable", table.Status()[0].SendError)
	table.NotSent("a", "")
	same(t, "", table.Status()[0].SendError)
	table.NotSent("gone", "x")
}

// Goal: what no session can have is refused with its name. Method: one fault each.
func TestCheckRefuses(t *testing.T) {
	faults := map[string]func(*Config){
		"min_tx":       func(c *Config) { c.Timing.MinTx = IntervalMin - 1 },
		"whole micro":  func(c *Config) { c.Timing.MinRx++ },
		"min_rx":       func(c *Config) { c.Timing.MinRx = IntervalMax + time.Microsecond },
		"idle_tx":      func(c *Config) { c.Timing.IdleTx = IdleMin - time.Microsecond },
		"multiplier":   func(c *Config) { c.Timing.Multiplier = 256 },
		"multiplier 0": func(c *Config) { c.Timing.Multiplier = 0 },
		"TTL":          func(c *Config) { c.TTL = 0 },
		"max_hops":     func(c *Config) { c.MaxHops = 256 },
		"no address":   func(c *Config) { c.Neighbor = netip.Addr{} },
		"a host":       func(c *Config) { c.Neighbor = netip.MustParseAddr("224.0.0.1") },
		"link-local":   func(c *Config) { c.Neighbor = netip.MustParseAddr("fe80::1") },
		"families":     func(c *Config) { c.Source = netip.MustParseAddr("2001:db8::1") },
	}
	for words, spoil := range faults {
		err := Check([]Config{testConfig("good", multihop), testConfig("bad", spoil)})
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "session bad") {
			t.Errorf("%s: got %v", words, err)
		}
	}
	for _, twice := range [][]Config{
		{testConfig("a"), testConfig("a", multihop)},
		{testConfig("a"), testConfig("b")},
		make([]Config, SessionsMax+1),
	} {
		if Check(twice) == nil {
			t.Errorf("accepted: %+v", twice[:2])
		}
	}
	if err := Check([]Config{testConfig("a"), testConfig("b", multihop), testConfig("c", from(ourAddress))}); err != nil {
		t.Error(err)
	}
}
