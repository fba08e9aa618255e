package vrrp

import (
	"fmt"
	"net/netip"
)

// Action is something a [Machine] wants done. The shell performs the actions of
// one step in their order before it steps again. The action types are the ones
// in this file.
type Action interface{ action() }

// Claim asks for the right to be MASTER: acquire the lease (or, in plain VRRP,
// nothing), open the gate, add the addresses; then answer with [Granted], or
// with [Refused]. There is one at a time: the next comes only after Granted,
// Refused, Lost, LeaseHeld or a way out of BACKUP.
type Claim struct{ Cause string }

// Yield gives up being MASTER: withdraw the VIPs first, then release the lease,
// then answer with [Lost]. It comes once per time as MASTER, and no
// advertisement comes after it; and it answers a grant that came too late, in
// INIT or FAULT.
type Yield struct{ Cause string }

// SendAdvert sends an advertisement. One with [PriorityStop] comes only after
// the event that says that the VIPs are withdrawn; any other only after
// [Granted], that is, with the VIPs on.
type SendAdvert struct{ Priority Priority }

// Announce broadcasts a burst of gratuitous ARP: every VIP, Repeat times over.
// It comes only while the VIPs are on, after the advertisement that goes with
// it (RFC 3768 §6.4.2).
type Announce struct{ Repeat int }

// Changed reports a change of state, after everything on the wire that belongs
// to it, so that no log or script delays a packet.
type Changed struct {
	From, To State
	Cause    string
}

// Silent reports that no advertisement of a member was heard for a master-down
// interval although Master holds the lease, and, with Silent false, that this
// is over.
type Silent struct {
	Master string
	Silent bool
}

// Stranger reports an advertisement that a healthy cluster would not see. There
// is one for each such advertisement; the shell counts them and limits its log.
type Stranger struct {
	Source   netip.Addr
	Priority Priority
	Kind     StrangerKind
}

// StrangerKind says what is strange about an advertisement.
type StrangerKind uint8

// The kinds of strange advertisements.
const (
	// StrangerHigher comes from outside the cluster and would, by RFC 3768
	// §6.4, be MASTER over us.
	StrangerHigher StrangerKind = iota + 1
	// StrangerLower comes from outside the cluster and would have to give way.
	StrangerLower
	// MemberWithoutLease comes from a member while this node, as MASTER, has
	// the lease.
	MemberWithoutLease
)

// String gives the kind in a few words.
func (k StrangerKind) String() string {
	switch k {
	case StrangerHigher:
		return "stranger of higher priority"
	case StrangerLower:
		return "stranger of lower priority"
	case MemberWithoutLease:
		return "member without the lease"
	default:
		return fmt.Sprintf("StrangerKind(%d)", uint8(k))
	}
}

func (Claim) action()      {}
func (Yield) action()      {}
func (SendAdvert) action() {}
func (Announce) action()   {}
func (Changed) action()    {}
func (Silent) action()     {}
func (Stranger) action()   {}
