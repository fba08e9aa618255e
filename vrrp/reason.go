package vrrp

import "fmt"

// Reason is a sentence for people: the state, and why the machine is in it.
// [Machine.Since] says since when. It is for reading, not for parsing.
func (m *Machine) Reason() string {
	return m.state.String() + ": " + m.why()
}

func (m *Machine) why() string {
	switch {
	case m.state == Master && m.yielding:
		return "giving way: " + m.rival.String()
	case m.state == Master:
		return m.grantCause()
	case m.state == Backup && m.config.Plain:
		return m.whyPlainBackup()
	case m.state == Backup:
		return m.whyBackup()
	default:
		return m.cause
	}
}

func (m *Machine) whyPlainBackup() string {
	switch {
	case m.claiming:
		return "about to become MASTER"
	case m.strangerDown.On:
		return m.rival.String()
	case m.refusal != "":
		return "could not become MASTER: " + m.refusal
	default:
		return "waiting to hear a MASTER"
	}
}

func (m *Machine) whyBackup() string {
	switch {
	case m.claiming:
		return "asking for the lease"
	case m.lease == leaseHeld && m.silent:
		return m.holder + " is silent but holds the lease"
	case m.lease == leaseHeld:
		return m.holder + " holds the lease"
	case m.strangerDown.On:
		return "stranger " + m.rival.String()
	case m.lease == leaseFree && m.listen.On:
		return "the lease is free; listening for other routers before the first claim"
	case m.lease == leaseFree:
		return "the lease is free; better candidates go first"
	case m.refusal != "":
		return "claim refused: " + m.refusal + "; waiting for word from the store"
	default:
		return m.cause + "; waiting for word from the store"
	}
}

// String says what was last heard of the rival.
func (r rival) String() string {
	if r.priority == PriorityStop {
		return fmt.Sprintf("%s has said that it stops", r.source)
	}
	return fmt.Sprintf("%s advertises priority %d", r.source, r.priority)
}
