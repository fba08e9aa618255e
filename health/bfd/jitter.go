package bfd

import (
	"math/rand/v2"
	"time"
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
