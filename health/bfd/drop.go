package bfd

import "fmt"

// DropReason says why a received packet is ignored. As an error it comes from [Decode].
type DropReason uint8

// The reasons, in the order in which a packet is checked: RFC 5880 §6.8.6, with the TTL
// of RFC 5881 §5 where the session that sets its limit is known.
const (
	DropVersion           DropReason = iota + 1 // not version 1
	DropTooShort                                // Length, or the payload, is less than a packet
	DropLength                                  // Length is greater than the payload
	DropMultiplier                              // Detect Mult is 0
	DropMultipoint                              // the M bit is set
	DropMyDiscriminator                         // My Discriminator is 0
	DropYourDiscriminator                       // Your Discriminator is 0 in state Init or Up
	DropAuthenticated                           // the A bit is set, and we use no authentication
	DropPollFinal                               // P and F are both set (§6.5: must not be), as in keepalived
	DropNoSession                               // neither discriminator nor addresses lead to a session
	DropTTL                                     // it has come over more hops than the session allows
	dropReasonEnd
)

// DropReasons lists all reasons, in order.
func DropReasons() []DropReason {
	var all []DropReason
	for r := DropReason(1); r < dropReasonEnd; r++ {
		all = append(all, r)
	}
	return all
}

// String gives the reason in a few words.
func (r DropReason) String() string {
	switch r {
	case DropVersion:
		return "not BFD version 1"
	case DropTooShort:
		return "shorter than a control packet"
	case DropLength:
		return "Length beyond the end of the datagram"
	case DropMultiplier:
		return "Detect Mult is 0"
	case DropMultipoint:
		return "multipoint"
	case DropMyDiscriminator:
		return "My Discriminator is 0"
	case DropYourDiscriminator:
		return "Your Discriminator is 0 in a session beyond Down"
	case DropAuthenticated:
		return "authenticated"
	case DropPollFinal:
		return "both Poll and Final"
	case DropNoSession:
		return "no such session"
	case DropTTL:
		return "too many hops"
	default:
		return fmt.Sprintf("DropReason(%d)", uint8(r))
	}
}

// Error implements error.
func (r DropReason) Error() string { return r.String() }
