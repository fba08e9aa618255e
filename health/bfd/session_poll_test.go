package bfd

import (
	"testing"
	"time"
)

// RFC 5880 §6.8.3: "If either bfd.DesiredMinTxInterval is changed or
// bfd.RequiredMinRxInterval is changed, a Poll Sequence MUST be initiated"; §6.8.6: "If a
// Poll Sequence is being transmitted by the local system and the Final (F) bit in the
// received packet is set, the Poll Sequence MUST be terminated."
//
// Goal: P from the change to the Final. Method: either change, and packets in between.
func TestChangedTimesArePolledFor(t *testing.T) {
	changes := map[string]func(*Timing){
		"min_tx": func(timing *Timing) { timing.MinTx *= 2 },
		"min_rx": func(timing *Timing) { timing.MinRx *= 2 },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.up()
			timing := testTiming
			change(&timing)
			p := sent(t, b.step(Retimed{timing}))
			if !p.Poll || p.DesiredMinTx != timing.MinTx || p.RequiredMinRx != timing.MinRx {
				t.Errorf("got %+v, want a poll with the new values", p)
			}
			b.hear(Up, minTx(10*time.Second))
			sends, _ := b.pass(time.Second)
			for _, s := range sends {
				if !s.packet.Poll {
					t.Errorf("a packet without P before the Final")
				}
			}
			b.hear(Up, minTx(10*time.Second), final)
			sends, _ = b.pass(time.Second)
			for _, s := range sends {
				if s.packet.Poll {
					t.Errorf("a packet with P after the Final")
				}
			}
		})
	}
}

// RFC 5880 §6.8.14 says that a changed multiplier is told "with the next BFD Control packet,
// and the use of a Poll Sequence is not necessary".
//
// Goal: told at once, without a poll. Method: that change.
func TestChangedMultiplierIsNotPolledFor(t *testing.T) {
	b := newBench(t)
	b.up()
	timing := testTiming
	timing.Multiplier = 7
	p := sent(t, b.step(Retimed{timing}))
	same(t, uint8(7), p.Multiplier)
	same(t, false, p.Poll)
}

// RFC 5880 §6.8.3: "If bfd.DesiredMinTxInterval is increased and bfd.SessionState is Up, the
// actual transmission interval used MUST NOT change until the Poll Sequence described above
// has terminated."
//
// Goal: the old pace until the Final, then the new; a shorter one at once. Method: gaps.
func TestLongerTransmitIntervalWaitsForTheFinal(t *testing.T) {
	b := newBench(t)
	b.up()
	timing := testTiming
	timing.MinTx = time.Second
	b.step(Retimed{timing})
	slow := minTx(10 * time.Second)
	b.hear(Up, slow)
	sends, _ := b.pass(2 * time.Second)
	checkGaps(t, sends, 112500*time.Microsecond, 150*time.Millisecond)
	b.hear(Up, slow, final)
	sends, _ = b.pass(10 * time.Second)
	checkGaps(t, sends, 750*time.Millisecond, time.Second)

	b.hear(Up, slow)
	timing.MinTx = 100 * time.Millisecond
	b.step(Retimed{timing})
	sends, _ = b.pass(2 * time.Second)
	checkGaps(t, sends, 112500*time.Microsecond, 150*time.Millisecond)
}

// RFC 5880 §6.8.3: "If bfd.RequiredMinRxInterval is reduced and bfd.SessionState is Up, the
// previous value of bfd.RequiredMinRxInterval MUST be used when calculating the Detection
// Time for the remote system until the Poll Sequence described above has terminated."
//
// Goal: that, and a longer one at once. Method: the Detection Time, and when it passes.
func TestShorterReceiveIntervalWaitsForTheFinal(t *testing.T) {
	b := newBench(t)
	b.up()
	timing := testTiming
	timing.MinRx = 100 * time.Millisecond
	b.step(Retimed{timing})
	same(t, 800*time.Millisecond, b.s.DetectionTime())
	b.hear(Up)
	same(t, 800*time.Millisecond, b.s.DetectionTime())
	b.hear(Up, final)
	same(t, 400*time.Millisecond, b.s.DetectionTime())
	b.hear(Up)
	timing.MinRx = 300 * time.Millisecond
	b.step(Retimed{timing})
	same(t, 1200*time.Millisecond, b.s.DetectionTime())
	b.pass(1200*time.Millisecond - 1)
	same(t, Up, b.s.State())
	b.pass(1)
	same(t, Down, b.s.State())
}

// RFC 5880 §6.8.3: where changes are spread over packets, "an additional BFD Control packet
// with the Final (F) bit clear MUST be received after the Poll Sequence has completed prior
// to the initiation of another Poll Sequence" (the third of three choices).
//
// Goal: a Final is for the values it was asked about. Method: two changes, one during the
// other's poll.
func TestSecondPollWaitsForTheFirstToSettle(t *testing.T) {
	b := newBench(t)
	b.up()
	first, second := testTiming, testTiming
	first.MinRx, second.MinRx = 150*time.Millisecond, 100*time.Millisecond
	b.step(Retimed{first})
	b.step(Retimed{second})
	b.hear(Up, final)
	same(t, 4*150*time.Millisecond, b.s.DetectionTime())
	same(t, false, b.s.packet().Poll)
	b.hear(Up, final) // the same again: a copy
	same(t, false, b.s.packet().Poll)
	b.hear(Up)
	same(t, true, b.s.packet().Poll)
	same(t, 4*150*time.Millisecond, b.s.DetectionTime())
	b.hear(Up, final)
	same(t, 4*100*time.Millisecond, b.s.DetectionTime())
}

// RFC 5880 §6.8.4: the Detection Time is "the value of Detect Mult received from the remote
// system, multiplied by the agreed transmit interval of the remote system (the greater of
// bfd.RequiredMinRxInterval and the last received Desired Min TX Interval)".
//
// Goal: both, and at once. Method: packets with other values.
func TestDetectionTimeIsTheNeighboursMultiplierTimesTheSlowerRate(t *testing.T) {
	b := newBench(t)
	b.up()
	same(t, 4*200*time.Millisecond, b.s.DetectionTime())
	b.hear(Up, minTx(time.Second))
	same(t, 4*time.Second, b.s.DetectionTime())
	b.hear(Up, func(p *Packet) { p.Multiplier = 2 })
	same(t, 2*200*time.Millisecond, b.s.DetectionTime())
	b.pass(2*200*time.Millisecond - 1)
	same(t, Up, b.s.State())
	b.pass(1)
	same(t, Down, b.s.State())
}

// RFC 5880 §6.8.16: "Else (disabling) Set bfd.SessionState to AdminDown, Set bfd.LocalDiag to
// an appropriate value"; §6.8.6: "If bfd.SessionState is AdminDown, discard the packet".
//
// Goal: one farewell, then nothing. Method: Stop, and a neighbour that goes on.
func TestStoppedSessionSaysAdminDown(t *testing.T) {
	b := newBench(t)
	b.up()
	p := sent(t, b.step(Stop{}))
	same(t, AdminDown, p.State)
	same(t, DiagnosticAdmin, p.Diagnostic)
	same(t, time.Second, p.DesiredMinTx)
	same(t, []Action(nil), b.hear(Up, polling))
	same(t, AdminDown, b.s.State())
	same(t, []Action(nil), b.step(Stop{}))
	sends, verdicts := b.pass(time.Minute)
	if len(sends)+len(verdicts) != 0 {
		t.Errorf("after the farewell: %v, %v", sends, verdicts)
	}
}

// Goal: a restart takes nobody for down: the first word on a neighbour that isn't Up comes
// after multiplier × idle_tx. Method: silence; a neighbour that comes up late; one that
// goes down again.
func TestFirstVerdictGivesTheNeighbourTime(t *testing.T) {
	b := newBench(t)
	b.step(Start{})
	_, verdicts := b.pass(3*time.Second - 1)
	same(t, []Judge(nil), verdicts)
	_, verdicts = b.pass(1)
	same(t, []Judge{{Reason: "waiting for the neighbour"}}, verdicts)
	_, verdicts = b.pass(time.Minute)
	same(t, []Judge(nil), verdicts)
	b.hear(Down)
	same(t, Judge{Up: true, Reason: "the session is up"}, b.hear(Up)[1].(Judge))
	same(t, Judge{Reason: "the neighbour says AdminDown (Administratively Down)"},
		b.hear(AdminDown, func(p *Packet) { p.Diagnostic = DiagnosticAdmin })[1].(Judge))

	b = newBench(t)
	b.up()
	_, verdicts = b.pass(10 * time.Second)
	same(t, []Judge{{Reason: "no packet for the detection time of 800ms"}}, verdicts)
}
