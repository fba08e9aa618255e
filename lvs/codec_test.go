package lvs

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	codecKey = AddressKey(TCP, netip.MustParseAddrPort("192.0.2.1:80"))
	codecIP6 = AddressKey(UDP, netip.MustParseAddrPort("[2001:db8::1]:53"))
	sameAddr = cmp.Options{
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
)

// Goal: the bytes are those of linux/ip_vs.h. Method: one request of each shape,
// written out by hand, on a little-endian host.
func TestRequestsHaveTheKernelsLayout(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Log("the bytes below are those of a little-endian host")
		return
	}
	const key = "2400 0180" + "0600 0100 0200 0000" + "0600 0200 0600 0000" + "0800 0300 c0000201" + "0600 0400 0050 0000"
	for _, test := range []struct {
		op      Op
		command command
		bytes   string
	}{
		{
			AddService{codecKey, Settings{Scheduler: "wlc", Flags: OnePacket, Persistence: 6 * time.Minute, PersistenceMask: 24, PersistenceEngine: "sip"}},
			newService,
			"5000 0180" + "0600 0100 0200 0000" + "0600 0200 0600 0000" + "0800 0300 c0000201" + "0600 0400 0050 0000" +
				"0800 0600 776c6300" + "0800 0b00 73697000" + "0c00 0700 05000000 ffffffff" + "0800 0800 68010000" + "0800 0900 ffffff00",
		},
		{
			EditService{Service: MarkKey(IPv6, 7), Settings: Settings{Scheduler: "rr"}},
			setService,
			"3800 0180" + "0600 0100 0a00 0000" + "0800 0500 07000000" +
				"0700 0600 72720000" + "0c00 0700 00000000 ffffffff" + "0800 0800 00000000" + "0800 0900 80000000",
		},
		{DeleteService{codecKey}, deleteService, key},
		{
			AddDestination{codecKey, Destination{
				Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: Tunnel, Weight: 256, Upper: 9, Lower: 5,
				Encapsulation: Encapsulation{Type: GUE, Port: 6080, Checksum: RemoteChecksum},
			}},
			newDestination,
			key +
				"5400 0280" + "0600 0b00 0200 0000" + "0800 0100 0a000001" + "0600 0200 0050 0000" +
				"0800 0300 02000000" + "0800 0400 00010000" + "0800 0500 09000000" + "0800 0600 05000000" +
				"0500 0d00 01 000000" + "0600 0e00 17c0 0000" + "0600 0f00 0200 0000",
		},
		{
			DeleteDestination{Service: codecKey, Addr: netip.MustParseAddrPort("10.0.0.1:80")},
			deleteDestination,
			key + "1c00 0280" + "0600 0b00 0200 0000" + "0800 0100 0a000001" + "0600 0200 0050 0000",
		},
	} {
		want := strings.ReplaceAll(test.bytes, " ", "")
		if diff := cmp.Diff(want, hex.EncodeToString(appendOp(nil, test.op))); diff != "" || commandOf(test.op) != test.command {
			t.Errorf("%s: command %d (-want +got)\n%s", test.op, commandOf(test.op), diff)
		}
	}
}

// Goal: what is written is read back the same. Method: requests have the shape of
// the kernel's entries, so one is given to the reader of the other.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	for _, key := range []ServiceKey{codecKey, codecIP6, MarkKey(IPv4, 1), MarkKey(IPv6, 1<<32-1)} {
		for _, settings := range []Settings{
			{Scheduler: "wlc"},
			{Scheduler: "sh", Flags: SHPort | SHFallback},
			{Scheduler: "rr", Flags: OnePacket, Persistence: PersistenceMax, PersistenceMask: 17, PersistenceEngine: "sip"},
			{Scheduler: "rr", Persistence: time.Second},
		} {
			want := Service{ServiceKey: key, Settings: settings}
			got, err := decodeService(appendOp(nil, AddService{key, settings}), nil)
			if diff := cmp.Diff(want, got, sameAddr); err != nil || diff != "" {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		}
	}
	for _, want := range []Destination{
		{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: Masquerade, Weight: WeightMax, Upper: 1 << 31, Lower: 1},
		{Addr: netip.MustParseAddrPort("[2001:db8::1]:0"), Method: Direct},
		{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: Tunnel, Encapsulation: Encapsulation{Type: IPIP}},
		{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: Tunnel, Encapsulation: Encapsulation{Type: GRE, Checksum: NoChecksum}},
		{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: Tunnel, Encapsulation: Encapsulation{Type: GUE, Port: 65535, Checksum: RemoteChecksum}},
	} {
		got, err := decodeDestination(appendOp(nil, AddDestination{codecIP6, want}), IPv6, nil)
		if diff := cmp.Diff(want, got, sameAddr); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	for _, want := range []SyncDaemon{
		{Role: SyncMaster, Interface: "eth0", ID: 255, MaxLength: 1400, Group: netip.MustParseAddr("239.0.0.1"), Port: 9999, TTL: 9},
		{Role: SyncBackup, Interface: "a", Group: netip.MustParseAddr("ff02::1")},
	} {
		got, err := decodeDaemon(appendDaemon(nil, want))
		if diff := cmp.Diff(want, got, sameAddr); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	timeouts := Timeouts{TCP: time.Hour, TCPFin: time.Minute, UDP: time.Second}
	if got, err := decodeTimeouts(appendTimeouts(nil, timeouts)); err != nil || got != timeouts {
		t.Errorf("timeouts %+v, %v", got, err)
	}
}

// Goal: what others may have set and this package never does is not taken for
// something wanted. Method: entries with it.
func TestOddSettingsAreNoWishes(t *testing.T) {
	flags := func(f Flags, seconds uint32, mask []byte) []byte {
		return appendNested(nil, attrService, func(b []byte) []byte {
			b = appendUint16(b, serviceFamily, 2)
			b = appendUint32(b, serviceMark, 1)
			b = appendBytes(b, serviceFlags, append(nativeUint32(uint32(f)), 255, 255, 255, 255)...)
			b = appendUint32(b, serviceTimeout, seconds)
			return appendBytes(b, serviceMask, mask...)
		})
	}
	for name, test := range map[string]struct {
		entry []byte
		want  Settings
	}{
		"a mask with a hole":      {flags(3, 60, []byte{255, 0, 255, 0}), Settings{Persistence: time.Minute, PersistenceMask: maskUnspecific}},
		"an empty mask":           {flags(3, 60, []byte{0, 0, 0, 0}), Settings{Persistence: time.Minute, PersistenceMask: maskUnspecific}},
		"persistent for no time":  {flags(3, 0, []byte{255, 255, 255, 255}), Settings{Flags: flagPersistent}},
		"a timeout, not in force": {flags(2, 60, []byte{255, 0, 0, 0}), Settings{}},
	} {
		got, err := decodeService(test.entry, nil)
		if diff := cmp.Diff(test.want, got.Settings); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

// Goal: 64-bit counters win over the 32-bit ones before them. Method: an entry
// with both.
func TestCountersAreReadIn64Bits(t *testing.T) {
	const large = uint64(1) << 40
	entry := appendNested(nil, attrDestination, func(b []byte) []byte {
		b = appendDestinationKey(b, netip.MustParseAddrPort("10.0.0.1:80"))
		b = appendUint32(b, destinationActive, 3)
		b = appendUint32(b, destinationInactive, 4)
		b = appendUint32(b, destinationPersistent, 5)
		b = appendNested(b, destinationStatistics, func(b []byte) []byte { return appendUint32(b, statsConnections, 9) })
		return appendNested(b, destinationStatistics64, func(b []byte) []byte {
			for kind := uint16(statsConnections); kind < 2*statsRate-1; kind++ {
				b = appendBytes(b, kind, binary.NativeEndian.AppendUint64(nil, large+uint64(kind))...)
			}
			return b
		})
	})
	var got DestinationStatistics
	if _, err := decodeDestination(entry, IPv4, &got); err != nil {
		t.Fatal(err)
	}
	want := DestinationStatistics{
		Addr: netip.MustParseAddrPort("10.0.0.1:80"), Active: 3, Inactive: 4, Persistent: 5,
		Total: Counters{large + 1, large + 2, large + 3, large + 4, large + 5},
		Rate:  Counters{large + 6, large + 7, large + 8, large + 9, large + 10},
	}
	if diff := cmp.Diff(want, got, sameAddr); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal: malformed answers are errors. Method: each cut and each wrong number.
func TestMalformedAnswersAreErrors(t *testing.T) {
	message := appendMessage(nil, header{kind: 30, seq: 1}, func(b []byte) []byte { return appendUint32(b, 1, 1) })
	for n := 1; n < len(message); n++ {
		if err := eachAnswer(message[:n], func(answer) error { return nil }); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(message))
		}
	}
	for n := range byte(messageHeader) { // lengths that are less than a header's
		if err := eachAnswer(append(binary.NativeEndian.AppendUint32(nil, uint32(n)), make([]byte, 40)...), func(answer) error { return nil }); err == nil {
			t.Errorf("a message of %d bytes is read", n)
		}
	}
	for n := range uint16(attributeHeader) {
		b := append(binary.NativeEndian.AppendUint16(nil, n), make([]byte, 10)...)
		if err := eachAttribute(b, func(uint16, value) error { return nil }); err == nil {
			t.Errorf("an attribute of %d bytes is read", n)
		}
	}
	short := func(kind uint16) []byte {
		return appendNested(nil, kind, func(b []byte) []byte { return appendBytes(b, 3, 1) })
	}
	for name, read := range map[string]func() error{
		"service":     func() error { _, err := decodeService(short(attrService), nil); return err },
		"destination": func() error { _, err := decodeDestination(short(attrDestination), IPv4, nil); return err },
		"family":      func() error { _, err := decodeService(appendService(nil, ServiceKey{Family: 9}, nil), nil); return err },
		"daemon":      func() error { _, err := decodeDaemon(appendDaemonRole(nil, 3)); return err },
		"timeouts":    func() error { _, err := decodeTimeouts(appendBytes(nil, attrTimeoutTCP, 1)); return err },
		"attribute":   func() error { _, err := decodeDaemon([]byte{200, 0, 3, 0}); return err },
		"errno":       func() error { _, err := decodeErrno(nativeUint32(1), typeError); return err },
	} {
		if read() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzAnswer: whatever the bytes, the readers end without a panic, and a service
// or destination that they accept is written and read as the same.
func FuzzAnswer(f *testing.F) {
	whole := func(op Op) []byte {
		return appendMessage(nil, header{kind: 30, command: commandOf(op)}, func(b []byte) []byte { return appendOp(b, op) })
	}
	f.Add(whole(AddService{codecKey, Settings{Scheduler: "wlc", Persistence: time.Minute}}))
	f.Add(whole(AddDestination{codecIP6, Destination{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: Tunnel}}))
	f.Add(appendMessage(nil, header{kind: 30}, func(b []byte) []byte { return appendDaemonRole(b, SyncMaster) }))
	for _, d := range captured(f) {
		f.Add(d.bytes)
	}
	f.Add(appendMessage(nil, header{kind: typeError}, func(b []byte) []byte { return b }))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		_ = eachAnswer(datagram, func(a answer) error {
			var service ServiceStatistics
			if s, err := decodeService(a.body, &service); err == nil && s.Settings.PersistenceMask >= 0 && len(s.Scheduler) <= nameMax {
				again, err := decodeService(appendOp(nil, AddService{s.ServiceKey, s.Settings}), nil)
				if err != nil || !reflect.DeepEqual(s, again) {
					t.Errorf("%v becomes %v: %v", s, again, err)
				}
			}
			var destination DestinationStatistics
			if d, err := decodeDestination(a.body, IPv4, &destination); err == nil && d.Method != 0 && d.Addr == plain(d.Addr) {
				again, err := decodeDestination(appendDestination(nil, d), IPv4, nil)
				if err != nil || d != again {
					t.Errorf("%v becomes %v: %v", d, again, err)
				}
			}
			_, _ = decodeDaemon(a.body)
			_, _ = decodeTimeouts(a.body)
			return nil
		})
	})
}
