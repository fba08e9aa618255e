package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Limits of what a command may carry. They bound the table, and with it every
// snapshot and status answer.
const (
	// NameMax is the longest name of a node or group, in bytes.
	NameMax = 255
	// AddressesMax is the most addresses a candidate may have: one for each
	// instance of its group.
	AddressesMax = 64
	// VIPsMax is the most VIPs a candidate may have.
	VIPsMax = 1024
	// CommandMax is the longest encoded command, in bytes.
	CommandMax = 64 << 10
)

// commandVersion is the version of the encoding, its first byte. A replica
// rejects what it does not know instead of guessing.
const commandVersion = 1

// Token is a lease's fencing token. It grows by one at every grant and never
// goes back (I2). 0 means that the lease was never granted.
type Token uint64

// Session names one life of a node in the store. The zero Session is nobody.
type Session struct {
	Node  string `json:"node"`
	Epoch uint64 `json:"epoch"` // unique in the cluster; 0 is no session
}

// IsZero reports whether s is nobody's session.
func (s Session) IsZero() bool { return s.Epoch == 0 }

func (s Session) String() string {
	if s.IsZero() {
		return "nobody"
	}
	return s.Node + "#" + strconv.FormatUint(s.Epoch, 10)
}

// Command changes the table. Every command is idempotent: applied twice, or late,
// it changes nothing that a later one has settled.
type Command interface{ command() }

type (
	// OpenSession begins a session for a node. A node has at most one.
	//
	// Host and Life keep late and foreign copies of the command from ending a
	// session that is in use. Host identifies the kernel whose guard has withdrawn
	// every VIP before the command was sent (boot ID and network namespace). Life
	// rises with every start of the controller on that host (its start in
	// CLOCK_BOOTTIME nanoseconds). The same Life gets the same session again, a
	// later one replaces it at once, an earlier one is [Stale]; another Host waits
	// until the session has ended ([NodeInUse]).
	OpenSession struct {
		Node string        `json:"node"`
		Host string        `json:"host"`
		Life int64         `json:"life"`
		TTL  time.Duration `json:"ttl"`
	}

	// CloseSession ends a session on behalf of its own node, which has withdrawn
	// every VIP before, and which never uses the session again.
	CloseSession struct {
		Session Session `json:"session"`
	}

	// ExpireSession ends a session that the leader has not heard from for long
	// enough. Only a [Lessor] proposes it. Term is the one it counted in: a store
	// applies the command only when it was committed in that very term. A later one
	// has a count of its own, by which the session may be alive.
	ExpireSession struct {
		Session Session `json:"session"`
		Term    uint64  `json:"term"`
	}

	// Acquire asks for a group's lease. Preempt says that the asker is the better
	// priority: a lease that is held is then marked as wanted by it.
	Acquire struct {
		Session Session `json:"session"`
		Group   string  `json:"group"`
		Preempt bool    `json:"preempt,omitempty"`
	}

	// Release gives a lease back. The holder has withdrawn the group's VIPs before
	// and never again opens them under this token. Successor names the node that
	// owns the lease from this very commit on, if it is an eligible candidate with a
	// session; "" or an unfit one leaves the lease free.
	Release struct {
		Session   Session `json:"session"`
		Group     string  `json:"group"`
		Token     Token   `json:"token"`
		Successor string  `json:"successor,omitempty"`
	}

	// SetCandidate says whether, and how well, a node could serve a group.
	SetCandidate struct {
		Session Session `json:"session"`
		// Order rises with every SetCandidate that a session proposes: a copy that
		// commits late does not undo a later one.
		Order    uint64 `json:"order,omitempty"`
		Group    string `json:"group"`
		Priority uint8  `json:"priority"`
		// Addresses are the VRRP source addresses of the group's instances on the
		// node. The first breaks ties of priority.
		Addresses []netip.Addr `json:"addresses,omitempty"`
		// VIPs are what the node would answer for. No lease is granted for one that
		// belongs to another group's lease: a VIP may be configured under two names
		// while a cluster is being changed node by node.
		VIPs     []netip.Addr `json:"vips,omitempty"`
		Eligible bool         `json:"eligible"`
	}
)

func (OpenSession) command()   {}
func (CloseSession) command()  {}
func (ExpireSession) command() {}
func (Acquire) command()       {}
func (Release) command()       {}
func (SetCandidate) command()  {}

// envelope is the wire form: exactly one field is set.
type envelope struct {
	OpenSession   *OpenSession   `json:"open_session,omitempty"`
	CloseSession  *CloseSession  `json:"close_session,omitempty"`
	ExpireSession *ExpireSession `json:"expire_session,omitempty"`
	Acquire       *Acquire       `json:"acquire,omitempty"`
	Release       *Release       `json:"release,omitempty"`
	SetCandidate  *SetCandidate  `json:"set_candidate,omitempty"`
}

// EncodeCommand gives the wire and log form of a command: a version byte and JSON.
func EncodeCommand(c Command) ([]byte, error) {
	var e envelope
	switch c := c.(type) {
	case OpenSession:
		e.OpenSession = &c
	case CloseSession:
		e.CloseSession = &c
	case ExpireSession:
		e.ExpireSession = &c
	case Acquire:
		e.Acquire = &c
	case Release:
		e.Release = &c
	case SetCandidate:
		e.SetCandidate = &c
	default:
		panic(fmt.Sprintf("consensus: encode command: unknown type %T", c))
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	if len(body)+1 > CommandMax {
		return nil, fmt.Errorf("encode command: %d bytes, more than %d", len(body)+1, CommandMax)
	}
	return append([]byte{commandVersion}, body...), nil
}

// ErrVersion is returned for a command of another version of hafence.
var ErrVersion = errors.New("command of another version")

// DecodeCommand is the inverse of [EncodeCommand]. It accepts any input without
// panicking.
func DecodeCommand(b []byte) (Command, error) {
	if len(b) == 0 || len(b) > CommandMax {
		return nil, fmt.Errorf("decode command: %d bytes, want 1 to %d", len(b), CommandMax)
	}
	if b[0] != commandVersion {
		return nil, fmt.Errorf("decode command: version %d, know %d: %w", b[0], commandVersion, ErrVersion)
	}
	var e envelope
	if err := json.Unmarshal(b[1:], &e); err != nil {
		return nil, fmt.Errorf("decode command: %w", err)
	}
	var found []Command
	if e.OpenSession != nil {
		found = append(found, *e.OpenSession)
	}
	if e.CloseSession != nil {
		found = append(found, *e.CloseSession)
	}
	if e.ExpireSession != nil {
		found = append(found, *e.ExpireSession)
	}
	if e.Acquire != nil {
		found = append(found, *e.Acquire)
	}
	if e.Release != nil {
		found = append(found, *e.Release)
	}
	if e.SetCandidate != nil {
		found = append(found, *e.SetCandidate)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("decode command: %d commands, want 1", len(found))
	}
	return found[0], nil
}
