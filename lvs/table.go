package lvs

import (
	"maps"
	"net/netip"
	"slices"
)

// Drift counts what others have changed of our services since the table was last
// known.
type Drift struct {
	ServicesDeleted, ServicesEdited                            int
	DestinationsAdded, DestinationsDeleted, DestinationsEdited int
}

// Total is the number of all changes.
func (d Drift) Total() int {
	return d.ServicesDeleted + d.ServicesEdited + d.DestinationsAdded + d.DestinationsDeleted + d.DestinationsEdited
}

// Table is what the kernel should have, what it is known to have, and the ledger
// of what is ours. It keeps no foreign service. The zero Table is not usable.
//
// The caller's round: [Table.Want] when the configuration or a real server's
// health changes, [Table.Saw] with a reading of the kernel at start, then
// every so often and after surprises; then [Table.Plan], write [Table.Owned]
// where it survives, perform the plan, and tell [Table.Settled].
type Table struct {
	want, known map[ServiceKey]Service // in normal form
	owned       map[ServiceKey]bool    // no less than want
	dirty       map[ServiceKey]bool    // where want and known may differ
	seen        bool
}

// NewTable makes a table that wants nothing. owned is the ledger that a previous
// life has left; services in it that are not wanted will be deleted.
func NewTable(owned []ServiceKey) *Table {
	t := &Table{
		want: map[ServiceKey]Service{}, known: map[ServiceKey]Service{},
		owned: map[ServiceKey]bool{}, dirty: map[ServiceKey]bool{},
	}
	for _, key := range owned {
		t.owned[key] = true
	}
	return t
}

// Want says which services there should be, all of them, as a configuration
// that is read again does. [ValidateAll] must have found nothing.
func (t *Table) Want(services []Service) {
	gone := maps.Clone(t.want)
	for _, s := range services {
		delete(gone, s.ServiceKey)
		t.WantService(s)
	}
	for key := range gone {
		delete(t.want, key)
		t.dirty[key] = true
	}
}

// WantService says what one service should be like and leaves the others as they
// are: what a real server's health needs.
func (t *Table) WantService(s Service) {
	s = s.normal()
	if old, ok := t.want[s.ServiceKey]; ok && equal(s, old) {
		return
	}
	s.Destinations = slices.Clone(s.Destinations) // the caller may change its own
	t.want[s.ServiceKey] = s
	t.owned[s.ServiceKey], t.dirty[s.ServiceKey] = true, true
}

// Saw says what the kernel has, all of it, and returns what others have changed
// of ours since. The first reading is nobody's drift: it is adopted. While others
// write, a reading may lack what is there ([Kernel.Services]): then the drift is
// counted too high, and the plan finds things to be there already.
func (t *Table) Saw(have []Service) Drift {
	known := make(map[ServiceKey]Service)
	for _, s := range inOrder(have) {
		if t.owned[s.ServiceKey] {
			s.Destinations = distinct(s.Destinations)
			known[s.ServiceKey] = s
		}
	}
	drift := driftOf(known, t.known)
	t.known, t.seen = known, true
	for key := range t.owned {
		t.compare(key)
	}
	return drift
}

// driftOf counts what would have to be done to get back from have to known.
func driftOf(have, known map[ServiceKey]Service) Drift {
	var drift Drift
	for key, s := range known {
		has, ok := have[key]
		if !ok {
			drift.ServicesDeleted++
			continue
		}
		if equal(has, s) {
			continue
		}
		for _, op := range Plan([]Service{has}, []Service{s}, nil) {
			switch op.(type) {
			case EditService:
				drift.ServicesEdited++
			case AddDestination:
				drift.DestinationsDeleted++
			case EditDestination:
				drift.DestinationsEdited++
			case DeleteDestination:
				drift.DestinationsAdded++
			}
		}
	}
	return drift
}

// Plan lists what makes the kernel's services those that are wanted, in the
// order of the function [Plan]; nothing before the first [Table.Saw]. It looks
// only at services that may differ, so that it costs what has changed.
func (t *Table) Plan() []Op {
	if !t.seen {
		return nil
	}
	var have, want []Service
	var owned []ServiceKey
	for key := range t.dirty {
		if s, ok := t.known[key]; ok {
			have = append(have, s)
		}
		if s, ok := t.want[key]; ok {
			want = append(want, s)
		}
		if t.owned[key] {
			owned = append(owned, key)
		}
	}
	return Plan(have, want, owned)
}

// Settled says what became of a plan of [Table.Plan].
func (t *Table) Settled(ops []Op, outcome Outcome) {
	changes := make(map[ServiceKey]*change)
	refused := outcome.Refused
	for i, op := range ops {
		if len(refused) > 0 && refused[0].Index == i {
			refused = refused[1:]
			continue
		}
		c := changes[op.Key()]
		if c == nil {
			c = newChange(t.known[op.Key()])
			changes[op.Key()] = c
		}
		c.apply(op)
	}
	for key, c := range changes {
		if c.deleted {
			delete(t.known, key)
		} else {
			t.known[key] = c.result()
		}
	}
	for key := range t.dirty {
		t.compare(key)
	}
}

// compare finds out whether a service of ours is as wanted, and forgets one that
// is neither wanted nor there.
func (t *Table) compare(key ServiceKey) {
	has, isKnown := t.known[key]
	wanted, isWanted := t.want[key]
	if !isKnown && !isWanted {
		delete(t.owned, key)
	}
	if isKnown == isWanted && equal(has, wanted) {
		delete(t.dirty, key)
	} else {
		t.dirty[key] = true
	}
}

// Owned is the ledger: the services that are ours, in order. It belongs where it
// survives this process before a plan is performed, so that a later life knows
// what it may delete.
func (t *Table) Owned() []ServiceKey {
	return slices.SortedFunc(maps.Keys(t.owned), compareKeys)
}

// equal compares services in normal form.
func equal(a, b Service) bool {
	return a.ServiceKey == b.ServiceKey && a.Settings == b.Settings && slices.Equal(a.Destinations, b.Destinations)
}

// change is what becomes of one service of the kernel by some ops.
type change struct {
	service      Service
	destinations map[netip.AddrPort]Destination
	deleted      bool
}

func newChange(s Service) *change {
	c := &change{service: s, destinations: make(map[netip.AddrPort]Destination, len(s.Destinations))}
	for _, d := range s.Destinations {
		c.destinations[d.Addr] = d
	}
	return c
}

func (c *change) apply(op Op) {
	switch op := op.(type) {
	case AddService:
		c.service = Service{ServiceKey: op.Service, Settings: op.Settings}
	case EditService:
		c.service.Settings = op.Settings
	case DeleteService:
		c.deleted = true
	case AddDestination:
		c.destinations[op.Destination.Addr] = op.Destination
	case EditDestination:
		c.destinations[op.Destination.Addr] = op.Destination
	case DeleteDestination:
		delete(c.destinations, op.Addr)
	}
}

func (c *change) result() Service {
	c.service.Destinations = slices.SortedFunc(maps.Values(c.destinations), compareDestinations)
	return c.service
}
