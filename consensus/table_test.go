package consensus

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func opened(t *testing.T, table *Table, node string, life int64) Session {
	t.Helper()
	r := table.Apply(OpenSession{Node: node, Host: "host of " + node, Life: life, TTL: ttl})
	if r.Outcome != OK {
		t.Fatalf("open session of %s: %v", node, r.Outcome)
	}
	return r.Session
}

// randomCommand draws a command over few names, so that commands collide.
func randomCommand(r *rand.Rand) Command {
	session := Session{Node: fmt.Sprintf("n%d", r.IntN(3)), Epoch: uint64(r.IntN(12))}
	group := fmt.Sprintf("g%d", r.IntN(2))
	switch r.IntN(6) {
	case 0:
		return OpenSession{Node: session.Node, Host: fmt.Sprintf("h%d", r.IntN(2)), Life: int64(r.IntN(5)), TTL: ttl}
	case 1:
		return CloseSession{session}
	case 2:
		return ExpireSession{Session: session}
	case 3:
		return Acquire{Session: session, Group: group, Preempt: r.IntN(2) == 0}
	case 4:
		return Release{Session: session, Group: group, Token: Token(r.IntN(8)), Successor: fmt.Sprintf("n%d", r.IntN(4))}
	default:
		return SetCandidate{Session: session, Group: group, Priority: uint8(r.IntN(255)), Eligible: r.IntN(3) > 0}
	}
}

// I2 under any order of commands, with copies: a change of holder raises the token,
// the token never falls, and a holder always has a session. Method: random
// commands; each is sometimes applied again later.
func TestTokensRiseUnderAnyCommands(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		table := NewTable()
		var past []Command
		for step := range 200 {
			c := randomCommand(r)
			if len(past) > 0 && r.IntN(4) == 0 {
				c = past[r.IntN(len(past))]
			}
			past = append(past, c)
			before := table.Clone()
			table.Apply(c)
			for _, g := range table.Groups() {
				was, is := before.Lease(g), table.Lease(g)
				changed := !is.Holder.IsZero() && is.Holder != was.Holder
				if is.Token < was.Token || changed && is.Token != was.Token+1 || !changed && is.Token != was.Token {
					t.Fatalf("seed %d step %d: %#v turned %+v into %+v", seed, step, c, was, is)
				}
				if !is.Holder.IsZero() && !table.alive(is.Holder) {
					t.Fatalf("seed %d step %d: %#v left the lease with a dead session: %+v", seed, step, c, is)
				}
			}
		}
	}
}

// Replicas that restore a snapshot go on as those that did not.
func TestSnapshotHoldsEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	table := NewTable()
	for range 500 {
		table.Apply(randomCommand(r))
	}
	image, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	restored := NewTable()
	if err := json.Unmarshal(image, restored); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		c := randomCommand(r)
		if diff := cmp.Diff(table.Apply(c), restored.Apply(c)); diff != "" {
			t.Fatalf("%#v (-original +restored):\n%s", c, diff)
		}
	}
	first, _ := json.Marshal(table)
	second, _ := json.Marshal(restored)
	if string(first) != string(second) {
		t.Fatal("the tables differ after the same commands")
	}
}

// A snapshot of another version is refused and leaves the table as it was.
func TestSnapshotOfAnotherVersionIsRefused(t *testing.T) {
	table := NewTable()
	opened(t, table, "a", 1)
	if err := table.UnmarshalJSON([]byte(`{"version":99}`)); err == nil {
		t.Fatal("accepted")
	}
	if _, ok := table.Session("a"); !ok {
		t.Fatal("the table was changed all the same")
	}
}

// DESIGN §3: highest effective priority among eligible candidates, then highest
// address.
func TestCandidatesAreInOrderOfPriorityThenAddress(t *testing.T) {
	table := NewTable()
	for _, k := range []struct {
		node     string
		priority uint8
		address  string
		eligible bool
	}{{"low", 90, "192.0.2.9", true}, {"unfit", 250, "192.0.2.8", false}, {"tie1", 100, "192.0.2.10", true}, {"tie2", 100, "192.0.2.11", true}} {
		table.Apply(SetCandidate{
			Session: opened(t, table, k.node, 1), Group: "g", Priority: k.priority, Addresses: []netip.Addr{netip.MustParseAddr(k.address)}, Eligible: k.eligible,
		})
	}
	var order []string
	for _, k := range table.Candidates("g") {
		order = append(order, k.Node)
	}
	if diff := cmp.Diff([]string{"tie2", "tie1", "low", "unfit"}, order); diff != "" {
		t.Fatalf("order (-want +got):\n%s", diff)
	}
}

// The end of a session takes its candidacy and its wish along, and keeps its
// addresses: a member's late advertisement is no stranger's.
func TestEndedSessionIsNoCandidateButKeepsItsAddresses(t *testing.T) {
	table := NewTable()
	holder, other := opened(t, table, "a", 1), opened(t, table, "b", 1)
	address := netip.MustParseAddr("192.0.2.2")
	table.Apply(SetCandidate{Session: other, Group: "g", Priority: 200, Addresses: []netip.Addr{address}, Eligible: true})
	table.Apply(Acquire{Session: holder, Group: "g"})
	table.Apply(Acquire{Session: other, Group: "g", Preempt: true})
	if table.Lease("g").WantedBy != other {
		t.Fatal("not wanted; the test proves nothing")
	}
	table.Apply(ExpireSession{Session: other})
	if !table.Lease("g").WantedBy.IsZero() {
		t.Fatal("wanted by a dead session")
	}
	k := table.Candidates("g")[0]
	if k.Eligible || !k.Session.IsZero() || len(k.Addresses) != 1 || k.Addresses[0] != address {
		t.Fatalf("candidate after the end: %+v", k)
	}
}

// Limits hold: the table can't be made to grow without bound.
func TestTableIsBounded(t *testing.T) {
	table := NewTable()
	for n := range SessionsMax {
		opened(t, table, fmt.Sprint(n), 1)
	}
	if got := table.Apply(OpenSession{Node: "one more", Host: "h", Life: 1, TTL: ttl}); got.Outcome != TableFull {
		t.Fatalf("session %d: %v", SessionsMax+1, got.Outcome)
	}
	session, _ := table.Session("0")
	for n := range GroupsMax {
		table.Apply(Acquire{Session: session.Session, Group: fmt.Sprint(n)})
	}
	if got := table.Apply(Acquire{Session: session.Session, Group: "one more"}); got.Outcome != TableFull {
		t.Fatalf("group %d: %v", GroupsMax+1, got.Outcome)
	}
	if got := table.Apply(Acquire{Session: session.Session, Group: strings.Repeat("x", NameMax+1)}); got.Outcome != Invalid {
		t.Fatalf("long name: %v", got.Outcome)
	}
}

// Every command survives its encoding, and nothing decodes to two.
func TestCommandsSurviveTheirEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 1000 {
		c := randomCommand(r)
		b, err := EncodeCommand(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeCommand(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		b, _ := EncodeCommand(randomCommand(r))
		f.Add(b)
	}
	f.Add([]byte{commandVersion + 1, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		NewTable().Apply(c)
		if _, err := EncodeCommand(c); err != nil {
			t.Fatalf("decoded but not encodable: %v", err)
		}
	})
}

// A copy of an earlier standing that commits late undoes nothing: it could forget a
// VIP that is held.
func TestLateStandingDoesNotUndoALaterOne(t *testing.T) {
	table := NewTable()
	s := opened(t, table, "a", 1)
	vips := []netip.Addr{netip.MustParseAddr("192.0.2.100")}
	table.Apply(SetCandidate{Session: s, Order: 2, Group: "g", VIPs: vips, Eligible: true})
	if got := table.Apply(SetCandidate{Session: s, Order: 1, Group: "g", Eligible: true}); got.Outcome != Stale {
		t.Fatalf("the copy came to %v", got.Outcome)
	}
	if k := table.Candidates("g")[0]; len(k.VIPs) != 1 {
		t.Fatalf("candidate %+v", k)
	}
	// Another life of the node counts anew.
	again := opened(t, table, "a", 2)
	if got := table.Apply(SetCandidate{Session: again, Order: 1, Group: "g", Eligible: true}); got.Outcome != OK {
		t.Fatalf("in another session: %v", got.Outcome)
	}
}

// I1 across names: a VIP that is held under one group's name is granted under no
// other, neither by Acquire nor to a successor.
func TestVIPIsGrantedUnderOneNameOnly(t *testing.T) {
	table := NewTable()
	a, b := opened(t, table, "a", 1), opened(t, table, "b", 1)
	vips := []netip.Addr{netip.MustParseAddr("192.0.2.100")}
	table.Apply(SetCandidate{Session: a, Group: "old", VIPs: vips, Eligible: true})
	table.Apply(SetCandidate{Session: b, Group: "new", VIPs: vips, Eligible: true})
	token := table.Apply(Acquire{Session: a, Group: "old"}).Token
	if got := table.Apply(Acquire{Session: b, Group: "new"}); got.Outcome != VIPHeld || got.Holder != a {
		t.Fatalf("under the other name: %+v", got)
	}
	table.Apply(SetCandidate{Session: a, Order: 1, Group: "new", Eligible: true})
	other := table.Apply(Acquire{Session: a, Group: "new"}).Token // without VIPs there is no clash
	if got := table.Apply(Release{Session: a, Group: "new", Token: other, Successor: "b"}); !got.Holder.IsZero() {
		t.Fatalf("the successor got it: %+v", got)
	}
	table.Apply(Release{Session: a, Group: "old", Token: token})
	if got := table.Apply(Acquire{Session: b, Group: "new"}); got.Outcome != OK {
		t.Fatalf("once it is free: %v", got.Outcome)
	}
}
