package boottime

// Timer is an instant that may be absent, for the cores that say themselves when they
// next need a tick. The zero Timer is absent.
type Timer struct {
	At Instant
	On bool
}

// Set makes the timer due at an instant.
func (t *Timer) Set(at Instant) { *t = Timer{At: at, On: true} }

// Stop makes the timer absent.
func (t *Timer) Stop() { *t = Timer{} }

// Due reports whether the timer's instant has come; never, where it is absent.
func (t Timer) Due(now Instant) bool { return t.On && !t.At.After(now) }

// Earliest gives the first instant of the timers that are on; false where none is.
func Earliest(timers ...Timer) (Instant, bool) {
	var first Timer
	for _, t := range timers {
		if t.On && (!first.On || t.At.Before(first.At)) {
			first = t
		}
	}
	return first.At, first.On
}
