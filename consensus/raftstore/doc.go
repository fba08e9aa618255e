// Package raftstore is the lease store on hashicorp/raft: the replicated
// [consensus.Table], keep-alives by terms, and the leader's duties (DESIGN §3). It
// keeps I1 and I2 together with package consensus, and I5: keeping a lease writes
// nothing to disk.
//
// A [Store] is opened with [Open] and works while [Store.Run] runs. Every method
// may be called from any goroutine.
//
// One TCP listener serves Raft and our own calls; ALPN tells them apart. Both ends
// of every connection show a certificate for a node of the configuration
// ([Credentials]). Calls are frames: a 32-bit big-endian length and JSON.
//
// Of hashicorp/raft only what is proven for it is used: State, LeaderCh and
// VerifyLeader decide nothing that safety rests on (a later leader always has a
// higher CurrentTerm, which is persisted before the vote that made it leader).
//
// Not implemented: changing the members of a running cluster.
//
//	store, err := raftstore.Open(raftstore.Config{Node: "n1", Members: members, Credentials: c, Dir: dir, TTL: ttl})
//	go store.Run(ctx)
//	result, err := store.Propose(ctx, consensus.OpenSession{…})
package raftstore
