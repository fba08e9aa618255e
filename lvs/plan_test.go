package lvs_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/lvs/lvstest"
)

// Goal: a first plan makes all that is wanted, in the order of the keys. Method:
// services of each sort, given in another order, against an empty kernel.
func TestPlanAddsWhatIsMissing(t *testing.T) {
	mail := lvs.AddressKey(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:25"))
	want := []lvs.Service{
		{ServiceKey: lvs.MarkKey(lvs.IPv6, 7), Settings: lvs.Settings{Scheduler: "sh", Flags: lvs.SHPort | lvs.SHFallback}},
		{
			ServiceKey: mail, Settings: lvs.Settings{Scheduler: "rr", Persistence: time.Minute, PersistenceMask: 64},
			Destinations: []lvs.Destination{{
				Addr: netip.MustParseAddrPort("10.0.0.1:25"), Method: lvs.Tunnel, Weight: 1, Upper: 9, Lower: 5,
				Encapsulation: lvs.Encapsulation{Type: lvs.GUE, Port: 6080, Checksum: lvs.RemoteChecksum},
			}},
		},
		service(web, real(2, 5), real(1, 1)),
	}
	wantWords := []string{
		"add TCP 192.0.2.1:80: wlc",
		"add 10.0.0.1:80 to TCP 192.0.2.1:80: DR weight 1",
		"add 10.0.0.2:80 to TCP 192.0.2.1:80: DR weight 5",
		"add TCP [2001:db8::1]:25: rr persistent 60/64",
		"add 10.0.0.1:25 to TCP [2001:db8::1]:25: TUN gue port 6080 remcsum weight 1 thresholds 5/9",
		"add FWM 7 IPv6: sh flag-1 flag-2",
	}
	if diff := cmp.Diff(wantWords, words(lvs.Plan(nil, want, nil))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal (I7): what differs is edited, what is new is added before what is gone is
// deleted, and services that go are last. Method: one plan with all of it.
func TestPlanEditsAndAddsBeforeItDeletes(t *testing.T) {
	old := lvs.AddressKey(lvs.TCP, netip.MustParseAddrPort("192.0.2.0:80"))
	have := []lvs.Service{service(old, real(1, 1)), service(web, real(1, 1), real(2, 1), real(3, 1))}
	changed := service(web, real(4, 1), real(3, 0), real(2, 1))
	changed.Scheduler = "mh"
	got := lvs.Plan(have, []lvs.Service{changed}, []lvs.ServiceKey{old, web})
	want := []string{
		"edit TCP 192.0.2.1:80: wlc → mh",
		"edit 10.0.0.3:80 of TCP 192.0.2.1:80: weight 1 → 0",
		"add 10.0.0.4:80 to TCP 192.0.2.1:80: DR weight 1",
		"delete 10.0.0.1:80 from TCP 192.0.2.1:80",
		"delete TCP 192.0.2.0:80",
	}
	if diff := cmp.Diff(want, words(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal: an edit says what changes. Method: each attribute of a destination.
func TestPlanSaysWhatAnEditChanges(t *testing.T) {
	have := real(1, 1)
	want := lvs.Destination{Addr: have.Addr, Method: lvs.Tunnel, Weight: 2, Upper: 8, Lower: 4}
	got := words(lvs.Plan([]lvs.Service{service(web, have)}, []lvs.Service{service(web, want)}, nil))
	line := "edit 10.0.0.1:80 of TCP 192.0.2.1:80: DR → TUN ipip, weight 1 → 2, thresholds 0/0 → 4/8"
	if diff := cmp.Diff([]string{line}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal (I7): what is not ours is left alone, and what a previous life has left is
// adopted without an op. Method: the same table, with the ledger empty and not.
func TestPlanTouchesOnlyWhatIsOurs(t *testing.T) {
	foreign := service(lvs.MarkKey(lvs.IPv4, 3), real(9, 1))
	left := service(lvs.MarkKey(lvs.IPv4, 4), real(9, 1))
	have := []lvs.Service{foreign, service(web, real(1, 1)), left}
	want := []lvs.Service{service(web, real(1, 1))}
	if got := lvs.Plan(have, want, nil); len(got) != 0 {
		t.Errorf("adoption of an equal table takes %v", words(got))
	}
	got := words(lvs.Plan(have, want, []lvs.ServiceKey{left.ServiceKey}))
	if diff := cmp.Diff([]string{"delete FWM 4"}, got); diff != "" {
		t.Errorf("with a ledger (-want +got)\n%s", diff)
	}
}

// Goal: two ways to say the same are no difference. Method: pairs of them.
func TestPlanSeesNoDifferenceInWords(t *testing.T) {
	persistent := func(key lvs.ServiceKey, mask int, flags lvs.Flags) lvs.Service {
		s := service(key, real(1, 1))
		s.Persistence, s.PersistenceMask, s.Flags = time.Minute, mask, flags
		return s
	}
	ipv6 := lvs.AddressKey(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:80"))
	tunnel := func(e lvs.Encapsulation) lvs.Service {
		return service(web, lvs.Destination{Addr: realAddr(1), Method: lvs.Tunnel, Encapsulation: e})
	}
	masked, mapped, noise := service(web), real(1, 1), real(1, 1)
	masked.PersistenceMask, masked.PersistenceEngine = 24, "sip"
	mapped.Addr = netip.MustParseAddrPort("[::ffff:10.0.0.1]:80")
	noise.Encapsulation = lvs.Encapsulation{Type: lvs.GUE, Port: 1}
	for name, pair := range map[string][2]lvs.Service{
		"full mask":              {persistent(web, 0, 0), persistent(web, 32, 0)},
		"full mask IPv6":         {persistent(ipv6, 0, 0), persistent(ipv6, 128, 0)},
		"flags that follow":      {persistent(web, 0, 0), persistent(web, 0, 0x3)},
		"mask, not persistent":   {service(web), masked},
		"ipip by default":        {tunnel(lvs.Encapsulation{}), tunnel(lvs.Encapsulation{Type: lvs.IPIP, Port: 5})},
		"nocsum by default":      {tunnel(lvs.Encapsulation{Type: lvs.GRE}), tunnel(lvs.Encapsulation{Type: lvs.GRE, Checksum: lvs.NoChecksum})},
		"4-in-6":                 {service(web, real(1, 1)), service(web, mapped)},
		"tunnel without tunnel":  {service(web, real(1, 1)), service(web, noise)},
		"order of real servers":  {service(web, real(1, 1), real(2, 1)), service(web, real(2, 1), real(1, 1))},
		"the same twice":         {service(web, real(1, 1)), service(web, real(1, 1), real(1, 1))},
		"hashed, as on each one": {service(web), {ServiceKey: web, Settings: lvs.Settings{Scheduler: "wlc", Flags: 0x2}}},
	} {
		for _, p := range [][2]lvs.Service{pair, {pair[1], pair[0]}} {
			if got := lvs.Plan([]lvs.Service{p[0]}, []lvs.Service{p[1]}, nil); len(got) != 0 {
				t.Errorf("%s: %v", name, words(got))
			}
		}
	}
}

// Goal: one of two equal services counts, and the plan ends. Method: the first
// wins, in have and in want.
func TestPlanTakesTheFirstOfTwo(t *testing.T) {
	twice := []lvs.Service{service(web, real(1, 1)), service(web, real(2, 1))}
	if got := lvs.Plan(nil, twice, nil); len(got) != 2 {
		t.Errorf("a service that is wanted twice takes %v", words(got))
	}
	if got := lvs.Plan(twice, twice[:1], nil); len(got) != 0 {
		t.Errorf("a service that was read twice takes %v", words(got))
	}
}

// Goal: for any tables, the plan leads exactly to what is wanted and leaves
// foreign services as they are; a second plan is empty; the order of the input
// does not matter; and no service that has destinations before and after is
// without on the way. Method: random tables on the fake, replayable by seed.
func TestPlanLeadsToWhatIsWanted(t *testing.T) {
	for seed := range uint64(2000) {
		checkPlan(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Goal: the same, for seeds that the fuzzer finds.
func FuzzPlan(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkPlan)
}

func checkPlan(t *testing.T, seed uint64) {
	r := newSample(seed)
	have, want := r.table(), r.table()
	var owned []lvs.ServiceKey
	for _, s := range have {
		if r.IntN(2) == 0 {
			owned = append(owned, s.ServiceKey)
		}
	}
	kernel := lvstest.New()
	mustApply(t, kernel, lvs.Plan(nil, have, nil))
	plan := lvs.Plan(have, want, owned)
	r.Shuffle(len(have), func(i, j int) { have[i], have[j] = have[j], have[i] })
	r.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	if diff := cmp.Diff(words(plan), words(lvs.Plan(have, want, owned))); diff != "" {
		t.Errorf("another order of the input gives another plan (-first +second)\n%s", diff)
	}
	kept := bothHaveDestinations(have, want)
	for _, op := range plan {
		mustApply(t, kernel, unconditional(op))
		for _, s := range table(t, kernel) {
			if slices.Contains(kept, s.ServiceKey) && len(s.Destinations) == 0 {
				t.Errorf("%s has no destination after %s", s.ServiceKey, op)
			}
		}
	}
	wanted := slices.Clone(want)
	for _, s := range have {
		isSame := func(other lvs.Service) bool { return other.ServiceKey == s.ServiceKey }
		if !slices.ContainsFunc(want, isSame) && !slices.Contains(owned, s.ServiceKey) {
			wanted = append(wanted, s)
		}
	}
	got := table(t, kernel)
	if diff := difference(wanted, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if again := lvs.Plan(got, want, owned); len(again) != 0 {
		t.Errorf("a second plan is %v", words(again))
	}
}

// unconditional makes an op a plan of its own: the fake performs it alone, where
// nothing has been added before.
func unconditional(op lvs.Op) []lvs.Op {
	if d, ok := op.(lvs.DeleteDestination); ok {
		d.Replaced = false
		return []lvs.Op{d}
	}
	return []lvs.Op{op}
}

func bothHaveDestinations(a, b []lvs.Service) []lvs.ServiceKey {
	var keys []lvs.ServiceKey
	for _, s := range a {
		if len(s.Destinations) > 0 && slices.ContainsFunc(b, func(o lvs.Service) bool { return o.ServiceKey == s.ServiceKey && len(o.Destinations) > 0 }) {
			keys = append(keys, s.ServiceKey)
		}
	}
	return keys
}
