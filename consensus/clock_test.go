package consensus

import (
	"math"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// run feeds samples of a clock that runs at a rate, seen over a network that delays
// the two ways by different amounts.
func runClock(rate float64, span, there, back time.Duration) *ClockRate {
	var c ClockRate
	for own := time.Duration(0); own <= span; own += time.Second {
		asked := boottime.Instant(own)
		read := asked.Add(there)
		other := boottime.Instant(float64(read) * rate).Add(1000 * time.Hour)
		c.Note(asked, read.Add(back), other)
	}
	return &c
}

func TestClockRateSeesWhatExceedsItsUncertainty(t *testing.T) {
	for _, test := range []struct {
		name     string
		rate     float64
		span     time.Duration
		there    time.Duration
		back     time.Duration
		min, max float64
	}{
		{"the same rate", 1, time.Minute, time.Millisecond, time.Millisecond, 0, 0},
		{"2 % fast", 1.02, time.Minute, time.Millisecond, time.Millisecond, 0.019, 0.02},
		{"2 % slow", 0.98, time.Minute, time.Millisecond, time.Millisecond, -0.02, -0.019},
		{"too short to tell", 1.02, 20 * time.Second, time.Millisecond, time.Millisecond, 0, 0},
		{"a slow network hides a little", 1.001, time.Minute, 200 * time.Millisecond, 0, 0, 0},
		{"and does not invent any", 1, time.Minute, 0, 300 * time.Millisecond, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := runClock(test.rate, test.span, test.there, test.back).Excess()
			if got < test.min-1e-9 || got > test.max+1e-9 || math.IsNaN(got) {
				t.Errorf("excess %v, want %v to %v", got, test.min, test.max)
			}
		})
	}
}

// Another boot of the host is no jump of its clock.
func TestClockRateBeginsAnewWithAnotherBoot(t *testing.T) {
	c := runClock(1, time.Minute, 0, 0)
	c.Note(boottime.Instant(61*time.Second), boottime.Instant(61*time.Second), boottime.Instant(5*time.Second))
	if got := c.Excess(); got != 0 {
		t.Fatalf("excess %v", got)
	}
}

// A clock that begins to run wrong after a long good time is noticed.
func TestClockRateForgetsTheDistantPast(t *testing.T) {
	var c ClockRate
	other := boottime.Instant(0)
	for own := time.Duration(0); own <= 30*time.Minute; own += time.Second {
		step := time.Second
		if own > 20*time.Minute {
			step += 30 * time.Millisecond
		}
		other = other.Add(step)
		c.Note(boottime.Instant(own), boottime.Instant(own), other)
	}
	if got := c.Excess(); got < 0.02 {
		t.Fatalf("excess %v, want about 0.03", got)
	}
}
