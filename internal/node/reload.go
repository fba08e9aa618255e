package node

import (
	"context"
	"reflect"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/fence/guard"
)

// reload reads the configuration again. One that cannot be used changes nothing.
func (c *Controller) reload(ctx context.Context) (ended bool) {
	next, problems := config.Load(c.options.ConfigFile, c.options.Load)
	c.logProblems(problems)
	if next == nil {
		c.refuseReload("the new configuration has errors; nothing was changed (see: hafence check " + c.options.ConfigFile + ")")
		return false
	}
	if what := fixed(c.config, next); what != "" {
		c.refuseReload(what + " can be changed by a restart only; nothing was changed")
		return false
	}
	c.refused = ""
	c.tell(guard.Reloading{})
	c.config = next
	c.sync.configure(syncConfig(next))
	ended = c.step(ctx, Reload{Config: coreConfig(next)})
	c.tell(guard.Ready{Status: "running"})
	c.logger.Info("configuration reloaded", "file", c.options.ConfigFile)
	return ended
}

func (c *Controller) refuseReload(why string) {
	c.refused = why
	c.logger.Error("reload refused", "reason", why)
	c.tell(guard.Ready{Status: "running; reload refused: " + why})
}

// fixed names the first part that differs and that a running node cannot change,
// "" when there is none. A cluster's keys and times are agreed between its
// nodes and change one restart at a time; its members cannot be changed yet.
func fixed(have, want *config.Config) string {
	switch {
	case have.ConsensusOff != want.ConsensusOff || !reflect.DeepEqual(have.Consensus, want.Consensus):
		return "the consensus block"
	case have.Status != want.Status:
		return "the status block"
	case have.Fence.Watchdog != want.Fence.Watchdog || have.Fence.RealtimePriority != want.Fence.RealtimePriority ||
		have.Fence.LockMemory != want.Fence.LockMemory || have.Fence.WatchdogTimeout != want.Fence.WatchdogTimeout ||
		have.Fence.VIPOnLo != want.Fence.VIPOnLo:
		return "fence's watchdog, realtime_priority, lock_memory and vip_on_lo"
	case have.Global.MulticastIPv4 != want.Global.MulticastIPv4:
		return "vrrp_mcast_group4"
	}
	return ""
}
