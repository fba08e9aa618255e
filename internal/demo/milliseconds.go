package demo

import (
	"math"
	"time"
)

// milliseconds rounds up to tenths, so that nothing that was there becomes 0.
func milliseconds(d time.Duration) float64 {
	return math.Ceil(float64(d)/float64(100*time.Microsecond)) / 10
}
