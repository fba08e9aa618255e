package health

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab"
)

// Timeouts of tests. Nothing that should work may need patient; what should time out
// takes hasty.
const (
	patient = 20 * time.Second
	hasty   = 150 * time.Millisecond
)

// serveTest listens on loopback and handles each connection until the test ends.
func serveTest(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handlers.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		handlers.Wait()
	})
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// nobody is a port at which nobody listens.
func nobody(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// silent waits until the other side closes.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// readRequest reads up to the empty line.
func readRequest(conn net.Conn) string {
	var request strings.Builder
	for reader := bufio.NewReader(conn); ; {
		line, err := reader.ReadString('\n')
		request.WriteString(line)
		if err != nil || line == "\r\n" {
			return request.String()
		}
	}
}

// try does one try and fails the test if it takes longer than its bound.
func tryOnce(t *testing.T, c Checker) Result {
	t.Helper()
	began := time.Now()
	r := c.Try(context.Background())
	if took := time.Since(began); took > c.Bound()+patient/2 {
		t.Errorf("a try took %s, its bound is %s", took, c.Bound())
	}
	return r
}

func wantUp(t *testing.T, c Checker) {
	t.Helper()
	if r := tryOnce(t, c); !r.Up || r.Inconclusive {
		t.Errorf("down: %s; want up", r.Reason)
	}
}

// wantDown wants a failure of the server, for a reason.
func wantDown(t *testing.T, c Checker, reason string) {
	t.Helper()
	if r := tryOnce(t, c); r.Up || r.Inconclusive || !strings.Contains(r.Reason, reason) {
		t.Errorf("%+v; want down, because of %q", r, reason)
	}
}

// wantNothing wants a failure on this side.
func wantNothing(t *testing.T, c Checker, reason string) {
	t.Helper()
	if r := tryOnce(t, c); r.Up || !r.Inconclusive || !strings.Contains(r.Reason, reason) {
		t.Errorf("%+v; want an inconclusive one, because of %q", r, reason)
	}
}

// Goal (TCP_CHECK): up when a connection is made, down when it is refused.
func TestTCPConnects(t *testing.T) {
	wantUp(t, TCP{Connect{To: serveTest(t, silent), Timeout: patient}})
	wantDown(t, TCP{Connect{To: nobody(t), Timeout: patient}}, "connection refused")
}

// Goal: a server that doesn't answer is down after connect_timeout. Method: a listener
// whose queue is full drops what comes.
func TestTCPTimesOut(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	first, err := net.Dial("tcp", to.String()) // takes the only place
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	wantDown(t, TCP{Connect{To: to, Timeout: hasty}}, "timed out")
}

// Goal (keepalived's close): the connection ends with FIN, not with RST.
func TestTCPEndsWithFIN(t *testing.T) {
	endC := make(chan error, 1)
	to := serveTest(t, func(conn net.Conn) {
		_, err := conn.Read(make([]byte, 1))
		endC <- err
	})
	wantUp(t, TCP{Connect{To: to, Timeout: patient}})
	if err := <-endC; err != io.EOF {
		t.Errorf("the server saw %v, want an orderly end", err)
	}
}

// Goal (bindto, bind_port): the connection comes from where it should, and again from
// there at once.
func TestConnectFromGivenAddress(t *testing.T) {
	fromC := make(chan string, 3)
	to := serveTest(t, func(conn net.Conn) {
		silent(conn) // so that we close first, and TIME_WAIT is on our side
		_ = conn.Close()
		fromC <- conn.RemoteAddr().String()
	})
	from := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), nobody(t).Port())
	for range 3 {
		wantUp(t, TCP{Connect{To: to, From: from, Timeout: patient}})
		if t.Failed() {
			return // nothing will come
		}
		if got := <-fromC; got != from.String() {
			t.Errorf("the connection came from %s, want %s", got, from)
		}
	}
	only := Connect{To: to, From: netip.AddrPortFrom(netip.Addr{}, nobody(t).Port()), Timeout: patient}
	wantUp(t, TCP{only})
}

// Goal (fwmark): the socket has the mark.
func TestConnectSetsTheMark(t *testing.T) {
	lab.Require(t)
	c := Connect{To: serveTest(t, silent), Mark: 77, Interface: "lo", Timeout: patient}
	conn, err := c.open(t.Context(), tcpSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if mark, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK); err != nil || mark != 77 {
			t.Errorf("mark %d, %v; want 77", mark, err)
		}
	})
}

// Goal: IPv6, and a link-local address on its interface.
func TestConnectByIPv6(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		lab.Skip(t, "IPv6 on loopback")
	}
	defer listener.Close()
	wantUp(t, TCP{Connect{To: listener.Addr().(*net.TCPAddr).AddrPort(), Timeout: patient}})
	c := Connect{To: netip.MustParseAddrPort("[fe80::1]:80"), Interface: "lo"}
	if got := c.to().Addr().Zone(); got != "lo" || scope(got) == 0 {
		t.Errorf("zone %q, index %d; want that of lo", got, scope(got))
	}
}

// Goal: what fails on this side says nothing about the server: no such source address,
// no such interface, no descriptors.
func TestOwnTroubleIsInconclusive(t *testing.T) {
	lab.Require(t) // to bind to an interface
	to := serveTest(t, silent)
	wantNothing(t, TCP{Connect{To: to, From: netip.MustParseAddrPort("192.0.2.77:0"), Timeout: patient}}, "cannot assign")
	wantNothing(t, TCP{Connect{To: to, Interface: "nosuch0", Timeout: patient}}, "no such device")

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 0, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	r := TCP{Connect{To: to, Timeout: patient}}.Try(t.Context())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if r.Up || !r.Inconclusive || !strings.Contains(r.Reason, "too many open files") {
		t.Errorf("%+v without descriptors", r)
	}
}

// Goal: the end of the context cuts a try short, whatever its timeout, and that is not
// the server's failure.
func TestContextCutsATryShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := serveTest(t, func(conn net.Conn) { cancel(); silent(conn) })
	r := HTTP{Connect: Connect{To: to, Timeout: time.Hour}, Path: "/"}.Try(ctx)
	if r.Up || !r.Inconclusive {
		t.Errorf("%+v, want an inconclusive one", r)
	}
}

// Goal: reasons fit on one line of a bounded length, whatever a server says.
func TestReasonsAreShortAndOnOneLine(t *testing.T) {
	r := down("%s", strings.Repeat("ü\n\x1b[2J", 1000))
	if len(r.Reason) > ReasonMax || strings.ContainsAny(r.Reason, "\n\x1b") || !strings.HasSuffix(r.Reason, "…") {
		t.Errorf("reason of %d bytes: %q", len(r.Reason), r.Reason)
	}
}

// Goal (SMTP_CHECK): greeting 220, HELO 250, QUIT; replies may have several lines.
func TestSMTPGreets(t *testing.T) {
	heard := make(chan string, 1)
	to := serveTest(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "220-mail\r\n220 ready\r\n")
		r := bufio.NewReader(conn)
		helo, _ := r.ReadString('\n')
		_, _ = io.WriteString(conn, "250-mail\r\n250 hello\r\n")
		quit, _ := r.ReadString('\n')
		heard <- helo + quit
		_, _ = io.WriteString(conn, "221 bye\r\n")
	})
	wantUp(t, SMTP{Hosts: []Connect{{To: to, Timeout: patient}}, Helo: "check.example"})
	if got := <-heard; got != "HELO check.example\r\nQUIT\r\n" {
		t.Errorf("the server heard %q", got)
	}
}

// Goal: a mail server that is busy, silent, endless, talks nonsense or goes away is down.
func TestSMTPMisbehaving(t *testing.T) {
	says := func(text string) SMTP {
		to := serveTest(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, text)
			_ = conn.(*net.TCPConn).CloseWrite()
			silent(conn)
		})
		return SMTP{Hosts: []Connect{{To: to, Timeout: patient}}}
	}
	wantDown(t, says("421 busy\r\n"), `greeting: reply "421"`)
	wantDown(t, says("x\n"), `greeting: reply "x"`)
	wantDown(t, says("\n"), `greeting: reply ""`)
	wantDown(t, says(""), "greeting")
	wantDown(t, says("220 hello\r\n"), "HELO")
	wantDown(t, says(strings.Repeat("x", smtpLineMax+1)), "longer")
	wantDown(t, says(strings.Repeat("220-x\r\n", smtpLinesMax+1)), "lines")
	wantDown(t, SMTP{Hosts: []Connect{{To: serveTest(t, silent), Timeout: hasty}}}, "timed out")
	good := says("220 a\r\n250 b\r\n221 c\r\n")
	wantDown(t, SMTP{Hosts: []Connect{good.Hosts[0], {To: nobody(t), Timeout: patient}}}, "refused")
}
