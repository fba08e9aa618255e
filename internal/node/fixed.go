package node

import (
	"reflect"

	"github.com/hafence/hafence/config"
)

// fixed names the first part that differs and that a running node cannot change,
// "" when there is none. A cluster's members, keys and times are agreed between
// its nodes; they change one restart at a time.
func fixed(have, want *config.Config) string {
	switch {
	case have.ConsensusOff != want.ConsensusOff || !reflect.DeepEqual(have.Consensus, want.Consensus):
		return "the consensus block"
	case have.Status != want.Status:
		return "the status block"
	case have.Fence.Watchdog != want.Fence.Watchdog || have.Fence.RealtimePriority != want.Fence.RealtimePriority ||
		have.Fence.LockMemory != want.Fence.LockMemory || have.Fence.WatchdogTimeout != want.Fence.WatchdogTimeout:
		return "fence's watchdog, realtime_priority and lock_memory"
	case have.Global.MulticastIPv4 != want.Global.MulticastIPv4:
		return "vrrp_mcast_group4"
	}
	return ""
}
