package bfd

import (
	"fmt"
	"net/netip"
	"time"
)

// SessionsMax is how many sessions there may be.
const SessionsMax = 256

// Limits of [Timing]. IntervalMax is what 32 bits of microseconds hold (71 minutes); below
// IntervalMin a session would be busier with itself than with the neighbour (keepalived's
// least, too). IdleMin is RFC 5880 §6.8.3's: at least a second while not Up.
const (
	IntervalMin = time.Millisecond
	IntervalMax = (1<<32 - 1) * time.Microsecond
	IdleMin     = time.Second
)

// ttlMax is the greatest TTL, or hop limit, that a packet can have.
const ttlMax = 255

// Timing is how often a session's packets go, and how many may be missed. Intervals are
// whole microseconds.
type Timing struct {
	MinTx      time.Duration // min_tx: the neighbour gets no more than this asks, IntervalMin–IntervalMax
	MinRx      time.Duration // min_rx: what we ask of it, IntervalMin–IntervalMax
	IdleTx     time.Duration // idle_tx: MinTx while not Up, IdleMin–IntervalMax
	Multiplier int           // multiplier: how many packets in a row the neighbour may miss, 1–255
}

// Config is a session, keepalived's bfd_instance.
type Config struct {
	Name     string     // unlike all others
	Neighbor netip.Addr // a link-local one with its interface as zone
	Source   netip.Addr // sent from and, by the neighbour, to; invalid: the kernel's choice
	Multihop bool       // RFC 5883 (UDP port 4784); else RFC 5881 (3784)
	TTL      int        // of what we send, 1–255. RFC 5881 demands 255; keepalived's hop limit is 64
	// MaxHops, 0–255, is by how much the TTL of a received packet may be less than our own
	// TTL: neighbours are configured alike. 255: any.
	MaxHops int
	Passive bool // say nothing before the neighbour does
	Timing  Timing
}

// Check says what is wrong with sessions: the values of each, and two that could not be
// told apart.
func Check(configs []Config) error {
	if len(configs) > SessionsMax {
		return fmt.Errorf("check BFD sessions: there are %d, more than %d", len(configs), SessionsMax)
	}
	type way struct {
		neighbor, source netip.Addr
		multihop         bool
	}
	names, ways := map[string]bool{}, map[way]string{}
	for i := range configs {
		c := &configs[i]
		if err := c.check(); err != nil {
			return fmt.Errorf("check BFD session %s: %w", c.Name, err)
		}
		w := way{c.Neighbor, c.Source, c.Multihop}
		if names[c.Name] {
			return fmt.Errorf("check BFD session %s: there is another of this name", c.Name)
		}
		if other, ok := ways[w]; ok {
			return fmt.Errorf("check BFD session %s: it has the neighbour, source and port of session %s", c.Name, other)
		}
		names[c.Name], ways[w] = true, c.Name
	}
	return nil
}

func (c *Config) check() error {
	for _, value := range []struct {
		name     string
		d        time.Duration
		min, max time.Duration
	}{
		{"min_tx", c.Timing.MinTx, IntervalMin, IntervalMax},
		{"min_rx", c.Timing.MinRx, IntervalMin, IntervalMax},
		{"idle_tx", c.Timing.IdleTx, IdleMin, IntervalMax},
	} {
		if value.d < value.min || value.d > value.max || value.d%time.Microsecond != 0 {
			return fmt.Errorf("%s %v is not whole microseconds within %v and %v", value.name, value.d, value.min, value.max)
		}
	}
	switch {
	case c.Timing.Multiplier < 1 || c.Timing.Multiplier > 255:
		return fmt.Errorf("multiplier %d is not within 1 and 255", c.Timing.Multiplier)
	case c.TTL < 1 || c.TTL > ttlMax:
		return fmt.Errorf("TTL %d is not within 1 and 255", c.TTL)
	case c.MaxHops < 0 || c.MaxHops > ttlMax:
		return fmt.Errorf("max_hops %d is not within 0 and 255", c.MaxHops)
	case !c.Neighbor.IsValid() || c.Neighbor.Is4In6() || c.Neighbor.IsMulticast() || c.Neighbor.IsUnspecified():
		return fmt.Errorf("neighbour %v is no address of a host", c.Neighbor)
	case c.Neighbor.Is6() && c.Neighbor.IsLinkLocalUnicast() && c.Neighbor.Zone() == "":
		return fmt.Errorf("neighbour %v is link-local: add its interface, as in %v%%eth0", c.Neighbor, c.Neighbor)
	case c.Source.IsValid() && c.Source.Is4() != c.Neighbor.Is4():
		return fmt.Errorf("source %v and neighbour %v are of two families", c.Source, c.Neighbor)
	}
	return nil
}

// sameWay reports whether two configurations differ in their timing at most, which a
// session can change while it is Up.
func (c Config) sameWay(d Config) bool {
	c.Timing = d.Timing
	return c == d
}
