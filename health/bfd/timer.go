package bfd

import (
	"math/rand/v2"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// jittered is the time to the next packet: an interval, less a random part of it (RFC 5880
// §6.8.7). "The periodic transmission of BFD Control packets MUST be jittered on a
// per-packet basis by up to 25%"; with a multiplier of 1 by 10 % at least, so that
// the only packet that counts is not too late.
func jittered(random *rand.Rand, interval time.Duration, multiplier int) time.Duration {
	least := time.Duration(0)
	if multiplier == 1 {
		least = interval / 10
	}
	return interval - least - time.Duration(random.Int64N(int64(interval/4-least)+1))
}

// timer is an instant that may be absent. The zero timer is.
type timer struct {
	at boottime.Instant
	on bool
}

func (t *timer) set(at boottime.Instant) { *t = timer{at: at, on: true} }
func (t *timer) stop()                   { *t = timer{} }

func (t timer) due(now boottime.Instant) bool { return t.on && !t.at.After(now) }

// earliest gives the first instant of the timers that are on.
func earliest(timers ...timer) (boottime.Instant, bool) {
	var first timer
	for _, t := range timers {
		if t.on && (!first.on || t.at.Before(first.at)) {
			first = t
		}
	}
	return first.at, first.on
}
