package config

var (
	inServer     = []string{"virtual_server"}
	inReal       = []string{"real_server"}
	inBoth       = []string{"virtual_server", "real_server"}
	inChecker    = []string{"TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "host", "DNS_CHECK", "PING_CHECK", "UDP_CHECK"}
	inTimed      = []string{"TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "DNS_CHECK", "MISC_CHECK", "PING_CHECK", "UDP_CHECK"}
	inEverything = append([]string{"virtual_server", "real_server"}, inTimed...)
	inWeb        = []string{"HTTP_GET", "SSL_GET"}
)

// What several rows share.
const (
	methodArgs = "NAT|DR|TUN [type ipip|gue [port PORT]|gre] [nocsum|csum|remcsum]"
	scriptArgs = "SCRIPT [USER [GROUP]]"
)

// Ranges that several rows share.
var (
	checkSeconds  = Range{0, 31536000, "s"}
	weightRange   = Range{0, 65535, ""}
	fwmarkRange   = Range{1, 4294967295, ""}
	portRange     = Range{1, 65535, ""}
	quorumRange   = Range{0, 1048575, ""}
	countRange    = Range{0, 4294967295, ""}
	retriesRange  = Range{0, 1000000, ""}
	offsetRange   = Range{0, 10485760, ""}
	replyRange    = Range{0, 65535, ""}
	bfdMillis     = Range{1, 4294967, "ms"}
	bfdIdleMillis = Range{1000, 4294967, "ms"}
	bfdCount      = Range{1, 255, ""}
)

// lvsKeywords are virtual servers and health checks.
var lvsKeywords = []section{
	{in: []string{""}, use: Done, rows: []Keyword{
		{Name: "virtual_server", Args: "IP [PORT]|fwmark NUMBER|group NAME", Shape: Block, Doc: "a service of IPVS", Repeats: true},
		{Name: "virtual_server_group", Args: "NAME", Shape: List, Doc: "services with the same real servers: IP[-LAST] [PORT], NETWORK [PORT], or fwmark NUMBER [inet|inet6]", Repeats: true},
		{Name: "SSL", Shape: Block, Doc: "certificates of SSL_GET"},
	}},
	{in: []string{"SSL"}, use: Done, rows: []Keyword{
		{Name: "password", Args: "PASSWORD", Use: Ignored, Doc: "of the key", Reason: "hafence reads keys that are not encrypted; keep the file root's"},
		{Name: "ca", Args: "FILE", Doc: "certificates of the authority; without, certificates are not checked"},
		{Name: "certificate", Args: "FILE", Doc: "certificate to present"},
		{Name: "key", Args: "FILE", Doc: "private key of the certificate"},
	}},
	{in: inGlobal, use: Done, rows: []Keyword{
		{Name: "lvs_sync_daemon", Args: "INTERFACE [[inst] INSTANCE] [id ID] [maxlen BYTES] [port PORT] [ttl TTL] [group IP]", Doc: "IPVS connection synchronisation"},
		{Name: "lvs_sync_daemon_interface", In: inInstance, Args: "INTERFACE", Doc: "old form of lvs_sync_daemon"},
		{Name: "lvs_timeouts", Args: "[tcp S] [tcpfin S] [udp S]", Doc: "IPVS timeouts of idle connections"},
		{Name: "lvs_flush", Use: Ignored, Doc: "flush IPVS at the start", Reason: "hafence never flushes: it adopts what is there and leaves foreign services alone"},
		{Name: "lvs_flush_on_stop", Args: "[VS]", Doc: "remove the virtual servers at an orderly stop; without, they stay and connections live"},
		{Name: "lvs_flush_onstop", Args: "[VS]", Doc: "old name of lvs_flush_on_stop"},
		{Name: "nftables_ipvs", Args: "[TABLE]", Use: Ignored, Doc: "one service for a group", Reason: whyOneByOne},
		{Name: "nftables_ipvs_priority", Args: "PRIORITY", Use: Ignored, Doc: "priority of its chain", Reason: whyOneByOne},
		{Name: "nftables_ipvs_start_fwmark", Args: "NUMBER", Use: Ignored, Doc: "first mark", Reason: whyOneByOne},
		{Name: "checker_log_all_failures", Args: "[on|off]", Default: "off", Doc: "log every failure"},
		{Name: "rs_init_notifies", Doc: "run notify_up and notify_down for the state at the start"},
		{Name: "script_user", Args: "USER [GROUP]", Default: "keepalived_script, else root", Doc: "who runs scripts"},
	}},
	{in: inServer, use: Done, rows: []Keyword{
		{Name: "real_server", Args: "IP [PORT]", Shape: Block, Doc: "a server behind the service", Repeats: true},
		{Name: "lvs_sched", Args: "SCHEDULER", Default: "wlc", Doc: "scheduler: rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, fo, ovf, sed, nq or twos"},
		{Name: "lb_algo", Args: "SCHEDULER", Default: "wlc", Doc: "old name of lvs_sched"},
		{Name: "lvs_method", In: inBoth, Args: methodArgs, Default: "NAT", Doc: "forwarding method"},
		{Name: "lb_kind", In: inBoth, Args: methodArgs, Default: "NAT", Doc: "old name of lvs_method"},
		{Name: "hashed", Doc: "the kernel sets this flag itself"},
		{Name: "ops", Doc: "one packet scheduling, for UDP"},
		{Name: "flag-1", Doc: "scheduler flag"},
		{Name: "flag-2", Doc: "scheduler flag"},
		{Name: "flag-3", Doc: "scheduler flag"},
		{Name: "sh-port", Doc: "sh hashes the port, too"},
		{Name: "sh-fallback", Doc: "sh goes on to another server where one has weight 0"},
		{Name: "mh-port", Doc: "mh hashes the port, too"},
		{Name: "mh-fallback", Doc: "mh goes on to another server where one has weight 0"},
		{Name: "persistence_engine", Args: "sip", Doc: "persistence engine"},
		{Name: "persistence_timeout", Args: "[SECONDS]", Range: Range{1, 2678400, "s"}, Default: "360 where no value is given", Doc: "a client stays with its real server"},
		{Name: "persistence_granularity", Args: "MASK", Default: "one address", Doc: "clients of a network stay together"},
		{Name: "protocol", Args: "TCP|UDP|SCTP", Default: "UDP", Doc: "protocol"},
		{Name: "ha_suspend", Doc: "check only while one of the addresses is on this host"},
		{Name: "ip_family", Args: "inet|inet6", Default: "that of the real servers", Doc: "family of a marked service"},
		{Name: "omega", Doc: "notify_down and quorum_down at the stop"},
		{Name: "quorum", Args: "WEIGHT", Range: quorumRange, Default: "1", Doc: "weight that must be up"},
		{Name: "hysteresis", Args: "WEIGHT", Range: quorumRange, Default: "0", Doc: "damps the quorum"},
		{Name: "quorum_up", Args: scriptArgs, Doc: "run when it is gained"},
		{Name: "quorum_down", Args: scriptArgs, Doc: "run when it is lost"},
		{Name: "sorry_server", Args: "IP [PORT]", Doc: "server for when the quorum is lost"},
		{Name: "sorry_server_inhibit", Doc: "keep it in IPVS with weight 0 until then"},
		{Name: "sorry_server_lvs_method", Args: methodArgs, Doc: "its forwarding method"},
		{Name: "snmp_name", In: inBoth, Args: "NAME", Use: Ignored, Doc: "name in SNMP", Reason: whySNMP},
		{Name: "virtualhost", In: []string{"virtual_server", "real_server", "HTTP_GET", "SSL_GET", "url"}, Args: "NAME", Default: "address and port", Doc: "host to ask a web server for"},
		{Name: "inhibit_on_failure", In: inBoth, Doc: "weight 0 instead of removal"},
	}},
	{in: inReal, use: Done, rows: []Keyword{
		{Name: "weight", In: inBoth, Args: "WEIGHT", Range: weightRange, Default: "1", Doc: "a real server's share; 0 takes no new connections"},
		{Name: "uthreshold", Args: "COUNT", Range: countRange, Default: "0 (none)", Doc: "most connections"},
		{Name: "lthreshold", Args: "COUNT", Range: countRange, Default: "0", Doc: "connections below which it takes new ones again, at most uthreshold"},
		{Name: "notify_up", Args: scriptArgs, Doc: "run when it is up"},
		{Name: "notify_down", Args: scriptArgs, Doc: "run when it is down"},
		{Name: "TCP_CHECK", Shape: Block, Doc: "connect", Repeats: true},
		{Name: "HTTP_GET", Shape: Block, Doc: "fetch by HTTP", Repeats: true},
		{Name: "SSL_GET", Shape: Block, Doc: "fetch by HTTPS", Repeats: true},
		{Name: "SMTP_CHECK", Shape: Block, Doc: "greet a mail server", Repeats: true},
		{Name: "DNS_CHECK", Shape: Block, Doc: "ask a name server", Repeats: true},
		{Name: "MISC_CHECK", Shape: Block, Doc: "run a script", Repeats: true},
		{Name: "PING_CHECK", Shape: Block, Doc: "ping", Repeats: true},
		{Name: "UDP_CHECK", Shape: Block, Doc: "send a datagram", Repeats: true},
		{Name: "BFD_CHECK", Shape: Block, Doc: "follow a BFD session", Repeats: true},
		{Name: "FILE_CHECK", Shape: Block, Doc: "follow a file: its number times weight is added to the server's", Repeats: true},
	}},
	{in: inEverything, use: Done, rows: []Keyword{
		{Name: "alpha", In: append([]string{"BFD_CHECK"}, inEverything...), Doc: "out until checked"},
		{Name: "connect_timeout", Args: "SECONDS", Range: checkSeconds, Default: "5", Doc: "wait for a connection, and for each answer"},
		{Name: "retry", Args: "COUNT", Range: retriesRange, Default: "1; DNS_CHECK 3, MISC_CHECK 0", Doc: "failures borne after the first"},
		{Name: "delay_before_retry", Args: "SECONDS", Range: checkSeconds, Default: "1; HTTP_GET and SSL_GET 3, DNS_CHECK delay_loop", Doc: "between tries"},
		{Name: "warmup", Args: "SECONDS", Range: checkSeconds, Default: "delay_loop", Doc: "greatest random wait before the first check"},
		{Name: "delay_loop", Args: "SECONDS", Range: checkSeconds, Default: "60", Doc: "between checks"},
		{Name: "log_all_failures", In: inTimed, Args: "[on|off]", Default: "off", Doc: "log every failure"},
	}},
	{in: inChecker, use: Done, rows: []Keyword{
		{Name: "connect_ip", Args: "IP", Default: "that of the real server", Doc: "address to connect to"},
		{Name: "connect_port", Args: "PORT", Range: portRange, Default: "that of the real server", Doc: "port to connect to"},
		{Name: "bindto", Args: "IP", Doc: "address to connect from"},
		{Name: "bind_if", Args: "INTERFACE", Doc: "interface to connect from"},
		{Name: "bind_port", Args: "PORT", Range: portRange, Doc: "port to connect from"},
		{Name: "fwmark", Args: "NUMBER", Range: fwmarkRange, Doc: "mark of the packets"},
	}},
	{in: inWeb, use: Done, rows: []Keyword{
		{Name: "url", Shape: Block, Doc: "what to fetch", Repeats: true},
		{Name: "http_protocol", Args: "1.0|1.0C|1.1", Default: "1.0", Doc: "version of HTTP"},
		{Name: "fast_recovery", Args: "[on|off]", Default: "off", Doc: "no wait between URLs when it recovers"},
		{Name: "nb_get_retry", Args: "COUNT", Range: retriesRange, Doc: "old name of retry"},
		{Name: "enable_sni", In: []string{"SSL_GET"}, Doc: "send the virtual host as the server's name"},
		{Name: "sni_name", In: []string{"SSL_GET"}, Args: "NAME", Doc: "the name to send"},
		{Name: "tls_compliant", In: []string{"SSL_GET", "url"}, Doc: "insist on a proper end of TLS"},
	}},
	{in: []string{"url"}, use: Done, rows: []Keyword{
		{Name: "path", Args: "PATH", Default: "/", Doc: "path of the URL"},
		{Name: "digest", Args: "MD5", Doc: "digest of the answer"},
		{Name: "status_code", Args: "CODE[-CODE]...", Default: "200-299", Doc: "codes that are good"},
		{Name: "regex", Args: "REGEX", Doc: "pattern in the answer"},
		{Name: "regex_no_match", Doc: "the pattern must be absent"},
		{Name: "regex_options", Args: "OPTION...", Doc: "caseless, dotall, multiline, extended, anchored, ungreedy, dollar_endonly or utf"},
		{Name: "regex_stack", Args: "START MAX", Use: Ignored, Doc: "memory of the pattern", Reason: "hafence's patterns need none"},
		{Name: "regex_min_offset", Args: "BYTES", Range: offsetRange, Doc: "where a match may begin"},
		{Name: "regex_max_offset", Args: "BYTES", Range: offsetRange, Doc: "where it must have begun"},
	}},
	{in: []string{"MISC_CHECK"}, use: Done, rows: []Keyword{
		{Name: "misc_path", Args: "SCRIPT", Doc: "what to run, in quotes with its arguments"},
		{Name: "misc_timeout", Args: "SECONDS", Range: checkSeconds, Default: "delay_loop", Doc: "how long it may take"},
		{Name: "misc_dynamic", Doc: "exit codes 2 to 255 are the weight plus 2"},
		{Name: "user", Args: "USER [GROUP]", Default: "script_user", Doc: "who runs it"},
	}},
	{in: []string{"UDP_CHECK"}, use: Done, rows: []Keyword{
		{Name: "payload", Args: "HEX", Default: "nothing", Doc: "what to send"},
		{Name: "require_reply", Args: "[HEX]", Doc: "what must come back; x is any digit"},
		{Name: "min_reply_length", Args: "BYTES", Range: replyRange, Default: "0", Doc: "least length of it"},
		{Name: "max_reply_length", Args: "BYTES", Range: replyRange, Default: "255", Doc: "greatest length of it"},
		{Name: "helo_name", In: []string{"SMTP_CHECK"}, Args: "NAME", Default: heloDefault, Doc: "name told to the mail server"},
		{Name: "host", In: []string{"SMTP_CHECK"}, Shape: Block, Doc: "a host to greet; several are checked each", Repeats: true},
		{Name: "type", In: []string{"DNS_CHECK"}, Args: "TYPE", Default: "SOA", Doc: "type to ask for: A, NS, CNAME, SOA, MX, TXT or AAAA"},
		{Name: "name", In: []string{"DNS_CHECK"}, Args: "NAME", Default: ".", Doc: "name to ask for"},
		{Name: "name", In: []string{"BFD_CHECK"}, Args: "NAME", Doc: "the bfd_instance"},
		{Name: "track_file", In: []string{"FILE_CHECK"}, Args: "NAME", Doc: "file to follow"},
		{Name: "weight", In: []string{"FILE_CHECK"}, Args: "NUMBER [reverse]", Default: "that of the track_file", Doc: "factor of the file's number"},
	}},
}
