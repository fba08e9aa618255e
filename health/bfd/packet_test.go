package bfd

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Goal: fields are where RFC 5880 §4.1 has them. Method: keepalived's packets, there and back.
func TestPacketsAreAsOnTheWire(t *testing.T) {
	for name, want := range captures {
		octets := readCapture(t, name)
		got, err := Decode(octets)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same(t, want, got)
		same(t, octets, got.Append(nil))
	}
}

// Goal: every MUST of RFC 5880 §6.8.6 that needs no session has its reason, in the RFC's
// order. Method: a good packet, with one octet spoilt and all that come later in the
// order spoilt, too.
func TestDecodeDropsWhatMustBeDiscarded(t *testing.T) {
	spoil := []struct {
		sentence string
		reason   DropReason
		do       func(b []byte) []byte
	}{
		{"If the version number is not correct (1), the packet MUST be discarded.", DropVersion,
			func(b []byte) []byte { b[0] = 2 << 5; return b }},
		{"If the Length field is less than the minimum correct value (24 if the A bit is clear, or 26 if the A bit is set), " +
			"the packet MUST be discarded.", DropTooShort, func(b []byte) []byte { b[3] = 23; return b }},
		{"If the Length field is greater than the payload of the encapsulating protocol, the packet MUST be discarded.", DropLength,
			func(b []byte) []byte { b[3] = byte(len(b)) + 1; return b }},
		{"If the Detect Mult field is zero, the packet MUST be discarded.", DropMultiplier, func(b []byte) []byte { b[2] = 0; return b }},
		{"If the Multipoint (M) bit is nonzero, the packet MUST be discarded.", DropMultipoint, func(b []byte) []byte { b[1] |= 0x01; return b }},
		{"If the My Discriminator field is zero, the packet MUST be discarded.", DropMyDiscriminator,
			func(b []byte) []byte { copy(b[4:8], make([]byte, 4)); return b }},
		{"If the Your Discriminator field is zero and the State field is not Down or AdminDown, the packet MUST be discarded.",
			DropYourDiscriminator, func(b []byte) []byte { copy(b[8:12], make([]byte, 4)); return b }},
		{"If the A bit is set and no authentication is in use (bfd.AuthType is zero), the packet MUST be discarded.", DropAuthenticated,
			func(b []byte) []byte { b[1] |= 0x04; return b }},
		{"A BFD Control packet MUST NOT have both the Poll (P) and Final (F) bits set. (§6.5)", DropPollFinal,
			func(b []byte) []byte { b[1] |= 0x30; return b }},
	}
	good := Packet{State: Up, Multiplier: 3, MyDiscriminator: 1, YourDiscriminator: 2}
	for i, s := range spoil {
		b := append(good.Append(nil), 0, 0, 0, 0)
		b[3] = byte(len(b))
		if _, err := Decode(s.do(b)); !errors.Is(err, s.reason) {
			t.Errorf("%s: got %v", s.sentence, err)
		}
		b = append(good.Append(nil), 0, 0, 0, 0)
		b[3] = byte(len(b))
		for j := len(spoil) - 1; j >= i; j-- {
			b = spoil[j].do(b)
		}
		if _, err := Decode(b); !errors.Is(err, s.reason) {
			t.Errorf("%s, and what comes later: got %v", s.sentence, err)
		}
	}
}

// Goal: the least lengths. Method: one octet less than each.
func TestDecodeKnowsTheLeastLength(t *testing.T) {
	good := Packet{State: Down, Multiplier: 3, MyDiscriminator: 1}.Append(nil)
	if _, err := Decode(good[:len(good)-1]); !errors.Is(err, DropTooShort) {
		t.Errorf("payload of 23 octets: got %v", err)
	}
	signed := append(good, 0)
	signed[1], signed[3] = signed[1]|0x04, 25
	if _, err := Decode(signed); !errors.Is(err, DropTooShort) {
		t.Errorf("authenticated, Length 25: got %v", err)
	}
	if _, err := Decode(nil); !errors.Is(err, DropTooShort) {
		t.Errorf("empty payload: got %v", err)
	}
}

// Goal: what is reserved or not for us is no reason to drop. Method: a reserved diagnostic,
// octets behind the packet.
func TestDecodeIsLiberal(t *testing.T) {
	want := Packet{Diagnostic: 31, State: AdminDown, Multiplier: 255, MyDiscriminator: 1, ControlPlaneIndependent: true, Demand: true,
		DesiredMinTx: IntervalMax, RequiredMinRx: IntervalMax, RequiredMinEchoRx: IntervalMax}
	got, err := Decode(append(want.Append(nil), make([]byte, 100)...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Goal: no datagram breaks Decode, and what it accepts it gives back. Method: fuzzing.
func FuzzDecode(f *testing.F) {
	for name := range captures {
		f.Add(readCapture(f, name))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		packet, err := Decode(b)
		if err != nil {
			if reason := DropReason(0); !errors.As(err, &reason) || reason == 0 || reason >= dropReasonEnd {
				t.Fatalf("error %v is no DropReason", err)
			}
			return
		}
		again := packet.Append(nil)
		again[offsetLength] = b[offsetLength] // its Length may be more than ours
		if diff := cmp.Diff(b[:packetLength], again); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Goal: nothing is shown to people as a number. Method: all values.
func TestEveryValueHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range DropReasons() {
		seen[r.Error()] = true
	}
	for s := AdminDown; s <= Up; s++ {
		seen[s.String()] = true
	}
	for d := DiagnosticNone; d <= DiagnosticReverse; d++ {
		seen[d.String()] = true
	}
	if want := int(dropReasonEnd-1) + 4 + 9; len(seen) != want {
		t.Errorf("got %d different names, want %d: %v", len(seen), want, seen)
	}
	for _, beyond := range []string{dropReasonEnd.String(), State(0).String(), Diagnostic(9).String()} {
		if seen[beyond] {
			t.Errorf("%q is a value beyond the last", beyond)
		}
	}
}
