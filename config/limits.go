package config

import "time"

// Limits of what is read. They are far above any configuration seen in the
// wild (the largest known has 65,024 instances) and keep a broken or hostile
// file from using the machine up.
const (
	// ProblemsMax is the greatest number of problems returned; errors come
	// before warnings when some must be left out.
	ProblemsMax = 100

	bytesMax        = 256 << 20 // bytes of text, all files and every replacement of a variable together
	fileBytesMax    = 64 << 20  // bytes of one file
	linesMax        = 1 << 20   // lines, all files and expansions together
	lineBytesMax    = 64 << 10  // bytes of one line, after substitution
	filesMax        = 4096      // files read, the first included
	includeDepthMax = 16        // files open at a time
	bracesMax       = 1024      // names one include's { , } may stand for
	replacementsMax = 1000      // variables replaced in one line
	expansionMax    = 32        // variables of several lines within one another
	blockDepthMax   = 32        // blocks within one another
	suggestionsMax  = 200       // unknown keywords that are compared with all known ones
)

// Limits of values that several checks share.
const (
	interfaceBytesMax = 15   // IFNAMSIZ − 1 (linux/if.h)
	labelBytesMax     = 15   // IFA_LABEL: IFNAMSIZ − 1
	passwordBytesMax  = 8    // RFC 2338 §5.3.6.1
	nameBytesMax      = 128  // instances, groups
	addressesMax      = 255  // virtual addresses of an instance (RFC 3768 §5.3.5)
	hostAddressesMax  = 1024 // virtual addresses of a host: what one gate transaction can name
	hostInstancesMax  = 255  // instances of a host
	nodeBytesMax      = 63   // members: a DNS label
	socketBytesMax    = 107  // sun_path − 1 (linux/un.h)
	votersMax         = 5
	priorityOwner     = 255     // RFC 3768 §5.3.4
	priorityDefault   = 100     // RFC 3768 §5.3.4
	argumentsMax      = 255     // words of a script's command line
	groupServicesMax  = 65536   // services of a virtual_server_group, ranges expanded
	servicesMax       = 1 << 16 // services of a host
	destinationsMax   = 1 << 20 // real servers times services of a host
	checksMax         = 1 << 17 // health checks of a host
)

// Defaults. Those of keepalived are keepalived.conf(5)'s.
const (
	// DefaultPath is the configuration that is read when none is named.
	DefaultPath = "/etc/hafence/hafence.conf"
	// DefaultPort is the TCP port of a member's Raft and RPC listener.
	DefaultPort = 7946
	// DefaultDataDir is where a node keeps its Raft log and identity.
	DefaultDataDir = "/var/lib/hafence"
	// DefaultSocket is the status socket.
	DefaultSocket = "/run/hafence/hafence.sock"
	// DefaultLeaseTTL is how long a lease outlives its last keep-alive.
	DefaultLeaseTTL = 1500 * time.Millisecond
	// DefaultClockDrift is the fraction by which two hosts' clocks may differ in rate.
	DefaultClockDrift = 0.01
	// DefaultWatchdogTimeout is the hardware watchdog's time to a reset.
	DefaultWatchdogTimeout = 5 * time.Second

	advertIntervalDefault = time.Second
	garpDelayDefault      = 5 * time.Second
	garpRepeatDefault     = 5
	garpRefreshRepeat     = 1
	multicastDefault      = "224.0.0.18" // RFC 3768 §5.2.2

	schedulerDefault     = "wlc"
	methodDefault        = "NAT"
	persistenceDefault   = 360 * time.Second // IP_VS_TEMPLATE_TIMEOUT (net/ip_vs.h)
	checkIntervalDefault = 60 * time.Second
	checkTimeoutDefault  = 5 * time.Second
	retryDefault         = 1
	retryDNSDefault      = 3
	retryDelayDefault    = time.Second
	retryDelayWebDefault = 3 * time.Second
	replyLengthDefault   = 255
	heloDefault          = "smtpchecker.keepalived.org"
	bfdIntervalDefault   = 10 * time.Millisecond
	bfdIdleDefault       = time.Second
	bfdMultiplierDefault = 5
	bfdTTLDefault        = 255
	bfdHopLimitDefault   = 64
)
