package health

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rs is the address of the n-th real server.
func rs(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 80)
}

var sorryAddr = netip.MustParseAddrPort("10.9.9.9:80")

// servers makes real servers with one check "C" each.
func servers(weights ...Weight) []Server {
	var list []Server
	for i, w := range weights {
		list = append(list, Server{Addr: rs(i + 1), Weight: w, Checks: []Member{{Name: "C"}}})
	}
	return list
}

// poolStory is a pool and all that has become of it.
type poolStory struct {
	t    *testing.T
	pool *Pool
	news []string
}

func newPool(t *testing.T, config PoolConfig) *poolStory {
	t.Helper()
	p, changes := NewPool(at(0), config, nil)
	s := &poolStory{t: t, pool: p}
	s.note(changes)
	return s
}

func (s *poolStory) note(changes []Change) {
	for _, c := range changes {
		text := c.Kind.String()
		if c.Server.IsValid() {
			text = fmt.Sprintf("%s %s", strings.TrimSuffix(c.Server.String(), ":80"), text)
		}
		if c.Kind == WeightChanged {
			text = fmt.Sprintf("%s %d", text, c.Weight)
		}
		s.news = append(s.news, text)
	}
}

// say applies a report of a check that has changed.
func (s *poolStory) say(server int, check string, up bool) {
	s.sayResult(server, check, Result{Up: up})
}

func (s *poolStory) sayResult(server int, check string, r Result) {
	kind := ReportChanged
	s.note(s.pool.Apply(Report{ID: CheckID{Server: rs(server), Name: check}, At: at(1), Up: r.Up, Result: r, Kind: kind}))
}

func (s *poolStory) wantNews(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.news); diff != "" {
		s.t.Errorf("changes (-want +got):\n%s", diff)
	}
	s.news = nil
}

// wantIPVS compares "10.0.0.1=3" with what IPVS should have.
func (s *poolStory) wantIPVS(want ...string) {
	s.t.Helper()
	var got []string
	for _, d := range s.pool.Destinations() {
		text := fmt.Sprintf("%s=%d", d.Addr.Addr(), d.Weight)
		if d.Sorry {
			text += " sorry"
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("IPVS (-want +got):\n%s", diff)
	}
}

// Goal (§2.8 first check, §2.7 LVS): without alpha servers start in the pool and quorum_up
// runs; notify_up doesn't.
func TestServersStartInThePool(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Servers: servers(1, 2)})
	s.wantIPVS("10.0.0.1=1", "10.0.0.2=2")
	s.wantNews("quorum gained")
	s.say(1, "C", true) // which confirms it
	s.wantNews()
}

// Goal (rs_init_notifies): notify_up runs at the start, too.
func TestInitNotifies(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, InitNotifies: true, Servers: servers(1)})
	s.wantNews("10.0.0.1 up", "quorum gained")
}

// Goal (§2.8 alpha): servers start out, come in with the first success, and one that is
// found down is notified once.
func TestAlphaStartsOut(t *testing.T) {
	config := PoolConfig{Quorum: 1, Servers: servers(1, 1)}
	for i := range config.Servers {
		config.Servers[i].Checks[0].Alpha = true
	}
	s := newPool(t, config)
	s.wantIPVS()
	s.wantNews()
	s.say(2, "C", false)
	s.say(2, "C", false)
	s.wantNews("10.0.0.2 down")
	s.say(1, "C", true)
	s.wantNews("10.0.0.1 up", "quorum gained")
	s.wantIPVS("10.0.0.1=1")
}

// Goal (§2.8 several checkers): a server is up exactly when every one of its checks is.
func TestServerIsUpWhenEveryCheckIs(t *testing.T) {
	config := PoolConfig{Quorum: 1, Servers: servers(1, 1)}
	config.Servers[0].Checks = []Member{{Name: "A"}, {Name: "B"}}
	s := newPool(t, config)
	s.news = nil
	s.say(1, "A", false)
	s.say(1, "B", false)
	s.say(1, "A", true)
	s.wantIPVS("10.0.0.2=1")
	s.say(1, "B", true)
	s.wantIPVS("10.0.0.1=1", "10.0.0.2=1")
	s.wantNews("10.0.0.1 down", "10.0.0.1 up")
}

// Goal (§2.9 RS failure): it leaves IPVS, or, with inhibit_on_failure, stays with weight 0.
func TestFailedServerIsRemovedOrInhibited(t *testing.T) {
	config := PoolConfig{Quorum: 1, Servers: servers(1, 2, 3)}
	config.Servers[1].InhibitOnFailure = true
	s := newPool(t, config)
	s.say(1, "C", false)
	s.say(2, "C", false)
	s.wantIPVS("10.0.0.2=0", "10.0.0.3=3")
}

// Goal (§2.9 quorum gain / loss): lost below quorum − hysteresis, gained at quorum +
// hysteresis; the server's own change comes first.
func TestQuorumHasHysteresis(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 3, Hysteresis: 1, Servers: servers(1, 1, 1, 1)})
	s.wantNews("quorum gained") // 4 ≥ 3 + 1
	s.say(1, "C", false)
	s.say(2, "C", false) // 2 is not below 3 − 1
	s.wantNews("10.0.0.1 down", "10.0.0.2 down")
	s.say(3, "C", false)
	s.wantNews("10.0.0.3 down", "quorum lost")
	s.say(3, "C", true)
	s.say(2, "C", true) // 3 is not yet 3 + 1
	s.wantNews("10.0.0.3 up", "10.0.0.2 up")
	s.say(1, "C", true)
	s.wantNews("10.0.0.1 up", "quorum gained")
}

// Goal (§2.9): a sum of 0 loses the quorum whatever the hysteresis; weight 0 counts for
// nothing.
func TestNoWeightIsNoQuorum(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 2, Hysteresis: 1, Servers: servers(5, 0)})
	s.news = nil
	s.say(1, "C", false)
	s.wantNews("10.0.0.1 down", "quorum lost")
	s.wantIPVS("10.0.0.2=0")
}

// Goal (§2.9 all RS down, no sorry): the service stays, empty, and quorum_down runs; what
// is left serves on while the quorum is lost.
func TestWithoutSorryServerWhatIsLeftServes(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 2, Servers: servers(1, 1)})
	s.news = nil
	s.say(1, "C", false)
	s.wantNews("10.0.0.1 down", "quorum lost")
	s.wantIPVS("10.0.0.2=1")
	s.say(2, "C", false)
	s.wantIPVS()
}

// Goal (§2.9 sorry_server): at loss all servers that are up are replaced by it, at gain
// they come back; inhibited ones stay with weight 0.
func TestSorryServerStandsIn(t *testing.T) {
	config := PoolConfig{Quorum: 2, Sorry: &SorryServer{Addr: sorryAddr, Weight: 1}, Servers: servers(1, 1, 1)}
	config.Servers[2].InhibitOnFailure = true
	s := newPool(t, config)
	s.say(1, "C", false)
	s.wantIPVS("10.0.0.2=1", "10.0.0.3=1")
	s.say(2, "C", false)
	s.wantIPVS("10.0.0.3=0", "10.9.9.9=1 sorry")
	s.say(2, "C", true)
	s.wantIPVS("10.0.0.2=1", "10.0.0.3=1")
}

// Goal (§2.9 sorry_server_inhibit): it is there all the time, and has a weight when needed.
func TestInhibitedSorryServerIsAlwaysThere(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Sorry: &SorryServer{Addr: sorryAddr, Weight: 1, Inhibit: true}, Servers: servers(1)})
	s.wantIPVS("10.0.0.1=1", "10.9.9.9=0 sorry")
	s.say(1, "C", false)
	s.wantIPVS("10.9.9.9=1 sorry")
}

// Goal: a sorry server that is one of the real servers is one destination.
func TestSorryServerMayBeARealServer(t *testing.T) {
	for _, inhibit := range []bool{false, true} {
		s := newPool(t, PoolConfig{Quorum: 2, Sorry: &SorryServer{Addr: rs(2), Weight: 7, Inhibit: inhibit}, Servers: servers(1, 1)})
		s.wantIPVS("10.0.0.1=1", "10.0.0.2=1")
		s.say(1, "C", false)
		s.wantIPVS("10.0.0.2=7 sorry")
	}
	inhibited := servers(1, 1)
	inhibited[1].InhibitOnFailure = true
	s := newPool(t, PoolConfig{Quorum: 2, Sorry: &SorryServer{Addr: rs(2), Weight: 7}, Servers: inhibited})
	s.say(2, "C", false)
	s.wantIPVS("10.0.0.2=7 sorry")
}

// Goal: a start without a quorum runs quorum_down only where a sorry server stands in
// (keepalived's update_quorum_state).
func TestStartWithoutQuorum(t *testing.T) {
	config := PoolConfig{Quorum: 5, Servers: servers(1)}
	newPool(t, config).wantNews()
	config.Sorry = &SorryServer{Addr: sorryAddr, Weight: 1}
	newPool(t, config).wantNews("quorum lost")
}

// Goal (§2.8 misc_dynamic, FILE_CHECK): weights of checks count at once, in IPVS and for
// the quorum, also that of a server whose check says nothing about it afterwards.
func TestChecksChangeWeights(t *testing.T) {
	config := PoolConfig{Quorum: 3, Servers: servers(4, 1)}
	config.Servers[0].Checks = []Member{{Name: "M"}, {Name: "F"}}
	s := newPool(t, config)
	s.news = nil
	s.sayResult(1, "M", Result{Up: true, Weight: WeightChange{WeightSet, 2}})
	s.wantNews("10.0.0.1 weight 2")
	s.sayResult(1, "M", Result{Up: true})
	s.sayResult(1, "F", Result{Up: true, Weight: WeightChange{WeightAdd, 10}})
	s.wantIPVS("10.0.0.1=12", "10.0.0.2=1")
	s.sayResult(1, "F", Result{Up: true, Weight: WeightChange{WeightAdd, -100}})
	s.wantNews("10.0.0.1 weight 12", "10.0.0.1 weight 0", "quorum lost")
	s.wantIPVS("10.0.0.1=0", "10.0.0.2=1") // drained, not removed
	s.sayResult(1, "F", Result{Up: true, Weight: WeightChange{WeightAdd, 1 << 40}})
	s.wantIPVS("10.0.0.1=65535", "10.0.0.2=1")
}

// Goal (§2.11, #479, #1228): a reload keeps failed servers failed, counts new weights at
// once, removes what is gone with notify_down, and adds what is new.
func TestReloadKeepsTheState(t *testing.T) {
	config := PoolConfig{Quorum: 1, Servers: servers(1, 1, 1)}
	s := newPool(t, config)
	s.say(1, "C", false)
	s.news = nil
	next := PoolConfig{Quorum: 1, Servers: []Server{
		{Addr: rs(1), Weight: 5, Checks: []Member{{Name: "C"}}},
		{Addr: rs(2), Weight: 6, Checks: []Member{{Name: "C"}}},
		{Addr: rs(4), Weight: 7, Checks: []Member{{Name: "C"}}},
		{Addr: rs(5), Weight: 8, Checks: []Member{{Name: "C", Alpha: true}}},
	}}
	s.note(s.pool.Reconfigure(at(2), next))
	s.wantNews("10.0.0.3 down", "10.0.0.1 weight 5", "10.0.0.2 weight 6")
	s.wantIPVS("10.0.0.2=6", "10.0.0.4=7")
	s.say(1, "C", true)
	s.wantIPVS("10.0.0.1=5", "10.0.0.2=6", "10.0.0.4=7")
}

// Goal: on reload a new check does not take down a server that is up, be it alpha; a check
// that is gone no longer holds one down.
func TestReloadOfChecks(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Servers: servers(1, 1)})
	s.say(2, "C", false)
	s.news = nil
	next := PoolConfig{Quorum: 1, Servers: servers(1, 1)}
	next.Servers[0].Checks = []Member{{Name: "C"}, {Name: "new", Alpha: true}}
	next.Servers[1].Checks = []Member{{Name: "other"}}
	s.note(s.pool.Reconfigure(at(2), next))
	s.wantNews("10.0.0.2 up")
	s.wantIPVS("10.0.0.1=1", "10.0.0.2=1")
	s.say(1, "new", false)
	s.wantNews("10.0.0.1 down")
}

// Goal: a reload that changes quorum or sorry server judges anew.
func TestReloadOfTheQuorum(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Servers: servers(1, 1)})
	s.say(1, "C", false)
	s.news = nil
	s.note(s.pool.Reconfigure(at(2), PoolConfig{Quorum: 2, Servers: servers(1, 1)}))
	s.wantNews("quorum lost")
	s.wantIPVS("10.0.0.2=1")
	s.note(s.pool.Reconfigure(at(2), PoolConfig{Quorum: 2, Sorry: &SorryServer{Addr: sorryAddr, Weight: 1}, Servers: servers(1, 1)}))
	s.wantNews("quorum lost")
	s.wantIPVS("10.9.9.9=1 sorry")
	s.note(s.pool.Reconfigure(at(2), PoolConfig{Quorum: 2, Servers: servers(1, 1)}))
	s.wantNews()
	s.wantIPVS("10.0.0.2=1")
}

// Goal: a reload that brings a sorry server and loses the quorum says so once; one that a
// restart brings while the quorum is lost stands in, and is told of.
func TestNewSorryServer(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Servers: servers(1)})
	s.news = nil
	config := PoolConfig{Quorum: 2, Sorry: &SorryServer{Addr: sorryAddr, Weight: 1}, Servers: servers(1)}
	s.note(s.pool.Reconfigure(at(2), config))
	s.wantNews("quorum lost")

	state := s.pool.State()
	config.Sorry = &SorryServer{Addr: rs(8), Weight: 1}
	p, changes := NewPool(at(3), config, &state)
	s.pool = p
	s.note(changes)
	s.wantNews("quorum lost")
	s.wantIPVS("10.0.0.8=1 sorry")
}

// Goal (§2.7 LVS, omega): at the stop notify_down of what is up and quorum_down run with
// omega, and nothing without; IPVS is untouched.
func TestStopNotifiesWithOmega(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Servers: servers(1, 1)})
	s.news = nil
	s.note(s.pool.Stop(at(2)))
	s.wantNews()
	s = newPool(t, PoolConfig{Quorum: 1, Omega: true, Servers: servers(1, 1)})
	s.say(2, "C", false)
	s.news = nil
	s.note(s.pool.Stop(at(2)))
	s.wantNews("10.0.0.1 down", "quorum lost")
	s.wantIPVS("10.0.0.1=1")
}

// Goal: a virtual server that leaves the configuration tells its scripts.
func TestRemovedPoolNotifies(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 1, Servers: servers(1)})
	s.news = nil
	s.note(s.pool.Remove(at(2)))
	s.wantNews("10.0.0.1 down", "quorum lost")
}

// Goal: what a pool does not know changes nothing: reports of checks that are gone, of
// failures that don't count, of a server twice in the file.
func TestPoolIgnoresWhatIsNotItsOwn(t *testing.T) {
	config := PoolConfig{Quorum: 1, Servers: append(servers(1), servers(9)...)}
	s := newPool(t, config)
	s.news = nil
	s.say(7, "C", false)
	s.say(1, "gone", false)
	s.note(s.pool.Apply(Report{ID: CheckID{Server: rs(1), Name: "C"}, Kind: ReportFailure}))
	s.note(s.pool.Apply(Report{ID: CheckID{Server: rs(1), Name: "C"}, Kind: ReportNothing}))
	s.wantNews()
	s.wantIPVS("10.0.0.1=1")
}

// Goal: nonsense that the configuration refuses does no harm here.
func TestQuorumOfNothing(t *testing.T) {
	s := newPool(t, PoolConfig{Quorum: 0, Hysteresis: 9, Servers: servers(1)})
	s.wantNews("quorum gained")
	s.say(1, "C", false)
	s.wantNews("10.0.0.1 down", "quorum lost")
}

// Goal: whatever happens, the quorum keeps to its thresholds, IPVS has exactly what it
// should, and a restart of the process with the stored state changes nothing. Method:
// random configurations and reports; the state goes through JSON.
func TestPoolKeepsItsInvariants(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		config := randomPool(random)
		p, _ := NewPool(at(0), config, nil)
		for range 60 {
			quorum := p.Quorum()
			server := config.Servers[random.IntN(len(config.Servers))]
			r := Report{ID: CheckID{Server: server.Addr, Name: fmt.Sprint(random.IntN(3))}, Up: random.IntN(2) == 0, Kind: ReportChanged}
			r.Result.Weight = WeightChange{WeightKind(random.IntN(3)), random.Int64N(7) - 3}
			changes := p.Apply(r)
			checkQuorum(t, seed, p, quorum, changes)
			checkDestinations(t, seed, p)
			checkRestart(t, seed, p)
			if random.IntN(10) == 0 {
				before := p.Status()
				next := randomPool(random)
				p.Reconfigure(at(1), next)
				checkCarried(t, seed, config, next, before, p)
				config = next
				checkDestinations(t, seed, p)
			}
		}
	}
}

func randomPool(random *rand.Rand) PoolConfig {
	config := PoolConfig{Quorum: 1 + random.Int64N(6)}
	config.Hysteresis = random.Int64N(config.Quorum)
	if random.IntN(2) == 0 {
		config.Sorry = &SorryServer{Addr: sorryAddr, Weight: 1, Inhibit: random.IntN(2) == 0}
	}
	for i := range 1 + random.IntN(5) {
		s := Server{Addr: rs(i), Weight: Weight(random.IntN(4)), InhibitOnFailure: random.IntN(3) == 0}
		for k := range random.IntN(4) {
			s.Checks = append(s.Checks, Member{Name: fmt.Sprint(k), Alpha: random.IntN(3) == 0})
		}
		config.Servers = append(config.Servers, s)
	}
	return config
}

func checkQuorum(t *testing.T, seed uint64, p *Pool, before bool, changes []Change) {
	t.Helper()
	sum, q, h := p.Weight(), p.config.Quorum, p.config.Hysteresis
	want := before
	switch {
	case !before && sum >= q+h:
		want = true
	case before && (sum == 0 || sum < q-h):
		want = false
	}
	if p.Quorum() != want {
		t.Fatalf("seed %d: quorum %v with weight %d, quorum %d, hysteresis %d, before %v", seed, p.Quorum(), sum, q, h, before)
	}
	said := 0
	for _, c := range changes {
		if c.Kind == QuorumGained || c.Kind == QuorumLost {
			said++
		}
	}
	if (said > 0) != (before != want) {
		t.Fatalf("seed %d: quorum from %v to %v, and %d changes say so", seed, before, want, said)
	}
}

func checkDestinations(t *testing.T, seed uint64, p *Pool) {
	t.Helper()
	have := map[netip.AddrPort]Weight{}
	for _, d := range p.Destinations() {
		if _, twice := have[d.Addr]; twice {
			t.Fatalf("seed %d: %s is twice in IPVS", seed, d.Addr)
		}
		have[d.Addr] = d.Weight
	}
	for _, s := range p.Status().Servers {
		weight, there := have[s.Addr]
		serves := s.Up && !p.Sorry()
		inhibited := p.byAddr[s.Addr].InhibitOnFailure
		if there != (serves || inhibited) || serves && weight != s.Weight || !serves && weight != 0 {
			t.Fatalf("seed %d: %+v is in IPVS: %v, with weight %d; the sorry server stands in: %v", seed, s, there, weight, p.Sorry())
		}
	}
	if _, there := have[sorryAddr]; there != (p.Sorry() || p.config.Sorry != nil && p.config.Sorry.Inhibit) {
		t.Fatalf("seed %d: the sorry server is in IPVS: %v", seed, there)
	}
}

// checkRestart compares the pool with one that is made of its stored state.
func checkRestart(t *testing.T, seed uint64, p *Pool) {
	t.Helper()
	stored, err := json.Marshal(p.State())
	if err != nil {
		t.Fatal(err)
	}
	var state PoolState
	if err := json.Unmarshal(stored, &state); err != nil {
		t.Fatal(err)
	}
	again, changes := NewPool(at(9), p.config, &state)
	if len(changes) > 0 {
		t.Fatalf("seed %d: a restart changes %+v", seed, changes)
	}
	if diff := cmp.Diff(p.Destinations(), again.Destinations(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Fatalf("seed %d: IPVS after a restart (-want +got):\n%s", seed, diff)
	}
	if diff := cmp.Diff(p.State(), again.State(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Fatalf("seed %d: state after a restart (-want +got):\n%s", seed, diff)
	}
}

// checkCarried finds servers whose checks are the same before and after a reload.
func checkCarried(t *testing.T, seed uint64, old, next PoolConfig, before PoolStatus, p *Pool) {
	t.Helper()
	for i, s := range old.Servers {
		if i >= len(next.Servers) || len(s.Checks) != len(next.Servers[i].Checks) {
			continue
		}
		if was, is := before.Servers[i].Up, p.byAddr[s.Addr].up(); was != is {
			t.Fatalf("seed %d: a reload changed %s from %v to %v", seed, s.Addr, was, is)
		}
	}
}
