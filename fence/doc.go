// Package fence makes this host obey the lease: it puts virtual IP addresses
// on interfaces, takes them off again, and lets the kernel silence them when
// nobody is left to do so (DESIGN §5).
//
// # What it keeps
//
// I1 and I4 on this host: no VIP answers after the deadline of its grant,
// however our processes stop. [Owner] decides, and keeps four rules that make
// the packet gate proof against a pause between reading a clock and the
// kernel's acting:
//
//   - (a) an element's timeout is at most ttl/2, less [GateMargin];
//   - (b) a refresh is one transaction {delete; add}, which the kernel refuses
//     whole once the element has expired;
//   - (c) the first opening is conditional on a live element of the set
//     "armed", put there before the request was sent;
//   - (d) a grant or refresh only extends a gate whose last acknowledgement
//     came before the grant's t0, that is, before deadline − ttl.
//
// From (d) every opening ends at most 2 × (ttl/2) after an instant that is not
// later than t0, so before t0 + ttl, the deadline.
//
// # Parts
//
// [Owner] is pure: no clock, no I/O, no goroutine. [Kernel] performs its
// actions with [Gate] (nftables) and [Addresses] (rtnetlink). [Watchdog] is
// the last resort. [Withdraw] does without any of them for a process that has
// lost its guard.
//
// # Concurrency and units
//
// Nothing here may be used by two goroutines at once, and nothing starts a
// goroutine except [Watch], which says so. Instants are nanoseconds
// of CLOCK_BOOTTIME; timeouts reach the kernel in whole milliseconds (gate) or
// whole seconds (address lifetimes, watchdog).
//
// # Not implemented
//
// IPv6 (a VIP that isn't IPv4 is refused by [VIP.Validate]). The gate does not
// see frames that a program writes to a packet socket itself, such as our own
// gratuitous ARP: who sends those checks the deadline first. The kernel judges
// "expired" at the start of a transaction and counts the new timeout from its end:
// a thread that loses its CPU in between for longer than [GateMargin] is noticed
// by the owner at the acknowledgement, not before. A virtual machine
// that is paused as a whole stops the kernel's timers too (docs/SAFETY.md).
//
// Sources: nftables set timeouts, linux/net/netfilter/nf_tables_api.c; address
// lifetimes, rtnetlink(7) IFA_CACHEINFO; watchdog, Documentation/watchdog/watchdog-api.rst;
// ARP, RFC 826.
//
// # Example
//
//	kernel, err := fence.OpenKernel()
//	owner := fence.NewOwner()
//	queue := owner.Step(boottime.Now(), fence.Arm{Group: "web"})
//	for len(queue) > 0 {
//		action := queue[0]
//		queue = queue[1:]
//		if done, ok := kernel.Perform(action); ok {
//			queue = append(queue, owner.Step(boottime.Now(), done)...)
//		}
//	}
package fence
