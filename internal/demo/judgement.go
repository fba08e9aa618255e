package demo

import (
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Judgement is what an outsider saw of the VIP in a stretch of time.
type Judgement struct {
	Outage      time.Duration // the longest time without an answer to the client
	DualAnswer  time.Duration // two nodes answered
	DualAddress time.Duration // two nodes had the address configured
	Answering   int           // the one node that answered throughout, -1 for none or several
}

// Judge judges the time from one instant to another.
func (r *Record) Judge(from, to boottime.Instant) Judgement {
	w := window{from: from, to: to}
	return Judgement{Outage: r.outage(w), DualAnswer: r.dualAnswer(w), DualAddress: r.dualAddress(w), Answering: r.answering(w)}
}
