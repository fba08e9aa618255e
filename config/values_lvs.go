package config

import (
	"net/netip"
	"time"
)

// LVS is what the whole host does about IPVS, from global_defs and the top level.
type LVS struct {
	Sync        *SyncDaemon // nil: connections are not synchronised
	Timeouts    IPVSTimeouts
	FlushOnStop bool // remove our virtual services at an orderly stop; default: they stay (I7)
	InitNotify  bool // rs_init_notifies: tell notify_up and notify_down of the state at the start
	LogFailures bool // checker_log_all_failures
	TLS         CheckTLS
}

// SyncDaemon is lvs_sync_daemon: IPVS connection synchronisation.
type SyncDaemon struct {
	Interface string
	Instance  string     // vrrp_instance whose state is the daemon's; "" for master and backup at once
	ID        int        // 0–255; default: the virtual_router_id of Instance
	MaxLength int        // bytes of a message; 0: as the interface's MTU allows
	Port      int        // UDP; 0: 8848
	TTL       int        // 0: 1
	Group     netip.Addr // multicast; zero: 224.0.0.81
}

// IPVSTimeouts is lvs_timeouts; 0 leaves the kernel's.
type IPVSTimeouts struct {
	TCP, TCPFin, UDP time.Duration
}

// CheckTLS is keepalived's SSL block: what SSL_GET presents, and whom it trusts.
// Without CA the certificate of a real server is not checked.
type CheckTLS struct {
	CA, Certificate, Key string // files; the key is not encrypted
}

// VirtualServer is a virtual_server with its real servers, with every default
// and inheritance applied.
type VirtualServer struct {
	Name        string           // as keepalived names it: "[192.0.2.1]:tcp:80", "[FWM 3]", "[group]:tcp"
	Services    []VirtualService // one, or those of its virtual_server_group
	Protocol    string           // "TCP", "UDP" or "SCTP"
	Scheduler   string           // of the kernel: "rr", "wlc"…
	Flags       SchedulerFlags
	Persistence Persistence

	RealServers []RealServer
	Sorry       *SorryServer // for when the quorum is lost
	Quorum      int          // weight, at least 1
	Hysteresis  int          // weight, below Quorum
	QuorumUp    *Script
	QuorumDown  *Script
	Omega       bool // notify_down and quorum_down at an orderly stop
	HASuspend   bool // check only while one of its addresses is on this host
}

// VirtualService is one service of IPVS: an address, or a mark of the firewall.
type VirtualService struct {
	Address netip.AddrPort // port 0: every port, for a persistent service
	Mark    int            // greater than 0: packets with this mark, and no Address
	IPv6    bool           // family of a marked service
}

// SchedulerFlags are the flags of a service (linux/ip_vs.h, IP_VS_SVC_F_…).
type SchedulerFlags struct {
	Hashed, OnePacket   bool
	Flag1, Flag2, Flag3 bool // of the scheduler: sh-fallback and mh-fallback, sh-port and mh-port
}

// Persistence sends a client to the real server it had before.
type Persistence struct {
	Timeout time.Duration // whole seconds; 0 is none
	Bits    int           // of the client's address; 0: all of them
	Engine  string        // "sip", or ""
}

// Method says how packets reach a real server.
type Method struct {
	Kind   string // "NAT", "DR" or "TUN"
	Tunnel Tunnel
}

// Tunnel says how TUN encapsulates.
type Tunnel struct {
	Type     string // "ipip" (default), "gue" or "gre"; "" where Kind isn't TUN
	Port     int    // of gue
	Checksum string // "nocsum" (default), "csum" or "remcsum"
}

// SorryServer takes over when a virtual server's quorum is lost.
type SorryServer struct {
	Address netip.AddrPort // port 0: that of the service
	Method  Method
	Inhibit bool // in IPVS with weight 0 until then
}

// RealServer is a server behind a virtual server.
type RealServer struct {
	Name       string         // "[198.51.100.1]:tcp:80"
	Address    netip.AddrPort // port 0: that of the service
	Weight     int            // 0–65535
	Method     Method
	Inhibit    bool // weight 0 instead of removal when it fails
	Alpha      bool // out until a check succeeded
	Upper      int  // most connections; 0 is no limit
	Lower      int  // with Upper: back in below so many
	NotifyUp   *Script
	NotifyDown *Script
	Checks     []Check
}

// Check is one health check of a real server; it has the kind's own part and no other.
type Check struct {
	Kind string // "TCP_CHECK"…
	Connection
	Timeout     time.Duration // connect_timeout: of the connection, and of each phase after it
	Interval    time.Duration // delay_loop
	Retry       int           // failures borne after the first one
	RetryDelay  time.Duration // delay_before_retry
	Warmup      time.Duration // greatest random wait before the first check
	Alpha       bool
	LogFailures bool // every one, not only the last
	HTTP        *HTTPCheck
	SMTP        *SMTPCheck
	DNS         *DNSCheck
	Misc        *MiscCheck
	UDP         *UDPCheck
	File        *FileCheck
	BFD         string // name of a bfd_instance
	Place       string // FILE:LINE, for messages
}

// HTTPCheck is HTTP_GET, or SSL_GET with TLS.
type HTTPCheck struct {
	TLS          bool
	ServerName   string // SNI; "" for none
	SNI          bool   // enable_sni: the virtual host's name, where ServerName is ""
	Version      string // "1.0", "1.0C" or "1.1"
	FastRecovery bool   // all URLs at once when it recovers
	URLs         []URL
}

// URL is one thing that a web server must answer rightly.
type URL struct {
	Path        string
	VirtualHost string // Host header; "" for address and port
	Digest      string // MD5 of the body, 32 lower case hexadecimal digits; "" for any
	Codes       []CodeRange
	Pattern     *Pattern
	Compliant   bool // tls_compliant: the server must say that it closes
}

// CodeRange is a range of HTTP status codes, both ends included.
type CodeRange struct{ From, To int }

// Pattern is what a body must have, or must not.
type Pattern struct {
	Regex      string // RE2 syntax (Go package regexp), options included
	Absent     bool   // regex_no_match
	MinOffset  int    // bytes of the body before the match begins, at least
	MaxOffset  int    // and at most; 0: no limit
	Restricted bool   // MaxOffset was said
}

// SMTPCheck is SMTP_CHECK.
type SMTPCheck struct {
	Helo  string
	Hosts []Connection // greeted one after the other; none: the check's own
}

// Connection is where a check goes to and comes from.
type Connection struct {
	Target    netip.AddrPort // connect_ip and connect_port, or the real server's
	Source    netip.AddrPort // bindto and bind_port; invalid address or port 0: the kernel's choice
	Interface string         // bind_if
	Mark      int            // fwmark; 0 is none
}

// DNSCheck is DNS_CHECK.
type DNSCheck struct {
	Type string // "SOA"…
	Name string
}

// MiscCheck is MISC_CHECK.
type MiscCheck struct {
	Script  Script
	Timeout time.Duration
	Dynamic bool // exit codes 2–255 are the weight plus 2
}

// UDPCheck is UDP_CHECK.
type UDPCheck struct {
	Payload        []byte
	RequireReply   bool
	Reply, Mask    []byte // what must come back, where the mask has ones; empty: anything
	MinLen, MaxLen int    // bytes of the reply
}

// FileCheck is FILE_CHECK: the number in a file times Weight is added to the
// weight of the real server; with Weight 0 a number other than 0 is a failure.
type FileCheck struct {
	Name    string // of the track_file
	Path    string
	Weight  int
	Reverse bool // the number counts with the other sign; with Weight 0, a 0 is the failure
}

// TrackFile is a track_file block: a file whose number counts.
type TrackFile struct {
	Name      string
	Path      string
	Weight    int  // −254…254; default 1
	Reverse   bool // see [FileCheck]
	Init      *int // write it at the start where the file is missing
	Overwrite bool // write it in any case
}

// BFDInstance is a bfd_instance: a BFD session, RFC 5880.
type BFDInstance struct {
	Name                 string
	Neighbor, Source     netip.Addr // Source may be invalid: the kernel's choice
	MinRx, MinTx, IdleTx time.Duration
	Multiplier           int
	Passive              bool
	TTL                  int // of packets sent; 255
	MaxHops              int // packets with a TTL below TTL − MaxHops are dropped
	Multihop             bool
}

// Script is a program to run, without a shell.
type Script struct {
	Args        []string // at least the program
	User, Group string   // "" for script_user, which is keepalived_script where it exists, else root
}
