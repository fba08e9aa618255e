package raftstore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	callsMax    = 64 // outstanding to one peer on one lane
	strikesMax  = 2  // timeouts in a row before a connection is given up as dead
	redialDelay = 50 * time.Millisecond
)

var (
	errBusy       = errors.New("too many calls outstanding")
	errConnection = errors.New("connection lost")
)

// lane is one connection to a peer, made when needed and shared by concurrent
// calls. Keep-alives have a lane of their own, so that nothing queues before them.
type lane struct {
	node, address string
	dial          func(ctx context.Context) (*tls.Conn, error)

	mu      sync.Mutex
	conn    *tls.Conn
	dialing chan struct{} // closed when the dial under way ends; nil when none is
	dialed  time.Time     // when the last dial ended
	failure error         // of the last dial
	nextID  uint64
	pending map[uint64]chan response // capacity 1 each; closed when the connection is lost
	strikes int
	closed  bool
}

// call sends a request and waits for its answer or ctx.
func (l *lane) call(ctx context.Context, kind string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	id, answerC, err := l.enlist(conn)
	if err != nil {
		return fmt.Errorf("call %s: %w", l.node, err)
	}
	defer l.dismiss(id)
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetWriteDeadline(deadline)
	}
	if err := writeFrame(conn, request{ID: id, Kind: kind, Body: body}); err != nil {
		l.drop(conn)
		return fmt.Errorf("call %s: %w", l.node, err)
	}
	select {
	case answer, ok := <-answerC:
		switch {
		case !ok:
			return fmt.Errorf("call %s: %w", l.node, errConnection)
		case answer.Error != "":
			return fmt.Errorf("%s: %s", l.node, answer.Error)
		}
		return json.Unmarshal(answer.Body, out)
	case <-ctx.Done():
		l.strike(conn)
		return fmt.Errorf("call %s at %s: %w", l.node, l.address, ctx.Err())
	}
}

// connect returns the lane's connection; one caller dials, the others wait.
func (l *lane) connect(ctx context.Context) (*tls.Conn, error) {
	for {
		l.mu.Lock()
		switch {
		case l.closed:
			l.mu.Unlock()
			return nil, errConnection
		case l.conn != nil:
			conn := l.conn
			l.mu.Unlock()
			return conn, nil
		case l.dialing == nil && time.Since(l.dialed) < redialDelay && l.failure != nil:
			err := l.failure
			l.mu.Unlock()
			return nil, err
		case l.dialing == nil:
			l.dialing = make(chan struct{})
			go l.redial()
		}
		dialing := l.dialing
		l.mu.Unlock()
		select {
		case <-dialing:
			l.mu.Lock()
			err := l.failure
			l.mu.Unlock()
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %s at %s: %w", l.node, l.address, ctx.Err())
		}
	}
}

func (l *lane) redial() {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	conn, err := l.dial(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dialing)
	l.dialing, l.dialed, l.failure = nil, time.Now(), err
	if err != nil {
		return
	}
	if l.closed {
		_ = conn.Close()
		return
	}
	l.conn, l.strikes = conn, 0
	l.pending = map[uint64]chan response{}
	go l.read(conn)
}

func (l *lane) read(conn *tls.Conn) {
	for {
		var answer response
		if err := readFrame(conn, &answer); err != nil {
			l.drop(conn)
			return
		}
		l.mu.Lock()
		if l.conn == conn {
			l.strikes = 0
			if answerC, ok := l.pending[answer.ID]; ok {
				delete(l.pending, answer.ID)
				answerC <- answer
			}
		}
		l.mu.Unlock()
	}
}

func (l *lane) enlist(conn *tls.Conn) (uint64, chan response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != conn {
		return 0, nil, errConnection
	}
	if len(l.pending) >= callsMax {
		return 0, nil, errBusy
	}
	l.nextID++
	answerC := make(chan response, 1)
	l.pending[l.nextID] = answerC
	return l.nextID, answerC, nil
}

func (l *lane) dismiss(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, id)
}

// strike counts a timeout. A peer behind a cut cable leaves a connection that
// nothing ends; a fresh one is needed when it comes back.
func (l *lane) strike(conn *tls.Conn) {
	l.mu.Lock()
	l.strikes++
	dead := l.conn == conn && l.strikes >= strikesMax
	l.mu.Unlock()
	if dead {
		l.drop(conn)
	}
}

func (l *lane) drop(conn *tls.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = conn.NetConn().Close() // not conn.Close: that would wait to say goodbye
	if l.conn != conn {
		return
	}
	l.conn = nil
	for id, answerC := range l.pending {
		delete(l.pending, id)
		close(answerC)
	}
}

func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		l.drop(conn)
	}
}
