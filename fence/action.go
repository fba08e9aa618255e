package fence

import (
	"net/netip"
	"time"
)

// Action is what an [Owner] wants done: either a change in the kernel, whose
// outcome must come back as [Done], or a report for the controller.
//
// Actions are performed in the order in which they were given, across Step
// calls: first in, first out. That order is the contract: an address is removed
// before the gate is shut, and the gate is open before an address is added.
type Action interface{ isAction() }

// SetUpGate builds the gate anew, shut for every address in Managed and for
// every address that a gate of a previous life managed; those are reported as
// Done.Leftover.
type SetUpGate struct {
	Managed []netip.Addr
	ARPOnly bool
}

// ManageGate makes Managed the addresses behind the gate, leaving those that
// are open open.
type ManageGate struct{ Managed []netip.Addr }

// InspectGate lists as Done.Leftover what a gate of a previous life managed, and
// changes nothing. Given where no gate is wanted; RemoveGate follows once the
// leftovers are gone.
type InspectGate struct{}

// RemoveGate takes the gate away: everything managed answers again. Given only
// when nothing of ours is left on the host, or when no gate is wanted.
type RemoveGate struct{}

// ArmGate (re)news the group's elements of "armed". It opens nothing.
type ArmGate struct {
	Group   string
	VIPs    []VIP
	Timeout time.Duration
}

// OpenGate moves the group's elements from "armed" to "leased" in one
// transaction. The armed elements must be alive: else [ErrExpired].
type OpenGate struct {
	Group   string
	VIPs    []VIP
	Timeout time.Duration
}

// RefreshGate renews the elements of all these groups in one transaction, or of
// none: [ErrExpired].
type RefreshGate struct {
	Groups  []string
	VIPs    []VIP
	Timeout time.Duration
}

// ShutGate takes the VIPs out of "armed" and "leased". Idempotent. It follows
// the attempt to remove the addresses, whether that worked or not.
type ShutGate struct {
	Withdrawal uint64
	VIPs       []VIP
}

// AddAddress puts a VIP on its interface or renews its lifetime. For a new
// grant the gate has been opened before.
type AddAddress struct {
	Group    string
	VIP      VIP
	Lifetime time.Duration // whole seconds; 0 is for ever
	Purpose  Purpose
}

// Purpose says why an address is added.
type Purpose uint8

// The reasons for AddAddress.
const (
	PurposeOpen   Purpose = iota + 1 // a grant begins
	PurposeRenew                     // the lifetime is prolonged
	PurposeRepair                    // somebody removed it under a living grant
)

// String gives "open", "renew" or "repair".
func (p Purpose) String() string {
	switch p {
	case PurposeOpen:
		return "open"
	case PurposeRenew:
		return "renew"
	case PurposeRepair:
		return "repair"
	}
	return "unknown purpose"
}

// RemoveAddress takes a VIP off its interface, or, where VIP.Interface is
// empty, off whatever interface has it. Idempotent.
type RemoveAddress struct {
	Withdrawal uint64
	VIP        VIP
}

// Configured answers [Configure]. It has an Error, too, while an earlier
// withdrawal has not silenced its VIPs, also where the new configuration doesn't
// name them: without Error, nothing answers but what is held.
type Configured struct {
	Seq        uint64
	Gate       bool         // the packet gate is in place
	GateReason string       // why it isn't, although it was asked for
	Removed    []netip.Addr // managed or leftover addresses that were found and removed
	Error      string       // nothing may be armed; ask again
}

// Armed answers [Arm]. t0 of the grant may be read from now on.
type Armed struct {
	Seq   uint64
	Group string
	Error string
}

// Opened answers [Open], after the last address was added.
type Opened struct {
	Seq     uint64
	Group   string
	Token   uint64
	Error   string
	Expired bool // arming or grant was over: arm again and ask for a fresh deadline
}

// Refreshed answers [Refresh] once the kernel has acknowledged. t0 of the next
// keep-alive may be read from now on, so it doesn't wait for withdrawals: where a
// group is lost in the course of the refresh, Refreshed comes first, and the
// [Lapsed] once the removal has been tried. Refused thus says that a group is not
// held any more or is being withdrawn; whether it is silent is said by Lapsed.
type Refreshed struct {
	Seq     uint64
	Refused []string
}

// Dropped answers [Drop]. Without Error the VIPs are silent: each address is
// gone or the gate's shutting was acknowledged. With Error the withdrawal goes
// on, and another Dropped follows when it has worked, also where another Drop or
// a Configure has taken the withdrawal over. Of several Drops of the same groups
// only the last is answered then.
type Dropped struct {
	Seq    uint64
	Groups []string
	Error  string
}

// Lapsed says that a held group was dropped unasked. Error is as in [Dropped].
type Lapsed struct {
	Group string
	Token uint64
	Cause string
	Error string
}

// Repaired says that a VIP that somebody had removed is back. Neighbours may
// need to be told. Count is since the group was opened.
type Repaired struct {
	Group string
	VIP   VIP
	Count int
}

// GateChanged says that the gate was lost or came back after [Configured].
type GateChanged struct {
	Gate   bool
	Reason string
}

func (SetUpGate) isAction()     {}
func (ManageGate) isAction()    {}
func (InspectGate) isAction()   {}
func (RemoveGate) isAction()    {}
func (ArmGate) isAction()       {}
func (OpenGate) isAction()      {}
func (RefreshGate) isAction()   {}
func (ShutGate) isAction()      {}
func (AddAddress) isAction()    {}
func (RemoveAddress) isAction() {}
func (Configured) isAction()    {}
func (Armed) isAction()         {}
func (Opened) isAction()        {}
func (Refreshed) isAction()     {}
func (Dropped) isAction()       {}
func (Lapsed) isAction()        {}
func (Repaired) isAction()      {}
func (GateChanged) isAction()   {}
