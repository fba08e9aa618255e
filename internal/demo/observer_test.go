package demo

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// testPatience is how long a test waits for what must come soon; it is no promise.
const testPatience = 15 * time.Second

// stage is a switch with plain hosts on it, without hafence and without a gate,
// and an observer that looks at them.
type stage struct {
	t        *testing.T
	hosts    []*lab.Host
	ports    []*lab.Port
	sw       *lab.Switch
	client   *lab.Host
	observer *Observer
}

func newStage(t *testing.T, hosts int, programs ...string) *stage {
	t.Helper()
	lab.Require(t, programs...)
	s := &stage{t: t}
	var err error
	if s.sw, err = lab.NewSwitch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.sw.Close() })
	for i := range hosts {
		s.hosts = append(s.hosts, s.host(fmt.Sprintf("n%d", i+1), nodeAddress(i)))
	}
	s.client = s.host("client", clientAddress)
	s.observer, err = Observe(Scene{Switch: s.sw, Nodes: s.ports[:hosts], Client: s.client, VIP: vip, Observer: observerAddress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.observer.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) host(name string, address netip.Addr) *lab.Host {
	s.t.Helper()
	h, err := lab.NewHost(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = h.Close() })
	port, err := s.sw.Plug(h, "eth0", netip.PrefixFrom(address, subnetBits))
	if err != nil {
		s.t.Fatal(err)
	}
	s.ports = append(s.ports, port)
	return h
}

// set adds the VIP to a host by hand, or takes it away.
func (s *stage) set(host int, present bool) {
	s.t.Helper()
	err := s.hosts[host].Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		address := &netlink.Addr{IPNet: netlink.NewIPNet(vip.AsSlice())}
		if present {
			return netlink.AddrAdd(link, address)
		}
		return netlink.AddrDel(link, address)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the record is as it should be.
func (s *stage) await(what string, ok func(r *Record, now boottime.Instant) bool) {
	s.t.Helper()
	for end := time.Now().Add(testPatience); !ok(s.observer.Record(), boottime.Now()); time.Sleep(Round) {
		if time.Now().After(end) {
			s.t.Fatalf("never seen: %s", what)
		}
	}
}

func (s *stage) awaitAlone(host int) {
	s.t.Helper()
	s.await(fmt.Sprintf("only host %d answers", host), func(r *Record, now boottime.Instant) bool {
		return r.answering(lately(now)) == host
	})
}

// The observer bites: a VIP that two hosts have, added by hand and behind no
// gate, is two answers and two addresses at once; a single one is neither.
// Method: plain hosts on a switch.
func TestObserverSeesADuplicatedAddress(t *testing.T) {
	s := newStage(t, 3)
	s.set(0, true)
	s.awaitAlone(0)
	alone := window{from: boottime.Now().Add(-settleTime), to: boottime.Now()}
	if got := s.observer.Record().dualAnswer(alone); got != 0 {
		t.Errorf("one host alone: dual answer = %v", got)
	}

	began := boottime.Now()
	s.set(2, true)
	s.await("a long dual answer", func(r *Record, now boottime.Instant) bool {
		return r.dualAnswer(window{from: began, to: now}) >= 10*Round
	})
	for _, via := range []Via{ViaARP, ViaIP} {
		s.await("answers of the second by "+via.String(), func(r *Record, _ boottime.Instant) bool {
			for _, a := range r.Answers {
				if a.Node == 2 && a.Via == via {
					return true
				}
			}
			return false
		})
	}
	s.set(2, false)
	s.awaitAlone(0)
	w := window{from: began, to: boottime.Now()}
	r := s.observer.Record()
	dual := r.dualAddress(w)
	if dual == 0 || dual >= w.to.Sub(w.from) {
		t.Errorf("dual address = %v of %v", dual, w.to.Sub(w.from))
	}
	// The address answers as long as it is there, within a round at either end.
	if answered := r.dualAnswer(w); answered < dual-10*Round || answered > dual+10*Round {
		t.Errorf("dual answer = %v, but dual address = %v", answered, dual)
	}
}

// A VIP that moves at once is an outage but never a dual answer, and one that
// stays is neither. Method: take the address from one host, then give it to
// another, and let the client look for it anew.
func TestObserverSeesAnOutageAndNoDualAnswerWhenTheAddressMoves(t *testing.T) {
	s := newStage(t, 2, "ip")
	s.set(0, true)
	s.awaitAlone(0)
	began := boottime.Now()
	s.set(0, false)
	// Longer than the client waits for an answer.
	s.await("a lost probe", func(r *Record, now boottime.Instant) bool {
		return r.outage(window{from: began, to: now}) > answerPatience
	})
	s.set(1, true)
	if err := s.client.Run("ip", "neigh", "flush", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	s.awaitAlone(1)
	r, w := s.observer.Record(), window{from: began.Add(-settleTime), to: boottime.Now()}
	if got := r.dualAnswer(w); got != 0 {
		t.Errorf("dual answer = %v, want 0", got)
	}
	if got := r.outage(w); got < answerPatience || got > w.to.Sub(w.from) {
		t.Errorf("outage = %v, want more than %v", got, answerPatience)
	}
	if got := r.stale(0, window{from: began, to: w.to}); got > answerPatience {
		t.Errorf("stale = %v, want hardly anything", got)
	}
}

// The observer's questions leave no trace in the nodes' neighbour caches but
// the entry that it made itself. Method: list the cache after a while.
func TestObserverTeachesTheNodesNothing(t *testing.T) {
	s := newStage(t, 2)
	s.set(0, true)
	s.awaitAlone(0)
	err := s.hosts[1].Do(func() error {
		neighbours, err := netlink.NeighList(0, netlink.FAMILY_V4)
		for _, n := range neighbours {
			if n.IP.IsUnspecified() || (n.IP.Equal(observerAddress.AsSlice()) && n.State != netlink.NUD_PERMANENT) {
				t.Errorf("neighbour %v", n)
			}
			if n.IP.Equal(vip.AsSlice()) {
				t.Errorf("the node has learnt the VIP from the observer: %v", n)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
