package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	handshakesMax    = 32              // being made at one time
	handshakeTimeout = 3 * time.Second // for one of them
)

// keepAliveConfig ends the connections of peers that vanished without a word,
// after half a minute: no call needs it, but nothing else would ever close them.
var keepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// listener is a node's one port. It accepts, shakes hands, and hands the
// connection to Raft or to our own calls, as ALPN says. It is Raft's stream layer.
type listener struct {
	net.Listener
	server, client *tls.Config
	nodeAt         func(address string) (string, bool)
	serveRPC       func(*tls.Conn)
	refused        func(remote net.Addr, err error)

	raftC  chan net.Conn // capacity handshakesMax: Raft's accept loop is never far behind
	closeC chan struct{}
	once   sync.Once
	wait   sync.WaitGroup
}

// start begins to accept.
func (l *listener) start() {
	l.wait.Add(1)
	go l.run()
}

func (l *listener) run() {
	defer l.wait.Done()
	slots := make(chan struct{}, handshakesMax)
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			select {
			case <-l.closeC:
				return
			case <-time.After(50 * time.Millisecond): // out of file descriptors, most likely
				continue
			}
		}
		select {
		case slots <- struct{}{}:
		default: // more strangers than peers could ever be
			_ = conn.Close()
			continue
		}
		go func() {
			defer func() { <-slots }()
			l.admit(tls.Server(conn, l.server))
		}()
	}
}

func (l *listener) admit(conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		l.refused(conn.RemoteAddr(), err)
		_ = conn.Close()
		return
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case ProtocolRaft:
		select {
		case l.raftC <- conn:
		case <-l.closeC:
			_ = conn.Close()
		}
	case ProtocolRPC:
		go l.serveRPC(conn)
	default:
		_ = conn.Close()
	}
}

// Accept gives Raft its next connection (raft.StreamLayer).
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.raftC:
		return conn, nil
	case <-l.closeC:
		return nil, net.ErrClosed
	}
}

// Dial connects Raft to a peer (raft.StreamLayer).
func (l *listener) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	node, ok := l.nodeAt(string(address))
	if !ok {
		return nil, fmt.Errorf("connect to %s: no member of this configuration has that address", address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.dial(ctx, node, string(address), ProtocolRaft)
}

func (l *listener) dial(ctx context.Context, node, address, protocol string) (*tls.Conn, error) {
	raw, err := (&net.Dialer{KeepAliveConfig: keepAliveConfig}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	config := l.client.Clone()
	config.ServerName, config.NextProtos = node, []string{protocol}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(explainHandshake(node, address, err), raw.Close())
	}
	return conn, nil
}

// explainHandshake says what a failed handshake usually means.
func explainHandshake(node, address string, err error) error {
	var unknown *tls.CertificateVerificationError
	if errors.As(err, &unknown) {
		return fmt.Errorf("connect to %s at %s: its certificate is not of this cluster (another cluster key?): %w", node, address, err)
	}
	return fmt.Errorf("connect to %s at %s: TLS handshake: %w", node, address, err)
}

// Close ends accepting; connections that were handed out go on.
func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closeC)
		err = l.Listener.Close()
		l.wait.Wait()
	})
	return err
}
