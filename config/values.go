package config

import (
	"net/netip"
	"time"
)

// Config is a whole configuration after every check has passed: what hafence
// runs with. Values are in the order of the file.
//
// One file serves all nodes: Instances are there on a witness, too, which must
// not act on them; whoever assembles the node looks at its [Member].
type Config struct {
	Global       Global
	Consensus    Consensus
	Fence        Fence
	Status       Status
	Instances    []Instance
	SyncGroups   []SyncGroup
	ConsensusOff bool // "consensus off": a plain VRRP router, no lease (DESIGN §4)

	VirtualServers []VirtualServer
	LVS            LVS
	TrackFiles     []TrackFile
	BFDInstances   []BFDInstance
}

// Global is keepalived's global_defs, as far as hafence acts on it.
type Global struct {
	RouterID      string
	VRRPVersion   int // 2 or 3; default 2
	GARP          GARP
	MulticastIPv4 netip.Addr // default 224.0.0.18
	StartupDelay  time.Duration
	ScriptUser    string // "": keepalived_script where it exists, else root
	ScriptGroup   string // "": that of the user
}

// GARP is keepalived's schedule of gratuitous ARP (keepalived.conf(5), garp_*).
type GARP struct {
	Delay         time.Duration // second burst after MASTER; 0 is none; default 5 s
	Repeat        int           // packets in a burst; default 5
	Refresh       time.Duration // 0 is off, the default
	RefreshRepeat int           // default 1
}

// Consensus is hafence's own block: who votes, and how long a lease lasts.
type Consensus struct {
	Node       string // this node's name; one of Members
	Members    []Member
	KeyFile    string // cluster key; "" with TLS or on loopback only
	TLS        TLS    // the user's own CA instead of KeyFile
	DataDir    string // default /var/lib/hafence
	LeaseTTL   time.Duration
	ClockDrift float64 // fraction, 0.01 for 1 %
}

// Member is a node of the cluster.
type Member struct {
	Name    string
	Address netip.AddrPort // where its Raft and RPC listener is
	Witness bool           // votes, never holds a VIP
}

// TLS names the files of the user's own certificate authority.
type TLS struct {
	CA, Certificate, Key string
}

// Fence says which layers of fencing are wanted (DESIGN §5).
type Fence struct {
	Gate             bool          // packet gate by nftables; default true
	Lifetime         bool          // valid_lft on every VIP; default true
	Watchdog         string        // device, "" for none (default)
	WatchdogTimeout  time.Duration // whole seconds; default 5 s
	RealtimePriority int           // SCHED_RR priority 1–99 of guard and controller, 0 for none (default)
	LockMemory       bool          // mlockall; default true
	VIPOnLo          bool          // the VIPs also stand on lo: a director that is a real server; default false
}

// Status is hafence's own block for the status socket.
type Status struct {
	Socket string // default /run/hafence/hafence.sock
}

// Instance is a vrrp_instance.
type Instance struct {
	Name           string
	Interface      string
	RouterID       int  // virtual_router_id, 1–255
	Version        int  // 2 or 3
	Priority       int  // 1–255; default 100
	StateMaster    bool // "state MASTER": a wish without effect below priority 255
	AdvertInterval time.Duration
	NoPreempt      bool
	PreemptDelay   time.Duration
	AuthPass       string       // at most 8 bytes; "" for no authentication. Secret
	Addresses      []VIP        // virtual_ipaddress
	UnicastSource  netip.Addr   // unicast_src_ip or mcast_src_ip; zero: first address of Interface
	UnicastPeers   []netip.Addr // empty: multicast
	GARP           GARP
}

// VIP is one virtual IP address.
type VIP struct {
	Prefix    netip.Prefix // address with its prefix length; /32 by default
	Interface string       // "dev", or the interface of the instance
	Label     string
	Scope     string // "global" (default), "link", "host", "site" or a number
	Broadcast netip.Addr
}

// SyncGroup is a vrrp_sync_group: instances that fail over as one.
type SyncGroup struct {
	Name    string
	Members []string // instance names
}
