// Package vrrp speaks the Virtual Router Redundancy Protocol as keepalived does,
// with a gate: a router becomes MASTER only on a grant from outside.
//
// It keeps its part of invariant I1 (one answers): [Machine] never says that a
// router is MASTER, and asks for no advertisement or announcement, before
// [Granted]; and of I6 (the LAN sees plain VRRP): what is sent is RFC 3768 as
// keepalived sends it, octet for octet.
//
// # Parts
//
//   - [Advertisement], [Decode]: the message, versions 2 (with and without a
//     password) and 3 for IPv4.
//   - [Filter]: which received packets count (RFC 3768 §7.1), and why not.
//   - [Machine]: the RFC's state machine with the gate. With a lease it claims
//     as soon as the store says that the lease is free; in plain VRRP
//     ([Config].Plain) when the RFC would become MASTER.
//   - [Socket], [Announcer]: packets out and in, and gratuitous ARP (Linux).
//
// The first three are pure: no clock, goroutine or I/O. The rule for whoever
// drives a Machine: turn what happens into an [Event], Step, perform the actions
// in their order, feed failures back as events, and step a [Tick] at Deadline.
//
// # Concurrency
//
// A Filter and a Machine are for one goroutine. A Socket takes one that sends
// and one that receives at the same time, and Close from anywhere. Nothing here
// starts a goroutine. Sockets belong to the network namespace of the thread that
// opened them.
//
// # Units
//
// Intervals and timers are time.Duration, instants boottime.Instant; timers
// are keepalived's whole microseconds. Addresses are IPv4.
//
// # Sources
//
// RFC 3768 (version 2), RFC 2338 §5.3.6 (the password), RFC 9568 (version 3),
// RFC 5227 §3 (announcements), and keepalived's behaviour where they leave a
// choice. Where keepalived departs from the RFC we go with keepalived:
//
//   - a MASTER answers an advertisement of lower priority with one of its own
//     and with announcements (RFC: discard);
//   - other VIPs than ours in an advertisement are reported, not dropped, and an
//     owner listens, too (RFC 3768 §7.1: drop);
//   - unicast, with its TTL not checked;
//   - version 3's checksum covers the IPv4 pseudo-header.
//
// Where we depart from keepalived: a MASTER withdraws its VIPs before it says so
// with priority 0, never after.
//
// Not implemented: IPv6, the Authentication Header, keepalived's auth_hmac,
// virtual MAC addresses, preempt_delay, down_timer_adverts other than 3,
// higher_prio_send_advert and lower_prio_no_advert, the arbitration between two
// owners (here the higher address stays).
//
// # Example
//
//	machine := vrrp.NewMachine(config)
//	perform(machine.Step(boottime.Now(), vrrp.Startup{}))
//	for {
//		packet, err := socket.Receive() // in a goroutine of its own
//		...
//		heard := filter.Check(packet)
//		if heard.Drop == 0 {
//			perform(machine.Step(boottime.Now(), vrrp.Received{
//				Source: packet.Source, Advert: heard.Advert, Member: isMember(packet.Source),
//			}))
//		}
//	}
package vrrp
