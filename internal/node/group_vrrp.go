package node

import (
	"net/netip"
	"slices"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/vrrp"
)

func (g *Group) stepAll(now boottime.Instant, event vrrp.Event) {
	for _, i := range g.instances {
		if i.machine != nil {
			g.step(now, i, event)
		}
	}
}

func (g *Group) step(now boottime.Instant, i *instance, event vrrp.Event) {
	g.act(now, i, i.machine.Step(now, event))
}

// act performs or passes on what a machine wants.
func (g *Group) act(now boottime.Instant, i *instance, actions []vrrp.Action) {
	for _, action := range actions {
		switch a := action.(type) {
		case vrrp.Claim:
			g.claimed(now, a.Cause)
		case vrrp.Yield:
			g.withdraw(now, drop{cause: a.Cause, release: true, nobody: true})
		case vrrp.SendAdvert:
			if a.Priority == vrrp.PriorityStop || g.entitled(now) {
				g.core.do(SendAdvert{Instance: i.config.Name, Priority: a.Priority})
			}
		case vrrp.Announce:
			if g.entitled(now) {
				g.core.do(Announce{Instance: i.config.Name, Repeat: a.Repeat})
			}
		case vrrp.Changed:
			g.note(LevelInfo, i, a.From.String()+" -> "+a.To.String()+": "+a.Cause)
		case vrrp.Silent:
			g.silent(i, a)
		case vrrp.Stranger:
			g.stranger(now, i, a)
		}
	}
}

// entitled reports whether this node may say on the wire that it is MASTER. The
// packet gate does not see what leaves by packet sockets, and a machine that was
// paused has timers that are due before it hears that its lease has lapsed.
func (g *Group) entitled(now boottime.Instant) bool {
	return g.phase == holding && g.core.alive(now)
}

func (g *Group) received(now boottime.Instant, i *instance, r Received) {
	if i.machine == nil {
		return
	}
	g.step(now, i, vrrp.Received{Source: r.Source, Advert: r.Advert, Member: g.member(r.Source)})
}

// member reports whether an address is another node's of this cluster.
func (g *Group) member(source netip.Addr) bool {
	for _, k := range g.core.table.Candidates(g.config.Name) {
		if k.Node != g.core.config.Node && slices.Contains(k.Addresses, source) {
			return true
		}
	}
	return false
}

func (g *Group) linkChanged(now boottime.Instant, i *instance, l LinkChanged) {
	changed := i.up != l.Up
	i.up, i.cause = l.Up, l.Cause
	if l.Up && l.Source != i.config.VRRP.Source {
		i.config.VRRP.Source = l.Source
		if i.machine != nil {
			g.act(now, i, i.machine.Step(now, vrrp.Reconfigured{Config: i.config.VRRP}))
		}
	}
	if l.Up && i.machine == nil {
		i.machine = vrrp.NewMachine(i.config.VRRP)
	}
	if changed && !l.Up {
		g.note(LevelWarn, i, "FAULT: "+l.Cause)
	}
}

func (g *Group) note(level Level, i *instance, text string) {
	n := Note{Level: level, Group: g.config.Name, Text: text}
	if i != nil {
		n.Instance = i.config.Name
	}
	if g.mine() {
		n.Token = g.lease.Token
	}
	g.core.do(n)
}

// silent and stranger keep what an operator wants to know.
func (g *Group) silent(i *instance, s vrrp.Silent) {
	key := "silent " + i.config.Name
	if !s.Silent {
		g.warnings.clear(key)
		g.note(LevelInfo, i, "the MASTER is heard again")
		return
	}
	text := s.Master + " is MASTER and holds the lease, but its adverts are not heard here (is VRRP, IP protocol 112, blocked?)"
	g.warnings.set(key, text)
	g.note(LevelWarn, i, text)
}

func (g *Group) stranger(now boottime.Instant, i *instance, s vrrp.Stranger) {
	if s.Kind == vrrp.MemberWithoutLease && !g.entitled(now) {
		return // it is we who are behind
	}
	if s.Kind == vrrp.StrangerHigher {
		g.strangers = now.Add(strangerMemory)
	}
	key := "stranger " + i.config.Name + " " + s.Source.String()
	text := strangerText(s)
	if g.warnings.setUntil(key, text, now.Add(strangerMemory)) {
		g.note(LevelWarn, i, text)
	}
}

func (g *Group) repaired(r fence.Repaired) {
	g.note(LevelWarn, nil, r.VIP.String()+" was removed by somebody else and put back; what else manages this interface?")
	for _, i := range g.instances {
		if g.phase == holding {
			g.core.do(Announce{Instance: i.config.Name, Repeat: 1})
		}
	}
}
