package node

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/consensus/raftstore"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/vrrp"
)

// startupListenMax bounds how long a starting node listens for routers that it
// doesn't know before its first claim: one advertisement of the usual interval, and
// some slack.
const startupListenMax = 1100 * time.Millisecond

// startupSlack is added to an interval shorter than that.
const startupSlack = 100 * time.Millisecond

// coreConfig translates a configuration for the core. Host and Life are the
// caller's to fill in.
func coreConfig(c *config.Config) CoreConfig {
	core := CoreConfig{
		Node: c.Consensus.Node, TTL: c.Consensus.LeaseTTL, Plain: c.ConsensusOff,
		Gate: c.Fence.Gate, ARPOnly: c.Fence.VIPOnLo, Lifetime: c.Fence.Lifetime, StartupDelay: c.Global.StartupDelay,
	}
	if isWitness(c) {
		return core
	}
	grouped := map[string]bool{}
	for _, s := range c.SyncGroups {
		var members []config.Instance
		for _, name := range s.Members {
			grouped[name] = true
			i := slices.IndexFunc(c.Instances, func(i config.Instance) bool { return i.Name == name })
			members = append(members, c.Instances[i])
		}
		if len(members) > 0 {
			core.Groups = append(core.Groups, groupConfig(s.Name, members, core.Plain))
		}
	}
	for _, i := range c.Instances {
		if !grouped[i.Name] {
			core.Groups = append(core.Groups, groupConfig(i.Name, []config.Instance{i}, core.Plain))
		}
	}
	return core
}

func isWitness(c *config.Config) bool {
	return slices.ContainsFunc(c.Consensus.Members, func(m config.Member) bool { return m.Name == c.Consensus.Node && m.Witness })
}

func groupConfig(name string, members []config.Instance, plain bool) GroupConfig {
	g := GroupConfig{Name: name}
	for _, i := range members {
		g.PreemptDelay = max(g.PreemptDelay, i.PreemptDelay)
		g.Instances = append(g.Instances, InstanceConfig{Name: i.Name, VRRP: machineConfig(i, plain)})
		for _, v := range i.Addresses {
			g.VIPs = append(g.VIPs, fence.VIP{
				Prefix: v.Prefix, Interface: v.Interface, Label: v.Label, Scope: scope(v.Scope), Broadcast: v.Broadcast,
			})
		}
	}
	return g
}

func machineConfig(i config.Instance, plain bool) vrrp.Config {
	return vrrp.Config{
		ID: vrrp.ID(i.RouterID), Priority: vrrp.Priority(i.Priority), AdvertInterval: i.AdvertInterval,
		Version: vrrp.Version(i.Version), Preempt: !i.NoPreempt, Source: i.UnicastSource, Plain: plain,
		StartupListen: min(i.AdvertInterval+startupSlack, startupListenMax),
		Garp: vrrp.GarpSchedule{
			Delay: i.GARP.Delay, Repeat: i.GARP.Repeat, Refresh: i.GARP.Refresh, RefreshRepeat: i.GARP.RefreshRepeat,
		},
	}
}

func filterConfig(i config.Instance, source netip.Addr) vrrp.FilterConfig {
	f := vrrp.FilterConfig{
		ID: vrrp.ID(i.RouterID), Version: vrrp.Version(i.Version), Interval: i.AdvertInterval, Source: source,
		Addresses: addresses(i), Unicast: len(i.UnicastPeers) > 0, Auth: authentication(i),
	}
	return f
}

func authentication(i config.Instance) vrrp.Auth {
	if i.AuthPass == "" {
		return vrrp.NoAuth()
	}
	return vrrp.Password(i.AuthPass)
}

func addresses(i config.Instance) []netip.Addr {
	var all []netip.Addr
	for _, v := range i.Addresses {
		all = append(all, v.Prefix.Addr())
	}
	return all
}

// scope gives rtnetlink's number for an address scope that config has checked.
func scope(name string) uint8 {
	switch name {
	case "", "global":
		return 0
	case "site":
		return 200
	case "link":
		return 253
	case "host":
		return 254
	case "nowhere":
		return 255
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		panic("node: unchecked address scope " + name)
	}
	return uint8(n)
}

func storeMembers(c *config.Config) []raftstore.Member {
	var members []raftstore.Member
	for _, m := range c.Consensus.Members {
		members = append(members, raftstore.Member{Name: m.Name, Address: m.Address, Witness: m.Witness})
	}
	return members
}

// credentials are what the configuration says: the cluster key, the user's own
// files, or on loopback neither.
func credentials(c *config.Config) (raftstore.Credentials, error) {
	switch {
	case c.Consensus.TLS.CA != "":
		return raftstore.ReadCredentials(c.Consensus.TLS.CA, c.Consensus.TLS.Certificate, c.Consensus.TLS.Key)
	case c.Consensus.KeyFile != "":
		key, err := raftstore.ReadClusterKey(c.Consensus.KeyFile)
		if err != nil {
			return raftstore.Credentials{}, err
		}
		return raftstore.NewCredentials(key, c.Consensus.Node)
	}
	return raftstore.NewCredentials(raftstore.LoopbackKey, c.Consensus.Node)
}
