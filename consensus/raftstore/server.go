package raftstore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// connections keeps the served connections, to end them at the close.
type connections struct {
	mu     sync.Mutex
	conns  map[*tls.Conn]struct{}
	closed bool
}

func (c *connections) add(conn *tls.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.conns == nil {
		c.conns = map[*tls.Conn]struct{}{}
	}
	c.conns[conn] = struct{}{}
	return true
}

func (c *connections) remove(conn *tls.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.conns {
		_ = conn.NetConn().Close()
	}
}

// serve answers a peer's calls until its connection ends.
func (s *Store) serve(conn *tls.Conn) {
	if !s.serving.add(conn) {
		_ = conn.NetConn().Close()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	defer func() {
		cancel()
		_ = conn.NetConn().Close()
		s.serving.remove(conn)
		calls.Wait()
	}()
	slots := make(chan struct{}, callsMax)
	for {
		var r request
		if err := readFrame(conn, &r); err != nil {
			return // gone, or not speaking our language: it will dial again
		}
		if r.Kind == callKeepAlive { // quick, and nothing may queue before it
			if writeFrame(conn, s.perform(ctx, r)) != nil {
				return
			}
			continue
		}
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			_ = writeFrame(conn, s.perform(ctx, r)) // the read loop sees a broken connection
		})
	}
}

// perform answers one call. What the peer sent is checked; it never panics.
func (s *Store) perform(ctx context.Context, r request) response {
	body, err := s.dispatch(ctx, r)
	if err != nil {
		return response{ID: r.ID, Error: err.Error()}
	}
	return response{ID: r.ID, Body: body}
}

func (s *Store) dispatch(ctx context.Context, r request) (json.RawMessage, error) {
	switch r.Kind {
	case callKeepAlive:
		var question keepAlive
		if err := json.Unmarshal(r.Body, &question); err != nil {
			return nil, fmt.Errorf("decode %s: %w", r.Kind, err)
		}
		return json.Marshal(s.answer(question))
	case callPropose:
		var p proposal
		if err := json.Unmarshal(r.Body, &p); err != nil {
			return nil, fmt.Errorf("decode %s: %w", r.Kind, err)
		}
		result, err := s.proposeFor(ctx, p)
		if err != nil {
			return nil, err
		}
		return json.Marshal(result)
	case callQuery:
		if s.config.Query == nil {
			return nil, errors.New("this node answers no queries")
		}
		return s.config.Query(ctx, r.Body)
	}
	return nil, fmt.Errorf("unknown call %q; is this node older than the caller?", r.Kind)
}
