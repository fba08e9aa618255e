package bfd

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// SessionOptions are what a [Session] is made of.
type SessionOptions struct {
	Discriminator uint32 // My Discriminator: not 0, unlike those of the host's other sessions, hard to guess
	Timing        Timing // valid, see [Check]
	Passive       bool
	Random        *rand.Rand // of the jitter
}

// Session is one side of a BFD session in asynchronous mode (RFC 5880 §6). It is pure, and
// for one goroutine.
type Session struct {
	options    SessionOptions
	begun      bool // started, and not stopped
	state      State
	diagnostic Diagnostic
	why        string // for people: how it came to be in its state

	remote  remote
	heardAt boottime.Instant // of the last packet; means something while detect is on

	// announced is what our packets say, inForce what holds: while Up the former may
	// run ahead of the latter until the neighbour confirms it (§6.8.3).
	announced, inForce intervals
	poll               poll

	sent   Packet // the last one; its zero value: none
	sentAt boottime.Instant
	pace   time.Duration // interval that the transmit timer was set by

	transmit, detect, verdict boottime.Timer
	judged, judgedUp          bool
}

// remote is what the neighbour's last packet said (§6.8.1: bfd.Remote…).
type remote struct {
	discriminator uint32
	state         State
	minTx, minRx  time.Duration
	multiplier    int
	demand        bool
}

// unheard is the remote before the first packet, and after a Detection Time without one.
// RFC 5880 §6.8.1: RemoteMinRxInterval "MUST be initialized to 1", that is, a microsecond.
var unheard = remote{state: Down, minRx: time.Microsecond}

// intervals are DesiredMinTxInterval and RequiredMinRxInterval.
type intervals struct{ minTx, minRx time.Duration }

// poll is our Poll Sequence (§6.5).
type poll struct {
	wanted  bool      // announced values have changed since the last one began
	running bool      // P is set in what we send
	asked   intervals // what was announced when it began
	// settling is set between the end of one and a packet with F clear, before which no
	// other may begin: its Final could be taken for the old one's (§6.8.3).
	settling bool
}

// NewSession returns a session that does nothing before [Start].
func NewSession(options SessionOptions) *Session {
	return &Session{options: options, state: Down, why: "not started", remote: unheard}
}

// State is the session's state.
func (s *Session) State() State { return s.state }

// DetectionTime is how long the neighbour may be silent before it counts as down (§6.8.4);
// 0 while it has not been heard.
func (s *Session) DetectionTime() time.Duration {
	return time.Duration(s.remote.multiplier) * max(s.inForce.minRx, s.remote.minTx)
}

// Reason is a sentence for people: how the session came to be in its state.
func (s *Session) Reason() string { return s.why }

// Deadline is when the session next needs a [Tick]; false: never.
func (s *Session) Deadline() (boottime.Instant, bool) {
	return boottime.Earliest(s.transmit, s.detect, s.verdict)
}

// Step takes an event and returns what follows from it: [Send] before [Judge].
func (s *Session) Step(now boottime.Instant, event Event) []Action {
	answer := false
	switch event := event.(type) {
	case Start:
		s.start(now)
	case Received:
		if !s.begun {
			return nil // §6.8.6: "If bfd.SessionState is AdminDown, discard the packet"
		}
		s.receive(now, event.Packet)
		answer = event.Packet.Poll
	case Tick:
		s.tick(now)
	case Retimed:
		s.options.Timing = event.Timing
	case Stop:
		return s.stop(now)
	default:
		panic(fmt.Sprintf("bfd: unknown event %T", event))
	}
	if !s.begun {
		return nil
	}
	s.retime()
	s.setTimers()
	return append(s.send(now, answer), s.judge(now)...)
}

func (s *Session) start(now boottime.Instant) {
	s.begun, s.why = true, "waiting for the neighbour"
	s.announced = s.announce()
	s.verdict.Set(now.Add(time.Duration(s.options.Timing.Multiplier) * s.options.Timing.IdleTx))
}

// receive is what is left of §6.8.6 after the checks.
func (s *Session) receive(now boottime.Instant, p Packet) {
	s.remote = remote{
		discriminator: p.MyDiscriminator, state: p.State, demand: p.Demand,
		minTx: p.DesiredMinTx, minRx: p.RequiredMinRx, multiplier: int(p.Multiplier),
	}
	s.heardAt = now
	s.detect.Set(now) // setTimers knows until when
	switch {
	case p.Final && s.poll.running:
		s.inForce = s.poll.asked
		s.poll = poll{wanted: s.poll.wanted, settling: true}
	case !p.Final:
		s.poll.settling = false
	}
	to := next[s.state][p.State]
	switch {
	case to == s.state:
	case to == Up:
		s.enter(Up, DiagnosticNone, "the session is up")
	case to == Init:
		s.enter(Init, DiagnosticNone, "the neighbour is heard, and has yet to say that it hears us")
	default:
		s.enter(Down, DiagnosticNeighborDown, fmt.Sprintf("the neighbour says %s (%s)", p.State, p.Diagnostic))
	}
}

func (s *Session) enter(state State, diagnostic Diagnostic, why string) {
	s.state, s.diagnostic, s.why = state, diagnostic, why
}

// tick forgets a neighbour that has been silent for the Detection Time, in any state.
// §6.8.1: "If a period of a Detection Time passes without the receipt of a valid,
// authenticated BFD packet from the remote system, [bfd.RemoteDiscr] MUST be set to zero."
func (s *Session) tick(now boottime.Instant) {
	if !s.detect.Due(now) {
		return
	}
	silence := s.DetectionTime()
	s.detect.Stop()
	s.remote = unheard
	if s.state != Down {
		s.enter(Down, DiagnosticExpired, fmt.Sprintf("no packet for the detection time of %v", silence))
	}
}

// stop says farewell once. §6.8.16 would have us go on for a Detection Time, in case the
// packet is lost; then the neighbour's own Detection Time says the same, and a process
// that ends does not wait for that.
func (s *Session) stop(now boottime.Instant) []Action {
	if !s.begun {
		return nil
	}
	s.begun = false
	s.enter(AdminDown, DiagnosticAdmin, "stopped")
	s.announced = s.announce()
	s.transmit.Stop()
	s.detect.Stop()
	s.verdict.Stop()
	s.poll = poll{}
	if s.mute() {
		return nil
	}
	return s.transmitNow(now, s.packet())
}

// announce is what our packets have to say. §6.8.3: "When bfd.SessionState is not Up, the
// system MUST set bfd.DesiredMinTxInterval to a value of not less than one second".
func (s *Session) announce() intervals {
	t := s.options.Timing
	if s.state != Up {
		return intervals{minTx: t.IdleTx, minRx: t.MinRx}
	}
	return intervals{minTx: t.MinTx, minRx: t.MinRx}
}

// retime is §6.8.3: a change is announced and polled for; it holds at once unless, while
// Up, one side would be late by the other's count.
func (s *Session) retime() {
	if want := s.announce(); want != s.announced {
		s.announced = want
		s.poll.wanted = true
	}
	if s.state != Up || s.announced.minTx < s.inForce.minTx {
		s.inForce.minTx = s.announced.minTx
	}
	if s.state != Up || s.announced.minRx > s.inForce.minRx {
		s.inForce.minRx = s.announced.minRx
	}
	if s.poll.wanted && !s.poll.running && !s.poll.settling {
		s.poll = poll{running: true, asked: s.announced}
	}
}

// setTimers brings the timers in line with values that may have changed.
func (s *Session) setTimers() {
	if s.detect.On {
		s.detect.Set(s.heardAt.Add(s.DetectionTime()))
	}
	if !s.periodic() {
		s.transmit.Stop()
		s.pace = 0
		return
	}
	// §6.8.7: "The transmit interval MUST be recalculated whenever bfd.DesiredMinTxInterval
	// changes, or whenever bfd.RemoteMinRxInterval changes".
	if pace := max(s.inForce.minTx, s.remote.minRx); pace != s.pace {
		s.pace = pace
		s.setTransmit()
	}
}

func (s *Session) setTransmit() {
	s.transmit.Set(s.sentAt.Add(jittered(s.options.Random, s.pace, s.options.Timing.Multiplier)))
}

// periodic reports whether packets go without a cause (§6.8.7). A neighbour in demand mode
// is obeyed; we never ask for it ourselves.
func (s *Session) periodic() bool {
	demand := s.remote.demand && s.state == Up && s.remote.state == Up
	return !s.mute() && s.remote.minRx > 0 && (!demand || s.poll.running)
}

// mute is §6.8.7: "A system MUST NOT transmit BFD Control packets if bfd.RemoteDiscr is zero
// and the system is taking the Passive role."
func (s *Session) mute() bool { return s.options.Passive && s.remote.discriminator == 0 }

// send sends what is due: the answer to a poll, news, or a periodic packet.
func (s *Session) send(now boottime.Instant, answer bool) []Action {
	p := s.packet()
	switch {
	case s.mute():
		return nil
	case answer:
		// §6.8.6: "with the Poll (P) bit clear, and the Final (F) bit set".
		p.Poll, p.Final = false, true
	case s.isNews(p), s.transmit.Due(now):
	default:
		return nil
	}
	return s.transmitNow(now, p)
}

// isNews reports whether p differs from what was sent last. §6.8.7: such a packet "SHOULD
// be transmitted during the interval between periodic Control packet transmissions".
func (s *Session) isNews(p Packet) bool {
	p.Poll, p.Final = s.sent.Poll, s.sent.Final
	return p != s.sent
}

func (s *Session) packet() Packet {
	return Packet{
		Diagnostic: s.diagnostic, State: s.state, Poll: s.poll.running, Multiplier: uint8(s.options.Timing.Multiplier),
		MyDiscriminator: s.options.Discriminator, YourDiscriminator: s.remote.discriminator,
		DesiredMinTx: s.announced.minTx, RequiredMinRx: s.announced.minRx,
	}
}

func (s *Session) transmitNow(now boottime.Instant, p Packet) []Action {
	s.sent, s.sentAt = p, now
	if s.transmit.On {
		s.setTransmit()
	}
	return []Action{Send{Packet: p}}
}

func (s *Session) judge(now boottime.Instant) []Action {
	up := s.state == Up
	if s.judged && up == s.judgedUp || !s.judged && !up && !s.verdict.Due(now) {
		return nil
	}
	s.verdict.Stop()
	s.judged, s.judgedUp = true, up
	return []Action{Judge{Up: up, Reason: s.why}}
}
