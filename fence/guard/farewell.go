package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Limits of a farewell.
const (
	PeersMax        = 16
	farewellTimeout = time.Second // for connecting, and again for the answer
	answerHeader    = 4           // bytes: the length of the body
)

// send sends the frame to every peer at the same time and waits for the first
// bytes of each answer. The VIPs are silent already; a peer that isn't reached
// learns it by the lease's expiry. Errors never carry the contents.
func (f Farewell) send(ctx context.Context) error {
	config, err := f.tlsConfig()
	if err != nil {
		return err
	}
	failures := make([]error, len(f.Peers))
	var group sync.WaitGroup
	for i := range f.Peers {
		group.Go(func() {
			own := config.Clone()
			own.ServerName = f.ServerNames[i]
			if err := f.sendTo(ctx, f.Peers[i], own); err != nil {
				failures[i] = fmt.Errorf("farewell to %s: %w", f.Peers[i], err)
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

func (f Farewell) tlsConfig() (*tls.Config, error) {
	if len(f.Peers) != len(f.ServerNames) || len(f.Peers) > PeersMax {
		return nil, fmt.Errorf("farewell: %d peers and %d server names, at most %d", len(f.Peers), len(f.ServerNames), PeersMax)
	}
	certificate, err := tls.X509KeyPair(f.CertPEM, f.KeyPEM)
	if err != nil {
		return nil, errors.New("farewell: the certificate or its key can't be read")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(f.CAPEM) {
		return nil, errors.New("farewell: no CA certificate")
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate},
		RootCAs:      roots,
	}
	if f.ALPN != "" {
		config.NextProtos = []string{f.ALPN}
	}
	return config, nil
}

func (f Farewell) sendTo(ctx context.Context, peer string, config *tls.Config) error {
	dialCtx, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	dialer := tls.Dialer{NetDialer: &net.Dialer{}, Config: config}
	conn, err := dialer.DialContext(dialCtx, "tcp", peer)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(farewellTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(f.Frame); err != nil {
		return err
	}
	var header [answerHeader]byte
	// That an answer begins is enough: its body changes nothing for us.
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
