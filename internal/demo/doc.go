// Package demo runs three real nodes in network namespaces, breaks them in every
// nasty way, and judges from outside whether the promises hold: `hafence demo`.
//
// # What it shows
//
// I1 (one answers), I2 (tokens rise), I3 (someone answers) and I4 (dead
// processes hold nothing), on this machine's kernel, with real VRRP, Raft,
// addresses and nftables. It never reads a node's log to judge one; only the
// fencing token, which can't be seen from outside, is taken from status.
//
// # Parts
//
//   - [Cluster]: a switch, three nodes n1, n2 and n3 with generated
//     configurations, a client; processes are started, stopped, frozen, killed.
//   - [Fault]: what is done to the node that is MASTER, and how it is undone.
//   - [Observer]: asks and listens. It writes down a [Record].
//   - Outage, dual answers and addresses, staleness: pure functions of a Record.
//   - [Run]: the story for `--script`; [Live]: the view for a terminal.
//
// # How it observes
//
// Every [Round] (10 ms) the observer asks each node by itself, on the switch's
// end of the node's cable, whatever the bridge and its neighbours think: by an
// ARP probe (RFC 5227 §2.1.1, sender 0.0.0.0, so that no cache learns anything),
// and by a UDP datagram to a small echo server that lives in the node's
// namespace and outlives hafence. In the same round the client sends one
// datagram to the VIP. Answers carry the kernel's receive stamp, so that a busy
// observer cannot make two answers look as if they came at one time. Addresses
// come from each namespace's rtnetlink.
//
// # What the figures mean
//
//   - outage_ms: from the last answer that the client had to the next one, where
//     a probe in between was lost; the longest such gap. 0 when none was lost.
//   - dual_answer_ms: time in which two nodes answered. A node is taken to answer
//     from one answer to the next unless it left two rounds unanswered between
//     them. A hand-over is no overlap: the old node's last answer comes first.
//   - dual_address_ms: time in which two namespaces had the address. An address
//     behind a shut packet gate is silent, so this is told, not judged.
//   - stale_ms: from the fault to the last answer of the node that it struck.
//   - token_before, token_after: read before the fault, and as soon as its outcome
//     was seen; the way back to rest raises the token again.
//
// A step is ok when dual_answer_ms is 0, the token rose with the holder, the
// outage and the time from the fault to another node's first answer are within
// its limit, stale_ms is within half a lease, and the cluster came back to rest.
// Limits and goals stand with the [Faults].
//
// # Concurrency and units
//
// Cluster and Fault are for one goroutine. An Observer's methods may be called
// from anywhere between Observe and Close. Instants are CLOCK_BOOTTIME.
//
// # Not implemented
//
// IPv6; more than one VIP; faults of disks and clocks (test/sim has those).
//
// # Example
//
//	cluster, err := demo.Open(demo.Options{Program: "/usr/sbin/hafence"})
//	defer cluster.Close()
//	report, err := demo.Run(ctx, cluster, func(s demo.Step) { fmt.Println(s.Name, s.OK) })
package demo
