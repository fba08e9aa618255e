package vrrp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	cmpAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	testVIP = netip.MustParseAddr("10.9.0.100")
	// testPath is the way of the captures: keepalived at 10.9.0.2, multicast.
	testPath = Path{Source: netip.MustParseAddr("10.9.0.2"), Destination: DefaultGroup}
)

func passAdvert() Advertisement {
	return Advertisement{
		Version: Version2, ID: 51, Priority: 100, Interval: time.Second,
		Auth: Password("secret12"), Addresses: []netip.Addr{testVIP},
	}
}

func version3Advert() Advertisement {
	return Advertisement{Version: Version3, ID: 53, Priority: 120, Interval: 500 * time.Millisecond, Addresses: []netip.Addr{testVIP}}
}

func encode(t *testing.T, a Advertisement, path Path) []byte {
	t.Helper()
	message, err := a.Append(nil, path)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// Goal: the octets are keepalived's. Method: the checksums that were measured
// on Debian's keepalived, and one whole message written out by hand.
func TestMessageIsKeepalivedsOctetForOctet(t *testing.T) {
	advert := passAdvert()
	want, _ := hex.DecodeString("21336401" + "010101df" + "0a090064" + hex.EncodeToString([]byte("secret12")))
	if diff := cmp.Diff(want, encode(t, advert, Path{})); diff != "" {
		t.Errorf("priority 100 (-want +got):\n%s", diff)
	}
	advert.Priority = PriorityStop
	if got := encode(t, advert, Path{})[offsetChecksum:headerLength]; !bytes.Equal(got, []byte{0x65, 0xdf}) {
		t.Errorf("checksum with priority 0 is %x, want 65df", got)
	}
}

// captures are messages that Debian's keepalived 2.2.7 sent, with what its
// configuration said. TestKeepalivedCaptures keeps them true.
var captures = map[string]Advertisement{
	"v2-pass.hex": {Version: Version2, ID: 51, Priority: 100, Interval: time.Second,
		Auth: Password("secret12"), Addresses: []netip.Addr{testVIP}},
	"v2-none.hex": {Version: Version2, ID: 52, Priority: 150, Interval: 2 * time.Second, Auth: NoAuth(),
		Addresses: []netip.Addr{testVIP, netip.MustParseAddr("10.9.0.101")}},
	"v3.hex": version3Advert(),
}

func readCapture(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	message, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// Goal: what keepalived sends is understood, and what we send is the same.
// Method: stored captures, decoded and encoded again.
func TestCapturesOfKeepalivedDecodeAndEncode(t *testing.T) {
	for name, want := range captures {
		t.Run(name, func(t *testing.T) {
			message := readCapture(t, name)
			got, err := Decode(message, testPath)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpAddr); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(message, encode(t, want, testPath)); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
		})
	}
}

// Goal: the eight octets of authentication data are there even when there is no
// authentication (RFC 3768 §5.3.10), for a receiver that counts them.
func TestVersion2AlwaysCarriesAuthenticationData(t *testing.T) {
	advert := passAdvert()
	advert.Auth = NoAuth()
	message := encode(t, advert, Path{})
	if want := headerLength + addressLength + authLength; len(message) != want {
		t.Fatalf("message has %d octets, want %d", len(message), want)
	}
	if trailer := message[len(message)-authLength:]; !bytes.Equal(trailer, make([]byte, authLength)) {
		t.Errorf("authentication data is %x, want zeros", trailer)
	}
}

// Goal: passwords of any length become what keepalived makes of them.
func TestPasswordIsPaddedAndCutToEightOctets(t *testing.T) {
	if got, want := Password("abc").Data, [8]byte{'a', 'b', 'c'}; got != want {
		t.Errorf("short: %q, want %q", got, want)
	}
	if got, want := Password("secret1234").Data, Password("secret12").Data; got != want {
		t.Errorf("long: %q, want %q", got, want)
	}
}

// Goal: nothing that can't be put into a message is sent as something else.
// Method: one wrong field at a time.
func TestAppendRefusesWhatDoesNotFit(t *testing.T) {
	tests := map[string]struct {
		change func(*Advertisement)
		want   error
	}{
		"version":          {func(a *Advertisement) { a.Version = 4 }, ErrVersion},
		"ID 0":             {func(a *Advertisement) { a.ID = 0 }, ErrID},
		"no interval":      {func(a *Advertisement) { a.Interval = 0 }, ErrInterval},
		"half a second":    {func(a *Advertisement) { a.Interval = 1500 * time.Millisecond }, ErrInterval},
		"256 seconds":      {func(a *Advertisement) { a.Interval = 256 * time.Second }, ErrInterval},
		"no auth type":     {func(a *Advertisement) { a.Auth = Auth{} }, ErrAuth},
		"data, no type":    {func(a *Advertisement) { a.Auth.Type = AuthNone }, ErrAuth},
		"v3 password":      {func(a *Advertisement) { a.Version = Version3 }, ErrAuth},
		"v3 without path":  {func(a *Advertisement) { a.Version, a.Auth = Version3, Auth{} }, ErrPath},
		"v3 interval":      {func(a *Advertisement) { *a = version3Advert(); a.Interval = 41 * time.Second }, ErrInterval},
		"IPv6":             {func(a *Advertisement) { a.Addresses = []netip.Addr{netip.IPv6Loopback()} }, ErrAddresses},
		"256 addresses":    {func(a *Advertisement) { a.Addresses = make([]netip.Addr, 256) }, ErrAddresses},
		"no address value": {func(a *Advertisement) { a.Addresses = make([]netip.Addr, 1) }, ErrAddresses},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			advert := passAdvert()
			test.change(&advert)
			message, err := advert.Append(nil, Path{})
			if !errors.Is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			if len(message) != 0 {
				t.Errorf("%d octets came with the error", len(message))
			}
		})
	}
}

// Goal: version 3's checksum counts the way of the packet, so that a message
// that arrives from elsewhere is not taken (RFC 5798 §5.2.8).
func TestVersion3ChecksumCoversThePath(t *testing.T) {
	message := encode(t, version3Advert(), testPath)
	other := testPath
	other.Source = netip.MustParseAddr("10.9.0.9")
	if _, err := Decode(message, other); !errors.Is(err, DropChecksum) {
		t.Errorf("from another source: %v, want %v", err, DropChecksum)
	}
	if _, err := Decode(message, Path{}); !errors.Is(err, DropChecksum) {
		t.Errorf("from nowhere: %v, want %v", err, DropChecksum)
	}
}

// Goal: a single flipped bit never passes. Method: every bit of two messages.
func TestDecodeNoticesEveryFlippedBit(t *testing.T) {
	for _, advert := range []Advertisement{passAdvert(), version3Advert()} {
		message := encode(t, advert, testPath)
		for i := range len(message) * 8 {
			damaged := bytes.Clone(message)
			damaged[i/8] ^= 1 << (i % 8)
			if got, err := Decode(damaged, testPath); err == nil {
				t.Errorf("%s: bit %d flipped, decoded as %+v", advert.Version, i, got)
			}
		}
	}
}

// Goal: no octets from the network make the decoder panic, and what it takes
// encodes to an equal advertisement. Method: fuzzing from the captures.
func FuzzDecode(f *testing.F) {
	for name := range captures {
		f.Add(readCapture(f, name))
	}
	f.Add([]byte{})
	f.Add([]byte{0x21, 51, 100, 255, 1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, message []byte) {
		advert, err := Decode(message, testPath)
		if err != nil {
			if reason := DropReason(0); !errors.As(err, &reason) {
				t.Fatalf("error %v is no DropReason", err)
			}
			return
		}
		if advert.ID == 0 {
			return // heard by nobody, sent by nobody
		}
		again, err := Decode(encode(t, advert, testPath), testPath)
		if err != nil {
			t.Fatalf("own message: %v", err)
		}
		if diff := cmp.Diff(advert, again, cmpAddr); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}
