package bfd

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// idleWait is how long Run sleeps when nothing is due: packets and Configure wake it.
const idleWait = time.Hour

// SpeakerOptions are what a [Speaker] needs.
type SpeakerOptions struct {
	Now func() boottime.Instant
	// Changed takes what has come to pass, in order. It is called by Run's goroutine and
	// holds up all sessions until it returns.
	Changed func(Change)
}

// Speaker speaks BFD: the shell of a [Table]. Methods may be called from any goroutine.
type Speaker struct {
	options SpeakerOptions
	wakeC   chan struct{} // capacity 1: one unread message says all there is to say

	mu      sync.Mutex
	table   *Table
	configs []Config // not yet in the table, while pending
	pending bool

	// The rest is Run's own.
	listeners map[port]*listener
	senders   map[string]*sender
	readyC    chan struct{}
	doneC     chan struct{}
	waiters   sync.WaitGroup
}

// NewSpeaker returns a speaker without sessions.
func NewSpeaker(options SpeakerOptions) *Speaker {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	return &Speaker{
		options: options, wakeC: make(chan struct{}, 1), table: NewTable(rand.New(rand.NewChaCha8(seed))),
		listeners: map[port]*listener{}, senders: map[string]*sender{},
		readyC: make(chan struct{}), doneC: make(chan struct{}),
	}
}

// Configure replaces all sessions; see [Table.Configure] for which of them go on. The error
// is [Check]'s, and nothing has changed then.
func (s *Speaker) Configure(configs []Config) error {
	if err := Check(configs); err != nil {
		return err
	}
	s.mu.Lock()
	s.configs, s.pending = slices.Clone(configs), true
	s.mu.Unlock()
	select {
	case s.wakeC <- struct{}{}:
	default:
	}
	return nil
}

// Run speaks until ctx ends, then says farewell; it is called once. Sockets belong to the
// network namespace of its thread. What can't be opened is reported for the sessions
// that need it, and tried again.
func (s *Speaker) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(s.turn())
		select {
		case <-s.readyC:
		case <-s.wakeC:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	s.perform(s.step(s.table.Stop))
	close(s.doneC)
	s.waiters.Wait()
	return nil
}

// turn does all there is to do, and says how long there will be nothing. All that has come is
// read before a timer counts, however late this is: a neighbour isn't silent because we
// have not listened.
func (s *Speaker) turn() time.Duration {
	s.readAll()
	s.perform(s.advance())
	return s.wait()
}

// step has the table do something.
func (s *Speaker) step(do func(now boottime.Instant) []Order) []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return do(s.options.Now())
}

func (s *Speaker) readAll() {
	for _, l := range s.listeners {
		err := l.read(func(a Arrival) {
			s.perform(s.step(func(now boottime.Instant) []Order { return s.table.Arrived(now, a) }))
		})
		if err != nil {
			s.fail(l, err)
		}
	}
}

// fail gives up a listener that works no more, and its sessions for now.
func (s *Speaker) fail(l *listener, err error) {
	reason := fmt.Sprintf("receive on UDP port %d: %v", l.port.number(), err)
	for _, name := range slices.Sorted(maps.Keys(s.senders)) {
		if portOf(s.senders[name].config) == l.port {
			s.perform(s.step(func(now boottime.Instant) []Order { return s.table.Failed(now, name, reason) }))
		}
	}
}

func (s *Speaker) advance() []Order {
	return s.step(func(now boottime.Instant) []Order {
		var orders []Order
		if s.pending {
			orders = s.table.Configure(now, s.configs)
			s.configs, s.pending = nil, false
		}
		return append(orders, s.table.Tick(now)...)
	})
}

func (s *Speaker) wait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, ok := s.table.Deadline()
	if !ok {
		return idleWait
	}
	return min(max(next.Sub(s.options.Now()), 0), idleWait)
}

// perform does what the table wants, and what follows from that.
func (s *Speaker) perform(orders []Order) {
	for len(orders) > 0 {
		first := orders[0]
		orders = orders[1:]
		switch order := first.(type) {
		case Open:
			orders = append(orders, s.open(order.Config)...)
		case Close:
			s.close(order.Name)
		case Transmit:
			s.transmit(order)
		case Report:
			s.options.Changed(order.Change)
		}
	}
}

// transmit sends a packet, and tells the table where that begins to fail or ends to.
func (s *Speaker) transmit(order Transmit) {
	out := s.senders[order.Name]
	failure := ""
	if err := out.send(order.Packet); err != nil {
		failure = err.Error()
	}
	if failure != out.failure {
		out.failure = failure
		s.mu.Lock()
		s.table.NotSent(order.Name, failure)
		s.mu.Unlock()
	}
}

func (s *Speaker) open(c Config) []Order {
	err := s.openSockets(c)
	return s.step(func(now boottime.Instant) []Order {
		if err != nil {
			return s.table.Failed(now, c.Name, fmt.Sprintf("open BFD session: %v", err))
		}
		return s.table.Opened(now, c.Name)
	})
}

func (s *Speaker) openSockets(c Config) error {
	out, err := openSender(c)
	if err != nil {
		return err
	}
	p := portOf(c)
	if s.listeners[p] == nil {
		l, err := listen(p)
		if err != nil {
			return errors.Join(err, out.conn.Close())
		}
		s.listeners[p] = l
		s.waiters.Go(func() { l.await(s.readyC, s.doneC) })
	}
	s.senders[c.Name] = out
	return nil
}

// close closes a session's sockets, and with the last session its port.
func (s *Speaker) close(name string) {
	out := s.senders[name]
	if out == nil {
		return // they could not be opened
	}
	out.close()
	delete(s.senders, name)
	p := portOf(out.config)
	for _, other := range s.senders {
		if portOf(other.config) == p {
			return
		}
	}
	s.listeners[p].close()
	delete(s.listeners, p)
}

// Status lists all sessions by name.
func (s *Speaker) Status() []SessionStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Status()
}

// Drops is how many packets were ignored for a reason.
func (s *Speaker) Drops(reason DropReason) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Drops(reason)
}
