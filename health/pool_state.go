package health

import (
	"net/netip"

	"github.com/hafence/hafence/internal/boottime"
)

// PoolState is what a restart of the checker process has to carry over. It is a plain
// value: the fields say themselves how they are stored.
type PoolState struct {
	Quorum  bool           `json:"quorum"`
	Sorry   netip.AddrPort `json:"sorry"` // the configured sorry server; none: the zero AddrPort
	Servers []ServerState  `json:"servers"`
}

// ServerState is a real server in a [PoolState].
type ServerState struct {
	Addr   netip.AddrPort `json:"addr"`
	Checks []MemberState  `json:"checks"`
}

// MemberState is a check in a [ServerState].
type MemberState struct {
	Name  string     `json:"name"`
	State CheckState `json:"state"`
}

// PoolStatus is a pool for people.
type PoolStatus struct {
	Quorum  bool
	Sorry   bool // the sorry server stands in
	Weight  int64
	Servers []ServerStatus
}

// ServerStatus is a real server in a [PoolStatus].
type ServerStatus struct {
	Addr   netip.AddrPort
	Up     bool
	Weight Weight           // the effective one, also while it is down
	Since  boottime.Instant // of being up or down; 0 for since the start
	Reason string           // of the last change
	Failed []string         // the names of the checks that are down
}

// State is what to give to [NewPool] in the next life.
func (p *Pool) State() PoolState {
	state := PoolState{Quorum: p.quorum}
	if p.config.Sorry != nil {
		state.Sorry = p.config.Sorry.Addr
	}
	for _, s := range p.servers {
		one := ServerState{Addr: s.Addr}
		for _, m := range s.checks {
			one.Checks = append(one.Checks, MemberState{Name: m.Name, State: m.CheckState})
		}
		state.Servers = append(state.Servers, one)
	}
	return state
}

// Status is the pool for people.
func (p *Pool) Status() PoolStatus {
	status := PoolStatus{Quorum: p.quorum, Sorry: p.Sorry(), Weight: p.Weight()}
	for _, s := range p.servers {
		one := ServerStatus{Addr: s.Addr, Up: s.up(), Weight: s.effective(), Since: s.since, Reason: s.reason}
		for _, m := range s.checks {
			if !m.Up {
				one.Failed = append(one.Failed, m.Name)
			}
		}
		status.Servers = append(status.Servers, one)
	}
	return status
}

// Reconfigure takes a new configuration and keeps the state of all that stays: a
// failed server stays failed, also where the options of its check have changed, and a
// new weight counts at once. Servers that are new start as at the start; a new check
// of a server that is up does not take it down.
func (p *Pool) Reconfigure(now boottime.Instant, config PoolConfig) []Change {
	old := *p
	p.adopt(config)
	var changes []Change
	for _, was := range old.servers {
		if p.byAddr[was.Addr] == nil && was.up() {
			was.reason = "no longer in the configuration"
			changes = append(changes, was.change(now, ServerDown))
		}
	}
	for _, s := range p.servers {
		was := old.byAddr[s.Addr]
		if was == nil {
			changes = append(changes, p.start(now, s)...)
			continue
		}
		s.since, s.reason = was.since, was.reason
		s.carry(was)
		changes = append(changes, s.compare(now, was.up(), was.effective(), "new configuration")...)
	}
	changes = append(changes, p.judgeQuorum(now)...)
	sorryIsNew := p.config.Sorry != nil && (old.config.Sorry == nil || old.config.Sorry.Addr != p.config.Sorry.Addr)
	if sorryIsNew && !p.quorum && !old.quorum {
		changes = append(changes, p.sorryBegins(now))
	}
	return changes
}

// begin is the start without a previous life.
func (p *Pool) begin(now boottime.Instant, config PoolConfig) []Change {
	p.adopt(config)
	var changes []Change
	for _, s := range p.servers {
		changes = append(changes, p.start(now, s)...)
	}
	changes = append(changes, p.judgeQuorum(now)...)
	if p.Sorry() {
		changes = append(changes, p.sorryBegins(now))
	}
	return changes
}

// adopt takes a configuration in, with all checks as yet without state.
func (p *Pool) adopt(config PoolConfig) {
	p.config, p.servers, p.byAddr = config, nil, map[netip.AddrPort]*server{}
	p.config.Quorum = max(config.Quorum, 1)
	p.config.Hysteresis = min(max(config.Hysteresis, 0), p.config.Quorum-1)
	for _, configured := range config.Servers {
		s := &server{Server: configured}
		for _, m := range configured.Checks {
			s.checks = append(s.checks, &member{Member: m})
		}
		p.add(s)
	}
}

func (p *Pool) add(s *server) {
	if p.byAddr[s.Addr] == nil {
		p.servers, p.byAddr[s.Addr] = append(p.servers, s), s
	}
}

// restore makes the pool what it was in a previous life, as far as the configuration
// still names it.
func (p *Pool) restore(config PoolConfig, last *PoolState) {
	p.adopt(config)
	configured := p.byAddr
	p.servers, p.byAddr, p.quorum = nil, map[netip.AddrPort]*server{}, last.Quorum
	if sorry := config.Sorry; sorry != nil && sorry.Addr != last.Sorry {
		p.config.Sorry = nil // it is a new one
	}
	for _, state := range last.Servers {
		s := &server{Server: Server{Addr: state.Addr}}
		if now := configured[state.Addr]; now != nil {
			s.Server = now.Server
		}
		for _, m := range state.Checks {
			s.checks = append(s.checks, &member{Member: Member{Name: m.Name}, CheckState: m.State})
		}
		p.add(s)
	}
}

// start gives a server the state of what has not been checked yet.
func (p *Pool) start(now boottime.Instant, s *server) []Change {
	for _, m := range s.checks {
		m.CheckState = CheckState{Up: !m.Alpha}
	}
	if !p.config.InitNotifies || !s.up() {
		return nil
	}
	s.since, s.reason = now, "starting"
	return []Change{s.change(now, ServerUp)}
}

// carry takes over what is known of the checks that stay.
func (s *server) carry(was *server) {
	for _, m := range s.checks {
		m.CheckState = CheckState{Up: !m.Alpha || was.up()}
		if before := was.check(m.Name); before != nil {
			m.CheckState = before.CheckState
		}
	}
}

// sorryBegins tells of a sorry server that stands in although no quorum was lost.
func (p *Pool) sorryBegins(now boottime.Instant) Change {
	return Change{Kind: QuorumLost, At: now, Reason: "starting without a quorum: the sorry server stands in"}
}
