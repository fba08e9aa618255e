package config

var inGlobal = []string{"global_defs"}

// Reasons that many rows share.
const (
	whyMail      = "hafence sends no mail"
	whySNMP      = "hafence has no SNMP agent; hafence status and its metrics tell the same"
	whyDBus      = "hafence has no D-Bus interface; hafence status tells the same"
	whyProcess   = "it tunes keepalived's own processes; see realtime_priority and lock_memory in the fence block"
	whyFiles     = "it names keepalived's own files"
	whyBuffers   = "hafence sizes its socket buffers itself"
	whyFirewall  = "hafence has its own packet gate"
	whyScripts   = "this version runs no scripts but those of health checks"
	whyNotify    = "this version runs no scripts: the VIP moves without telling them"
	whyReload    = "hafence always checks a new configuration before it acts on it"
	whyOneByOne  = "every address of a group is a service of its own"
	whyReceive   = "it only changes which advertisements are looked at more closely, and the lease decides who is MASTER"
	whyHealing   = "it heals the time after two were MASTER, which the lease rules out"
	whyVersion3  = "it only matters with version 3"
	whyIPv6      = "it only matters with IPv6"
	whyVMAC      = "it only matters with use_vmac"
	whyNamespace = "start hafence within the network namespace instead"
	whyNetwork   = "addresses, routes and rules that stay belong in the host's network configuration"
	whyTracking  = "tracking is not there yet"
)

// globalKeywords are the top level and global_defs, as far as they are neither
// VRRP nor virtual servers.
var globalKeywords = []section{
	{in: []string{""}, use: Done, rows: []Keyword{
		{Name: "global_defs", Shape: Block, Doc: "settings of the daemon, defaults of the instances", Repeats: true},
		{Name: "include", In: []string{"", "*"}, Args: "FILE", Doc: "read another file here; wildcards and {a,b} are allowed, a missing file is a warning", Repeats: true},
		{Name: "includer", In: []string{"", "*"}, Args: "FILE", Doc: "include whose files must be readable", Repeats: true},
		{Name: "includem", In: []string{"", "*"}, Args: "FILE", Doc: "include whose file must exist", Repeats: true},
		{Name: "includew", In: []string{"", "*"}, Args: "FILE", Doc: "include whose wildcards must match a file", Repeats: true},
		{Name: "includeb", In: []string{"", "*"}, Args: "FILE", Doc: "include of whose {a,b} each must exist", Repeats: true},
		{Name: "includea", In: []string{"", "*"}, Args: "FILE", Doc: "include with all of these conditions", Repeats: true},
	}},
	{in: inGlobal, use: Done, rows: []Keyword{
		{Name: "router_id", Args: "NAME", Default: "short host name", Doc: "name of this host in logs and mail; no part of the protocol"},
		{Name: "vrrp_version", Args: "2", Range: Range{2, 3, ""}, Default: "2", Doc: "VRRP version of instances that name none"},
		{Name: "vrrp_garp_master_delay", Args: "SECONDS", Range: Range{0, 86400, "s"}, Default: "5", Doc: "second burst of gratuitous ARP after becoming MASTER; 0 is none"},
		{Name: "vrrp_garp_master_repeat", Args: "COUNT", Range: Range{0, 255, ""}, Default: "5", Doc: "packets in a burst"},
		{Name: "vrrp_garp_master_refresh", Args: "SECONDS", Range: Range{0, 86400, "s"}, Default: "0 (off)", Doc: "bursts while MASTER"},
		{Name: "vrrp_garp_master_refresh_repeat", Args: "COUNT", Range: Range{0, 255, ""}, Default: "1", Doc: "packets in a burst while MASTER"},
		{Name: "vrrp_mcast_group4", Args: "IP", Default: multicastDefault, Doc: "multicast group of IPv4 advertisements"},
		{Name: "vrrp_startup_delay", Args: "SECONDS", Range: Range{0, 86400, "s"}, Default: "0", Doc: "wait before VRRP starts"},
	}},
	{in: inGlobal, use: Ignored, reason: whyMail, rows: []Keyword{
		{Name: "notification_email", Shape: List, Doc: "whom to mail"},
		{Name: "notification_email_from", Args: "ADDRESS", Doc: "sender of mail"},
		{Name: "smtp_server", Args: "HOST [PORT]", Doc: "mail server"},
		{Name: "smtp_helo_name", Args: "NAME", Doc: "name told to the mail server"},
		{Name: "smtp_connect_timeout", Args: "SECONDS", Doc: "wait for the mail server"},
		{Name: "smtp_alert", In: []string{"global_defs", "vrrp_instance", "vrrp_sync_group", "virtual_server", "real_server"}, Args: "[on|off]", Doc: "mail on changes of state", OffOK: true},
		{Name: "smtp_alert_vrrp", Args: "on|off", Doc: "mail on changes of VRRP state", OffOK: true},
		{Name: "smtp_alert_checker", Args: "on|off", Doc: "mail on changes of health", OffOK: true},
		{Name: "no_email_faults", Doc: "no mail on faults"},
		{Name: "no_checker_emails", Doc: "no mail from checkers"},
	}},
	{in: inGlobal, use: Ignored, reason: whySNMP, rows: []Keyword{
		{Name: "enable_snmp_vrrp", Doc: "SNMP for VRRP"},
		{Name: "enable_snmp_checker", Doc: "SNMP for checkers"},
		{Name: "enable_snmp_keepalived", Doc: "old name of enable_snmp_vrrp"},
		{Name: "enable_snmp_rfc", Doc: "SNMP MIBs of the RFCs"},
		{Name: "enable_snmp_rfcv2", Doc: "SNMP MIB of RFC 2787"},
		{Name: "enable_snmp_rfcv3", Doc: "SNMP MIB of RFC 6527"},
		{Name: "enable_traps", Doc: "SNMP notifications"},
		{Name: "snmp_socket", Args: "ADDRESS", Doc: "SNMP master agent"},
		{Name: "snmp_vs_stats_update_interval", Args: "SECONDS", Doc: "age of SNMP figures of virtual servers"},
		{Name: "snmp_rs_stats_update_interval", Args: "SECONDS", Doc: "age of SNMP figures of real servers"},
	}},
	{in: inGlobal, use: Ignored, reason: whyDBus, rows: []Keyword{
		{Name: "enable_dbus", Doc: "D-Bus interface"},
		{Name: "dbus_service_name", Args: "NAME", Doc: "name on D-Bus"},
		{Name: "dbus_no_interface_name", Doc: "D-Bus names without interfaces"},
	}},
	{in: inGlobal, use: Ignored, reason: whyProcess, rows: []Keyword{
		{Name: "vrrp_priority", Args: "NICE", Doc: "nice value of the VRRP process"},
		{Name: "checker_priority", Args: "NICE", Doc: "nice value of the checker process"},
		{Name: "bfd_priority", Args: "NICE", Doc: "nice value of the BFD process"},
		{Name: "vrrp_rt_priority", Args: "PRIORITY", Doc: "real-time priority of the VRRP process"},
		{Name: "checker_rt_priority", Args: "PRIORITY", Doc: "real-time priority of the checker process"},
		{Name: "bfd_rt_priority", Args: "PRIORITY", Doc: "real-time priority of the BFD process"},
		{Name: "vrrp_rlimit_rttime", Args: "MICROSECONDS", Doc: "CPU time between system calls"},
		{Name: "checker_rlimit_rttime", Args: "MICROSECONDS", Doc: "CPU time between system calls"},
		{Name: "bfd_rlimit_rttime", Args: "MICROSECONDS", Doc: "CPU time between system calls"},
		{Name: "vrrp_rlimit_rtime", Args: "MICROSECONDS", Doc: "old name of vrrp_rlimit_rttime"},
		{Name: "checker_rlimit_rtime", Args: "MICROSECONDS", Doc: "old name of checker_rlimit_rttime"},
		{Name: "bfd_rlimit_rtime", Args: "MICROSECONDS", Doc: "old name of bfd_rlimit_rttime"},
		{Name: "vrrp_no_swap", Doc: "lock the VRRP process in memory"},
		{Name: "checker_no_swap", Doc: "lock the checker process in memory"},
		{Name: "bfd_no_swap", Doc: "lock the BFD process in memory"},
		{Name: "vrrp_cpu_affinity", Args: "CPU...", Doc: "CPUs of the VRRP process"},
		{Name: "checker_cpu_affinity", Args: "CPU...", Doc: "CPUs of the checker process"},
		{Name: "bfd_cpu_affinity", Args: "CPU...", Doc: "CPUs of the BFD process"},
		{Name: "max_auto_priority", Args: "[PRIORITY]", Doc: "limit of raising the priority by itself"},
		{Name: "min_auto_priority_delay", Args: "MICROSECONDS", Doc: "lateness that raises the priority"},
		{Name: "process_names", Doc: "a name for each process"},
		{Name: "process_name", Args: "NAME", Doc: "name of the parent process"},
		{Name: "vrrp_process_name", Args: "NAME", Doc: "name of the VRRP process"},
		{Name: "checker_process_name", Args: "NAME", Doc: "name of the checker process"},
		{Name: "lvs_process_name", Args: "NAME", Doc: "old name of checker_process_name"},
		{Name: "bfd_process_name", Args: "NAME", Doc: "name of the BFD process"},
		{Name: "child_wait_time", In: []string{"", "global_defs"}, Args: "SECONDS", Doc: "wait for children at stop"},
	}},
	{in: inGlobal, use: Ignored, reason: whyFiles, rows: []Keyword{
		{Name: "instance", In: []string{"", "global_defs"}, Args: "NAME", Doc: "one of several daemons on a host"},
		{Name: "use_pid_dir", In: []string{"", "global_defs"}, Doc: "PID files in a directory"},
		{Name: "umask", Args: "BITS", Doc: "mode of files"},
		{Name: "tmp_config_directory", Args: "DIRECTORY", Doc: "place of a copy of the configuration"},
		{Name: "config_save_dir", Args: "DIRECTORY", Doc: "copies of configurations at reload"},
		{Name: "data_use_instance", Args: "[on|off]", Doc: "instance in names of dump files", OffOK: true},
		{Name: "state_dump_file", Args: "FILE", Doc: "dump of the state"},
		{Name: "stats_dump_file", Args: "FILE", Doc: "dump of the counters"},
		{Name: "json_dump_file", Args: "FILE", Doc: "dump in JSON"},
		{Name: "json_version", Args: "1|2", Doc: "format of the dump in JSON"},
		{Name: "iproute_usr_dir", Args: "DIRECTORY", Doc: "names of iproute2"},
		{Name: "iproute_etc_dir", Args: "DIRECTORY", Doc: "names of iproute2"},
		{Name: "random_seed", Args: "NUMBER", Doc: "seed of ${_RANDOM}"},
	}},
	{in: inGlobal, use: Ignored, reason: whyReload, rows: []Keyword{
		{Name: "include_check", Args: "[OPTIONS]", Doc: "missing includes are errors", Reason: "hafence always names a missing include; use includea to make it an error"},
		{Name: "reload_check_config", Args: "[FILE]", Doc: "check before reload"},
		{Name: "reload_time_file", Args: "FILE", Doc: "file with the time of a reload", Reason: "use a timer that sends SIGHUP"},
		{Name: "reload_repeat", Doc: "reload every day", Reason: "use a timer that sends SIGHUP"},
		{Name: "reload_file", Args: "[FILE]", Doc: "file that stands while a reload reads"},
	}},
	{in: inGlobal, use: Ignored, reason: whyScripts, rows: []Keyword{
		{Name: "enable_script_security", Doc: "refuse scripts others could change", Reason: "keep scripts and their directories where only their user can write"},
		{Name: "use_symlink_paths", Doc: "keep symbolic links in paths of scripts"},
		{Name: "set_supplementary_groups", Doc: "groups of scripts"},
		{Name: "startup_script", Args: "SCRIPT [USER [GROUP]]", Doc: "run before the start"},
		{Name: "startup_script_timeout", Args: "SECONDS", Doc: "time it may take"},
		{Name: "shutdown_script", Args: "SCRIPT [USER [GROUP]]", Doc: "run after the stop"},
		{Name: "shutdown_script_timeout", Args: "SECONDS", Doc: "time it may take"},
		{Name: "notify_fifo", Args: "FIFO", Doc: "stream of events", Reason: whyNotify},
		{Name: "notify_fifo_script", Args: "SCRIPT", Doc: "reader of the stream"},
		{Name: "vrrp_notify_fifo", Args: "FIFO", Doc: "stream of VRRP events", Reason: whyNotify},
		{Name: "vrrp_notify_fifo_script", Args: "SCRIPT", Doc: "reader of the stream"},
		{Name: "lvs_notify_fifo", Args: "FIFO", Doc: "stream of virtual server events"},
		{Name: "lvs_notify_fifo_script", Args: "SCRIPT", Doc: "reader of the stream"},
		{Name: "fifo_write_vrrp_states_on_reload", Doc: "states in the stream at reload"},
		{Name: "vrrp_notify_priority_changes", Args: "[on|off]", Doc: "priorities in the stream", OffOK: true},
	}},
	{in: []string{"", "global_defs"}, use: Refused, reason: whyNamespace, rows: []Keyword{
		{Name: "net_namespace", Args: "NAME", Doc: "network namespace of the daemon"},
		{Name: "net_namespace_ipvs", Args: "[NAME]", Doc: "network namespace of IPVS"},
		{Name: "namespace_with_ipsets", Use: Ignored, Doc: "ipsets in namespaces of old kernels", Reason: whyFirewall},
	}},
	{in: []string{""}, use: Refused, reason: whyNetwork, rows: []Keyword{
		{Name: "static_ipaddress", Shape: List, Doc: "addresses that stay"},
		{Name: "static_routes", Shape: List, Doc: "routes that stay"},
		{Name: "static_rules", Shape: List, Doc: "rules that stay"},
		{Name: "track_group", Args: "NAME", Shape: Block, Doc: "instances that follow static addresses"},
		{Name: "interface_up_down_delays", Shape: List, Doc: "debounce of links", Reason: whyTracking},
		{Name: "linkbeat_interfaces", Shape: List, Use: Ignored, Doc: "links to poll", Reason: "link state comes from the kernel's messages"},
		{Name: "linkbeat_use_polling", In: []string{"", "global_defs", "vrrp_instance"}, Use: Ignored, Doc: "poll links", Reason: "link state comes from the kernel's messages"},
	}},
}
