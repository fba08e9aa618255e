package demo

import (
	"net/netip"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// The demo's network. Nothing of it reaches the host's.
var (
	vip             = netip.MustParseAddr("10.77.0.100")
	clientAddress   = netip.MustParseAddr("10.77.0.200")
	observerAddress = netip.MustParseAddr("10.77.0.250")
	nodesFrom       = netip.MustParseAddr("10.77.0.11")
)

const (
	nodeCount     = 3
	subnetBits    = 24
	interfaceName = "eth0"
	instanceName  = "VI_1"
	routerID      = 51
	vrrpProtocol  = 112 // RFC 3768 §5.2.4
)

// settleTime is through how long one node must have answered alone to be the one
// that answers.
const settleTime = answerPatience + 300*time.Millisecond

// lately is the time in which one node must have answered alone.
func lately(now boottime.Instant) window { return window{from: now.Add(-settleTime), to: now} }

// priorities are the nodes': n1 is preferred.
var priorities = [nodeCount]int{150, 120, 100}

func nodeAddress(i int) netip.Addr { return plus(nodesFrom, i) }

// plus is the n-th address after a.
func plus(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}
