package health

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
)

// serversVariable makes the test program the real servers of the benchmarks, which
// must be another process: what they cost is not ours.
const serversVariable = "HAFENCE_HEALTH_TEST_SERVERS"

func TestMain(m *testing.M) {
	switch os.Getenv(serversVariable) {
	case "":
		os.Exit(m.Run())
	case "tcp":
		serveTCP()
	case "http":
		serveHTTP()
	}
}

// serve listens on all of 127.0.0.0/8, says on which port, and ends with its input.
func serve(handle func(net.Listener)) {
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go handle(listener)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func serveTCP() {
	serve(func(listener net.Listener) {
		for {
			if conn, err := listener.Accept(); err == nil {
				_ = conn.Close()
			}
		}
	})
}

func serveHTTP() {
	serve(func(listener net.Listener) {
		page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well\n") })
		_ = http.Serve(listener, page)
	})
}
