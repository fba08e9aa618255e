package vrrp

import (
	"net/netip"
	"time"
)

// Event is something that happens to a [Machine]. The event types are the ones
// in this file. A zero delay, an empty cause and an unknown name are fine
// everywhere; nothing in an event is kept by reference.
type Event interface{ event() }

// Startup lets an instance take part: its interface is up, its configuration is
// complete. INIT and FAULT become BACKUP, with a full master-down timer. In any
// other state it means nothing.
type Startup struct{}

// Failed takes an instance out: its interface is down, a tracked check failed.
// Any state becomes FAULT. The shell has withdrawn the VIPs before.
type Failed struct{ Cause string }

// Received is an advertisement that a [Filter] accepted.
type Received struct {
	Source netip.Addr
	Advert Advertisement
	Member bool // the source is a configured member of our cluster
}

// LeaseFree is the store's word that nobody holds the lease, and that this node
// may claim it after Delay: zero for the best candidate, more for the next.
// Said again, the last word counts.
type LeaseFree struct{ Delay time.Duration }

// LeaseHeld is the store's word that the session of another, live node holds
// the lease. A claim under way is dropped: the shell must not deliver its
// answer any more.
type LeaseHeld struct{ By string }

// Granted says that this node may be MASTER: the lease is ours, the packet gate
// is open and the addresses are on. It needs no claim before it: the successor
// named in a handover gets the lease unasked.
type Granted struct{ Token uint64 }

// Refused says that a claim came to nothing: the race was lost, the store was
// out of reach, the guard refused. With a lease, the machine then waits for the
// store to speak again (what it said while the claim was under way is not kept);
// without one, for another master-down interval.
type Refused struct{ Cause string }

// Lost says that the lease is no longer ours, or that what [Yield] asked for is
// done. The shell has withdrawn the VIPs before. MASTER becomes BACKUP.
type Lost struct{ Cause string }

// Tick says that the instant given by [Machine.Deadline] has come. One too many
// does no harm.
type Tick struct{}

// Reconfigured is a reload: the new configuration, which must be valid, takes
// the place of the old, and the state stays what it is.
type Reconfigured struct{ Config Config }

// Stopped ends the instance's part. Any state becomes INIT. The shell has
// withdrawn the VIPs before.
type Stopped struct{ Cause string }

func (Startup) event()      {}
func (Failed) event()       {}
func (Received) event()     {}
func (LeaseFree) event()    {}
func (LeaseHeld) event()    {}
func (Granted) event()      {}
func (Refused) event()      {}
func (Lost) event()         {}
func (Tick) event()         {}
func (Reconfigured) event() {}
func (Stopped) event()      {}
