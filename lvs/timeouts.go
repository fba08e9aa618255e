package lvs

import (
	"fmt"
	"time"
)

// Timeouts are those of the connections in a network namespace: how long one is
// kept without a packet. Zero, when setting, leaves one as it is.
type Timeouts struct {
	TCP, TCPFin, UDP time.Duration // whole seconds, up to [PersistenceMax]
}

// Validate reports the first timeout that the kernel can't be given.
func (t Timeouts) Validate() error {
	for _, timeout := range []time.Duration{t.TCP, t.TCPFin, t.UDP} {
		if timeout < 0 || timeout > PersistenceMax || timeout%time.Second != 0 {
			return fmt.Errorf("connection timeout %s: want whole seconds up to %s", timeout, PersistenceMax)
		}
	}
	return nil
}
