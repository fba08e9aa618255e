package guard

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/hafence/hafence/test/lab"
)

func itoa(i int) string { return strconv.Itoa(i) }

// peer is a node's RPC listener that takes one farewell.
type peer struct {
	frameC   chan []byte // capacity 1: one frame is expected
	farewell Farewell    // that reaches it
}

func newPeer(t *testing.T, h *lab.Host) *peer {
	t.Helper()
	p := &peer{frameC: make(chan []byte, 1)}
	certificate, certificatePEM, keyPEM := selfSigned(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificatePEM)
	var listener net.Listener
	if err := h.Do(func() (err error) { listener, err = net.Listen("tcp4", "10.0.0.100:0"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p.farewell = Farewell{
		// The second peer does not exist: it must not hold up the first.
		Peers: []string{listener.Addr().String(), "10.0.0.99:1"}, ServerNames: []string{"peer", "peer"},
		ALPN: "hafence-rpc", CertPEM: certificatePEM, KeyPEM: keyPEM, CAPEM: certificatePEM,
		Frame: []byte("\x00\x00\x00\x04bye!"),
	}
	server := tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"hafence-rpc"},
		ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			frame := make([]byte, len(p.farewell.Frame))
			if _, err := io.ReadFull(conn, frame); err == nil {
				p.frameC <- frame
			}
			_, _ = conn.Write([]byte("\x00\x00\x00\x00"))
			_ = conn.Close()
		}
	}()
	return p
}

func selfSigned(t *testing.T) (certificate tls.Certificate, certificatePEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer"}, DNSNames: []string{"peer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	certificate, err = tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, certificatePEM, keyPEM
}
