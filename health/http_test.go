package health

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answering is a server that reads a request and says a text.
func answering(t *testing.T, text string) netip.AddrPort {
	return serveTest(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, text)
	})
}

func get(to netip.AddrPort) HTTP {
	return HTTP{Connect: Connect{To: to, Timeout: patient}, Path: "/"}
}

const page = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nwell\n"

// Goal (§2.8 HTTP_GET): the request is keepalived's, byte by byte.
func TestHTTPRequestIsKeepalivedsOwn(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[fd00::1]:80")
	const agent = "User-Agent: KeepAliveClient\r\n"
	for want, h := range map[string]HTTP{
		"GET /a HTTP/1.0\r\n" + agent + "Host: 10.0.0.1:80\r\n\r\n":                      {Path: "/a", Connect: Connect{To: v4}},
		"GET / HTTP/1.0\r\n" + agent + "Host: [fd00::1]:80\r\n\r\n":                      {Path: "/", Connect: Connect{To: v6}},
		"GET / HTTP/1.0\r\n" + agent + "Connection: close\r\nHost: www.example\r\n\r\n":  {Path: "/", Host: "www.example", Protocol: HTTP10Close},
		"GET /b HTTP/1.1\r\n" + agent + "Connection: close\r\nHost: 10.0.0.1:80\r\n\r\n": {Path: "/b", Protocol: HTTP11, Connect: Connect{To: v4}},
	} {
		if diff := cmp.Diff(want, h.request()); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	}
	heard := make(chan string, 1)
	to := serveTest(t, func(conn net.Conn) { heard <- readRequest(conn); _, _ = io.WriteString(conn, page) })
	wantUp(t, get(to))
	if want := get(to).request(); <-heard != want {
		t.Error("the server heard something else")
	}
}

// Goal (status_code): 200 to 299 without any, or what is given.
func TestHTTPStatus(t *testing.T) {
	status := func(code int) HTTP { return get(answering(t, fmt.Sprintf("HTTP/1.1 %d X\r\n\r\n", code))) }
	wantUp(t, status(204))
	wantDown(t, status(302), "status 302")
	wantDown(t, status(500), "status 500")
	given := status(404)
	given.Status = []StatusRange{{200, 200}, {400, 499}}
	wantUp(t, given)
	given = status(204)
	given.Status = []StatusRange{{200, 200}}
	wantDown(t, given, "status 204")
}

// Goal (digest): the MD5 of the body, in whatever way it is framed.
func TestHTTPDigest(t *testing.T) {
	sum := md5.Sum([]byte("well\n"))
	for _, text := range []string{
		page,
		"HTTP/1.0 200 OK\r\n\r\nwell\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwel\r\n2\r\nl\n\r\n0\r\n\r\n",
	} {
		h := get(answering(t, text))
		h.Digest = &sum
		wantUp(t, h)
	}
	h := get(answering(t, "HTTP/1.0 200 OK\r\n\r\nill\n"))
	h.Digest = &sum
	wantDown(t, h, "digest is "+fmt.Sprintf("%x", md5.Sum([]byte("ill\n"))))
}

// Goal (regex and its options): found or not, case, lines, offsets, with a digest beside.
func TestHTTPPattern(t *testing.T) {
	const body = "first LINE\nsecond line\n"
	sum := md5.Sum([]byte(body))
	to := answering(t, "HTTP/1.0 200 OK\r\n\r\n"+body)
	for _, c := range []struct {
		expression, options string
		pattern             Pattern
		up                  bool
	}{
		{"second", "", Pattern{}, true},
		{"third", "", Pattern{}, false},
		{"third", "", Pattern{NoMatch: true}, true},
		{"first", "", Pattern{NoMatch: true}, false},
		{"SECOND", "", Pattern{}, false},
		{"SECOND", "caseless", Pattern{}, true},
		{"^second", "", Pattern{}, false},
		{"^second", "multiline no_auto_possess", Pattern{}, true},
		{"first.*second", "", Pattern{}, false},
		{"first.*second", "dotall", Pattern{}, true},
		{"first", "", Pattern{MinOffset: 1}, false},
		{"line", "", Pattern{MaxOffset: 19}, true}, // it begins at byte 18
		{"line", "", Pattern{MaxOffset: 18}, false},
		{"line", "", Pattern{MinOffset: 18, MaxOffset: 19}, true},
		{"line", "", Pattern{MinOffset: 1000}, false},
	} {
		compiled, err := CompilePattern(c.expression, strings.Fields(c.options))
		if err != nil {
			t.Fatal(err)
		}
		c.pattern.Regexp = compiled
		h := get(to)
		h.Pattern, h.Digest = &c.pattern, &sum
		if r := tryOnce(t, h); r.Up != c.up {
			t.Errorf("%+v: up %v (%s)", c, r.Up, r.Reason)
		}
	}
}

// Goal: a body that can't be read is not one without a match.
func TestPatternInABodyThatBreaks(t *testing.T) {
	broken := errors.New("broken")
	p := &Pattern{Regexp: regexp.MustCompile("well")}
	if found, err := p.search(io.MultiReader(strings.NewReader("we"), iotest.ErrReader(broken))); found || err != broken {
		t.Errorf("found %v, %v; want %v", found, err, broken)
	}
}

// Goal: what only PCRE2 can do is refused with a hint, not taken for something else.
func TestPatternsThatOnlyPCREKnowsAreRefused(t *testing.T) {
	for _, expression := range []string{`(?=x)`, `(a)\1`, `a++`, `(`} {
		if _, err := CompilePattern(expression, nil); err == nil || !strings.Contains(err.Error(), "RE2") {
			t.Errorf("%s: %v", expression, err)
		}
	}
	if _, err := CompilePattern("x", []string{"extended"}); err == nil || !strings.Contains(err.Error(), "extended") {
		t.Errorf("option extended: %v", err)
	}
}

// Goal: garbage, early ends and too much of anything are failures, in bounded time and
// memory; a body shorter than announced is what keepalived forgives.
func TestHTTPMisbehaving(t *testing.T) {
	wantDown(t, get(nobody(t)), "refused")
	wantDown(t, get(answering(t, "")), "without an answer")
	wantDown(t, get(answering(t, "SSH-2.0-x\r\n\r\n")), "read the answer")
	wantDown(t, get(answering(t, "HTTP/1.0 200 OK\r\nContent-Le")), "read the answer")
	wantDown(t, get(answering(t, "HTTP/1.0 200 OK\r\nX: "+strings.Repeat("x", httpHeadMax))), "headers of the answer are longer")
	wantUp(t, get(answering(t, "HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nshort")))

	endless := func(head, more string) HTTP {
		return get(serveTest(t, func(conn net.Conn) {
			readRequest(conn)
			_, err := io.WriteString(conn, head)
			for err == nil {
				_, err = io.WriteString(conn, more)
			}
		}))
	}
	wantDown(t, endless("HTTP/1.0 200 OK\r\n\r\n", strings.Repeat("body\n", 10_000)), "read the body: it is longer")
	wantDown(t, endless("HTTP/1.0 200 OK\r\n", "X: y\r\n"), "headers of the answer are longer")
	searched := endless("HTTP/1.0 200 OK\r\n\r\n", strings.Repeat("body\n", 10_000))
	compiled, err := CompilePattern("b{3}", nil)
	if err != nil {
		t.Fatal(err)
	}
	searched.Pattern = &Pattern{Regexp: compiled}
	wantDown(t, searched, "read the body: it is longer")
}

// Goal: silence in any phase ends after connect_timeout, and one byte at a time, which
// never lets a read time out, after the bound of the whole.
func TestHTTPSlowServers(t *testing.T) {
	hurried := func(handle func(net.Conn)) HTTP {
		h := get(serveTest(t, handle))
		h.Timeout = hasty
		return h
	}
	wantDown(t, hurried(silent), "timed out")
	wantDown(t, hurried(func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, "HTTP/1.0 200"); silent(conn) }), "timed out")
	wantDown(t, hurried(func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nx")
		silent(conn)
	}), "timed out")

	drip := hurried(func(conn net.Conn) {
		readRequest(conn)
		_, err := io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n")
		for ticker := time.NewTicker(hasty / 10); err == nil; <-ticker.C {
			_, err = io.WriteString(conn, "x")
		}
	})
	began := time.Now()
	wantDown(t, drip, "timed out")
	if took := time.Since(began); took < 2*hasty {
		t.Errorf("gave up after %s: dripping is allowed for %s", took, drip.Bound())
	}
}

// identity is a certificate and the pool in which it is a root.
func identity(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// encrypted is a server that answers over TLS; end is done at its end.
func encrypted(t *testing.T, config *tls.Config, end func(*tls.Conn, net.Conn)) netip.AddrPort {
	return serveTest(t, func(conn net.Conn) {
		server := tls.Server(conn, config)
		if server.Handshake() != nil {
			return
		}
		readRequest(server)
		_, _ = io.WriteString(server, "HTTP/1.0 200 OK\r\n\r\nwell\n")
		end(server, conn)
	})
}

// Goal (SSL_GET): any certificate will do, unless there are roots; then a chain to one of
// them, whatever the name. The name that is sent is the one given, and no session is
// resumed.
func TestHTTPOverTLS(t *testing.T) {
	certificate, roots := identity(t, "other.example")
	_, strangers := identity(t, "stranger.example")
	names := make(chan string, 10)
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		VerifyConnection: func(state tls.ConnectionState) error {
			names <- fmt.Sprintf("%q %v", state.ServerName, state.DidResume)
			return nil
		},
	}
	to := encrypted(t, config, func(s *tls.Conn, _ net.Conn) { _ = s.Close() })
	sum := md5.Sum([]byte("well\n"))
	try := func(options TLS) HTTP {
		h := get(to)
		h.TLS, h.Digest = &options, &sum
		return h
	}
	wantUp(t, try(TLS{}))
	wantUp(t, try(TLS{ServerName: "www.example"}))
	wantUp(t, try(TLS{Roots: roots, Compliant: true}))
	wantDown(t, try(TLS{Roots: strangers}), "unknown authority")
	for _, want := range []string{`"" false`, `"www.example" false`, `"" false`} {
		if got := <-names; got != want {
			t.Errorf("name and resumption %s, want %s", got, want)
		}
	}
}

// Goal (tls_compliant): a server that hangs up without a word is forgiven, unless it must
// not be.
func TestTLSEndWithoutAWord(t *testing.T) {
	certificate, _ := identity(t, "www.example")
	to := encrypted(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, func(_ *tls.Conn, conn net.Conn) { _ = conn.Close() })
	h := get(to)
	h.TLS = &TLS{}
	wantUp(t, h)
	h.TLS = &TLS{Compliant: true}
	wantDown(t, h, "close_notify")
}

// Goal: bad TLS is a failure: plain text, garbage, silence, an end in the handshake.
func TestBadTLS(t *testing.T) {
	try := func(handle func(net.Conn)) HTTP {
		h := get(serveTest(t, handle))
		h.TLS = &TLS{}
		return h
	}
	wantDown(t, try(func(conn net.Conn) { _, _ = io.WriteString(conn, page); silent(conn) }), "TLS handshake")
	wantDown(t, try(func(conn net.Conn) { _, _ = conn.Write(bytes.Repeat([]byte{22, 3, 3}, 10_000)); silent(conn) }), "TLS handshake")
	wantDown(t, try(func(net.Conn) {}), "TLS handshake")
	slow := try(silent)
	slow.Timeout = hasty
	wantDown(t, slow, "timed out")
}
