package vrrp

import (
	"crypto/subtle"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// DropReason says why a packet was not listened to. It is an error, so that
// [Decode] can return it.
type DropReason uint8

// The reasons, in the order in which [Filter] looks for them.
const (
	DropTooShort    DropReason = iota + 1 // shorter than a VRRP header
	DropOwn                               // our own source address: a loop, or a second host with our address
	DropID                                // another virtual router
	DropTTL                               // multicast with a TTL other than 255: it came through a router
	DropVersion                           // another version of VRRP, or none that exists
	DropAuthType                          // another authentication type than ours
	DropPassword                          // the right authentication type, another password
	DropInterval                          // version 2: another interval than ours; version 3: zero
	DropType                              // no ADVERTISEMENT
	DropLength                            // not as long as its header says
	DropChecksum                          // damaged on the way
	DropDestination                       // multicast to a unicast router, or the reverse
	DropSource                            // unicast from an address that is no peer, where that is checked
	dropReasonEnd
)

var dropReasonNames = [dropReasonEnd]string{
	DropTooShort:    "shorter than a VRRP header",
	DropOwn:         "own source address",
	DropID:          "another virtual router ID",
	DropTTL:         "TTL is not 255",
	DropVersion:     "another VRRP version",
	DropAuthType:    "another authentication type",
	DropPassword:    "another password",
	DropInterval:    "another advertisement interval",
	DropType:        "not an advertisement",
	DropLength:      "length does not fit the address count",
	DropChecksum:    "wrong checksum",
	DropDestination: "multicast where unicast is configured, or the reverse",
	DropSource:      "source is not a unicast peer",
}

// String gives the reason in a few words, fit for a log line and a status page.
func (r DropReason) String() string {
	if r == 0 || r >= dropReasonEnd {
		return fmt.Sprintf("DropReason(%d)", uint8(r))
	}
	return dropReasonNames[r]
}

// Error makes a DropReason an error.
func (r DropReason) Error() string { return "drop VRRP packet: " + r.String() }

// DropReasons lists every reason, in order.
func DropReasons() []DropReason {
	reasons := make([]DropReason, 0, dropReasonEnd-1)
	for r := DropTooShort; r < dropReasonEnd; r++ {
		reasons = append(reasons, r)
	}
	return reasons
}

// Packet is an IP packet of protocol 112 as it arrived.
type Packet struct {
	Source, Destination netip.Addr // IPv4
	TTL                 int
	Payload             []byte // the VRRP message
}

// FilterConfig is what one virtual router accepts.
type FilterConfig struct {
	ID        ID
	Version   Version
	Auth      Auth          // version 2 only
	Interval  time.Duration // version 2 drops any other (RFC 3768 §7.1); version 3 reports it
	Source    netip.Addr    // our own primary address
	Addresses []netip.Addr  // our VIPs, compared as a set
	Unicast   bool          // listen to unicast only; else to multicast only
	// Peers, when there are any, are the only sources a unicast router listens
	// to (keepalived's check_unicast_src).
	Peers []netip.Addr
}

// Heard is what a [Filter] makes of a packet. Either Drop is set, or Advert is.
type Heard struct {
	Drop   DropReason // zero: accepted
	Advert Advertisement
	// AddressesDiffer says that the sender's VIPs are not ours: somebody's
	// configuration is wrong. It is accepted all the same, as keepalived does
	// since 2.2.8: dropping it would make two MASTERs of a difference in
	// configuration. (RFC 3768 §7.1 would drop it unless an owner sent it.)
	AddressesDiffer bool
	// IntervalDiffers says that a version 3 sender has another interval than
	// ours, which a backup adopts.
	IntervalDiffers bool
}

// Filter decides which packets one virtual router listens to (RFC 3768 §7.1),
// in the order of keepalived's checks, and counts those it drops. It is pure
// apart from the counts, and for one goroutine.
type Filter struct {
	config    FilterConfig
	addresses []netip.Addr // sorted
	drops     [dropReasonEnd]uint64
}

// NewFilter makes a filter. It keeps copies of the configuration's slices.
func NewFilter(config FilterConfig) *Filter {
	config.Peers = slices.Clone(config.Peers)
	return &Filter{config: config, addresses: sorted(config.Addresses)}
}

// Reconfigure changes what is accepted and keeps the counts.
func (f *Filter) Reconfigure(config FilterConfig) {
	config.Peers = slices.Clone(config.Peers)
	f.config, f.addresses = config, sorted(config.Addresses)
}

// Check decides about one packet. Nothing it returns points into the packet.
func (f *Filter) Check(p Packet) Heard {
	if reason := f.reason(p); reason != 0 {
		f.drops[reason]++
		return Heard{Drop: reason}
	}
	advert := rawMessage(p.Payload).advertisement()
	return Heard{
		Advert:          advert,
		AddressesDiffer: !slices.Equal(sorted(advert.Addresses), f.addresses),
		IntervalDiffers: advert.Interval != f.config.Interval,
	}
}

// Drops is how many packets were dropped for a reason.
func (f *Filter) Drops(reason DropReason) uint64 { return f.drops[reason] }

// reason performs the checks in order.
func (f *Filter) reason(p Packet) DropReason {
	if len(p.Payload) < headerLength {
		return DropTooShort
	}
	message := rawMessage(p.Payload)
	switch {
	case p.Source == f.config.Source:
		return DropOwn
	case message.id() != f.config.ID:
		return DropID
	case p.Destination.IsMulticast() && p.TTL != TTL:
		return DropTTL
	case message.version() != f.config.Version:
		return DropVersion
	}
	if reason := f.checkAuth(message); reason != 0 {
		return reason
	}
	if reason := f.checkInterval(message); reason != 0 {
		return reason
	}
	if reason := message.checkType(); reason != 0 {
		return reason
	}
	if reason := message.checkLength(); reason != 0 {
		return reason
	}
	if reason := message.checkChecksum(Path{Source: p.Source, Destination: p.Destination}); reason != 0 {
		return reason
	}
	return f.checkPath(p)
}

func (f *Filter) checkAuth(message rawMessage) DropReason {
	if f.config.Version != Version2 {
		return 0
	}
	if message.checkAuthType() != 0 || AuthType(message[offsetAuthType]+1) != f.config.Auth.Type {
		return DropAuthType
	}
	if f.config.Auth.Type != AuthPassword {
		return 0
	}
	// In constant time: the password is no secret on the LAN, but the answer
	// should not tell an outsider how much of a guess was right.
	if subtle.ConstantTimeCompare(message.authData(), f.config.Auth.Data[:]) != 1 {
		return DropPassword
	}
	return 0
}

func (f *Filter) checkInterval(message rawMessage) DropReason {
	if f.config.Version == Version2 && message.interval() != f.config.Interval {
		return DropInterval
	}
	return message.checkInterval()
}

func (f *Filter) checkPath(p Packet) DropReason {
	if p.Destination.IsMulticast() == f.config.Unicast {
		return DropDestination
	}
	if f.config.Unicast && len(f.config.Peers) > 0 && !slices.Contains(f.config.Peers, p.Source) {
		return DropSource
	}
	return 0
}

func sorted(addresses []netip.Addr) []netip.Addr {
	out := slices.Clone(addresses)
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}
