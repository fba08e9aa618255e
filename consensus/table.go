package consensus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Limits of the table.
const (
	SessionsMax = 64   // nodes with a session at one time
	GroupsMax   = 4096 // groups that ever had a candidate or holder
)

// SessionRecord is a session in the table.
type SessionRecord struct {
	Session
	Host string        `json:"host"`
	Life int64         `json:"life"`
	TTL  time.Duration `json:"ttl"`
}

// Lease is the right to be MASTER for one group.
type Lease struct {
	Group    string  `json:"group"`
	Holder   Session `json:"holder,omitzero"` // zero when free
	Token    Token   `json:"token"`           // of the last grant
	WantedBy Session `json:"wanted_by,omitzero"`
}

// Candidate is a node's standing for a group. It stays, not eligible, after the
// node's session has ended: its addresses tell a member's advertisement from a
// stranger's.
type Candidate struct {
	Session   Session      `json:"session,omitzero"` // zero when the node has none
	Node      string       `json:"node"`
	Priority  uint8        `json:"priority"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	VIPs      []netip.Addr `json:"vips,omitempty"`
	Eligible  bool         `json:"eligible"`
	Order     uint64       `json:"order,omitempty"` // of the SetCandidate that it is from
}

// Table is the replicated state: a pure function of the commands applied to it,
// without a clock. It is not safe for concurrent use.
type Table struct {
	epoch    uint64
	sessions map[string]SessionRecord // by node
	groups   map[string]*group        // by name
}

type group struct {
	lease      Lease
	candidates map[string]Candidate // by node
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{sessions: map[string]SessionRecord{}, groups: map[string]*group{}}
}

// Apply performs one command. The same commands in the same order give the same
// table and results everywhere.
func (t *Table) Apply(c Command) Result {
	switch c := c.(type) {
	case OpenSession:
		return t.openSession(c)
	case CloseSession:
		return t.endSession(c.Session)
	case ExpireSession:
		return t.endSession(c.Session)
	case Acquire:
		return t.acquire(c)
	case Release:
		return t.release(c)
	case SetCandidate:
		return t.setCandidate(c)
	}
	panic(fmt.Sprintf("consensus: apply: unknown command %T", c))
}

func (t *Table) openSession(c OpenSession) Result {
	if !nameFits(c.Node) || !nameFits(c.Host) || c.Life <= 0 || c.TTL <= 0 {
		return Result{Outcome: Invalid}
	}
	if old, ok := t.sessions[c.Node]; ok {
		switch {
		case old.Host != c.Host:
			return Result{Outcome: NodeInUse, Holder: old.Session}
		case old.Life == c.Life:
			return Result{Outcome: OK, Session: old.Session}
		case old.Life > c.Life:
			return Result{Outcome: Stale, Holder: old.Session}
		}
		t.endSession(old.Session)
	} else if len(t.sessions) >= SessionsMax {
		return Result{Outcome: TableFull}
	}
	t.epoch++
	s := Session{Node: c.Node, Epoch: t.epoch}
	t.sessions[c.Node] = SessionRecord{Session: s, Host: c.Host, Life: c.Life, TTL: c.TTL}
	return Result{Outcome: OK, Session: s}
}

// endSession removes a session and everything that belonged to it. Ending one
// that has ended is fine: the wish is fulfilled.
func (t *Table) endSession(s Session) Result {
	if !t.alive(s) {
		return Result{Outcome: OK}
	}
	delete(t.sessions, s.Node)
	for _, g := range t.groups { // each group on its own: the order doesn't matter
		if g.lease.Holder == s {
			g.lease.Holder, g.lease.WantedBy = Session{}, Session{}
		}
		if g.lease.WantedBy == s {
			g.lease.WantedBy = Session{}
		}
		if k, ok := g.candidates[s.Node]; ok {
			k.Session, k.Eligible = Session{}, false
			g.candidates[s.Node] = k
		}
	}
	return Result{Outcome: OK}
}

func (t *Table) acquire(c Acquire) Result {
	if !t.alive(c.Session) {
		return Result{Outcome: NoSession}
	}
	g, outcome := t.group(c.Group)
	if outcome != OK {
		return Result{Outcome: outcome}
	}
	switch {
	case g.lease.Holder == c.Session:
		// Asked twice; the answer is the same.
	case g.lease.Holder.IsZero():
		if other, taken := t.clash(c.Group, g.candidates[c.Session.Node].VIPs); taken {
			return Result{Outcome: VIPHeld, Holder: other}
		}
		g.grant(c.Session)
	case c.Preempt && g.candidates[c.Session.Node].Eligible:
		g.lease.WantedBy = c.Session
		return Result{Outcome: Wanted, Holder: g.lease.Holder}
	default:
		return Result{Outcome: Held, Holder: g.lease.Holder}
	}
	return Result{Outcome: OK, Token: g.lease.Token, Holder: c.Session}
}

func (t *Table) release(c Release) Result {
	if !t.alive(c.Session) {
		return Result{Outcome: NoSession}
	}
	g, ok := t.groups[c.Group]
	if !ok || g.lease.Holder != c.Session || g.lease.Token != c.Token {
		return Result{Outcome: NotHolder}
	}
	g.lease.Holder, g.lease.WantedBy = Session{}, Session{}
	if next := g.candidates[c.Successor]; c.Successor != c.Session.Node && next.Eligible {
		if _, taken := t.clash(c.Group, next.VIPs); !taken {
			g.grant(next.Session)
		}
	}
	return Result{Outcome: OK, Holder: g.lease.Holder}
}

// clash finds who holds, under another group's lease, one of the VIPs (I1 across
// groups). Of several it names the one whose group comes first.
func (t *Table) clash(name string, vips []netip.Addr) (Session, bool) {
	for _, other := range t.Groups() {
		g := t.groups[other]
		if other == name || g.lease.Holder.IsZero() {
			continue
		}
		for _, vip := range g.candidates[g.lease.Holder.Node].VIPs {
			if slices.Contains(vips, vip) {
				return g.lease.Holder, true
			}
		}
	}
	return Session{}, false
}

// grant is the only place where a lease gets a holder, and so where I2 is kept.
func (g *group) grant(s Session) {
	g.lease.Holder, g.lease.WantedBy = s, Session{}
	g.lease.Token++
}

func (t *Table) setCandidate(c SetCandidate) Result {
	if !t.alive(c.Session) {
		return Result{Outcome: NoSession}
	}
	if len(c.Addresses) > AddressesMax || len(c.VIPs) > VIPsMax {
		return Result{Outcome: Invalid}
	}
	g, outcome := t.group(c.Group)
	if outcome != OK {
		return Result{Outcome: outcome}
	}
	if have := g.candidates[c.Session.Node]; have.Session == c.Session && c.Order < have.Order {
		return Result{Outcome: Stale}
	}
	if g.lease.Holder == c.Session { // what is held may not grow into what another holds
		if other, taken := t.clash(c.Group, c.VIPs); taken {
			return Result{Outcome: VIPHeld, Holder: other}
		}
	}
	g.candidates[c.Session.Node] = Candidate{
		Session: c.Session, Node: c.Session.Node, Priority: c.Priority, Eligible: c.Eligible, Order: c.Order,
		Addresses: slices.Clone(c.Addresses), VIPs: slices.Clone(c.VIPs),
	}
	if !c.Eligible && g.lease.WantedBy == c.Session {
		g.lease.WantedBy = Session{}
	}
	return Result{Outcome: OK}
}

// group finds or makes a group.
func (t *Table) group(name string) (*group, Outcome) {
	if g, ok := t.groups[name]; ok {
		return g, OK
	}
	if !nameFits(name) {
		return nil, Invalid
	}
	if len(t.groups) >= GroupsMax {
		return nil, TableFull
	}
	g := &group{lease: Lease{Group: name}, candidates: map[string]Candidate{}}
	t.groups[name] = g
	return g, OK
}

func (t *Table) alive(s Session) bool {
	return !s.IsZero() && t.sessions[s.Node].Session == s
}

func nameFits(name string) bool { return name != "" && len(name) <= NameMax }

// Sessions returns every session, by node name.
func (t *Table) Sessions() []SessionRecord {
	return slices.SortedFunc(maps.Values(t.sessions), func(a, b SessionRecord) int { return cmp.Compare(a.Node, b.Node) })
}

// Session returns a node's session, if it has one.
func (t *Table) Session(node string) (SessionRecord, bool) {
	s, ok := t.sessions[node]
	return s, ok
}

// Lease returns a group's lease; a group that nobody ever mentioned has a free
// one under token 0.
func (t *Table) Lease(name string) Lease {
	if g, ok := t.groups[name]; ok {
		return g.lease
	}
	return Lease{Group: name}
}

// Groups returns the names of all groups, sorted.
func (t *Table) Groups() []string { return slices.Sorted(maps.Keys(t.groups)) }

// Candidates returns a group's candidates, the best first: eligible ones before
// others, then by priority, then by address, the higher first (RFC 3768 §6.4.3),
// then by name.
func (t *Table) Candidates(name string) []Candidate {
	g, ok := t.groups[name]
	if !ok {
		return nil
	}
	return slices.SortedFunc(maps.Values(g.candidates), compareCandidates)
}

func compareCandidates(a, b Candidate) int {
	if a.Eligible != b.Eligible {
		if a.Eligible {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(b.Priority, a.Priority); c != 0 {
		return c
	}
	if c := b.address().Compare(a.address()); c != 0 {
		return c
	}
	return cmp.Compare(a.Node, b.Node)
}

func (k Candidate) address() netip.Addr {
	if len(k.Addresses) == 0 {
		return netip.Addr{}
	}
	return k.Addresses[0]
}

// tableImage is the snapshot form of a table.
type tableImage struct {
	Version  int             `json:"version"`
	Epoch    uint64          `json:"epoch"`
	Sessions []SessionRecord `json:"sessions"`
	Groups   []groupImage    `json:"groups"`
}

type groupImage struct {
	Lease      Lease       `json:"lease"`
	Candidates []Candidate `json:"candidates"`
}

// MarshalJSON gives the table's snapshot.
func (t *Table) MarshalJSON() ([]byte, error) {
	image := tableImage{Version: commandVersion, Epoch: t.epoch, Sessions: t.Sessions()}
	for _, name := range t.Groups() {
		image.Groups = append(image.Groups, groupImage{Lease: t.Lease(name), Candidates: t.Candidates(name)})
	}
	return json.Marshal(image)
}

// UnmarshalJSON replaces the table by a snapshot. On an error the table is as it
// was.
func (t *Table) UnmarshalJSON(b []byte) error {
	var image tableImage
	if err := json.Unmarshal(b, &image); err != nil {
		return fmt.Errorf("read table snapshot: %w", err)
	}
	if image.Version != commandVersion {
		return fmt.Errorf("read table snapshot: version %d, know %d: %w", image.Version, commandVersion, ErrVersion)
	}
	restored := NewTable()
	restored.epoch = image.Epoch
	for _, s := range image.Sessions {
		restored.sessions[s.Node] = s
	}
	for _, g := range image.Groups {
		candidates := map[string]Candidate{}
		for _, k := range g.Candidates {
			candidates[k.Node] = k
		}
		restored.groups[g.Lease.Group] = &group{lease: g.Lease, candidates: candidates}
	}
	*t = *restored
	return nil
}

// Clone returns an independent copy.
func (t *Table) Clone() *Table {
	c := &Table{epoch: t.epoch, sessions: maps.Clone(t.sessions), groups: make(map[string]*group, len(t.groups))}
	for name, g := range t.groups {
		c.groups[name] = &group{lease: g.lease, candidates: maps.Clone(g.candidates)}
	}
	return c
}
