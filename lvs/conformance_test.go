package lvs_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/lvs/lvstest"
)

// machine is all that a kernel or the fake does.
type machine interface {
	ipvs
	Statistics() ([]lvs.ServiceStatistics, error)
	SyncDaemons() ([]lvs.SyncDaemon, error)
	ApplySync([]lvs.SyncOp) error
	Timeouts() (lvs.Timeouts, error)
	SetTimeouts(lvs.Timeouts) error
}

var (
	_ machine = (*lvs.Kernel)(nil)
	_ machine = (*lvstest.Kernel)(nil)
)

// conformance is what a kernel does. Each body begins on an empty table and
// leaves whatever it likes; the sync interface is "lo".
var conformance = map[string]func(*testing.T, machine){
	"everySortIsKept":        everySortIsKept,
	"everythingIsEdited":     everythingIsEdited,
	"refusalsAreTheKernels":  refusalsAreTheKernels,
	"surprisesAreFollowedUp": surprisesAreFollowedUp,
	"bothDaemonsRunAtOnce":   bothDaemonsRunAtOnce,
	"familiesMixInTunnels":   familiesMixInTunnels,
	"timeoutsAreSet":         timeoutsAreSet,
}

// Goal: the fake is like the kernel. Method: the bodies that TestKernel runs.
func TestFakeIsLikeTheKernel(t *testing.T) {
	for name, body := range conformance {
		t.Run(name, func(t *testing.T) { body(t, lvstest.New()) })
	}
}

// everySort is a service of each sort that the configuration has, in the words
// of the kernel.
func everySort() []lvs.Service {
	ip := netip.MustParseAddrPort
	var all []lvs.Service
	for i, scheduler := range []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh"} {
		s := service(lvs.MarkKey(lvs.IPv4, uint32(100+i)), real(1, 1), real(2, 3))
		s.Scheduler = scheduler
		all = append(all, s)
	}
	gue, gre := lvs.Encapsulation{Type: lvs.GUE, Port: 6080, Checksum: lvs.RemoteChecksum}, lvs.Encapsulation{Type: lvs.GRE, Checksum: lvs.Checksum}
	settings := func(scheduler string, flags lvs.Flags) lvs.Settings {
		return lvs.Settings{Scheduler: scheduler, Flags: flags}
	}
	sip := lvs.Settings{Scheduler: "rr", Persistence: time.Minute, PersistenceEngine: "sip"}
	return append(all,
		lvs.Service{ServiceKey: web, Settings: settings("sh", lvs.SHPort|lvs.SHFallback), Destinations: []lvs.Destination{
			{Addr: ip("10.0.0.1:8080"), Method: lvs.Masquerade, Weight: lvs.WeightMax, Upper: 100, Lower: 50},
			{Addr: ip("10.0.0.2:80"), Method: lvs.Direct, Weight: 0},
			{Addr: ip("10.0.0.3:80"), Method: lvs.Tunnel, Weight: 1, Encapsulation: lvs.Encapsulation{Type: lvs.IPIP}},
			{Addr: ip("10.0.0.4:80"), Method: lvs.Tunnel, Weight: 1, Encapsulation: gue},
			{Addr: ip("10.0.0.5:80"), Method: lvs.Tunnel, Weight: 1, Encapsulation: gre},
		}},
		lvs.Service{ServiceKey: lvs.AddressKey(lvs.UDP, ip("192.0.2.1:53")), Settings: settings("rr", lvs.OnePacket|lvs.SchedulerFlag3)},
		lvs.Service{ServiceKey: lvs.AddressKey(lvs.UDP, ip("192.0.2.1:5060")), Settings: sip, Destinations: []lvs.Destination{real(1, 1)}},
		lvs.Service{ServiceKey: lvs.AddressKey(lvs.SCTP, ip("192.0.2.1:80")), Settings: settings("wlc", 0), Destinations: []lvs.Destination{real(1, 1)}},
		lvs.Service{
			ServiceKey:   lvs.AddressKey(lvs.TCP, ip("192.0.2.2:0")),
			Settings:     lvs.Settings{Scheduler: "wlc", Persistence: lvs.PersistenceMax, PersistenceMask: 24},
			Destinations: []lvs.Destination{{Addr: ip("10.0.0.1:0"), Method: lvs.Direct, Weight: 1}},
		},
		lvs.Service{
			ServiceKey:   lvs.AddressKey(lvs.TCP, ip("[2001:db8::1]:443")),
			Settings:     lvs.Settings{Scheduler: "mh", Flags: lvs.MHPort, Persistence: time.Hour, PersistenceMask: 64},
			Destinations: []lvs.Destination{{Addr: ip("[2001:db8::2]:443"), Method: lvs.Direct, Weight: 7}},
		},
		lvs.Service{ServiceKey: lvs.MarkKey(lvs.IPv6, 100), Settings: settings("rr", 0), Destinations: []lvs.Destination{
			{Addr: ip("[2001:db8::2]:0"), Method: lvs.Masquerade, Weight: 1},
		}},
	)
}

// everySortIsKept: what is added is read as it was wanted, and is adopted as it is.
func everySortIsKept(t *testing.T, k machine) {
	want := everySort()
	mustApply(t, k, lvs.Plan(nil, want, nil))
	got := table(t, k)
	if diff := difference(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if ops := lvs.Plan(got, want, nil); len(ops) != 0 {
		t.Errorf("adoption takes %v", words(ops))
	}
	statistics, err := k.Statistics()
	if err != nil || len(statistics) != len(want) {
		t.Errorf("statistics of %d of %d services: %v", len(statistics), len(want), err)
	}
}

// everythingIsEdited: each attribute can be changed without a deletion.
func everythingIsEdited(t *testing.T, k machine) {
	have := service(web, real(1, 1), real(2, 1))
	mustApply(t, k, lvs.Plan(nil, []lvs.Service{have}, nil))
	for i, change := range []func(*lvs.Service){
		func(s *lvs.Service) { s.Scheduler = "sh" },
		func(s *lvs.Service) { s.Flags = lvs.SHPort },
		func(s *lvs.Service) { s.Persistence = time.Minute },
		func(s *lvs.Service) { s.PersistenceMask = 24 },
		func(s *lvs.Service) { s.PersistenceEngine = "sip" },
		func(s *lvs.Service) { s.Flags, s.PersistenceEngine, s.PersistenceMask, s.Persistence = 0, "", 0, 0 },
		func(s *lvs.Service) { s.Destinations = []lvs.Destination{real(1, 0), real(2, 1)} },
		func(s *lvs.Service) {
			s.Destinations = []lvs.Destination{real(1, 0), {Addr: realAddr(2), Method: lvs.Masquerade, Weight: 1, Upper: 9, Lower: 3}}
		},
		func(s *lvs.Service) {
			s.Destinations = []lvs.Destination{real(1, 0), {
				Addr: realAddr(2), Method: lvs.Tunnel, Weight: 1, Encapsulation: lvs.Encapsulation{Type: lvs.GUE, Port: 1, Checksum: lvs.NoChecksum},
			}}
		},
		func(s *lvs.Service) {
			s.Destinations = []lvs.Destination{real(1, 0), {
				Addr: realAddr(2), Method: lvs.Tunnel, Weight: 1, Encapsulation: lvs.Encapsulation{Type: lvs.GUE, Port: 2, Checksum: lvs.Checksum},
			}}
		},
	} {
		want := have
		change(&want)
		ops := lvs.Plan([]lvs.Service{have}, []lvs.Service{want}, nil)
		mustApply(t, k, ops)
		if diff := difference([]lvs.Service{want}, table(t, k)); diff != "" || len(ops) == 0 {
			t.Errorf("change %d: %v (-want +got)\n%s", i, words(ops), diff)
		}
		have = want
	}
}

// refusalsAreTheKernels: each refusal has the kernel's reason, and nothing
// changes; what else is in the plan is done.
func refusalsAreTheKernels(t *testing.T, k machine) {
	have := []lvs.Service{service(web, real(1, 1)), service(lvs.MarkKey(lvs.IPv6, 1))}
	mustApply(t, k, lvs.Plan(nil, have, nil))
	add := func(key lvs.ServiceKey, addr string, change func(*lvs.Destination)) lvs.Op {
		d := lvs.Destination{Addr: netip.MustParseAddrPort(addr), Method: lvs.Direct, Weight: 1}
		change(&d)
		return lvs.AddDestination{Service: key, Destination: d}
	}
	as := func(d *lvs.Destination) {}
	gue := func(d *lvs.Destination) { d.Method, d.Encapsulation.Type = lvs.Tunnel, lvs.GUE }
	for _, test := range []struct {
		op   lvs.Op
		want syscall.Errno
	}{
		{lvs.AddService{Service: lvs.MarkKey(lvs.IPv4, 1), Settings: lvs.Settings{Scheduler: "nonesuch"}}, syscall.ENOENT},
		{lvs.EditService{Service: web, Settings: lvs.Settings{Scheduler: "nonesuch"}}, syscall.ENOENT},
		{lvs.AddService{Service: lvs.MarkKey(lvs.IPv4, 1), Settings: lvs.Settings{
			Scheduler: "rr", Persistence: time.Second, PersistenceEngine: "nonesuch",
		}}, syscall.ENOENT},
		{add(lvs.MarkKey(lvs.IPv4, 1), "10.0.0.1:80", as), syscall.ESRCH},
		{add(web, "224.0.0.1:80", as), syscall.EINVAL},
		{add(web, "[2001:db8::1]:80", as), syscall.EINVAL},
		{add(lvs.MarkKey(lvs.IPv6, 1), "10.0.0.1:80", as), syscall.EINVAL},
		{add(web, "10.0.0.2:80", func(d *lvs.Destination) { d.Lower = 1 }), syscall.ERANGE},
		{add(web, "10.0.0.2:80", func(d *lvs.Destination) { d.Weight = -1 }), syscall.ERANGE},
		{add(web, "10.0.0.2:80", gue), syscall.EINVAL},
		{lvs.EditDestination{Service: web, Destination: lvs.Destination{Addr: realAddr(1), Method: lvs.Direct, Lower: 1}}, syscall.ERANGE},
	} {
		outcome := k.Apply([]lvs.Op{test.op})
		if len(outcome.Refused) != 1 || !errors.Is(outcome.Refused[0], test.want) {
			t.Errorf("%s: want %v, got %+v", test.op, test.want, outcome)
		}
	}
	if diff := difference(have, table(t, k)); diff != "" {
		t.Errorf("a refusal has changed something (-want +got)\n%s", diff)
	}
}

// surprisesAreFollowedUp: what others did meanwhile ends in what is wanted.
func surprisesAreFollowedUp(t *testing.T, k machine) {
	other := service(web, real(1, 7), real(2, 1))
	other.Scheduler = "rr"
	mustApply(t, k, lvs.Plan(nil, []lvs.Service{other}, nil))
	want := service(web, real(1, 1), real(3, 4))
	nowhere := lvs.MarkKey(lvs.IPv4, 1)
	outcome := k.Apply([]lvs.Op{
		lvs.AddService{Service: web, Settings: want.Settings},
		lvs.AddDestination{Service: web, Destination: real(1, 1)},
		lvs.EditDestination{Service: web, Destination: real(3, 4)},
		lvs.EditService{Service: lvs.MarkKey(lvs.IPv6, 1), Settings: want.Settings},
		lvs.DeleteDestination{Service: web, Addr: realAddr(2)},
		lvs.DeleteDestination{Service: web, Addr: realAddr(2)},
		lvs.DeleteDestination{Service: nowhere, Addr: realAddr(2)},
		lvs.DeleteService{Service: nowhere},
	})
	if outcome.Done != 8 || outcome.Surprises != 7 || len(outcome.Refused) != 0 {
		t.Errorf("outcome %+v", outcome)
	}
	if diff := difference([]lvs.Service{want, service(lvs.MarkKey(lvs.IPv6, 1))}, table(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// bothDaemonsRunAtOnce: a director runs its backup daemon at all times and the
// master one besides; each is restarted by itself; a foreign one is replaced.
func bothDaemonsRunAtOnce(t *testing.T, k machine) {
	backup := lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "lo", ID: 7}
	master := lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "lo", ID: 7}
	rest := lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "lo", ID: 8, MaxLength: 1400, Group: netip.MustParseAddr("239.1.2.3"), Port: 9000, TTL: 5}
	ours := []lvs.SyncDaemon{backup, master, rest}
	for _, step := range []struct {
		want []lvs.SyncDaemon
		ops  int
	}{
		{[]lvs.SyncDaemon{backup}, 1},
		{[]lvs.SyncDaemon{backup, master}, 1},
		{[]lvs.SyncDaemon{backup, master}, 0},
		{[]lvs.SyncDaemon{backup, rest}, 2},
		{[]lvs.SyncDaemon{backup, rest}, 0},
		{[]lvs.SyncDaemon{backup}, 1},
		{nil, 1},
		{nil, 0},
	} {
		have, err := k.SyncDaemons()
		if err != nil {
			t.Fatal(err)
		}
		ops := lvs.PlanSync(have, lvs.SyncWant{Daemons: step.want, Ours: ours})
		if len(ops) != step.ops {
			t.Errorf("to %v from %v: %v", step.want, have, ops)
		}
		if err := k.ApplySync(ops); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.ApplySync([]lvs.SyncOp{{Stop: true, Daemon: master}, {Daemon: backup}}); err != nil {
		t.Errorf("to stop what does not run: %v", err)
	}
	if err := k.ApplySync([]lvs.SyncOp{{Daemon: backup}}); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("to start what runs: %v", err)
	}
}

// familiesMixInTunnels: IPv6 real servers behind IPv4 and the other way round, but
// not together with a sync daemon.
func familiesMixInTunnels(t *testing.T, k machine) {
	tunnel := func(addr string) lvs.Destination {
		return lvs.Destination{
			Addr: netip.MustParseAddrPort(addr), Method: lvs.Tunnel, Weight: 1, Encapsulation: lvs.Encapsulation{Type: lvs.IPIP},
		}
	}
	want := []lvs.Service{
		service(web, tunnel("[2001:db8::9]:80"), tunnel("10.0.0.9:80")),
		service(lvs.MarkKey(lvs.IPv6, 1), tunnel("10.0.0.9:80")),
	}
	mustApply(t, k, lvs.Plan(nil, want, nil))
	if diff := difference(want, table(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := lvs.Plan(table(t, k), want, nil); len(got) != 0 {
		t.Errorf("adoption takes %v", words(got))
	}
	start := []lvs.SyncOp{{Daemon: lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "lo"}}}
	if err := k.ApplySync(start); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a sync daemon beside mixed families: %v", err)
	}
	same := []lvs.Service{service(web, tunnel("10.0.0.9:80")), service(lvs.MarkKey(lvs.IPv6, 1))}
	mustApply(t, k, lvs.Plan(want, same, nil))
	if err := k.ApplySync(start); err != nil {
		t.Error(err)
	}
	outcome := k.Apply([]lvs.Op{lvs.AddDestination{Service: web, Destination: tunnel("[2001:db8::9]:80")}})
	if len(outcome.Refused) != 1 || !errors.Is(outcome.Refused[0], syscall.EINVAL) {
		t.Errorf("mixed families beside a sync daemon: %+v", outcome)
	}
}

// timeoutsAreSet: those that are given, and no others.
func timeoutsAreSet(t *testing.T, k machine) {
	want := lvs.Timeouts{TCP: time.Hour, TCPFin: time.Minute, UDP: 30 * time.Second}
	if err := k.SetTimeouts(want); err != nil {
		t.Fatal(err)
	}
	want.UDP = 20 * time.Second
	if err := k.SetTimeouts(lvs.Timeouts{UDP: want.UDP}); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Timeouts(); err != nil || got != want {
		t.Errorf("%v (-want +got)\n%s", err, cmp.Diff(want, got))
	}
	for _, odd := range []time.Duration{-time.Second, time.Millisecond, lvs.PersistenceMax + time.Second} {
		if err := k.SetTimeouts(lvs.Timeouts{TCP: odd}); err == nil {
			t.Errorf("%v is accepted", odd)
		}
	}
}
