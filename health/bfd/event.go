package bfd

// Event is something that happens to a [Session]. The event types are the ones in this
// file.
type Event interface{ event() }

// Start begins a session: it can send and receive from now on. It comes once, first.
type Start struct{}

// Received is a packet that belongs to the session and that no [DropReason] fits.
type Received struct{ Packet Packet }

// Tick says that the instant given by [Session.Deadline] has come. One too many does no
// harm. What had been received before must have been delivered before.
type Tick struct{}

// Retimed is a reload with other times, which must be valid. The session stays what it is.
type Retimed struct{ Timing Timing }

// Stop ends a session for good: AdminDown.
type Stop struct{}

func (Start) event()    {}
func (Received) event() {}
func (Tick) event()     {}
func (Retimed) event()  {}
func (Stop) event()     {}

// Action is something a [Session] wants done. The shell performs the actions of one step
// in their order before it steps again. The action types are the ones in this file.
type Action interface{ action() }

// Send sends a packet to the neighbour: at most one in each step.
type Send struct{ Packet Packet }

// Judge says whether the neighbour is up, for the first time or because it has changed:
// after the packet that goes with it, so that whoever hears of it delays no packet.
//
// The first Judge is for a session that is Up, or comes when the neighbour has had
// Multiplier × IdleTx to come up: a restart is no reason to take anybody for down.
type Judge struct {
	Up     bool
	Reason string // one short line for people
}

func (Send) action()  {}
func (Judge) action() {}
