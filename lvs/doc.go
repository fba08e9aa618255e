// Package lvs makes the kernel's load balancer, IPVS, what it should be: virtual
// services, their destinations, and connection synchronisation (DESIGN §6).
//
// # What it keeps
//
// I7: nothing is flushed. A restart or reload edits what differs and leaves the
// rest, connections with it; what is added comes before what is deleted; services
// of others are not touched. What fails leaves what was: a refused op changes
// nothing, and the last destinations of a service go only when one that replaces
// them has come.
//
// # Parts
//
// Pure: [Plan] compares tables; [Table] is the caller's memory of what is wanted,
// known and owned, and counts drift; [Resolve] says what a refusal means and
// [Settle] acts on it; [PlanSync] is for sync daemons. [Kernel] is the adapter.
// Package lvstest has the same in memory.
//
// The adapter speaks generic netlink by itself, and github.com/moby/ipvs has no
// part in it. That package sends one op per system call and waits for each (90 µs
// in the lab, so 3.6 s for the table that takes 0.15 s here), reads neither
// persistence engine nor tunnels nor 64-bit counters nor weights above 65535,
// which an adoption needs, knows no sync daemons, looks the family up once per process
// even where the module is loaded later, and runs modprobe. What is left,
// the three timeouts, is not worth a second socket.
//
// # Concurrency and units
//
// No type here may be used by two goroutines at once, and nothing starts one.
// Durations are whole seconds in the kernel. Weights are 0 to [WeightMax],
// thresholds count connections, rates are per second. A Kernel belongs to the
// network namespace of the thread that has opened it.
//
// # Not implemented
//
// The kernel's sysctls (net.ipv4.vs.*), zeroing of counters, and listing of
// connections. A service's key and a destination's address and port can't be
// edited: the kernel finds them by these, so that a change is an addition and a
// deletion. Families mix only in tunnels, and not while a sync daemon runs: the
// kernel refuses that (ip_vs_genl_set_cmd). Linux before 5.3 knows ipip tunnels
// only and does not say so: there a GUE or GRE destination is edited for ever.
//
// Sources: linux/ip_vs.h, linux/netlink.h, linux/genetlink.h;
// net/netfilter/ipvs/ip_vs_ctl.c and ip_vs_sync.c, net/netlink/af_netlink.c of
// Linux 6.1, and what that kernel answers in the lab.
//
// # Example
//
//	kernel, err := lvs.Open()
//	table := lvs.NewTable(ledger)
//	table.Want(services)
//	have, err := kernel.Services()
//	drift := table.Saw(have)
//	save(table.Owned()) // before the plan is performed
//	ops := table.Plan()
//	outcome := kernel.Apply(ops)
//	table.Settled(ops, outcome)
package lvs
