package fence

import (
	"net/netip"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Event is what happens to an [Owner]: a request, a fact about the kernel, or
// the outcome of an action.
type Event interface{ isEvent() }

// Configure says what this host may hold. Groups that are unchanged keep what
// they hold; those that changed or are gone are dropped first; every other
// managed address is removed and shut (crash-only start). Answer: [Configured].
type Configure struct {
	Seq      uint64
	TTL      time.Duration // of the lease; [TTLMin] to [TTLMax]
	Gate     bool          // use the packet gate
	ARPOnly  bool          // it shuts ARP alone: the VIPs also stand on lo (a director that is a real server)
	Lifetime bool          // give addresses a valid_lft
	Groups   []Group
}

// Arm readies a group's gate for an opening; to be acknowledged before the
// grant's t0 is read (rule c). Answer: [Armed].
type Arm struct {
	Seq   uint64
	Group string
}

// Open brings a group's VIPs up under a grant. Answer: [Opened].
type Open struct {
	Seq      uint64
	Group    string
	Token    uint64
	Deadline boottime.Instant // t0 + ttl of the grant
}

// Refresh prolongs the grant of every named group. Answer: [Refreshed].
type Refresh struct {
	Seq      uint64
	Deadline boottime.Instant // t0 + ttl of the keep-alive
	Groups   []string
}

// Drop takes the named groups' VIPs down. Answer: [Dropped].
type Drop struct {
	Seq    uint64
	Groups []string
	Cause  string // for the log
}

// DropAll takes everything down, because nobody is left who could ask for it.
// It has no answer: see [Owner.Withdrawn].
type DropAll struct{ Cause string }

// AddressLost says that a VIP is not, or no longer, on its interface.
type AddressLost struct{ VIP VIP }

// InterfaceLost says that an interface is gone.
type InterfaceLost struct{ Interface string }

// Tick says that the instant of [Owner.Deadline] has come.
type Tick struct{}

// Done is the outcome of a kernel action, to be stepped right after it was
// performed, at the instant the kernel's acknowledgement was read.
type Done struct {
	Action   Action
	Err      error        // errors.Is [ErrExpired] and [ErrGateGone] are told apart
	Found    bool         // RemoveAddress: the address was there
	Leftover []netip.Addr // SetUpGate, InspectGate: what a previous life had managed
}

func (Configure) isEvent()     {}
func (Arm) isEvent()           {}
func (Open) isEvent()          {}
func (Refresh) isEvent()       {}
func (Drop) isEvent()          {}
func (DropAll) isEvent()       {}
func (AddressLost) isEvent()   {}
func (InterfaceLost) isEvent() {}
func (Tick) isEvent()          {}
func (Done) isEvent()          {}
