package config

import (
	"fmt"
	"strings"
)

// Summary says in a line what a configuration has:
// "1 instance, 1 group, 3 members (1 witness), 1 virtual address; this node is lb1, lease 1.5s",
// with "1 virtual server, 2 real servers, 2 checks" before the semicolon where there are any.
func Summary(c *Config) string {
	grouped, addresses, witnesses := 0, 0, 0
	for _, g := range c.SyncGroups {
		grouped += len(g.Members)
	}
	for _, i := range c.Instances {
		addresses += len(i.Addresses)
	}
	for _, m := range c.Consensus.Members {
		if m.Witness {
			witnesses++
		}
	}
	// An instance in no vrrp_sync_group is a group of its own.
	groups := len(c.SyncGroups) + len(c.Instances) - grouped
	parts := []string{plural(len(c.Instances), "instance"), plural(groups, "group")}
	if !c.ConsensusOff {
		members := plural(len(c.Consensus.Members), "member")
		if witnesses > 0 {
			members += " (" + plural(witnesses, "witness") + ")"
		}
		parts = append(parts, members)
	}
	parts = append(parts, plural(addresses, "virtual address"))
	if len(c.VirtualServers) > 0 {
		parts = append(parts, serverSummary(c))
	}
	s := strings.Join(parts, ", ")
	if c.ConsensusOff {
		return s + "; consensus off"
	}
	return s + fmt.Sprintf("; this node is %s, lease %v", c.Consensus.Node, c.Consensus.LeaseTTL)
}

// serverSummary counts virtual servers and what is behind them.
func serverSummary(c *Config) string {
	reals, checks := 0, 0
	for _, v := range c.VirtualServers {
		reals += len(v.RealServers)
		for _, r := range v.RealServers {
			checks += len(r.Checks)
		}
	}
	return strings.Join([]string{plural(len(c.VirtualServers), "virtual server"), plural(reals, "real server"), plural(checks, "check")}, ", ")
}
