package health

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds of an answer.
const (
	httpHeadMax = 64 << 10 // status line and headers
	httpBodyMax = 16 << 20 // a page that a health check fetches every few seconds is never that long
)

// HTTP is one URL of HTTP_GET, or, with TLS, of SSL_GET: up when it answers with a
// status in Status, and with the right digest and pattern if there are any.
//
// The whole answer is read, as keepalived does, so that a server which stops in the
// middle is found out; but not more than 16 MiB of it, and not for longer than four
// times the timeout. A body that is shorter than its Content-Length counts as it is.
// Of a chunked answer, digest and pattern see the content; keepalived's see the chunks.
type HTTP struct {
	Connect
	Path     string // of the request, with "/"
	Host     string // Host header; "": address and port of Connect.To
	Protocol HTTPProtocol
	Status   []StatusRange   // any of them; none: 200 to 299
	Digest   *[md5.Size]byte // of the body; nil: any
	Pattern  *Pattern        // in the body; nil: any
	TLS      *TLS            // nil: in clear
}

// HTTPProtocol is keepalived's http_protocol. The zero value is HTTP10.
type HTTPProtocol uint8

// The protocols.
const (
	HTTP10      HTTPProtocol = iota // "1.0"
	HTTP10Close                     // "1.0C": 1.0 with "Connection: close"
	HTTP11                          // "1.1", with "Connection: close" too
)

// StatusRange is a range of status codes, ends included.
type StatusRange struct{ From, To int }

// TLS is how SSL_GET encrypts. No session is ever resumed: each try is a full
// handshake.
type TLS struct {
	ServerName   string         // to be sent (enable_sni, sni_name); "": none
	Roots        *x509.CertPool // the certificate must descend from one of these; nil: any will do
	Certificates []tls.Certificate
	Compliant    bool // the server must say that it closes (tls_compliant)
}

// Lane is [LaneSocket].
func (h HTTP) Lane() Lane { return LaneSocket }

// Bound is that of the whole exchange.
func (h HTTP) Bound() time.Duration { return exchangeFactor * h.Timeout }

// Try fetches the URL.
func (h HTTP) Try(ctx context.Context) Result {
	plain, err := h.open(ctx, tcpSocket)
	if err != nil {
		return failed("connect", err)
	}
	defer plain.Close()
	var conn net.Conn = plain
	if h.TLS != nil {
		encrypted := tls.Client(plain, h.TLS.config())
		if err := encrypted.Handshake(); err != nil {
			return failed("TLS handshake", err)
		}
		conn = encrypted
	}
	if _, err := io.WriteString(conn, h.request()); err != nil {
		return failed("send the request", err)
	}
	r := h.judge(conn)
	if r.Up && h.TLS != nil && h.TLS.Compliant && plain.ended {
		return down("TLS ends without a word (close_notify)")
	}
	return r
}

// request is keepalived's, byte by byte.
func (h HTTP) request() string {
	version, closing := "1.0", ""
	if h.Protocol == HTTP11 {
		version = "1.1"
	}
	if h.Protocol != HTTP10 {
		closing = "Connection: close\r\n"
	}
	host := h.Host
	if host == "" {
		host = h.To.String()
	}
	return fmt.Sprintf("GET %s HTTP/%s\r\nUser-Agent: KeepAliveClient\r\n%sHost: %s\r\n\r\n", h.Path, version, closing, host)
}

// judge reads the answer.
func (h HTTP) judge(conn net.Conn) Result {
	limited := &limitedReader{from: conn, left: httpHeadMax}
	buffered := bufio.NewReader(limited)
	if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
		return down("closed without an answer")
	}
	response, err := http.ReadResponse(buffered, &http.Request{Method: http.MethodGet})
	switch {
	case limited.over:
		return down("the headers of the answer are longer than %d bytes", httpHeadMax)
	case err != nil:
		return failed("read the answer", err)
	}
	limited.left = httpBodyMax
	if !h.statusOK(response.StatusCode) {
		return down("status %d", response.StatusCode)
	}
	if bad := h.judgeBody(response.Body); bad != nil {
		return *bad
	}
	if h.TLS != nil && h.TLS.Compliant {
		if _, err := io.Copy(io.Discard, buffered); err != nil { // up to the end of TLS
			return failed("read the end", err)
		}
	}
	return up(fmt.Sprintf("status %d", response.StatusCode))
}

func (h HTTP) statusOK(status int) bool {
	if len(h.Status) == 0 {
		return status >= 200 && status <= 299
	}
	for _, r := range h.Status {
		if status >= r.From && status <= r.To {
			return true
		}
	}
	return false
}

// judgeBody reads all of the body and says what is wrong with it; nil: nothing.
func (h HTTP) judgeBody(body io.Reader) *Result {
	var digest hash.Hash
	if h.Digest != nil {
		digest = md5.New()
		body = io.TeeReader(body, digest)
	}
	matched, err := h.Pattern.search(body)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil && !h.endsEarly(err) {
		bad := failed("read the body", err)
		return &bad
	}
	switch {
	case digest != nil && [md5.Size]byte(digest.Sum(nil)) != *h.Digest:
		bad := down("digest is %x", digest.Sum(nil))
		return &bad
	case matched == h.Pattern.unwanted():
		bad := down("pattern: %s", h.Pattern.complaint())
		return &bad
	}
	return nil
}

// endsEarly reports an end before the announced one, which keepalived forgives, as it
// does an end of TLS without the word for it.
func (h HTTP) endsEarly(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) && (h.TLS == nil || !h.TLS.Compliant)
}

// config says how to encrypt. A chain to one of the roots is all that is asked for:
// keepalived compares no names either, for real servers are addressed by number.
func (t *TLS) config() *tls.Config {
	c := &tls.Config{
		ServerName:         t.ServerName,
		Certificates:       t.Certificates,
		InsecureSkipVerify: true, // replaced by verify, or not wanted
	}
	if t.Roots != nil {
		c.VerifyConnection = t.verify
	}
	return c
}

func (t *TLS) verify(state tls.ConnectionState) error {
	options := x509.VerifyOptions{Roots: t.Roots, Intermediates: x509.NewCertPool()}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

var errTooLong = fmt.Errorf("it is longer than %d bytes", httpBodyMax)

// limitedReader fails, and says why, where io.LimitReader would pretend an end.
type limitedReader struct {
	from io.Reader
	left int
	over bool
}

// Read reads up to what is left.
func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.over = true
		return 0, errTooLong
	}
	n, err := l.from.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
