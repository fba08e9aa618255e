package config

// groupDraft is a vrrp_sync_group while it is read.
type groupDraft struct {
	name    string
	node    *node
	members []groupMember
}

// groupMember is an instance's name in a group, and where it stands.
type groupMember struct {
	name string
	at   pos
}

// syncGroup reads a vrrp_sync_group block.
func (c *checker) syncGroup(n *node, _ *Config) {
	name, ok := c.value(n)
	if !ok || !c.printable(n.wordPos(1), "the name of a vrrp_sync_group", name) || !c.named("vrrp_sync_group", name, n) {
		return
	}
	g := &groupDraft{name: name, node: n}
	walk(c, "vrrp_sync_group", n.children, g, groupSetters)
	c.groups = append(c.groups, g)
}

// groupSetters are the keywords of vrrp_sync_group.
var groupSetters = map[string]setter[groupDraft]{
	"group": func(c *checker, n *node, g *groupDraft) {
		c.noArgs(n)
		for _, entry := range n.children {
			for i, w := range entry.words {
				g.members = append(g.members, groupMember{w.text, entry.wordPos(i)})
			}
		}
	},
}

// finishGroups checks who is in which group, once all instances are known.
func (c *checker) finishGroups() {
	var names []string
	known := map[string]bool{}
	for _, d := range c.drafts {
		known[d.Name] = true
		names = append(names, d.Name)
	}
	in := map[string]string{}
	for _, g := range c.groups {
		group := SyncGroup{Name: g.name}
		for _, m := range g.members {
			switch other, taken := in[m.name]; {
			case !known[m.name]:
				hint := ""
				if near := nearestWord(names, m.name); near != "" {
					hint = "did you mean " + near + "?"
				}
				c.errorf(m.at, hint, "vrrp_sync_group %s: there is no vrrp_instance %q", g.name, clip(m.name))
			case taken && other == g.name:
				c.warnf(m.at, "", "vrrp_sync_group %s: %s is listed twice", g.name, clip(m.name))
			case taken:
				c.errorf(m.at, "", "vrrp_sync_group %s: %s is in vrrp_sync_group %s already", g.name, clip(m.name), other)
			default:
				in[m.name] = g.name
				group.Members = append(group.Members, m.name)
			}
		}
		switch at := g.node.wordPos(1); {
		case len(g.members) == 0:
			c.warnf(at, "group { INSTANCE … }", "vrrp_sync_group %s has no instances: it is left out", g.name)
			continue
		case len(g.members) == 1:
			c.warnf(at, "", "vrrp_sync_group %s has one instance only, which fails over by itself anyway", g.name)
		}
		c.config.SyncGroups = append(c.config.SyncGroups, group)
	}
}
