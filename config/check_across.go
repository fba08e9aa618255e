package config

import (
	"net/netip"
	"slices"
)

// across checks what several blocks must agree on.
func (c *checker) across(root *node) {
	c.uniqueVRIDs()
	if f := c.config.Fence; f.VIPOnLo && !f.Gate {
		c.errorf(c.onLo.pos(), "gate on", "vip_on_lo needs the packet gate: without it, IPVS on a BACKUP would send what the MASTER sends it to a real server again")
	}
	c.addresses()
	switch {
	case len(c.drafts) > 0 && !hasConsensus(root):
		// A node without a keyword can't be: instances have one.
		c.errorf(c.drafts[0].node.pos(), exampleConsensus(c.config.Consensus.Node),
			"there is a vrrp_instance but no consensus block: nothing would keep two nodes from answering for one virtual address")
	case len(c.drafts) == 0 && !hasConsensus(root) && len(c.config.VirtualServers) > 0:
		c.config.ConsensusOff = true // nobody to vote with, and nothing to vote on
	case len(c.drafts) == 0 && c.cluster == nil && !c.failed(): // else the errors say more
		at := pos{file: c.first(), line: 1, col: 1}
		if len(root.children) > 0 {
			at = root.children[0].pos()
		}
		c.errorf(at, "", "there is no vrrp_instance, virtual_server or consensus block: nothing to do")
	case len(c.drafts) == 0 && len(c.config.VirtualServers) == 0 && c.cluster != nil && !c.witness() && c.off == nil:
		c.warnf(c.cluster.node.pos(), "", "there is no vrrp_instance: this node only votes")
	}
}

// hasConsensus reports whether the file says something about consensus, be it
// wrong.
func hasConsensus(root *node) bool {
	return slices.ContainsFunc(root.children, func(n *node) bool { return n.name() == "consensus" })
}

// first returns the name of the file that was opened first.
func (r *report) first() string {
	for name, i := range r.files {
		if i == 0 {
			return name
		}
	}
	return ""
}

// witness reports whether this node is one.
func (c *checker) witness() bool {
	for _, m := range c.cluster.Members {
		if m.Name == c.cluster.Node {
			return m.Witness
		}
	}
	return false
}

// uniqueVRIDs checks that no two instances are the same virtual router.
func (c *checker) uniqueVRIDs() {
	type router struct {
		where string
		vrid  int
	}
	first := map[router]*draft{}
	for _, d := range c.drafts {
		where := "interface " + d.Interface
		if d.Interface == "" {
			where = "address " + d.UnicastSource.String()
		}
		key := router{where, d.RouterID}
		if d.RouterID == 0 {
			continue
		}
		if other := first[key]; other != nil {
			c.errorf(d.at["virtual_router_id"].wordPos(1), "", "vrrp_instance %s and %s both have virtual_router_id %d on %s",
				other.Name, d.Name, d.RouterID, where)
			continue
		}
		first[key] = d
	}
}

// addresses checks that each virtual address is there once, has an interface,
// and is nobody's own.
func (c *checker) addresses() {
	own := map[netip.Addr]string{}
	if c.cluster != nil {
		for _, m := range c.cluster.Members {
			own[m.Address.Addr()] = "the address of member " + m.Name
		}
	}
	for _, d := range c.drafts {
		for _, peer := range d.UnicastPeers {
			own[peer] = "a unicast_peer of vrrp_instance " + d.Name
		}
		if d.UnicastSource.IsValid() {
			own[d.UnicastSource] = "the source address of vrrp_instance " + d.Name
		}
	}
	c.hostLimits()
	first := map[netip.Addr]*draft{}
	for _, d := range c.drafts {
		for i, vip := range d.Addresses {
			addr := vip.Prefix.Addr()
			if what, taken := own[addr]; taken {
				c.errorf(d.vipPos[i], "", "virtual address %v is also %s, which would move away with it", addr, what)
			}
			if other := first[addr]; other != nil {
				c.errorf(d.vipPos[i], "", "virtual address %v is in vrrp_instance %s already", addr, other.Name)
			}
			first[addr] = d
			if vip.Interface == "" {
				d.Addresses[i].Interface = d.Interface
			}
			if vip.Interface == "" && !d.said("interface") {
				c.errorf(d.vipPos[i], "say dev INTERFACE behind the address", "virtual address %v has no interface, nor has vrrp_instance %s", addr, d.Name)
			}
		}
	}
}

// hostLimits refuses what the guard would refuse.
func (c *checker) hostLimits() {
	total := 0
	for i, d := range c.drafts {
		total += len(d.Addresses)
		if i == hostInstancesMax {
			c.errorf(d.node.pos(), "", "more than %d instances: one host cannot hold so many", hostInstancesMax)
		}
		if before := total - len(d.Addresses); total > hostAddressesMax && before <= hostAddressesMax {
			c.errorf(d.node.pos(), "", "more than %d virtual addresses: one host cannot hold so many", hostAddressesMax)
		}
	}
}
