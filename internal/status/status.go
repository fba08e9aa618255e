package status

// Cluster is the whole cluster as one node sees it. Times are seconds.
type Cluster struct {
	Version  string  `json:"version"`   // of hafence on the node that answers
	SeenFrom string  `json:"seen_from"` // the node that answers
	Mode     string  `json:"mode"`      // "lease", or "plain" for "consensus off"
	Quorum   bool    `json:"quorum"`    // a majority of the voters answers this node
	Trouble  string  `json:"trouble,omitempty"`
	Leader   string  `json:"leader"` // the Raft leader, "" when none is known
	Term     uint64  `json:"term"`
	LeaseTTL float64 `json:"lease_ttl"`
	Groups   []Group `json:"groups"`
	Nodes    []Node  `json:"nodes"`
	// Warnings are for the whole cluster; each begins with the node it comes from.
	Warnings []string `json:"warnings"`
}

// Group is a VIP group as the store has it.
type Group struct {
	Name     string   `json:"name"`
	Holder   string   `json:"holder"` // "" when the lease is free
	Token    uint64   `json:"token"`
	TimeLeft float64  `json:"time_left"` // of the holder's session, as the holder knows it; 0 when it is not reached
	WantedBy string   `json:"wanted_by,omitempty"`
	VIPs     []string `json:"vips"`
}

// Node is one node, by its own account where it can be reached.
type Node struct {
	Name      string  `json:"name"`
	Address   string  `json:"address,omitempty"` // of its Raft and RPC listener
	Witness   bool    `json:"witness,omitempty"`
	Reachable bool    `json:"reachable"`
	Error     string  `json:"error,omitempty"` // why it is not reachable
	Version   string  `json:"version,omitempty"`
	Uptime    float64 `json:"uptime,omitempty"` // of the controller
	Session   string  `json:"session,omitempty"`
	TimeLeft  float64 `json:"time_left,omitempty"` // of the session
	Quorum    bool    `json:"quorum"`
	Trouble   string  `json:"trouble,omitempty"` // why there is no session
	Layers    Layers  `json:"layers"`
	Groups    []Local `json:"groups,omitempty"`
	// VirtualServers counts those of the configuration; [FetchServers] tells of them.
	VirtualServers int      `json:"virtual_servers,omitempty"`
	Warnings       []string `json:"warnings,omitempty"`
}

// Layers are the layers of fencing that are armed on a node (DESIGN §5).
type Layers struct {
	Guard            bool     `json:"guard"`
	Gate             bool     `json:"gate"`
	Lifetime         bool     `json:"lifetime"`
	Watchdog         bool     `json:"watchdog"`
	MemoryLocked     bool     `json:"memory_locked"`
	OOMProtected     bool     `json:"oom_protected"`
	RealtimePriority int      `json:"realtime_priority,omitempty"`
	Missing          []string `json:"missing,omitempty"` // what was wanted and is not there, and why
}

// Local is a group on one node.
type Local struct {
	Group     string     `json:"group"`
	State     string     `json:"state"`  // MASTER, BACKUP, FAULT or INIT
	Reason    string     `json:"reason"` // why it is in it, as a sentence
	Since     float64    `json:"since"`  // seconds in this state
	Phase     string     `json:"phase"`  // what the guard has been asked for
	Token     uint64     `json:"token,omitempty"`
	Priority  int        `json:"priority"`
	Eligible  bool       `json:"eligible"` // could be MASTER
	VIPs      []string   `json:"vips"`
	Instances []Instance `json:"instances"`
}

// Instance is a vrrp_instance on one node.
type Instance struct {
	Name      string            `json:"name"`
	Interface string            `json:"interface"`
	RouterID  int               `json:"virtual_router_id"`
	State     string            `json:"state"`
	Reason    string            `json:"reason"`
	Since     float64           `json:"since"`
	Sent      uint64            `json:"adverts_sent"`
	Received  uint64            `json:"adverts_received"`
	Dropped   map[string]uint64 `json:"adverts_dropped,omitempty"` // by reason
}
