package bfd

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/boottime"
)

const (
	ours   = 11 // our discriminator
	theirs = 22
)

var testTiming = Timing{MinTx: 100 * time.Millisecond, MinRx: 200 * time.Millisecond, IdleTx: time.Second, Multiplier: 3}

// bench is a session with a clock.
type bench struct {
	t   *testing.T
	s   *Session
	now boottime.Instant
}

func newBench(t *testing.T, change ...func(*SessionOptions)) *bench {
	options := SessionOptions{Discriminator: ours, Timing: testTiming, Random: rand.New(rand.NewPCG(1, 2))}
	for _, do := range change {
		do(&options)
	}
	return &bench{t: t, s: NewSession(options), now: boottime.Instant(time.Hour)}
}

func passive(o *SessionOptions) { o.Passive = true }

func (b *bench) step(event Event) []Action { return b.s.Step(b.now, event) }

// theirPacket is what the neighbour of testTiming's like sends.
func theirPacket(state State, change ...func(*Packet)) Packet {
	p := Packet{State: state, Multiplier: 4, MyDiscriminator: theirs, YourDiscriminator: ours,
		DesiredMinTx: 50 * time.Millisecond, RequiredMinRx: 150 * time.Millisecond}
	for _, do := range change {
		do(&p)
	}
	return p
}

func polling(p *Packet)   { p.Poll = true }
func final(p *Packet)     { p.Final = true }
func demanding(p *Packet) { p.Demand = true }

func minTx(d time.Duration) func(*Packet) { return func(p *Packet) { p.DesiredMinTx = d } }
func minRx(d time.Duration) func(*Packet) { return func(p *Packet) { p.RequiredMinRx = d } }

func (b *bench) hear(state State, change ...func(*Packet)) []Action {
	return b.step(Received{Packet: theirPacket(state, change...)})
}

// up brings the session up, its poll answered and the neighbour heard since.
func (b *bench) up() {
	b.t.Helper()
	b.step(Start{})
	b.hear(Init)
	b.hear(Up, final)
	b.hear(Up)
	if b.s.State() != Up || b.s.poll != (poll{}) {
		b.t.Fatalf("state %v, poll %+v; want Up and no poll", b.s.State(), b.s.poll)
	}
}

// sentAt is a packet and when it was sent.
type sentAt struct {
	at     boottime.Instant
	packet Packet
}

// pass lets time pass, with a tick whenever the session wants one, and gives all packets
// and verdicts.
func (b *bench) pass(d time.Duration) (sends []sentAt, verdicts []Judge) {
	b.t.Helper()
	end := b.now.Add(d)
	for range 100_000 {
		at, ok := b.s.Deadline()
		if !ok || at.After(end) {
			b.now = end
			return sends, verdicts
		}
		if at.After(b.now) {
			b.now = at
		}
		for _, action := range b.step(Tick{}) {
			switch action := action.(type) {
			case Send:
				sends = append(sends, sentAt{b.now, action.Packet})
			case Judge:
				verdicts = append(verdicts, action)
			}
		}
	}
	b.t.Fatal("the session never rests")
	return nil, nil
}

// sent gives the only packet among actions.
func sent(t *testing.T, actions []Action) Packet {
	t.Helper()
	var packets []Packet
	for _, action := range actions {
		if send, ok := action.(Send); ok {
			packets = append(packets, send.Packet)
		}
	}
	if len(packets) != 1 {
		t.Fatalf("got %d packets, want one: %+v", len(packets), actions)
	}
	return packets[0]
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// RFC 5880 §6.8.6: the state machine, "If received state is AdminDown …" to "Set
// bfd.SessionState to Down".
//
// Goal: each state goes where the RFC says. Method: all pairs of states.
func TestSessionGoesFromStateToState(t *testing.T) {
	reach := map[State]func(*bench){
		Down: func(b *bench) { b.step(Start{}) },
		Init: func(b *bench) { b.step(Start{}); b.hear(Down) },
		Up:   func(b *bench) { b.up() },
	}
	type outcome struct {
		State      State
		Diagnostic Diagnostic
	}
	want := map[State]map[State]outcome{
		Down: {AdminDown: {Down, 0}, Down: {Init, 0}, Init: {Up, 0}, Up: {Down, 0}},
		Init: {AdminDown: {Down, 3}, Down: {Init, 0}, Init: {Up, 0}, Up: {Up, 0}},
		Up:   {AdminDown: {Down, 3}, Down: {Down, 3}, Init: {Up, 0}, Up: {Up, 0}},
	}
	for from, row := range want {
		for received, outcome := range row {
			b := newBench(t)
			reach[from](b)
			if b.s.State() != from {
				t.Fatalf("got %v, want to begin in %v", b.s.State(), from)
			}
			b.hear(received)
			if b.s.State() != outcome.State || b.s.packet().Diagnostic != outcome.Diagnostic {
				t.Errorf("%v in %v: got %v (%v), want %v (%v)", received, from, b.s.State(), b.s.packet().Diagnostic, outcome.State, outcome.Diagnostic)
			}
		}
	}
}

// RFC 5880 §6.2: three packets make a session.
//
// Goal: news goes at once, and the verdict after it. Method: whole slices of actions.
func TestSessionComesUp(t *testing.T) {
	b := newBench(t)
	down := Packet{State: Down, Multiplier: 3, MyDiscriminator: ours, DesiredMinTx: time.Second, RequiredMinRx: 200 * time.Millisecond}
	same(t, []Action{Send{down}}, b.step(Start{}))

	initiated := down
	initiated.State, initiated.YourDiscriminator = Init, theirs
	same(t, []Action{Send{initiated}}, b.hear(Down))

	up := initiated
	up.State, up.DesiredMinTx, up.Poll = Up, 100*time.Millisecond, true
	same(t, []Action{Send{up}, Judge{Up: true, Reason: "the session is up"}}, b.hear(Up))
	same(t, 4*200*time.Millisecond, b.s.DetectionTime())
}

// RFC 5880 §6.8.4: "If Demand mode is not active, and a period of time equal to the Detection
// Time passes without receiving a BFD Control packet from the remote system, and
// bfd.SessionState is Init or Up, the session has gone down -- the local system MUST set
// bfd.SessionState to Down and bfd.LocalDiag to 1".
//
// Goal: neither before nor after. Method: the last packet, then silence.
func TestSessionGoesDownAfterTheDetectionTime(t *testing.T) {
	for _, state := range []State{Init, Up} {
		b := newBench(t)
		b.step(Start{})
		if state == Up {
			b.hear(Init)
		} else {
			b.hear(Down)
		}
		// Their multiplier × max(our MinRx, their MinTx).
		const detection = 4 * 200 * time.Millisecond
		b.pass(detection - time.Nanosecond)
		same(t, state, b.s.State())
		_, verdicts := b.pass(time.Nanosecond)
		same(t, Down, b.s.State())
		same(t, DiagnosticExpired, b.s.packet().Diagnostic)
		if state == Up {
			same(t, []Judge{{Reason: "no packet for the detection time of 800ms"}}, verdicts)
		}
	}
}

// RFC 5880 §6.8.1: "If a period of a Detection Time passes without the receipt of a valid,
// authenticated BFD packet from the remote system, this variable [bfd.RemoteDiscr] MUST be
// set to zero"; §6.8.18: it "SHOULD reset bfd.RemoteMinRxInterval to its initial value of 1".
//
// Goal: a neighbour that is gone has no hold on us. Method: one that wanted no packets.
func TestSessionForgetsASilentNeighbour(t *testing.T) {
	b := newBench(t)
	b.step(Start{})
	b.hear(AdminDown, minRx(0))
	same(t, uint32(theirs), b.s.packet().YourDiscriminator)
	sends, _ := b.pass(4*200*time.Millisecond - 1)
	if len(sends) != 0 {
		t.Errorf("sent although the neighbour asks for nothing: %+v", sends)
	}
	sends, _ = b.pass(3 * time.Second)
	if len(sends) < 3 {
		t.Fatalf("got %d packets in 3 s, want at least 3", len(sends))
	}
	same(t, uint32(0), sends[0].packet.YourDiscriminator)
}

// RFC 5880 §6.8.3: "When bfd.SessionState is not Up, the system MUST set
// bfd.DesiredMinTxInterval to a value of not less than one second".
//
// Goal: slow start. Method: intervals announced and kept, before and after Up.
func TestSessionIsSlowWhileNotUp(t *testing.T) {
	b := newBench(t)
	same(t, time.Second, sent(t, b.step(Start{})).DesiredMinTx)
	sends, _ := b.pass(10 * time.Second)
	checkGaps(t, sends, 750*time.Millisecond, time.Second)

	b = newBench(t)
	b.up()
	down := sent(t, b.hear(Down))
	same(t, time.Second, down.DesiredMinTx)
}

func checkGaps(t *testing.T, sends []sentAt, least, most time.Duration) {
	t.Helper()
	if len(sends) < 5 {
		t.Fatalf("got %d packets, want at least 5", len(sends))
	}
	for i := 1; i < len(sends); i++ {
		if gap := sends[i].at.Sub(sends[i-1].at); gap < least || gap > most {
			t.Errorf("packet %d comes %v after the last, want %v to %v", i, gap, least, most)
		}
	}
}

// RFC 5880 §6.8.7: "the interval MUST be reduced by a random value of 0 to 25%"; "If
// bfd.DetectMult is equal to 1, the interval between transmitted BFD Control packets MUST
// be no more than 90% of the negotiated transmission interval, and MUST be no less than 75%".
//
// Goal: within these bounds, and not always the same. Method: many draws.
func TestJitterKeepsItsBounds(t *testing.T) {
	const interval = 100 * time.Millisecond
	random := rand.New(rand.NewPCG(1, 2))
	for multiplier, most := range map[int]time.Duration{1: 90 * time.Millisecond, 2: interval, 255: interval} {
		lowest, highest := interval, time.Duration(0)
		for range 10_000 {
			d := jittered(random, interval, multiplier)
			lowest, highest = min(lowest, d), max(highest, d)
		}
		if lowest < 75*time.Millisecond || highest > most || highest-lowest < (most-75*time.Millisecond)*9/10 {
			t.Errorf("multiplier %d: got %v to %v, want nearly all of 75ms to %v", multiplier, lowest, highest, most)
		}
	}
}

// RFC 5880 §6.8.7: "a system MUST NOT transmit BFD Control packets at an interval less than
// the larger of bfd.DesiredMinTxInterval and bfd.RemoteMinRxInterval, less applied jitter".
//
// Goal: the slower one wins. Method: a neighbour that asks for less, and one for more.
func TestSessionSendsAtTheSlowerRate(t *testing.T) {
	for asked, pace := range map[time.Duration]time.Duration{
		150 * time.Millisecond: 150 * time.Millisecond,
		20 * time.Millisecond:  testTiming.MinTx,
	} {
		b := newBench(t)
		b.up()
		b.hear(Up, minRx(asked), minTx(10*time.Second))
		sends, _ := b.pass(2 * time.Second)
		checkGaps(t, sends, pace*3/4, pace)
	}
}

// RFC 5880 §6.8.3: "If the local system reduces its transmit interval due to
// bfd.RemoteMinRxInterval being reduced […] the local system MUST honor the new interval
// immediately. In other words, the local system cannot wait longer than the new interval
// between the previous packet transmission and the next one."
//
// Goal: that. Method: a wait for a long interval, cut short.
func TestSessionHonoursAShorterIntervalAtOnce(t *testing.T) {
	b := newBench(t)
	b.up()
	b.hear(Up, minRx(10*time.Second), minTx(10*time.Second))
	b.pass(5 * time.Second)
	actions := b.hear(Up, minRx(time.Second), minTx(10*time.Second))
	same(t, theirs, int(sent(t, actions).YourDiscriminator))
	sends, _ := b.pass(time.Second)
	if len(sends) == 0 {
		t.Error("nothing sent for a second")
	}
}

// RFC 5880 §6.8.7: "A system MUST NOT transmit BFD Control packets if bfd.RemoteDiscr is zero
// and the system is taking the Passive role."
//
// Goal: silence before the neighbour's first packet, and none after. Method: time, then one.
func TestPassiveSessionSpeaksWhenSpokenTo(t *testing.T) {
	b := newBench(t, passive)
	same(t, []Action(nil), b.step(Start{}))
	sends, _ := b.pass(time.Minute)
	same(t, []sentAt(nil), sends)
	same(t, Init, sent(t, b.hear(Down)).State)

	b = newBench(t, passive)
	b.step(Start{})
	same(t, []Action(nil), b.step(Stop{}))
}

// RFC 5880 §6.8.7: "A system MUST NOT periodically transmit BFD Control packets if
// bfd.RemoteMinRxInterval is zero."
//
// Goal: only answers and news go. Method: a neighbour that is Up and wants none.
func TestSessionIsQuietForANeighbourThatWantsNothing(t *testing.T) {
	b := newBench(t)
	b.up()
	b.hear(Up, minRx(0), minTx(10*time.Second))
	sends, _ := b.pass(30 * time.Second)
	same(t, []sentAt(nil), sends)
	same(t, true, sent(t, b.hear(Up, minRx(0), polling)).Final)
}

// RFC 5880 §6.8.6: "If bfd.RemoteDemandMode is 1, bfd.SessionState is Up, and
// bfd.RemoteSessionState is Up, Demand mode is active on the remote system and the local
// system MUST cease the periodic transmission of BFD Control packets"; else it "MUST send
// periodic BFD Control packets"; §6.8.7: and unless "a Poll Sequence is […] being transmitted".
//
// Goal: a neighbour in demand mode is obeyed. Method: on, a poll, off.
func TestSessionObeysDemandMode(t *testing.T) {
	b := newBench(t)
	b.up()
	slow := minTx(10 * time.Second)
	b.hear(Up, demanding, slow)
	sends, _ := b.pass(5 * time.Second)
	same(t, []sentAt(nil), sends)

	timing := testTiming
	timing.MinTx = 120 * time.Millisecond
	same(t, true, sent(t, b.step(Retimed{timing})).Poll)
	sends, _ = b.pass(2 * time.Second)
	checkGaps(t, sends, 112500*time.Microsecond, 150*time.Millisecond)
	b.hear(Up, demanding, slow, final)
	sends, _ = b.pass(5 * time.Second)
	same(t, []sentAt(nil), sends)

	b.hear(Up, slow)
	sends, _ = b.pass(2 * time.Second)
	checkGaps(t, sends, 112500*time.Microsecond, 150*time.Millisecond)
}

// RFC 5880 §6.8.6: "If the Poll (P) bit is set, send a BFD Control packet to the remote
// system with the Poll (P) bit clear, and the Final (F) bit set"; §6.5: never both.
//
// Goal: an answer in every state, even while we poll. Method: polls.
func TestSessionAnswersPolls(t *testing.T) {
	b := newBench(t)
	b.step(Start{})
	for _, state := range []State{Down, Init, Up, Up, Down, AdminDown} {
		p := sent(t, b.hear(state, polling))
		if !p.Final || p.Poll || p.State != b.s.State() {
			t.Errorf("a poll in %v: got %+v", state, p)
		}
	}
}
