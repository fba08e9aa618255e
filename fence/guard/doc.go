// Package guard is the small parent process of a node: the only one that
// touches VIPs, and the one that pets the watchdog (DESIGN §5, layer 2).
//
// Where there are virtual servers it has a second child, the checker, which
// programs IPVS; that one's death costs neither a VIP nor a connection.
//
// # What it keeps
//
// I1 and I4 for as long as it lives: when its child, the controller, dies,
// hangs or falls silent, the VIPs are withdrawn at once or at the deadline,
// whichever applies; what the kernel does when the guard is dead as well is
// package fence's. It has no Raft, no HTTP and no configuration parser.
//
// # Messages
//
// Guard and controller talk over a SOCK_SEQPACKET socket pair, which is file
// descriptor [FD] of the controller: one JSON message per datagram, at most
// [MaxMessage] bytes, both ways, without waiting for each other. Answers carry
// the Seq of their request. The guard answers requests in the order in which
// they came. The closed socket is the news that the other side is dead.
//
// # Parts
//
// [Core] is pure and decides everything, with a fence.Owner inside; [Run] is
// the shell: one goroutine steps and performs, others only read. [Client] is
// the controller's side: Receive from one goroutine, Send from any.
//
// Units: instants are nanoseconds of CLOCK_BOOTTIME, the same clock for both
// processes; durations travel as nanoseconds.
//
// # Not implemented
//
// Petting through any service manager but
// systemd.
//
// # Example: the controller's side
//
//	client, err := guard.Dial(guard.FD)
//	err = client.Send(guard.Arm{Seq: 1, Group: "web"})
//	for {
//		message, err := client.Receive()
//		if errors.Is(err, io.EOF) { // the guard is gone
//			return fence.Withdraw(vips)
//		}
//		switch m := message.(type) {
//		case guard.Armed:
//			// now read the clock, then ask for the lease
//		}
//	}
package guard
