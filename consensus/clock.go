package consensus

import (
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// ClockRate measures how fast another host's clock runs compared with ours, from
// the answers to keep-alives: the one assumption about time that I1 rests on
// (clock_drift) is watched, not only made. The zero ClockRate has no sample.
//
// It compares differences only; instants of two hosts mean nothing to each other.
// It is pure and not safe for concurrent use.
type ClockRate struct {
	first, last clockSample
	samples     int
}

type clockSample struct {
	own, other boottime.Instant
	window     time.Duration // between question and answer: own is uncertain by half of it
}

const (
	// clockSpanMin is how long two samples must lie apart to say anything.
	clockSpanMin = 30 * time.Second
	// clockSpanMax is after how long the measurement begins anew, so that a clock
	// that changes its rate is noticed.
	clockSpanMax = 10 * time.Minute
)

// Note takes a sample: the other host's clock read other between asked and answered
// of ours. A host that was started again begins anew.
func (c *ClockRate) Note(asked, answered, other boottime.Instant) {
	sample := clockSample{own: asked + (answered-asked)/2, other: other, window: answered.Sub(asked)}
	if c.samples == 0 || other < c.last.other || sample.own.Sub(c.first.own) > clockSpanMax {
		*c = ClockRate{first: sample}
	}
	c.last = sample
	c.samples++
}

// Excess is by how much the other clock's rate surely differs from ours, as a
// fraction; positive when it is faster. It is zero as long as the samples allow for
// none. The uncertainty of both samples is taken off.
func (c *ClockRate) Excess() float64 {
	span := c.last.own.Sub(c.first.own)
	if span < clockSpanMin {
		return 0
	}
	difference := c.last.other.Sub(c.first.other) - span
	uncertain := (c.first.window + c.last.window) / 2
	switch {
	case difference > uncertain:
		return float64(difference-uncertain) / float64(span)
	case difference < -uncertain:
		return float64(difference+uncertain) / float64(span)
	}
	return 0
}
