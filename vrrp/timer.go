package vrrp

import (
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// downAdverts is how many advertisements in a row may be missed (RFC 3768
// §6.1; keepalived's down_timer_adverts).
const downAdverts = 3

// SkewTime is the RFC's Skew_Time, with which a better router is the earlier one
// to miss its MASTER, in keepalived's arithmetic: whole microseconds.
//
//	version 2   (256 - priority) / 256 seconds      RFC 3768 §6.1
//	version 3   (256 - priority) / 256 × interval   RFC 9568 §6.1
func SkewTime(version Version, priority Priority, interval time.Duration) time.Duration {
	steps := 256 - int64(priority)
	if version == Version2 {
		return time.Duration(steps*1_000_000/256) * time.Microsecond
	}
	centiseconds := int64(interval / centisecond)
	return time.Duration(steps*centiseconds*625/16) * time.Microsecond
}

// MasterDownInterval is the RFC's Master_Down_Interval: how long a router hears
// nothing before it counts its MASTER as dead. The interval is, in version 3,
// the one the MASTER advertises.
func MasterDownInterval(version Version, priority Priority, interval time.Duration) time.Duration {
	return downAdverts*interval + SkewTime(version, priority, interval)
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
