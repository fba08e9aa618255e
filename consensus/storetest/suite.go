// Package storetest is the conformance suite that every lease store passes.
//
// [Run] takes a function that makes a cluster; each test opens its own.
//
//	storetest.Run(t, func(t *testing.T, nodes []string, ttl time.Duration) []storetest.Store { … })
package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
)

// Store is what a lease store offers to a node (DESIGN §3).
type Store interface {
	// Propose commits a command and says what it came to. An error leaves open
	// whether the command was, or will be, committed.
	Propose(ctx context.Context, command consensus.Command) (consensus.Result, error)
	// Ask puts a keep-alive's question; answered is called once for each answer.
	Ask(round uint64, session consensus.Session, answered func(consensus.Answer))
	// Table is the state as this node knows it, not to be changed.
	Table() *consensus.Table
	// Changed receives after the table changed.
	Changed() <-chan struct{}
}

// Cluster makes a cluster of the named nodes whose sessions have the TTL, and
// returns each node's store in the same order. It registers its own clean-up.
type Cluster func(t *testing.T, nodes []string, ttl time.Duration) []Store

const (
	suiteTTL     = 1500 * time.Millisecond
	suitePatient = 20 * time.Second // for what has no promised time, on a noisy machine
)

var suiteNodes = []string{"n1", "n2", "n3"}

// Run runs the suite.
func Run(t *testing.T, open Cluster) {
	for name, test := range map[string]func(*fixture){
		"OneHolderOfManyAskers":                 oneHolder,
		"TokensRiseAtEveryChange":               tokensRise,
		"ReleaseNamesTheSuccessorInOneCommit":   releaseToSuccessor,
		"ReleaseToNobodyFitLeavesTheLeaseFree":  releaseToNobody,
		"LateReleaseDoesNotEndALaterGrant":      lateRelease,
		"SilentSessionExpiresAndFreesItsLeases": silentExpires,
		"KeptSessionLivesOn":                    keptLives,
		"ClosedSessionGetsNoYes":                closedIsGone,
		"RestartOnTheSameHostReplacesAtOnce":    restartReplaces,
		"SecondHostUnderOneNameIsRefused":       secondHost,
		"EarlierLifeCannotReturn":               earlierLife,
		"BetterCandidateCanWantTheLease":        wanted,
		"EveryNodeSeesTheSameTable":             sameTable,
		"AnUnknownSessionCanDoNothing":          unknownSession,
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{T: t, stores: open(t, suiteNodes, suiteTTL)}
			var cancel context.CancelFunc
			f.ctx, cancel = context.WithTimeout(context.Background(), suitePatient)
			defer cancel()
			test(f)
		})
	}
}

type fixture struct {
	*testing.T
	ctx    context.Context
	stores []Store
}

func (f *fixture) propose(node int, c consensus.Command) consensus.Result {
	f.Helper()
	result, err := f.stores[node].Propose(f.ctx, c)
	if err != nil {
		f.Fatalf("propose %#v: %v", c, err)
	}
	return result
}

// must proposes and wants OK.
func (f *fixture) must(node int, c consensus.Command) consensus.Result {
	f.Helper()
	result := f.propose(node, c)
	if result.Outcome != consensus.OK {
		f.Fatalf("propose %#v: %v, want ok", c, result.Outcome)
	}
	return result
}

func (f *fixture) open(node int) consensus.Session {
	f.Helper()
	return f.must(node, opening(node, 1)).Session
}

func opening(node int, life int64) consensus.OpenSession {
	return consensus.OpenSession{Node: suiteNodes[node], Host: fmt.Sprintf("host-%d", node), Life: life, TTL: suiteTTL}
}

func (f *fixture) stand(node int, s consensus.Session, group string, priority uint8) {
	f.Helper()
	address := netip.AddrFrom4([4]byte{192, 0, 2, byte(node + 1)})
	f.must(node, consensus.SetCandidate{Session: s, Group: group, Priority: priority, Addresses: []netip.Addr{address}, Eligible: true})
}

// keep keeps sessions alive until the returned function is called.
func (f *fixture) keep(node int, s consensus.Session) (stop func()) {
	ctx, cancel := context.WithCancel(f.ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(suiteTTL / 10)
		defer ticker.Stop()
		for round := uint64(1); ; round++ {
			f.stores[node].Ask(round, s, func(consensus.Answer) {})
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wait.Wait() }
}

// until waits for the table of a node to satisfy ok.
func (f *fixture) until(node int, what string, ok func(*consensus.Table) bool) {
	f.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !ok(f.stores[node].Table()) {
		select {
		case <-f.stores[node].Changed():
		case <-ticker.C:
		case <-f.ctx.Done():
			f.Fatalf("%s never saw: %s", suiteNodes[node], what)
		}
	}
}

// ask puts one question until it is decided or the fixture's time is over.
func (f *fixture) ask(node int, s consensus.Session, decided func(*consensus.Ballot) bool) bool {
	for round := uint64(1); f.ctx.Err() == nil; round++ {
		answerC := make(chan consensus.Answer, 16)
		f.stores[node].Ask(round, s, func(a consensus.Answer) { answerC <- a })
		var ballot consensus.Ballot
		timeout := time.NewTimer(suiteTTL / 5)
	count:
		for {
			select {
			case a := <-answerC:
				if ballot.Put(a); decided(&ballot) {
					timeout.Stop()
					return true
				}
			case <-timeout.C:
				break count
			}
		}
	}
	return false
}

// I1: of many who ask for a free lease at one time, one gets it.
func oneHolder(f *fixture) {
	var sessions []consensus.Session
	for node := range f.stores {
		sessions = append(sessions, f.open(node))
		defer f.keep(node, sessions[node])()
	}
	results := make([]consensus.Result, len(f.stores))
	var wait sync.WaitGroup
	for node := range f.stores {
		wait.Go(func() {
			results[node], _ = f.stores[node].Propose(f.ctx, consensus.Acquire{Session: sessions[node], Group: "g"})
		})
	}
	wait.Wait()
	granted := 0
	for _, r := range results {
		if r.Outcome == consensus.OK {
			granted++
		} else if r.Outcome != consensus.Held {
			f.Errorf("acquire: %v, want ok or held", r.Outcome)
		}
	}
	if granted != 1 {
		f.Fatalf("%d nodes were granted one lease: %+v", granted, results)
	}
}

// I2: a token is used once, and each is higher than the one before.
func tokensRise(f *fixture) {
	var sessions []consensus.Session
	for node := range f.stores {
		sessions = append(sessions, f.open(node))
		defer f.keep(node, sessions[node])()
	}
	var last consensus.Token
	for turn := range 9 {
		node := turn % len(f.stores)
		got := f.must(node, consensus.Acquire{Session: sessions[node], Group: "g"})
		if got.Token <= last {
			f.Fatalf("grant %d: token %d after %d", turn, got.Token, last)
		}
		if again := f.must(node, consensus.Acquire{Session: sessions[node], Group: "g"}); again.Token != got.Token {
			f.Fatalf("asked twice: tokens %d and %d", got.Token, again.Token)
		}
		last = got.Token
		f.must(node, consensus.Release{Session: sessions[node], Group: "g", Token: got.Token})
	}
}

func releaseToSuccessor(f *fixture) {
	first, second := f.open(0), f.open(1)
	defer f.keep(0, first)()
	defer f.keep(1, second)()
	f.stand(1, second, "g", 90)
	token := f.must(0, consensus.Acquire{Session: first, Group: "g"}).Token
	f.must(0, consensus.Release{Session: first, Group: "g", Token: token, Successor: "n2"})
	for node := range f.stores {
		f.until(node, "n2 holds the lease under the next token", func(t *consensus.Table) bool {
			lease := t.Lease("g")
			return lease.Holder == second && lease.Token == token+1
		})
	}
}

func releaseToNobody(f *fixture) {
	session := f.open(0)
	defer f.keep(0, session)()
	token := f.must(0, consensus.Acquire{Session: session, Group: "g"}).Token
	f.must(0, consensus.Release{Session: session, Group: "g", Token: token, Successor: "n2"})
	f.until(0, "a free lease", func(t *consensus.Table) bool { return t.Lease("g").Holder.IsZero() })
}

func lateRelease(f *fixture) {
	session := f.open(0)
	defer f.keep(0, session)()
	first := f.must(0, consensus.Acquire{Session: session, Group: "g"}).Token
	f.must(0, consensus.Release{Session: session, Group: "g", Token: first})
	second := f.must(0, consensus.Acquire{Session: session, Group: "g"}).Token
	if got := f.propose(0, consensus.Release{Session: session, Group: "g", Token: first}); got.Outcome != consensus.NotHolder {
		f.Fatalf("a copy of the first release came to %v, want %v", got.Outcome, consensus.NotHolder)
	}
	if got := f.must(0, consensus.Acquire{Session: session, Group: "g"}).Token; got != second {
		f.Fatalf("token %d, want %d still", got, second)
	}
}

func silentExpires(f *fixture) {
	silent, other := f.open(0), f.open(1)
	defer f.keep(1, other)()
	token := f.must(0, consensus.Acquire{Session: silent, Group: "g"}).Token
	f.until(1, "the silent session", func(t *consensus.Table) bool { _, there := t.Session("n1"); return there })
	f.until(1, "the silent session ended", func(t *consensus.Table) bool { _, there := t.Session("n1"); return !there })
	if got := f.must(1, consensus.Acquire{Session: other, Group: "g"}).Token; got <= token {
		f.Fatalf("token %d after %d", got, token)
	}
}

func keptLives(f *fixture) {
	kept, silent := f.open(0), f.open(1)
	defer f.keep(0, kept)()
	f.until(0, "the silent session", func(t *consensus.Table) bool { _, there := t.Session("n2"); return there })
	// Its end shows that time enough has passed.
	f.until(0, "the silent session ended", func(t *consensus.Table) bool { _, there := t.Session("n2"); return !there })
	f.until(0, "the kept session", func(t *consensus.Table) bool { s, ok := t.Session("n1"); return ok && s.Session == kept })
	if !f.ask(0, kept, (*consensus.Ballot).Carried) {
		f.Fatal("a kept session gets no yes")
	}
	if f.ctx.Err() == nil && !f.ask(1, silent, (*consensus.Ballot).Gone) {
		f.Fatal("an expired session is not said to be gone")
	}
}

func closedIsGone(f *fixture) {
	session := f.open(0)
	if !f.ask(0, session, (*consensus.Ballot).Carried) {
		f.Fatal("an open session gets no yes")
	}
	f.must(0, consensus.CloseSession{Session: session})
	f.must(0, consensus.CloseSession{Session: session})
	if !f.ask(0, session, (*consensus.Ballot).Gone) {
		f.Fatal("a closed session is not said to be gone")
	}
}

func restartReplaces(f *fixture) {
	first := f.open(0)
	f.must(0, consensus.Acquire{Session: first, Group: "g"})
	second := f.must(0, opening(0, 2)).Session
	if second == first {
		f.Fatal("a new life got the old session")
	}
	other := f.open(1)
	f.must(1, consensus.Acquire{Session: other, Group: "g"})
}

func secondHost(f *fixture) {
	first := f.open(0)
	defer f.keep(0, first)()
	twin := opening(0, 7)
	twin.Host = "another host"
	if got := f.propose(1, twin); got.Outcome != consensus.NodeInUse {
		f.Fatalf("a second host came to %v, want %v", got.Outcome, consensus.NodeInUse)
	}
	if !f.ask(0, first, (*consensus.Ballot).Carried) {
		f.Fatal("the first host lost its session to the second")
	}
}

func earlierLife(f *fixture) {
	second := f.must(0, opening(0, 2)).Session
	if got := f.propose(0, opening(0, 1)); got.Outcome != consensus.Stale {
		f.Fatalf("an earlier life came to %v, want %v", got.Outcome, consensus.Stale)
	}
	if again := f.must(0, opening(0, 2)).Session; again != second {
		f.Fatalf("asked twice: sessions %v and %v", second, again)
	}
}

func wanted(f *fixture) {
	low, high := f.open(0), f.open(1)
	defer f.keep(0, low)()
	defer f.keep(1, high)()
	f.stand(1, high, "g", 200)
	f.must(0, consensus.Acquire{Session: low, Group: "g"})
	if got := f.propose(1, consensus.Acquire{Session: high, Group: "g"}); got.Outcome != consensus.Held || got.Holder != low {
		f.Fatalf("without preemption: %+v, want held by %v", got, low)
	}
	if got := f.propose(1, consensus.Acquire{Session: high, Group: "g", Preempt: true}); got.Outcome != consensus.Wanted {
		f.Fatalf("with preemption: %v, want %v", got.Outcome, consensus.Wanted)
	}
	f.until(0, "the lease is wanted", func(t *consensus.Table) bool {
		lease := t.Lease("g")
		return lease.Holder == low && lease.WantedBy == high
	})
}

func sameTable(f *fixture) {
	for node := range f.stores {
		s := f.open(node)
		defer f.keep(node, s)()
		f.stand(node, s, "g", uint8(100+10*node))
	}
	for node := range f.stores {
		f.until(node, "three candidates, the best first", func(t *consensus.Table) bool {
			candidates := t.Candidates("g")
			return len(candidates) == 3 && candidates[0].Node == "n3" && candidates[2].Node == "n1"
		})
	}
}

func unknownSession(f *fixture) {
	ghost := consensus.Session{Node: "n1", Epoch: 999}
	for _, c := range []consensus.Command{
		consensus.Acquire{Session: ghost, Group: "g"},
		consensus.Release{Session: ghost, Group: "g"},
		consensus.SetCandidate{Session: ghost, Group: "g"},
	} {
		if got := f.propose(0, c); got.Outcome != consensus.NoSession {
			f.Errorf("%#v came to %v, want %v", c, got.Outcome, consensus.NoSession)
		}
	}
	if f.stores[0].Table().Lease("g").Token != 0 {
		f.Error("a ghost changed the table")
	}
}
