package lvs_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hafence/hafence/lvs"
)

// web is the service that most stories are about.
var web = lvs.AddressKey(lvs.TCP, netip.MustParseAddrPort("192.0.2.1:80"))

// service makes a wlc service at key.
func service(key lvs.ServiceKey, destinations ...lvs.Destination) lvs.Service {
	return lvs.Service{ServiceKey: key, Settings: lvs.Settings{Scheduler: "wlc"}, Destinations: destinations}
}

// real makes the destination 10.0.0.n:80 by direct routing.
func real(n byte, weight lvs.Weight) lvs.Destination {
	return lvs.Destination{Addr: realAddr(n), Method: lvs.Direct, Weight: weight}
}

func realAddr(n byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 80)
}

// ipvs is what the real kernel and the fake have in common with what plans need.
type ipvs interface {
	Services() ([]lvs.Service, error)
	Apply([]lvs.Op) lvs.Outcome
}

// table reads all services, in the order of their names, destinations in order.
func table(t *testing.T, k ipvs) []lvs.Service {
	t.Helper()
	services, err := k.Services()
	if err != nil {
		t.Fatal(err)
	}
	return sorted(services)
}

func sorted(services []lvs.Service) []lvs.Service {
	services = slices.Clone(services)
	for i, s := range services {
		services[i].Destinations = slices.SortedFunc(slices.Values(s.Destinations), func(a, b lvs.Destination) int { return a.Addr.Compare(b.Addr) })
	}
	slices.SortFunc(services, func(a, b lvs.Service) int {
		return slices.Compare([]byte(a.ServiceKey.String()), []byte(b.ServiceKey.String()))
	})
	return services
}

// difference shows how two tables differ, whatever their order.
func difference(want, got []lvs.Service) string {
	return cmp.Diff(sorted(want), sorted(got), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }))
}

// mustApply performs a plan of which nothing may be refused or come as a surprise.
func mustApply(t *testing.T, k ipvs, ops []lvs.Op) {
	t.Helper()
	outcome := k.Apply(ops)
	for _, refused := range outcome.Refused {
		t.Error(refused)
	}
	if outcome.Surprises != 0 || outcome.Done != len(ops) {
		t.Errorf("%d of %d ops done with %d surprises", outcome.Done, len(ops), outcome.Surprises)
	}
}

// words gives ops as they print.
func words(ops []lvs.Op) []string {
	var lines []string
	for _, op := range ops {
		lines = append(lines, op.String())
	}
	return lines
}

// sample makes random tables, small enough to collide. All is in the form in
// which the kernel says it.
type sample struct{ *rand.Rand }

func newSample(seed uint64) sample {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return sample{rand.New(rand.NewChaCha8(key))}
}

// table makes up to 7 services of 14 possible ones.
func (r sample) table() []lvs.Service {
	var services []lvs.Service
	for range r.IntN(8) {
		s := lvs.Service{ServiceKey: r.key(), Settings: r.settings()}
		if slices.ContainsFunc(services, func(other lvs.Service) bool { return other.ServiceKey == s.ServiceKey }) {
			continue
		}
		for n := range 5 {
			if r.IntN(2) == 0 {
				s.Destinations = append(s.Destinations, r.destination(s.Family, n))
			}
		}
		services = append(services, s)
	}
	return services
}

func (r sample) key() lvs.ServiceKey {
	n := 1 + r.IntN(2)
	switch r.IntN(4) {
	case 0:
		return lvs.MarkKey(lvs.IPv4, uint32(n))
	case 1:
		return lvs.MarkKey(lvs.IPv6, uint32(n))
	}
	protocol := []lvs.Protocol{lvs.TCP, lvs.UDP, lvs.SCTP}[r.IntN(3)]
	addr := fmt.Sprintf("192.0.2.%d:80", n)
	if r.IntN(2) == 0 {
		addr = fmt.Sprintf("[2001:db8::%d]:80", n)
	}
	return lvs.AddressKey(protocol, netip.MustParseAddrPort(addr))
}

func (r sample) settings() lvs.Settings {
	s := lvs.Settings{Scheduler: []string{"rr", "wlc", "sh"}[r.IntN(3)]}
	if r.IntN(3) == 0 {
		s.Persistence, s.PersistenceMask = time.Minute, 24*r.IntN(2)
	}
	if r.IntN(3) == 0 {
		s.Flags = lvs.SHPort
	}
	return s
}

func (r sample) destination(family lvs.Family, n int) lvs.Destination {
	addr := fmt.Sprintf("10.0.0.%d:80", n+1)
	if family == lvs.IPv6 {
		addr = fmt.Sprintf("[2001:db8:1::%d]:80", n+1)
	}
	d := lvs.Destination{
		Addr: netip.MustParseAddrPort(addr), Method: lvs.Method(1 + r.IntN(3)), Weight: lvs.Weight(r.IntN(3)), Upper: uint32(10 * r.IntN(2)),
	}
	if d.Method == lvs.Tunnel {
		d.Encapsulation = []lvs.Encapsulation{
			{Type: lvs.IPIP}, {Type: lvs.GUE, Port: 6080, Checksum: lvs.NoChecksum}, {Type: lvs.GRE, Checksum: lvs.Checksum},
		}[r.IntN(3)]
	}
	return d
}
