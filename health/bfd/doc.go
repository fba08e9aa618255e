// Package bfd watches neighbours with Bidirectional Forwarding Detection, keepalived's
// bfd_instance: each side sends small packets all the time, and misses them soon.
//
// Its promise: a neighbour is called down only by its own word, or when no packet of it
// has come for the Detection Time that both sides agreed on; never for what failed on this
// side ([Change].Local), and never because we were late to listen.
//
// # Parts
//
//   - [Packet], [Decode]: the control packet.
//   - [Session]: one side of a session, RFC 5880 §6.
//   - [Table]: all sessions of a host; which one a packet belongs to, and which packets
//     are ignored ([DropReason]).
//   - [Speaker]: sockets and a goroutine (Linux).
//
// All but the last are pure: no clock, goroutine or I/O.
//
// # Concurrency
//
// A Session and a Table are for one goroutine. A Speaker's methods may be called from any;
// its Run starts one goroutine for each port, which has ended when Run returns.
//
// # Units
//
// Intervals are time.Duration of whole microseconds, instants boottime.Instant.
//
// # Time
//
// keepalived's defaults (10 ms both ways, multiplier 5) make a Detection Time of 50 ms, which
// needs a host with cores to spare: what we send late is down to the other side.
//
// # Sources
//
// RFC 5880, RFC 5881 (single hop, IPv4 and IPv6), RFC 5883 (multihop), and keepalived where
// they leave a choice:
//
//   - how far a packet may have come is our own TTL less max_hops, so that two hosts
//     configured alike agree even with keepalived's hop limit of 64;
//   - a packet without Your Discriminator is told by its source address, and by its
//     destination where a source is configured;
//   - packets with both P and F are dropped, and diagnostics that are reserved are not.
//
// Where we depart from keepalived: the source port is always one of RFC 5881's; the first
// word on a neighbour that does not answer comes after multiplier × idle_tx, not at the
// start; a taken port costs the sessions that need it, not the process; and a session
// that ends says AdminDown.
//
// A neighbour in demand mode is obeyed: while both are Up it gets no periodic packets, but
// ours are polls and news. Not implemented: demand mode of our own, the echo function (we
// say so with Required Min Echo RX Interval 0), authentication (packets that have any are
// dropped), the repetition of AdminDown for a Detection Time (a SHOULD of §6.8.16).
//
// # Example
//
//	speaker := bfd.NewSpeaker(bfd.SpeakerOptions{
//		Now: boottime.Now,
//		Changed: func(c bfd.Change) {
//			runner.Observe(id[c.Name], health.Result{Up: c.Up, Inconclusive: c.Local, Reason: c.Reason})
//		},
//	})
//	err := speaker.Configure([]bfd.Config{{
//		Name: "router", Neighbor: netip.MustParseAddr("192.0.2.1"), TTL: 255,
//		Timing: bfd.Timing{MinTx: 50 * time.Millisecond, MinRx: 50 * time.Millisecond, IdleTx: time.Second, Multiplier: 5},
//	}})
//	...
//	err = speaker.Run(ctx)
package bfd
