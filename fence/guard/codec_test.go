package guard

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/fence"
)

// samples has every kind once, with every field set.
var samples = []Message{
	Configure{
		Seq: 1, TTL: 1500 * time.Millisecond, Gate: true, Lifetime: true, LockMemory: true, RealtimePriority: 50,
		Watchdog: "/dev/watchdog", WatchdogTimeout: 5 * time.Second, HeartbeatTimeout: time.Second,
		Groups: []Group{{Name: "web", VIPs: []fence.VIP{{
			Prefix: netip.MustParsePrefix("192.0.2.7/32"), Interface: "eth0", Label: "eth0:1", Scope: 253, Broadcast: netip.MustParseAddr("192.0.2.255"),
		}}}},
	},
	Arm{Seq: 2, Group: "web"},
	Open{Seq: 3, Group: "web", Token: 1<<63 + 1, Deadline: 1<<62 + 1},
	Refresh{Seq: 4, Deadline: 99, Groups: []string{"web", "db"}},
	Drop{Seq: 5, Groups: []string{"web"}, Cause: "stop"},
	Farewell{Peers: []string{"192.0.2.2:1"}, ServerNames: []string{"b"}, ALPN: "x", CertPEM: []byte("c"), KeyPEM: []byte("k"), CAPEM: []byte("a"), Frame: []byte{0, 255}},
	Heartbeat{}, Ready{Status: "fine"}, Reloading{}, Stopping{},
	Configured{Seq: 1, Layers: Layers{Gate: true, Lifetime: true, Watchdog: true, MemoryLocked: true, OOMProtected: true, RealtimePriority: 50, Missing: []string{"x"}, Cautions: []string{"y"}}, Removed: []string{"192.0.2.7"}, Error: "e"},
	Armed{Seq: 2, Group: "web", Error: "e"},
	Opened{Seq: 3, Group: "web", Token: 7, Error: "e", Expired: true},
	Refreshed{Seq: 4, Refused: []string{"web"}},
	Dropped{Seq: 5, Groups: []string{"web"}, Error: "e"},
	Lapsed{Group: "web", Token: 7, Cause: "c", Error: "e"},
	Repaired{Group: "web", VIP: testVIP, Count: 3},
	LayersChanged{Layers: Layers{Gate: true}},
}

var byValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// decode(encode(x)) = x for every kind. A kind without a sample is a failure.
func TestMessagesSurviveTheWire(t *testing.T) {
	kinds := make(map[string]bool)
	for _, want := range samples {
		kinds[want.kind()] = true
		datagram, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(datagram)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, byValue); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.kind(), diff)
		}
	}
	for kind := range decoders {
		if !kinds[kind] {
			t.Errorf("kind %s has no sample", kind)
		}
	}
}

// What isn't a message is an error, of the promised type.
func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		datagram string
		want     error
	}{
		"nothing":  {"", nil},
		"kind":     {`{"kind":"reboot","body":{}}`, ErrUnknownKind},
		"no body":  {`{"kind":"arm"}`, nil},
		"type":     {`{"kind":"arm","body":{"Seq":"x"}}`, nil},
		"two":      {`{"kind":"heartbeat","body":{}}{}`, nil},
		"oversize": {`{"kind":"ready","body":{"Status":"` + strings.Repeat("x", MaxMessage) + `"}}`, ErrOversize},
	} {
		m, err := Decode([]byte(c.datagram))
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
	}
	if _, err := Encode(Ready{Status: strings.Repeat("x", MaxMessage)}); !errors.Is(err, ErrOversize) {
		t.Errorf("encode oversize: %v", err)
	}
}

// The largest possible configuration fits into a message.
func TestLargestConfigurationFits(t *testing.T) {
	configure := Configure{TTL: time.Hour}
	for i := range fence.VIPsMax {
		address := netip.AddrFrom4([4]byte{203, 100, byte(i >> 8), byte(i)})
		group := i % fence.GroupsMax
		if group == len(configure.Groups) {
			configure.Groups = append(configure.Groups, Group{Name: strings.Repeat("n", 32)})
		}
		configure.Groups[group].VIPs = append(configure.Groups[group].VIPs,
			fence.VIP{Prefix: netip.PrefixFrom(address, 32), Interface: "interface012345"[:15]})
	}
	datagram, err := Encode(configure)
	if err != nil {
		t.Fatal(err)
	}
	own, theirs, err := pair("controller")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	defer theirs.Close()
	if err := own.Send(configure); err != nil {
		t.Fatalf("%d bytes: %v", len(datagram), err)
	}
}

// Nothing that arrives panics, and what decodes encodes to the same again.
func FuzzDecode(f *testing.F) {
	for _, m := range samples {
		datagram, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(datagram)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, err := Decode(datagram)
		if err != nil {
			return
		}
		again, err := Encode(m)
		if errors.Is(err, ErrOversize) {
			return // escapes may make it longer
		}
		if err != nil {
			t.Fatalf("%#v does not encode: %v", m, err)
		}
		second, err := Decode(again)
		if err != nil || !reflect.DeepEqual(m, second) {
			t.Fatalf("%#v became %#v, error %v", m, second, err)
		}
	})
}

// The two ends hear each other, an oversize datagram is one error and no more,
// and a dead end is io.EOF. Method: a socket pair.
func TestClientHearsTheEnd(t *testing.T) {
	own, file, err := pair("controller")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := unix.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewClient(file)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if _, err := unix.Write(raw, make([]byte, MaxMessage+1)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(raw); err != nil {
		t.Fatal(err)
	}
	if _, err := own.Receive(); !errors.Is(err, ErrOversize) {
		t.Errorf("oversize: got %v", err)
	}
	want := Open{Seq: 3, Group: "web", Token: 7, Deadline: 99}
	if err := theirs.Send(want); err != nil {
		t.Fatal(err)
	}
	if got, err := own.Receive(); err != nil || got != Message(want) {
		t.Errorf("got %v, %v", got, err)
	}
	_ = own.Close()
	if _, err := theirs.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the other end closed: got %v, want io.EOF", err)
	}
	var sendError *SendError
	if err := theirs.Send(want); !errors.As(err, &sendError) || sendError.Kind != "open" || !errors.Is(err, unix.EPIPE) {
		t.Errorf("send to a dead end: %v", err)
	}
}

// A deaf reader doesn't hold up the sender for long. Method: send without
// anybody reading until it fails.
func TestSendDoesNotBlock(t *testing.T) {
	own, file, err := pair("controller")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer own.Close()
	for range 100000 {
		began := time.Now()
		if err := own.Send(Heartbeat{}); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want a timeout", err)
			}
			if took := time.Since(began); took > 50*sendTimeout {
				t.Errorf("blocked for %v", took)
			}
			return
		}
	}
	t.Error("a socket without a reader takes everything")
}

// A file descriptor that isn't the guard's is refused with a hint.
func TestClientRefusesOtherFiles(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(file); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("got %v, want an error with a hint", err)
	}
}
