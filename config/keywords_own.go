package config

// ownKeywords are hafence's own blocks. None of these names, nor that of any
// keyword within, may be one that keepalived knows at its top level: keepalived
// passes over an unknown keyword but not over its braces, and so reads what
// they hold as if it stood outside (TestKeepalivedPassesOverOurBlocks).
var ownKeywords = []section{
	{in: []string{""}, use: Done, own: true, rows: []Keyword{
		{Name: "consensus", Args: "[off]", Shape: Block, Doc: "who votes on who may be MASTER; \"consensus off\" on one line is plain VRRP without leases"},
		{Name: "fence", Shape: Block, Doc: "which layers of fencing are wanted", Repeats: true},
		{Name: "status", Shape: Block, Doc: "where status is asked for", Repeats: true},
	}},
	{in: []string{"consensus"}, use: Done, own: true, rows: []Keyword{
		{Name: "node", Args: "NAME", Default: "short host name", Doc: "this node's name among the members"},
		{Name: "member", Args: "NAME IP[:PORT] [witness]", Default: "port 7946", Doc: "a node that votes; 1, 3 or 5 of them; a witness never holds a VIP", Repeats: true},
		{Name: "key_file", Args: "FILE", Doc: "cluster key made by hafence keygen, the same on every node"},
		{Name: "tls", Shape: Block, Doc: "the user's own certificate authority instead of key_file"},
		{Name: "data_dir", Args: "DIRECTORY", Default: DefaultDataDir, Doc: "Raft log and identity of this node"},
		{Name: "lease_ttl", Args: "SECONDS", Range: Range{0.75, 60, "s"}, Default: "1.5", Doc: "how long a lease outlives its last keep-alive: the time a dead MASTER costs"},
		{Name: "clock_drift", Args: "PERCENT", Range: Range{0.1, 10, "%"}, Default: "1", Doc: "by how much the clocks of two nodes may differ in rate"},
	}},
	{in: []string{"tls"}, use: Done, own: true, rows: []Keyword{
		{Name: "ca", Args: "FILE", Doc: "certificates of the authority"},
		{Name: "certificate", Args: "FILE", Doc: "this node's certificate; its name is the node's"},
		{Name: "key", Args: "FILE", Doc: "private key of the certificate"},
	}},
	{in: []string{"fence"}, use: Done, own: true, rows: []Keyword{
		{Name: "gate", Args: "on|off", Default: "on", Doc: "packet gate: nftables drops a VIP's packets once its lease is over"},
		{Name: "lifetime", Args: "on|off", Default: "on", Doc: "valid_lft on every VIP: the kernel itself removes it"},
		{Name: "watchdog", Args: "DEVICE|off [timeout SECONDS]", Default: "off", Doc: "hardware watchdog that resets a host which can't give a VIP up"},
		{Name: "watchdog_timeout", Args: "SECONDS", Range: Range{1, 300, "s"}, Default: "5", Doc: "the watchdog's time to a reset, whole seconds"},
		{Name: "realtime_priority", Args: "PRIORITY", Range: Range{0, 99, ""}, Default: "0 (none)", Doc: "SCHED_RR priority of guard and controller"},
		{Name: "vip_on_lo", Args: "on|off", Default: "off", Doc: "this director is a real server, too (DR): its VIPs also stand on lo, so that the packet gate shuts ARP alone"},
		{Name: "lock_memory", Args: "on|off", Default: "on", Doc: "keep guard and controller out of swap"},
	}},
	{in: []string{"status"}, use: Done, own: true, rows: []Keyword{
		{Name: "socket", Args: "PATH", Default: DefaultSocket, Doc: "Unix socket that hafence status asks"},
	}},
}
