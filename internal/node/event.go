package node

import (
	"net/netip"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/vrrp"
)

// Event is what happens to a [Core].
type Event interface{ event() }

type (
	// Start begins: the guard is there.
	Start struct{}
	// FromGuard is a report of the guard: one of fence's Configured, Armed, Opened,
	// Refreshed, Dropped, Lapsed, Repaired, GateChanged.
	FromGuard struct{ Report fence.Action }
	// FromVoter is an answer to a keep-alive's question.
	FromVoter struct{ Answer consensus.Answer }
	// TableChanged brings the store's table as this node knows it. It must not be
	// changed any more.
	TableChanged struct{ Table *consensus.Table }
	// Proposed is the outcome of a proposal. Failure, when not empty, says why it is
	// not known whether the command was or will be committed.
	Proposed struct {
		ID      uint64
		Result  consensus.Result
		Failure string
	}
	// Received is an advertisement that passed an instance's filter. The core tells
	// members from strangers.
	Received struct {
		Instance string
		Source   netip.Addr
		Advert   vrrp.Advertisement
	}
	// LinkChanged says whether an instance's interface can be used, and with which
	// primary address.
	LinkChanged struct {
		Instance string
		Up       bool
		Cause    string // why it is not up
		Source   netip.Addr
	}
	// Reload brings a new configuration. Node, Host, Life, TTL and Plain stay.
	Reload struct{ Config CoreConfig }
	// Stop begins a graceful end: every VIP is withdrawn and handed over.
	Stop struct{ Cause string }
	// Tick says that the instant of [Core.Deadline] has come.
	Tick struct{}
)

func (Start) event()        {}
func (FromGuard) event()    {}
func (FromVoter) event()    {}
func (TableChanged) event() {}
func (Proposed) event()     {}
func (Received) event()     {}
func (LinkChanged) event()  {}
func (Reload) event()       {}
func (Stop) event()         {}
func (Tick) event()         {}

// Action is what a [Core] wants done. The shell performs the actions of a step in
// their order before the next step.
type Action interface{ action() }

type (
	// ToGuard sends the guard a request: one of fence's Configure, Arm, Open, Refresh,
	// Drop. Requests arrive in order; each is answered by a report.
	ToGuard struct{ Request fence.Event }
	// Propose commits a command through the store and answers with Proposed.
	Propose struct {
		ID      uint64
		Command consensus.Command
	}
	// Ask puts a keep-alive's question to every voter. The step's instant is its t0.
	Ask struct {
		Round   uint64
		Session consensus.Session
	}
	// SessionOpened gives the guard the means to close this session should the
	// controller die.
	SessionOpened struct{ Session consensus.Session }
	// SendAdvert sends a VRRP advertisement.
	SendAdvert struct {
		Instance string
		Priority vrrp.Priority
	}
	// Announce sends gratuitous ARP for an instance's VIPs.
	Announce struct {
		Instance string
		Repeat   int
	}
	// Note is for the log and the event list: one per transition, with its cause.
	Note struct {
		Level    Level
		Group    string
		Instance string
		Token    consensus.Token // 0 where none belongs to it
		Text     string
	}
	// Adopted says that a reload has been carried out: what the old configuration had
	// up is withdrawn, and the instances are those of the new one.
	Adopted struct{}
	// Ended follows Stop when nothing is left to do.
	Ended struct{}
)

func (ToGuard) action()       {}
func (Propose) action()       {}
func (Ask) action()           {}
func (SessionOpened) action() {}
func (SendAdvert) action()    {}
func (Announce) action()      {}
func (Note) action()          {}
func (Adopted) action()       {}
func (Ended) action()         {}

// Level is how much a [Note] matters.
type Level uint8

// The levels.
const (
	LevelInfo Level = iota + 1
	LevelWarn
	LevelError
)

func (l Level) String() string {
	return [...]string{LevelInfo: "info", LevelWarn: "warn", LevelError: "error"}[l]
}
