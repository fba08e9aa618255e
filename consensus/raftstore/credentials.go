package raftstore

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"time"
)

// The protocols that ALPN chooses between on a node's one port.
const (
	ProtocolRaft = "hafence-raft/1"
	ProtocolRPC  = "hafence-rpc/1"
)

const (
	clusterKeySize   = 32
	clusterKeyPrefix = "hafence-cluster-key-1:"
	clusterKeyFile   = 0o077 // permission bits that a key file must not have
)

// certificateStart and certificateEnd bound the certificates that hafence makes.
// They are so wide that a wall clock that jumps can't end a lease.
var (
	certificateStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	certificateEnd   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// ClusterKey is the secret that the nodes of a cluster share. Whoever has it can
// join.
type ClusterKey [clusterKeySize]byte

// LoopbackKey is no secret: it serves clusters that listen on loopback only.
var LoopbackKey = ClusterKey{}

// NewClusterKey makes a key.
func NewClusterKey() ClusterKey {
	var k ClusterKey
	_, _ = rand.Read(k[:]) // never fails (crypto/rand)
	return k
}

// Encode gives the text form of the key, which goes into the key file.
func (k ClusterKey) Encode() string {
	return clusterKeyPrefix + base64.StdEncoding.EncodeToString(k[:])
}

// String hides the key from logs.
func (k ClusterKey) String() string { return "(cluster key)" }

// GoString hides the key from logs.
func (k ClusterKey) GoString() string { return k.String() }

// ParseClusterKey reads the text form. Its errors don't show the text.
func ParseClusterKey(text string) (ClusterKey, error) {
	var k ClusterKey
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), clusterKeyPrefix)
	if !ok {
		return k, fmt.Errorf("cluster key: it does not begin with %q; make one with: hafence keygen", clusterKeyPrefix)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != clusterKeySize {
		return k, errors.New("cluster key: damaged; copy the file again from another node, whole")
	}
	copy(k[:], raw)
	if k == LoopbackKey {
		return k, errors.New("cluster key: it is all zeros; make one with: hafence keygen")
	}
	return k, nil
}

// ReadClusterKey reads a key file, which only its owner may read.
func ReadClusterKey(path string) (ClusterKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ClusterKey{}, fmt.Errorf("read cluster key: %w; make one with: hafence keygen %s, and copy it to every node", err, path)
	}
	if err != nil {
		return ClusterKey{}, fmt.Errorf("read cluster key: %w", err)
	}
	if info.Mode().Perm()&clusterKeyFile != 0 {
		return ClusterKey{}, fmt.Errorf("read cluster key: %s may be read by others (mode %04o); do: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return ClusterKey{}, fmt.Errorf("read cluster key: %w", err)
	}
	k, err := ParseClusterKey(string(text))
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// Credentials are what a node shows to its peers, and what it checks them by.
type Credentials struct {
	CertPEM, KeyPEM, CAPEM []byte
}

// NewCredentials makes a node's credentials from the cluster key: a certificate
// authority that is the same on every node, and a fresh certificate signed by it.
func NewCredentials(key ClusterKey, node string) (Credentials, error) {
	seed, err := hkdf.Key(sha256.New, key[:], nil, "hafence certificate authority 1", ed25519.SeedSize)
	if err != nil {
		return Credentials{}, fmt.Errorf("derive certificate authority: %w", err)
	}
	authority := ed25519.NewKeyFromSeed(seed)
	authorityCert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hafence cluster"},
		NotBefore: certificateStart, NotAfter: certificateEnd,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authorityCert, authorityCert, authority.Public(), authority)
	if err != nil {
		return Credentials{}, fmt.Errorf("make certificate authority: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return Credentials{}, fmt.Errorf("make certificate: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Credentials{}, fmt.Errorf("make certificate: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: node}, DNSNames: []string{node},
		NotBefore: certificateStart, NotAfter: certificateEnd,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authorityCert, public, authority)
	if err != nil {
		return Credentials{}, fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Credentials{}, fmt.Errorf("make certificate: %w", err)
	}
	return Credentials{
		CertPEM: encodePEM("CERTIFICATE", leafDER), KeyPEM: encodePEM("PRIVATE KEY", keyDER), CAPEM: encodePEM("CERTIFICATE", authorityDER),
	}, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// ReadCredentials reads a node's credentials of the user's own authority. The
// certificate names the node as a DNS name and serves both as client and server.
func ReadCredentials(ca, certificate, key string) (Credentials, error) {
	var c Credentials
	for _, file := range []struct {
		path string
		into *[]byte
	}{{ca, &c.CAPEM}, {certificate, &c.CertPEM}, {key, &c.KeyPEM}} {
		text, err := os.ReadFile(file.path)
		if err != nil {
			return Credentials{}, fmt.Errorf("read TLS file: %w", err)
		}
		*file.into = text
	}
	return c, nil
}

// tlsConfigs gives the two ends' settings; known reports whether a name is a
// node of the configuration.
func (c Credentials) tlsConfigs(known func(node string) bool) (server, client *tls.Config, err error) {
	pair, err := tls.X509KeyPair(c.CertPEM, c.KeyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("read this node's certificate and key: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CAPEM) {
		return nil, nil, errors.New("read the certificate authority: no certificate in it")
	}
	server = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		NextProtos: []string{ProtocolRaft, ProtocolRPC},
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := peerName(state, known)
			return err
		},
		SessionTicketsDisabled: true,
	}
	client = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: roots}
	return server, client, nil
}

// peerName is the node that the other end's certificate speaks for.
func peerName(state tls.ConnectionState, known func(string) bool) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the peer shows no certificate")
	}
	names := state.PeerCertificates[0].DNSNames
	for _, name := range names {
		if known(name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("the peer's certificate is for %q, which is no member of this configuration", names)
}
