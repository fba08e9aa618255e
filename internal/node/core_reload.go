package node

import (
	"slices"

	"github.com/hafence/hafence/internal/boottime"
)

// pursueReload applies a new configuration once the groups that it changes or ends
// have been withdrawn. The others keep what they hold.
func (c *Core) pursueReload(now boottime.Instant) {
	if c.reload == nil || c.stopping {
		return
	}
	waiting := false
	for _, g := range c.groups {
		i := slices.IndexFunc(c.reload.Groups, func(n GroupConfig) bool { return n.Name == g.config.Name })
		if i < 0 {
			g.stop("no longer configured")
			waiting = waiting || g.up()
			continue
		}
		g.stopping = "" // an earlier reload may have removed it
		g.changing = !slices.Equal(g.config.VIPs, c.reload.Groups[i].VIPs) || !sameInstances(g.config, c.reload.Groups[i])
		if g.changing {
			g.lose(now, "its configuration changes")
			waiting = waiting || g.up()
		}
	}
	if waiting {
		return
	}
	next := *c.reload
	c.reload = nil
	c.adopt(now, next)
}

func sameInstances(a, b GroupConfig) bool {
	return slices.EqualFunc(a.Instances, b.Instances, func(x, y InstanceConfig) bool { return x.Name == y.Name })
}

// adopt goes over to a configuration. Groups that are gone from it stay, stopped,
// until the store has forgotten that this node serves them: else a handover could
// name it as the successor, and nobody would answer.
func (c *Core) adopt(now boottime.Instant, next CoreConfig) {
	var groups []*Group
	for _, config := range next.Groups {
		old := c.group(config.Name)
		if old != nil && sameInstances(old.config, config) {
			old.reconfigure(now, config)
			old.changing, old.leaving = false, false
			groups = append(groups, old)
			continue
		}
		g := newGroup(c, config)
		if old != nil {
			g.inherit(old)
		}
		g.noteLease(c.table.Lease(config.Name))
		groups = append(groups, g)
	}
	for _, g := range c.groups {
		gone := !slices.ContainsFunc(next.Groups, func(n GroupConfig) bool { return n.Name == g.config.Name })
		if gone && !g.left() {
			g.leaving = true
			groups = append(groups, g)
		}
	}
	c.groups = groups
	c.config.Groups, c.config.Gate, c.config.ARPOnly, c.config.Lifetime = next.Groups, next.Gate, next.ARPOnly, next.Lifetime
	c.configure()
	c.do(Adopted{})
}

// sweep forgets groups that have left for good.
func (c *Core) sweep() {
	c.groups = slices.DeleteFunc(c.groups, func(g *Group) bool { return g.leaving && g.left() })
}

// left reports whether nothing in the store speaks of this node and the group any
// more, and nothing is under way that could.
func (g *Group) left() bool {
	k, ok := g.candidate(g.core.config.Node)
	standing := ok && k.Eligible && k.Session == g.core.holder.Session()
	return !g.up() && !g.mine() && !standing && g.acquiring == 0 && g.yielded == 0 && g.standing == 0 && g.preemption.id == 0
}
