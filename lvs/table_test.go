package lvs_test

import (
	"encoding/json"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/lvs/lvstest"
)

// round reads the kernel, plans, applies and settles, as a caller does.
func round(t *testing.T, tab *lvs.Table, k ipvs) (ops []lvs.Op, drift lvs.Drift) {
	t.Helper()
	drift = tab.Saw(table(t, k))
	ops = tab.Plan()
	tab.Settled(ops, k.Apply(ops))
	return ops, drift
}

// Goal: before the kernel was read nothing is planned: what is there is not known.
func TestTablePlansNothingBlindly(t *testing.T) {
	tab := lvs.NewTable(nil)
	tab.Want([]lvs.Service{service(web, real(1, 1))})
	if ops := tab.Plan(); len(ops) != 0 {
		t.Errorf("planned %v", words(ops))
	}
}

// Goal (I7): a restart adopts what it finds without an op, and deletes what the
// ledger names and the configuration does not. Method: two lives on one kernel.
func TestTableAdoptsWhatAPreviousLifeLeft(t *testing.T) {
	kernel := lvstest.New()
	other := service(lvs.MarkKey(lvs.IPv4, 1), real(1, 1))
	first := lvs.NewTable(nil)
	first.Want([]lvs.Service{service(web, real(1, 1)), other})
	round(t, first, kernel)
	ledger, err := json.Marshal(first.Owned())
	if err != nil {
		t.Fatal(err)
	}

	var owned []lvs.ServiceKey
	if err := json.Unmarshal(ledger, &owned); err != nil {
		t.Fatal(err)
	}
	second := lvs.NewTable(owned)
	second.Want([]lvs.Service{service(web, real(1, 1))})
	ops, drift := round(t, second, kernel)
	if diff := cmp.Diff([]string{"delete FWM 1"}, words(ops)); diff != "" || drift.Total() != 0 {
		t.Errorf("drift %+v, (-want +got)\n%s", drift, diff)
	}
	if diff := cmp.Diff([]lvs.ServiceKey{web}, second.Owned(), cmp.Comparer(func(a, b lvs.ServiceKey) bool { return a == b })); diff != "" {
		t.Errorf("ledger (-want +got)\n%s", diff)
	}
	if ops, _ := round(t, second, kernel); len(ops) != 0 {
		t.Errorf("a second round does %v", words(ops))
	}
}

// Goal: the ledger names a service before it is added, and as long as it may be
// there; one that was not ours is forgotten. Method: a deletion that is refused
// first, and a ledger with a key that nobody has.
func TestTableKeepsItsLedger(t *testing.T) {
	kernel := lvstest.New()
	tab := lvs.NewTable([]lvs.ServiceKey{lvs.MarkKey(lvs.IPv4, 9)})
	tab.Want([]lvs.Service{service(web)})
	if !slices.Contains(tab.Owned(), web) {
		t.Error("not in the ledger before it is added")
	}
	round(t, tab, kernel)
	if len(tab.Owned()) != 1 {
		t.Errorf("ledger %v", tab.Owned())
	}
	tab.Want(nil)
	kernel.Refuse = func(lvs.Op) syscall.Errno { return syscall.ENOMEM }
	round(t, tab, kernel)
	if !slices.Contains(tab.Owned(), web) {
		t.Error("forgotten although it could not be deleted")
	}
	kernel.Refuse = nil
	if ops, _ := round(t, tab, kernel); len(ops) != 1 || len(tab.Owned()) != 0 {
		t.Errorf("did %v, ledger %v", words(ops), tab.Owned())
	}
}

// Goal: what others do to our services is counted by kind and undone; their own
// services are none of our business. Method: one change of each kind.
func TestTableCountsAndRepairsDrift(t *testing.T) {
	kernel := lvstest.New()
	tab := lvs.NewTable(nil)
	gone := service(lvs.MarkKey(lvs.IPv4, 1), real(1, 1), real(2, 1))
	want := []lvs.Service{service(web, real(1, 1), real(2, 1), real(3, 1)), gone}
	tab.Want(want)
	foreign, short := service(lvs.MarkKey(lvs.IPv4, 2), real(1, 1)), service(lvs.MarkKey(lvs.IPv4, 3))
	mustApply(t, kernel, lvs.Plan(nil, []lvs.Service{short}, nil))
	round(t, tab, kernel)

	for _, op := range []lvs.Op{
		lvs.DeleteService{Service: gone.ServiceKey},
		lvs.EditService{Service: web, Settings: lvs.Settings{Scheduler: "rr"}},
		lvs.AddDestination{Service: web, Destination: real(9, 1)},
		lvs.DeleteDestination{Service: web, Addr: realAddr(1)},
		lvs.EditDestination{Service: web, Destination: real(2, 0)},
		lvs.DeleteService{Service: short.ServiceKey},
		lvs.AddService{Service: foreign.ServiceKey, Settings: foreign.Settings},
		lvs.AddDestination{Service: foreign.ServiceKey, Destination: real(1, 1)},
	} {
		if reason := kernel.Execute(op); reason != 0 {
			t.Fatalf("%s: %v", op, reason)
		}
	}
	_, drift := round(t, tab, kernel)
	wantDrift := lvs.Drift{ServicesDeleted: 1, ServicesEdited: 1, DestinationsAdded: 1, DestinationsDeleted: 1, DestinationsEdited: 1}
	if diff := cmp.Diff(wantDrift, drift); diff != "" {
		t.Errorf("drift (-want +got)\n%s", diff)
	}
	if diff := difference(append(want, foreign), table(t, kernel)); diff != "" {
		t.Errorf("repaired (-want +got)\n%s", diff)
	}
	if _, drift := round(t, tab, kernel); drift.Total() != 0 {
		t.Errorf("counted again: %+v", drift)
	}
}

// Goal: what is refused is tried again, what is done is not, and our own changes
// are nobody's drift. Method: one of two additions is refused once.
func TestTableTriesAgainWhatWasRefused(t *testing.T) {
	kernel := lvstest.New()
	tab := lvs.NewTable(nil)
	tab.Want([]lvs.Service{service(web, real(1, 1), real(2, 1))})
	kernel.Refuse = func(op lvs.Op) syscall.Errno {
		if add, ok := op.(lvs.AddDestination); ok && add.Destination == real(1, 1) {
			return syscall.ENOMEM
		}
		return 0
	}
	round(t, tab, kernel)
	kernel.Refuse = nil
	again := tab.Plan()
	if diff := cmp.Diff([]string{"add 10.0.0.1:80 to TCP 192.0.2.1:80: DR weight 1"}, words(again)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	tab.Settled(again, kernel.Apply(again))
	if ops, drift := round(t, tab, kernel); len(ops) != 0 || drift.Total() != 0 {
		t.Errorf("then %v and drift %+v", words(ops), drift)
	}
}

// Goal: a change costs exactly its op, without a reading. Method: one weight by
// WantService, one by Want, and a caller that goes on to use its own slice.
func TestTablePlansOnlyTheChange(t *testing.T) {
	kernel := lvstest.New()
	tab := lvs.NewTable(nil)
	encapsulated := lvs.Destination{Addr: realAddr(1), Method: lvs.Tunnel, Weight: 1, Encapsulation: lvs.Encapsulation{Type: lvs.IPIP}}
	want := []lvs.Service{service(web, encapsulated), service(lvs.MarkKey(lvs.IPv4, 1), real(1, 1))}
	tab.Want(want)
	round(t, tab, kernel)

	change := want[1]
	change.Destinations = []lvs.Destination{real(1, 3)}
	tab.WantService(change)
	ops := tab.Plan()
	if diff := cmp.Diff([]string{"edit 10.0.0.1:80 of FWM 1: weight 1 → 3"}, words(ops)); diff != "" {
		t.Errorf("one service (-want +got)\n%s", diff)
	}
	tab.Settled(ops, kernel.Apply(ops))

	want[0].Destinations[0].Weight = 2
	want[1] = change
	tab.Want(want)
	ops = tab.Plan()
	if diff := cmp.Diff([]string{"edit 10.0.0.1:80 of TCP 192.0.2.1:80: weight 1 → 2"}, words(ops)); diff != "" {
		t.Errorf("all services (-want +got)\n%s", diff)
	}
}

// Goal: whatever we want and others do, in whatever order things are refused,
// one undisturbed round ends in what is wanted, and the next does nothing.
// Method: random wishes, meddling and refusals, replayable by seed.
func TestTableEndsInWhatIsWanted(t *testing.T) {
	for seed := range uint64(500) {
		r := newSample(seed)
		kernel := lvstest.New()
		tab := lvs.NewTable(nil)
		var want []lvs.Service
		for range 6 {
			want = r.table()
			tab.Want(want)
			kernel.Refuse = func(lvs.Op) syscall.Errno { return []syscall.Errno{0, 0, syscall.ENOMEM}[r.IntN(3)] }
			if r.IntN(2) == 0 {
				round(t, tab, kernel)
			} else { // no reading: a plan against what is known, which others have made untrue
				ops := tab.Plan()
				tab.Settled(ops, kernel.Apply(ops))
			}
			kernel.Refuse = nil
			kernel.Apply(lvs.Plan(table(t, kernel), r.table(), nil)) // somebody else's wishes
		}
		round(t, tab, kernel)
		for _, s := range table(t, kernel) {
			if i := slices.IndexFunc(want, func(w lvs.Service) bool { return w.ServiceKey == s.ServiceKey }); i >= 0 {
				if diff := difference(want[i:i+1], []lvs.Service{s}); diff != "" {
					t.Fatalf("seed %d (-want +got)\n%s", seed, diff)
				}
			}
		}
		if ops, drift := round(t, tab, kernel); len(ops) != 0 || drift.Total() != 0 {
			t.Fatalf("seed %d: then %v and drift %+v", seed, words(ops), drift)
		}
		if len(tab.Owned()) != len(want) {
			t.Fatalf("seed %d: ledger %v for %d services", seed, tab.Owned(), len(want))
		}
	}
}
