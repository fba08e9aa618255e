package health

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hafence/hafence/internal/boottime"
)

// Weight is a real server's share of the connections, 0 to [WeightMax]. 0 takes no
// new ones, and counts for nothing in a quorum.
type Weight int32

// WeightMax is the greatest weight (keepalived's limit).
const WeightMax = 65535

// PoolConfig is a virtual server as far as health goes, with all of keepalived's
// defaults filled in.
type PoolConfig struct {
	Quorum       int64 // weight that must be up; at least 1
	Hysteresis   int64 // less than Quorum
	Omega        bool  // notify when stopping
	InitNotifies bool  // notify of servers that start up (rs_init_notifies)
	Sorry        *SorryServer
	Servers      []Server // of two with one address, the first counts
}

// SorryServer stands in while there is no quorum.
type SorryServer struct {
	Addr    netip.AddrPort
	Weight  Weight
	Inhibit bool // keep it at weight 0 while it isn't needed
}

// Server is a real server.
type Server struct {
	Addr             netip.AddrPort
	Weight           Weight
	InhibitOnFailure bool     // weight 0 instead of removal
	Checks           []Member // none: always up
}

// Member is a check of a [Server].
type Member struct {
	Name  string // [CheckID.Name]
	Alpha bool   // down until its first success
}

// Destination is what a virtual server should have in IPVS.
type Destination struct {
	Addr   netip.AddrPort
	Weight Weight
	Sorry  bool // the sorry server: its forwarding method is another
}

// Change is news of a pool: what is logged, and what scripts and mails are for.
type Change struct {
	Kind   ChangeKind
	At     boottime.Instant
	Server netip.AddrPort // none for a change of the quorum
	Reason string
	Weight Weight // of the server; 0 for a change of the quorum
}

// ChangeKind says what a [Change] is.
type ChangeKind uint8

// The kinds of Change. Of several that come together, those of servers come first.
// All but WeightChanged run scripts (notify_up, notify_down, quorum_up, quorum_down).
const (
	ServerUp ChangeKind = iota + 1
	ServerDown
	WeightChanged
	QuorumGained
	QuorumLost
)

// String gives "up", "down", "weight", "quorum gained" or "quorum lost".
func (k ChangeKind) String() string {
	switch k {
	case ServerUp:
		return "up"
	case ServerDown:
		return "down"
	case WeightChanged:
		return "weight"
	case QuorumGained:
		return "quorum gained"
	case QuorumLost:
		return "quorum lost"
	}
	return "unknown change"
}

// Pool is the state of one virtual server: which real servers are up, whether they
// are enough, and what IPVS should have. It is pure.
type Pool struct {
	config  PoolConfig
	servers []*server // in the order of configuration
	byAddr  map[netip.AddrPort]*server
	quorum  bool
}

// server is a real server with its checks.
type server struct {
	Server
	checks []*member
	since  boottime.Instant // of being up or down; 0 for since the start
	reason string
}

// member is what is known of a check of a server.
type member struct {
	Member
	CheckState
}

// NewPool makes a pool. last is what [Pool.State] gave in a previous life: what was
// known then still holds, and nothing is notified that has been before. Without it
// servers are up until checked, except where alpha says otherwise.
func NewPool(now boottime.Instant, config PoolConfig, last *PoolState) (*Pool, []Change) {
	p := &Pool{}
	if last == nil {
		return p, p.begin(now, config)
	}
	p.restore(config, last)
	return p, p.Reconfigure(now, config)
}

// Apply takes a report of one of the pool's checks. Reports of others, which may be
// of an earlier configuration, change nothing.
func (p *Pool) Apply(r Report) []Change {
	s, m := p.find(r.ID)
	if m == nil || r.Kind == ReportFailure || r.Kind == ReportNothing {
		return nil
	}
	wasUp, weight, first := s.up(), s.effective(), !m.Ran
	m.Ran = true
	if r.Result.Weight.Kind != 0 {
		m.Weight = r.Result.Weight
	}
	confirmed := m.Up == r.Up
	m.Up = r.Up
	changes := s.compare(r.At, wasUp, weight, r.Result.Reason)
	if first && confirmed && !r.Up && m.Alpha {
		// keepalived notifies once of what begins down and is found to be.
		s.reason = r.Result.Reason
		changes = append(changes, s.change(r.At, ServerDown))
	}
	return append(changes, p.judgeQuorum(r.At)...)
}

// Stop says what is to be notified at the end of the daemon: with omega, that every
// server that is up and the quorum are gone. IPVS is another matter.
func (p *Pool) Stop(now boottime.Instant) []Change {
	if !p.config.Omega {
		return nil
	}
	changes := p.serversGone(now, "shutting down")
	return append(changes, Change{Kind: QuorumLost, At: now, Reason: "shutting down"})
}

// Remove says what is to be notified when the virtual server leaves the configuration.
func (p *Pool) Remove(now boottime.Instant) []Change {
	const reason = "no longer in the configuration"
	changes := p.serversGone(now, reason)
	if p.quorum {
		changes = append(changes, Change{Kind: QuorumLost, At: now, Reason: reason})
	}
	return changes
}

func (p *Pool) serversGone(now boottime.Instant, reason string) []Change {
	var changes []Change
	for _, s := range p.servers {
		if s.up() {
			changes = append(changes, Change{Kind: ServerDown, At: now, Server: s.Addr, Reason: reason})
		}
	}
	return changes
}

// Destinations is what IPVS should have, in the order of configuration, the sorry
// server last. While the quorum is lost and there is a sorry server, it is the only
// one; while there is none, what is up serves on. It may be empty: the service stays.
func (p *Pool) Destinations() []Destination {
	var list []Destination
	for _, s := range p.servers {
		switch {
		case s.up() && !p.Sorry():
			list = append(list, Destination{Addr: s.Addr, Weight: s.effective()})
		case s.InhibitOnFailure:
			list = append(list, Destination{Addr: s.Addr, Weight: 0})
		}
	}
	sorry := p.config.Sorry
	if sorry == nil {
		return list
	}
	// It may be one of the real servers.
	at := slices.IndexFunc(list, func(d Destination) bool { return d.Addr == sorry.Addr })
	switch standIn := (Destination{Addr: sorry.Addr, Weight: sorry.Weight, Sorry: true}); {
	case p.Sorry() && at >= 0:
		list[at] = standIn
	case p.Sorry():
		list = append(list, standIn)
	case sorry.Inhibit && at < 0:
		list = append(list, Destination{Addr: sorry.Addr, Weight: 0, Sorry: true})
	}
	return list
}

// Quorum reports whether enough weight is up.
func (p *Pool) Quorum() bool { return p.quorum }

// Sorry reports whether the sorry server stands in.
func (p *Pool) Sorry() bool { return p.config.Sorry != nil && !p.quorum }

// Weight is the sum of the weights of all servers that are up.
func (p *Pool) Weight() int64 {
	var sum int64
	for _, s := range p.servers {
		if s.up() {
			sum += int64(s.effective())
		}
	}
	return sum
}

// judgeQuorum gains or loses the quorum.
func (p *Pool) judgeQuorum(now boottime.Instant) []Change {
	sum, quorum, hysteresis := p.Weight(), p.config.Quorum, p.config.Hysteresis
	kind, sign := QuorumGained, "+"
	switch {
	case !p.quorum && sum >= quorum+hysteresis:
	case p.quorum && sum < quorum-hysteresis: // which is above 0: without any weight it is always lost
		kind, sign = QuorumLost, "−"
	default:
		return nil
	}
	p.quorum = kind == QuorumGained
	reason := fmt.Sprintf("weight %d is up, the quorum is %d%s%d", sum, quorum, sign, hysteresis)
	return []Change{{Kind: kind, At: now, Reason: reason}}
}

func (p *Pool) find(id CheckID) (*server, *member) {
	s := p.byAddr[id.Server]
	if s == nil {
		return nil, nil
	}
	return s, s.check(id.Name)
}

func (s *server) check(name string) *member {
	for _, m := range s.checks {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// up reports whether every check is.
func (s *server) up() bool {
	for _, m := range s.checks {
		if !m.Up {
			return false
		}
	}
	return true
}

// effective is the weight that IPVS gets: the configured one, and what checks make
// of it, each by the difference to the configured one.
func (s *server) effective() Weight {
	sum := int64(s.Weight)
	for _, m := range s.checks {
		switch m.Weight.Kind {
		case WeightSet:
			sum += m.Weight.Value - int64(s.Weight)
		case WeightAdd:
			sum += m.Weight.Value
		}
	}
	return Weight(min(max(sum, 0), WeightMax))
}

// compare says what has become of a server that was up, or not, with a weight.
func (s *server) compare(now boottime.Instant, wasUp bool, weight Weight, reason string) []Change {
	switch isUp := s.up(); {
	case isUp && !wasUp:
		s.since, s.reason = now, reason
		return []Change{s.change(now, ServerUp)}
	case !isUp && wasUp:
		s.since, s.reason = now, reason
		return []Change{s.change(now, ServerDown)}
	case s.effective() != weight:
		c := s.change(now, WeightChanged)
		c.Reason = reason
		return []Change{c}
	}
	return nil
}

func (s *server) change(now boottime.Instant, kind ChangeKind) Change {
	return Change{Kind: kind, At: now, Server: s.Addr, Reason: s.reason, Weight: s.effective()}
}
