// Package boottime is the clock of every deadline in hafence: CLOCK_BOOTTIME,
// which, unlike Go's monotonic clock, also counts the time a host is suspended
// and, unlike the wall clock, is never set.
//
// An [Instant] means something on the host that read it only; instants of two
// hosts are never compared (DESIGN §3).
package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Instant is a point in time: nanoseconds of CLOCK_BOOTTIME since this host's
// boot. The zero Instant is the boot itself and serves as "never" where a
// deadline may be absent.
type Instant int64

// Now reads the clock.
func Now() Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The kernel has had this clock since 2.6.39; its absence is no state to go on in.
		panic("boottime: clock_gettime(CLOCK_BOOTTIME): " + err.Error())
	}
	return Instant(ts.Nano())
}

// Add returns the instant d later, or earlier where d is negative.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns how much later i is than j.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Before reports whether i is earlier than j.
func (i Instant) Before(j Instant) bool { return i < j }

// After reports whether i is later than j.
func (i Instant) After(j Instant) bool { return i > j }

// String gives seconds since boot, for logs and test failures.
func (i Instant) String() string { return time.Duration(i).String() }
