package guard

import (
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// Message is what guard and controller say to each other. The checker says
// [Heartbeat] only, and hears nothing.
type Message interface{ kind() string }

// Group is what is held and dropped as one.
type Group = fence.Group

// Configure says what the node may hold and how it is to be fenced. Also on
// reload: groups that are unchanged keep what they hold, others are dropped
// first. Nothing can be armed before it was answered by [Configured].
type Configure struct {
	Seq              uint64
	TTL              time.Duration // of the lease
	Groups           []Group
	Gate             bool
	GateARPOnly      bool // see fence.Configure
	Lifetime         bool
	LockMemory       bool
	RealtimePriority int           // SCHED_RR 1–99, 0 for none
	Watchdog         string        // device, "" for none
	WatchdogTimeout  time.Duration // whole seconds
	Checker          bool          // there are virtual servers: the second child is wanted
	HeartbeatTimeout time.Duration // the controller is hung after so much silence; 0: HeartbeatTimeoutDefault
}

// Arm readies a group's gate. Answer: [Armed]; t0 of the grant is to be read
// after it.
type Arm struct {
	Seq   uint64
	Group string
}

// Open brings the VIPs up under a grant. Answer: [Opened].
type Open struct {
	Seq      uint64
	Group    string
	Token    uint64
	Deadline boottime.Instant // t0 + ttl
}

// Refresh prolongs grants. Answer: [Refreshed]; t0 of the next keep-alive is to
// be read after it.
type Refresh struct {
	Seq      uint64
	Deadline boottime.Instant
	Groups   []string
}

// Drop takes VIPs down. Answer: [Dropped].
type Drop struct {
	Seq    uint64
	Groups []string
	Cause  string
}

// Farewell is what the guard sends to the peers, once, when the controller is
// gone and the VIPs are silent: each peer gets Frame over mutual TLS 1.3. It
// replaces the previous one; an empty Frame clears it. Its contents are secret.
type Farewell struct {
	Peers       []string // host:port, at most PeersMax
	ServerNames []string // in the certificates of Peers, same order
	ALPN        string
	CertPEM     []byte
	KeyPEM      []byte
	CAPEM       []byte
	Frame       []byte // with its length prefix, as it goes onto the wire
}

// Heartbeat says that the controller is well. Any message does.
type Heartbeat struct{}

// Ready, Reloading and Stopping are passed on to the service manager.
type Ready struct{ Status string }

// Reloading says that a new configuration is being applied; Ready follows.
type Reloading struct{}

// Stopping says that the controller has begun to stop.
type Stopping struct{}

// Configured answers [Configure]. With Error nothing may be armed; ask again.
type Configured struct {
	Seq     uint64
	Layers  Layers
	Removed []string // VIPs found and removed, of this or a previous configuration
	Error   string
}

// Armed answers [Arm].
type Armed struct {
	Seq   uint64
	Group string
	Error string
}

// Opened answers [Open]. Expired: arm again and bring a fresh deadline.
type Opened struct {
	Seq     uint64
	Group   string
	Token   uint64
	Error   string
	Expired bool
}

// Refreshed answers [Refresh].
type Refreshed struct {
	Seq     uint64
	Refused []string // not held, or being withdrawn: then a Lapsed says why and whether they are silent
}

// Dropped answers [Drop]. Without Error the VIPs are silent; with it the guard
// goes on trying, and says Dropped again when it has succeeded.
type Dropped struct {
	Seq    uint64
	Groups []string
	Error  string
}

// Lapsed says that the guard dropped a group unasked. Error is as in [Dropped].
type Lapsed struct {
	Group string
	Token uint64
	Cause string
	Error string
}

// Repaired says that a VIP which somebody had removed is back.
type Repaired struct {
	Group string
	VIP   fence.VIP
	Count int // since the group was opened
}

// LayersChanged says that a layer of fencing was lost or came back.
type LayersChanged struct{ Layers Layers }

// Layers are the layers of fencing that are armed.
type Layers struct {
	Gate             bool
	Lifetime         bool
	Watchdog         bool
	MemoryLocked     bool
	OOMProtected     bool
	RealtimePriority int
	Missing          []string // what was asked for and is not there, and why
	Cautions         []string // what is there, but differs from what an operator may expect
}

func (Configure) kind() string     { return "configure" }
func (Arm) kind() string           { return "arm" }
func (Open) kind() string          { return "open" }
func (Refresh) kind() string       { return "refresh" }
func (Drop) kind() string          { return "drop" }
func (Farewell) kind() string      { return "farewell" }
func (Heartbeat) kind() string     { return "heartbeat" }
func (Ready) kind() string         { return "ready" }
func (Reloading) kind() string     { return "reloading" }
func (Stopping) kind() string      { return "stopping" }
func (Configured) kind() string    { return "configured" }
func (Armed) kind() string         { return "armed" }
func (Opened) kind() string        { return "opened" }
func (Refreshed) kind() string     { return "refreshed" }
func (Dropped) kind() string       { return "dropped" }
func (Lapsed) kind() string        { return "lapsed" }
func (Repaired) kind() string      { return "repaired" }
func (LayersChanged) kind() string { return "layers" }
