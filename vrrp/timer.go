package vrrp

import "time"

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
