package vrrp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testFilterConfig() FilterConfig {
	return FilterConfig{
		ID: 51, Version: Version2, Auth: Password("secret12"), Interval: time.Second,
		Source: netip.MustParseAddr("10.9.0.1"), Addresses: []netip.Addr{testVIP},
	}
}

// received is a good multicast packet for testFilterConfig, for a test to spoil.
func received(t *testing.T) Packet {
	t.Helper()
	return Packet{Source: testPath.Source, Destination: testPath.Destination, TTL: TTL, Payload: encode(t, passAdvert(), testPath)}
}

// with encodes a packet anew after a change to its advertisement.
func (p Packet) with(t *testing.T, change func(*Advertisement)) Packet {
	t.Helper()
	advert := passAdvert()
	change(&advert)
	p.Payload = encode(t, advert, Path{Source: p.Source, Destination: p.Destination})
	return p
}

func expectDrop(t *testing.T, config FilterConfig, p Packet, want DropReason) {
	t.Helper()
	filter := NewFilter(config)
	if heard := filter.Check(p); heard.Drop != want {
		t.Fatalf("dropped because %q, want %q", heard.Drop, want)
	}
	if got := filter.Drops(want); got != 1 {
		t.Errorf("%d packets counted as %q, want 1", got, want)
	}
}

// Goal: a good advertisement passes whole, with nothing to complain about.
func TestFilterAcceptsAGoodAdvertisement(t *testing.T) {
	want := Heard{Advert: passAdvert()}
	if diff := cmp.Diff(want, NewFilter(testFilterConfig()).Check(received(t)), cmpAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// RFC 3768 §7.1: "MUST verify that the IP TTL is 255."
func TestRFC3768ReceiveDropsOtherTTL(t *testing.T) {
	p := received(t)
	p.TTL = 254
	expectDrop(t, testFilterConfig(), p, DropTTL)
}

// RFC 3768 §7.1: "MUST verify the VRRP version is 2." The configured one, here.
func TestRFC3768ReceiveDropsOtherVersion(t *testing.T) {
	p := received(t)
	p.Payload[0] = 0x31
	expectDrop(t, testFilterConfig(), p, DropVersion)
}

// RFC 3768 §7.1: "MUST verify that the received packet contains the complete
// VRRP packet (including fixed fields, IP Address(es), and Authentication
// Data)." Method: every shorter message; where the cut falls decides only which
// of the checks finds it.
func TestRFC3768ReceiveDropsIncompletePacket(t *testing.T) {
	whole := received(t).Payload
	for n := range whole {
		p := received(t)
		p.Payload = whole[:n]
		heard := NewFilter(testFilterConfig()).Check(p)
		if heard.Drop == 0 {
			t.Errorf("%d of %d octets were accepted", n, len(whole))
		}
		if n < headerLength && heard.Drop != DropTooShort {
			t.Errorf("%d octets: dropped because %q, want %q", n, heard.Drop, DropTooShort)
		}
	}
	config := testFilterConfig()
	config.Auth = NoAuth()
	p := received(t).with(t, func(a *Advertisement) { a.Auth = NoAuth() })
	whole = p.Payload
	p.Payload = whole[:len(whole)-authLength]
	expectDrop(t, config, p, DropLength)
	p.Payload = append(whole, 0, 0) // zeros, which no checksum notices
	expectDrop(t, config, p, DropLength)
}

// RFC 3768 §7.1: "MUST verify the VRRP checksum."
func TestRFC3768ReceiveDropsWrongChecksum(t *testing.T) {
	p := received(t)
	p.Payload[offsetPriority]++
	expectDrop(t, testFilterConfig(), p, DropChecksum)
}

// RFC 3768 §7.1: "MUST verify that the VRID is configured on the receiving
// interface".
func TestRFC3768ReceiveDropsOtherRouterID(t *testing.T) {
	p := received(t).with(t, func(a *Advertisement) { a.ID = 52 })
	expectDrop(t, testFilterConfig(), p, DropID)
}

// RFC 3768 §7.1: "MUST verify that the Auth Type matches the locally configured
// authentication method for the virtual router".
func TestRFC3768ReceiveDropsOtherAuthType(t *testing.T) {
	none := received(t).with(t, func(a *Advertisement) { a.Auth = NoAuth() })
	expectDrop(t, testFilterConfig(), none, DropAuthType)
	config := testFilterConfig()
	config.Auth = NoAuth()
	expectDrop(t, config, received(t), DropAuthType)
	header := received(t)
	header.Payload[offsetAuthType] = 2 // IP Authentication Header
	expectDrop(t, testFilterConfig(), header, DropAuthType)
}

// RFC 3768 §7.1: "and perform that authentication method."
func TestRFC3768ReceiveDropsOtherPassword(t *testing.T) {
	p := received(t).with(t, func(a *Advertisement) { a.Auth = Password("secret13") })
	expectDrop(t, testFilterConfig(), p, DropPassword)
}

// RFC 3768 §7.1: "MUST verify that the Adver Interval in the packet is the same
// as the locally configured for this virtual router".
func TestRFC3768ReceiveDropsOtherInterval(t *testing.T) {
	p := received(t).with(t, func(a *Advertisement) { a.Interval = 2 * time.Second })
	expectDrop(t, testFilterConfig(), p, DropInterval)
}

// Goal: other messages than ADVERTISEMENT (RFC 3768 §5.3.2) are dropped.
func TestFilterDropsUnknownType(t *testing.T) {
	p := received(t)
	p.Payload[0] = 0x22
	expectDrop(t, testFilterConfig(), p, DropType)
}

// Goal: our own packets, come back through a loop, are not taken for another's.
func TestFilterDropsOwnPacket(t *testing.T) {
	p := received(t)
	p.Source = testFilterConfig().Source
	expectDrop(t, testFilterConfig(), p, DropOwn)
}

// Goal: a difference in the VIP lists is reported and does not drop, so that a
// mistake in the configuration makes no second MASTER. The order is no
// difference.
func TestFilterReportsOtherAddressesWithoutDropping(t *testing.T) {
	second := netip.MustParseAddr("10.9.0.101")
	p := received(t).with(t, func(a *Advertisement) { a.Addresses = []netip.Addr{testVIP, second} })
	if heard := NewFilter(testFilterConfig()).Check(p); heard.Drop != 0 || !heard.AddressesDiffer {
		t.Errorf("got %+v, want accepted with AddressesDiffer", heard)
	}
	config := testFilterConfig()
	reversed := p.with(t, func(a *Advertisement) { a.Addresses = []netip.Addr{second, testVIP} })
	for _, addresses := range [][]netip.Addr{{testVIP, second}, {second, testVIP}} {
		config.Addresses = addresses
		for _, p := range []Packet{p, reversed} {
			if heard := NewFilter(config).Check(p); heard.Drop != 0 || heard.AddressesDiffer {
				t.Errorf("got %+v, want accepted without AddressesDiffer", heard)
			}
		}
	}
}

// Goal: a unicast router listens to unicast only, whatever its TTL, and to its
// peers only where that is asked for; a multicast router to multicast only.
func TestFilterKeepsUnicastAndMulticastApart(t *testing.T) {
	unicast := testFilterConfig()
	unicast.Unicast = true
	expectDrop(t, unicast, received(t), DropDestination)
	routed := received(t)
	routed.Destination, routed.TTL = unicast.Source, 17
	expectDrop(t, testFilterConfig(), routed, DropDestination)
	if heard := NewFilter(unicast).Check(routed); heard.Drop != 0 {
		t.Errorf("unicast with TTL 17 dropped because %q", heard.Drop)
	}
	unicast.Peers = []netip.Addr{netip.MustParseAddr("10.9.0.3")}
	expectDrop(t, unicast, routed, DropSource)
}

// Goal: a version 3 backup adopts its MASTER's interval (RFC 9568 §6.4.2), so
// another interval is accepted and reported; zero is not an interval.
func TestFilterAcceptsOtherIntervalInVersion3(t *testing.T) {
	config := testFilterConfig()
	config.Version, config.Auth, config.ID = Version3, Auth{}, 53
	p := received(t)
	p.Payload = encode(t, version3Advert(), testPath)
	if heard := NewFilter(config).Check(p); heard.Drop != 0 || !heard.IntervalDiffers {
		t.Errorf("got %+v, want accepted with IntervalDiffers", heard)
	}
	p.Payload[offsetAuthType], p.Payload[offsetInterval] = 0, 0
	expectDrop(t, config, p, DropInterval)
}

// Goal: of several faults the first in keepalived's order is the one counted.
// Method: a packet with every fault, mended one by one.
func TestFilterChecksInKeepalivedsOrder(t *testing.T) {
	p := received(t)
	p.TTL = 1
	p.Payload[offsetVersionType] = 0x42
	p.Payload[offsetAuthType] = 0
	p.Payload[offsetInterval] = 9
	p.Payload[offsetCount] = 7
	p.Payload[len(p.Payload)-1] = 'x'
	mend := []struct {
		want DropReason
		mend func()
	}{
		{DropTTL, func() { p.TTL = TTL }},
		{DropVersion, func() { p.Payload[offsetVersionType] = 0x22 }},
		{DropAuthType, func() { p.Payload[offsetAuthType] = 1 }},
		{DropPassword, func() { p.Payload[len(p.Payload)-1] = '2' }},
		{DropInterval, func() { p.Payload[offsetInterval] = 1 }},
		{DropType, func() { p.Payload[offsetVersionType] = 0x21 }},
		{DropLength, func() { p.Payload[offsetCount] = 1; p.Payload[offsetPriority]-- }},
		{DropChecksum, func() { p.Payload[offsetPriority]++ }},
	}
	for _, step := range mend {
		expectDrop(t, testFilterConfig(), p, step.want)
		step.mend()
	}
	if heard := NewFilter(testFilterConfig()).Check(p); heard.Drop != 0 {
		t.Errorf("mended packet dropped because %q", heard.Drop)
	}
}

// Goal: every reason has words of its own, for logs and metrics.
func TestEveryDropReasonHasAName(t *testing.T) {
	seen := map[string]DropReason{}
	for _, reason := range DropReasons() {
		if other, ok := seen[reason.String()]; ok || reason.String() == "" {
			t.Errorf("reasons %d and %d are both %q", other, reason, reason)
		}
		seen[reason.String()] = reason
	}
}

// Goal: a reload changes what is accepted and keeps the counts.
func TestFilterReconfigureKeepsCounts(t *testing.T) {
	filter := NewFilter(testFilterConfig())
	p := received(t).with(t, func(a *Advertisement) { a.Auth = Password("new") })
	filter.Check(p)
	config := testFilterConfig()
	config.Auth = Password("new")
	filter.Reconfigure(config)
	if heard := filter.Check(p); heard.Drop != 0 {
		t.Errorf("after the reload dropped because %q", heard.Drop)
	}
	if got := filter.Drops(DropPassword); got != 1 {
		t.Errorf("%d counted, want 1", got)
	}
}

// Goal: no packet makes the filter panic, and nothing it accepts has another ID,
// version or interval than configured. Method: fuzzing.
func FuzzFilter(f *testing.F) {
	f.Add([]byte{}, 255, true)
	f.Add(readCapture(f, "v2-pass.hex"), 255, true)
	f.Add(readCapture(f, "v3.hex"), 3, false)
	f.Fuzz(func(t *testing.T, payload []byte, ttl int, multicast bool) {
		p := Packet{Source: testPath.Source, Destination: DefaultGroup, TTL: ttl, Payload: payload}
		if !multicast {
			p.Destination = testFilterConfig().Source
		}
		heard := NewFilter(testFilterConfig()).Check(p)
		if heard.Drop == 0 && (heard.Advert.ID != 51 || heard.Advert.Version != Version2 || heard.Advert.Interval != time.Second) {
			t.Errorf("accepted %+v", heard.Advert)
		}
	})
}
