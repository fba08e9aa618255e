package main

import (
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// clock is a host's CLOCK_BOOTTIME: it began somewhere and runs at a rate of its
// own.
type clock struct {
	origin moment           // true time at which base was shown
	base   boottime.Instant // what it showed then
	rate   float64          // its seconds per true second
}

// read is what the clock shows at a moment.
func (c *clock) read(at moment) boottime.Instant {
	return c.base.Add(time.Duration(float64(at-c.origin) * c.rate))
}

// when is the first moment at which the clock shows an instant, or later.
func (c *clock) when(i boottime.Instant) moment {
	at := c.origin + moment(float64(i-c.base)/c.rate)
	for c.read(at) < i {
		at++
	}
	return at
}
