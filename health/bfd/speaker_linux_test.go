package bfd

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// calmTiming has a Detection Time that a busy machine keeps to: 1 s.
var calmTiming = Timing{MinTx: 100 * time.Millisecond, MinRx: 100 * time.Millisecond, IdleTx: time.Second, Multiplier: 10}

func peers(name string, change func(c *Config, i int)) [2]Config {
	var both [2]Config
	for i := range both {
		both[i] = Config{Name: name, Neighbor: address(1 - i), TTL: 255, Timing: calmTiming}
		change(&both[i], i)
	}
	return both
}

// Goal: two of us come up, notice a cut cable within the Detection Time (and not before the
// last packet can have been), come up again, and say farewell; over each family and port,
// with sources, and one side passive. Method: two hosts, one switch.
func TestSpeakersWatchEachOther(t *testing.T) {
	tests := map[string]func(c *Config, i int){
		"single hop":       func(*Config, int) {},
		"multihop, source": func(c *Config, i int) { c.Multihop, c.Source = true, address(i) },
		"IPv6":             func(c *Config, i int) { c.Neighbor, c.TTL = address6(1-i), 64 },
		"IPv6 multihop":    func(c *Config, i int) { c.Neighbor, c.Source, c.Multihop = address6(1-i), address6(i), true },
		"one passive":      func(c *Config, i int) { c.Passive = i == 0 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSegment(t)
			watch(t, s, peers("peer", change))
		})
	}
}

// Goal: a link-local neighbour is looked for, and known, on its own interface. Method: hosts
// with two, the second of which is meant.
func TestLinkLocalNeighboursHaveAnInterface(t *testing.T) {
	t.Parallel()
	s := newSegment(t)
	other, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	for _, h := range s.hosts {
		if _, err := other.Plug(h, "eth1"); err != nil {
			t.Fatal(err)
		}
	}
	configs := peers("peer", func(c *Config, i int) { c.Neighbor = linkLocal(t, s.hosts[1-i], "eth1") })
	a, b := speak(t, s.hosts[0], configs[0]), speak(t, s.hosts[1], configs[1])
	a.await("peer", isUp)
	b.await("peer", isUp)
}

func watch(t *testing.T, s *segment, configs [2]Config) {
	a, b := speak(t, s.hosts[0], configs[0]), speak(t, s.hosts[1], configs[1])
	a.await("peer", isUp)
	b.await("peer", isUp)

	// Both poll for the faster rate; until then the Detection Time is that of slow start.
	awaitDetection(t, a, time.Second)
	awaitDetection(t, b, time.Second)
	began := time.Now()
	if err := s.cable.Cut(); err != nil {
		t.Fatal(err)
	}
	a.await("peer", isDown)
	if took := time.Since(began); took < 800*time.Millisecond || took > 5*time.Second {
		t.Errorf("down %v after the cut, want about 1s", took)
	}
	b.await("peer", isDown)
	if err := s.cable.Heal(); err != nil {
		t.Fatal(err)
	}
	a.await("peer", isUp)
	b.await("peer", isUp)

	b.stop()
	if c := a.await("peer", isDown); !strings.Contains(c.Reason, "AdminDown") {
		t.Errorf("after the neighbour's stop: %s", c.Reason)
	}
	a.expectNoDrops()
}

func awaitDetection(t *testing.T, s *speaking, want time.Duration) {
	t.Helper()
	for end := time.Now().Add(patience); s.speaker.Status()[0].DetectionTime != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("detection time stays %v, want %v", s.speaker.Status()[0].DetectionTime, want)
		}
	}
}

// linkLocal waits for a host's link-local address to be usable, and gives it as its
// neighbour writes it.
func linkLocal(t *testing.T, h *lab.Host, ifname string) netip.Addr {
	t.Helper()
	var found netip.Addr
	for end := time.Now().Add(patience); !found.IsValid(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no link-local address")
		}
		err := h.Do(func() error {
			link, err := netlink.LinkByName(ifname)
			if err != nil {
				return err
			}
			all, err := netlink.AddrList(link, netlink.FAMILY_V6)
			for _, a := range all {
				const tentative = 0x40 // IFA_F_TENTATIVE
				if addr, _ := netip.AddrFromSlice(a.IP); addr.IsLinkLocalUnicast() && a.Flags&tentative == 0 {
					found = addr.WithZone(ifname)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Goal: a port that another process has costs the sessions that need it, with words that
// help, and only until it is free. Method: hold 4784, then let go.
func TestTakenPortCostsItsSessionsOnly(t *testing.T) {
	t.Parallel()
	s := newSegment(t)
	var other net.PacketConn
	err := s.hosts[0].Do(func() (err error) {
		other, err = net.ListenPacket("udp4", ":4784")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	near := peers("near", func(*Config, int) {})
	far := peers("far", func(c *Config, _ int) { c.Multihop = true })
	a := speak(t, s.hosts[0], near[0], far[0])
	c := a.await("far", isLocal)
	for _, words := range []string{"4784", "address already in use", "another BFD program"} {
		if !strings.Contains(c.Reason, words) {
			t.Errorf("reason %q does not say %q", c.Reason, words)
		}
	}
	speak(t, s.hosts[1], near[1], far[1])
	a.await("near", isUp)
	_ = other.Close()
	a.await("far", isUp)
}

// Goal: a reload while Up changes times without a flap, and closes what is not needed any
// more. Method: two reloads; nothing but what is expected is reported; the port is free.
func TestReloadDoesNotFlap(t *testing.T) {
	t.Parallel()
	s := newSegment(t)
	near := peers("near", func(*Config, int) {})
	far := peers("far", func(c *Config, _ int) { c.Multihop = true })
	a, b := speak(t, s.hosts[0], near[0], far[0]), speak(t, s.hosts[1], near[1], far[1])
	a.await("near", isUp)
	a.await("far", isUp)
	b.await("near", isUp)
	awaitDetection(t, b, time.Second) // of "far", by name the first

	slower := near[0]
	slower.Timing.MinTx, slower.Timing.MinRx = 200*time.Millisecond, 300*time.Millisecond
	if err := a.speaker.Configure([]Config{slower}); err != nil {
		t.Fatal(err)
	}
	awaitDetection(t, a, 3*time.Second)
	if c := b.await("far", isDown); !strings.Contains(c.Reason, "AdminDown") {
		t.Errorf("reason %q, want the neighbour's AdminDown", c.Reason)
	}
	for end := time.Now().Add(patience); b.speaker.Status()[1].DetectionTime != 2*time.Second; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("status %+v, want the new detection time of 2s", b.speaker.Status())
		}
	}
	time.Sleep(3 * time.Second) // longer than either Detection Time
	for _, side := range []*speaking{a, b} {
		same(t, []Change(nil), side.changesOf("near"))
	}
	a.stop()
	err := s.hosts[0].Do(func() error {
		for _, port := range []int{portSingleHop, portMultihop} {
			conn, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			_ = conn.Close()
		}
		return nil
	})
	if err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// Goal: an address that isn't there yet is waited for. Method: a source that comes later.
func TestMissingSourceIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSegment(t)
	late := netip.MustParseAddr("10.9.0.77")
	a := speak(t, s.hosts[1], Config{Name: "late", Neighbor: late, TTL: 255, Timing: calmTiming})
	b := speak(t, s.hosts[0], Config{Name: "late", Neighbor: address(1), Source: late, TTL: 255, Timing: calmTiming})
	if c := b.await("late", isLocal); !strings.Contains(c.Reason, "10.9.0.77") {
		t.Errorf("reason %q does not name the source", c.Reason)
	}
	// The host's own thread is at work in Run: by way of its handle.
	handle, err := netlink.NewHandleAt(s.hosts[0].Handle())
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	link, err := handle.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("10.9.0.77/32")
	if err != nil {
		t.Fatal(err)
	}
	if err := handle.AddrAdd(link, addr); err != nil {
		t.Fatal(err)
	}
	a.await("late", isUp)
	b.await("late", isUp)
}

// byHand is a speaker without Run, whose steps the test makes, with a clock.
type byHand struct {
	*Speaker
	now     boottime.Instant
	changes []Change
}

func newByHand(t *testing.T, configs ...Config) *byHand {
	t.Helper()
	b := &byHand{now: boottime.Instant(time.Hour)}
	b.Speaker = NewSpeaker(SpeakerOptions{
		Now:     func() boottime.Instant { return b.now },
		Changed: func(c Change) { b.changes = append(b.changes, c) },
	})
	if err := b.Configure(configs); err != nil {
		t.Fatal(err)
	}
	return b
}

// end is what Run does in the end.
func (b *byHand) end() {
	b.perform(b.step(b.table.Stop))
	close(b.doneC)
	b.waiters.Wait()
}

// Goal: a speaker that was late to listen takes nobody for down: what waits in its socket
// counts before its timers. Method: a packet in the socket, a clock far beyond the Detection
// Time, a turn; then the same without the packet.
func TestLateSpeakerReadsBeforeItJudges(t *testing.T) {
	t.Parallel()
	lab.Require(t)
	h, err := lab.NewHost("alone")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	us, neighbor := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	b := newByHand(t, Config{Name: "peer", Neighbor: neighbor, TTL: 255, Timing: calmTiming})
	err = h.Do(func() error {
		out, err := openSender(Config{Neighbor: us, Source: neighbor, TTL: 255})
		if err != nil {
			return err
		}
		defer out.close()
		b.turn()
		defer b.end()
		for _, state := range []State{Init, Up} {
			p := theirPacket(state)
			p.YourDiscriminator = b.table.entries[0].discriminator
			if err := out.send(p); err != nil {
				return err
			}
			awaitQueued(t, b.listeners[port{}])
			b.now = b.now.Add(time.Minute)
			b.turn()
		}
		want := []Change{{Name: "peer", Up: true, Reason: "the session is up"}}
		same(t, want, b.changes)
		b.now = b.now.Add(time.Minute)
		b.turn()
		same(t, append(want, Change{Name: "peer", Reason: "no packet for the detection time of 400ms"}), b.changes)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitQueued waits until there is a packet to read.
func awaitQueued(t *testing.T, l *listener) {
	t.Helper()
	if err := l.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	err := l.raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err == nil
	})
	if err != nil {
		t.Fatalf("no packet comes: %v", err)
	}
}

// Goal: a port that breaks while in use is our trouble, not the neighbour's, and is opened
// again. Method: close it behind the speaker's back.
func TestBrokenPortIsOpenedAgain(t *testing.T) {
	t.Parallel()
	s := newSegment(t)
	near, far := peers("near", func(*Config, int) {}), peers("far", func(c *Config, _ int) { c.Multihop = true })
	b := newByHand(t, near[0], far[0])
	err := s.hosts[0].Do(func() error {
		b.turn()
		b.listeners[port{multihop: true}].close()
		b.turn()
		if len(b.changes) != 1 || b.changes[0].Name != "far" || !b.changes[0].Local || len(b.listeners) != 1 {
			t.Errorf("changes %+v, %d ports open; want one for far, and one", b.changes, len(b.listeners))
		}
		b.now = b.now.Add(RetryInterval)
		b.turn()
		if len(b.listeners) != 2 {
			t.Errorf("%d ports open after the retry, want 2", len(b.listeners))
		}
		b.end()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
