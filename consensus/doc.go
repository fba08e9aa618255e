// Package consensus is the lease: which director may be MASTER, decided so that
// there is never a second one (DESIGN §3, invariants I1 and I2). It is pure; the
// stores in its subdirectories carry it over a network.
//
// A [Table] is what the store replicates: sessions and leases, changed by
// [Command]s in the order of the log. A [Lessor] is the leader's clock: it counts
// when it heard from each session and says which ones are over. A [Holder] is a
// node's side: it asks for keep-alives and knows until when its session lives. A
// [Ballot] counts the answers to one question.
//
// Nothing here reads a clock, starts a goroutine or talks to anyone; callers
// give the time and serialise their calls. Durations are time.Duration; instants
// are CLOCK_BOOTTIME of the calling host and never travel.
//
// Why it is safe is written in docs/SAFETY.md; test/sim checks it by simulation.
//
//	table := consensus.NewTable()
//	opened := table.Apply(consensus.OpenSession{Node: "n1", Host: "boot-1", Life: 1, TTL: ttl})
//	granted := table.Apply(consensus.Acquire{Session: opened.Session, Group: "VI_1"})
package consensus
