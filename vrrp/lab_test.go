package vrrp

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/test/lab"
)

// patience is how long a test waits for what must happen soon; it is no promise.
const patience = 15 * time.Second

var (
	ourAddress        = netip.MustParseAddr("10.9.0.1")
	keepalivedAddress = netip.MustParseAddr("10.9.0.2")
	neighbourAddress  = netip.MustParseAddr("10.9.0.3")
)

// segment is a switch with hosts, each with eth0 on it.
type segment struct {
	t  *testing.T
	sw *lab.Switch
}

func newSegment(t *testing.T, programs ...string) *segment {
	t.Helper()
	lab.Require(t, programs...)
	sw, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	return &segment{t: t, sw: sw}
}

func (s *segment) host(address netip.Addr) *lab.Host {
	s.t.Helper()
	h, err := lab.NewHost("host-" + address.String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = h.Close() })
	s.plug(h, address)
	return h
}

// plug gives a host its eth0, and waits until the kernel has noticed that both
// ends have a carrier: until then either end may drop frames.
func (s *segment) plug(h *lab.Host, address netip.Addr) {
	s.t.Helper()
	port, err := s.sw.Plug(h, "eth0", netip.PrefixFrom(address, 24))
	if err != nil {
		s.t.Fatal(err)
	}
	s.awaitUp(h, "eth0")
	s.awaitUp(s.sw.Host, port.Name)
}

func (s *segment) awaitUp(h *lab.Host, name string) {
	s.t.Helper()
	up := false
	for end := time.Now().Add(patience); !up; time.Sleep(time.Millisecond) {
		err := h.Do(func() error {
			link, err := netlink.LinkByName(name)
			if err == nil {
				up = link.Attrs().OperState == netlink.OperUp
			}
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s of %s never comes up", name, h.Name)
		}
	}
}

func openOn(t *testing.T, h *lab.Host, config SocketConfig) *Socket {
	t.Helper()
	config.Interface = "eth0"
	var socket *Socket
	err := h.Do(func() (err error) {
		socket, err = Open(config)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket
}

// await receives until match, and fails the test when nothing has matched for
// the whole of patience.
func await(t *testing.T, socket *Socket, match func(Packet) bool) Packet {
	t.Helper()
	timeout := time.AfterFunc(patience, func() { _ = socket.Close() })
	defer timeout.Stop()
	for {
		p, err := socket.Receive()
		if err != nil {
			t.Fatalf("nothing that was waited for came: %v", err)
		}
		if match(p) {
			return p
		}
	}
}

// keepalived is a running keepalived and what it has logged.
type keepalived struct {
	t   *testing.T
	cmd *exec.Cmd

	mu   sync.Mutex
	log  []string
	newC chan struct{} // capacity 1: there are new lines
}

// startKeepalived runs Debian's keepalived on a host with files of its own.
func startKeepalived(t *testing.T, h *lab.Host, config string) *keepalived {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &keepalived{t: t, newC: make(chan struct{}, 1)}
	k.cmd = exec.Command("keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file", file,
		"--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp.pid"), "--checkers_pid", filepath.Join(dir, "checkers.pid"))
	k.cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	k.cmd.Stdout, k.cmd.Stderr = writer, writer
	if err := h.Start(k.cmd); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	doneC := make(chan struct{})
	go func() {
		defer close(doneC)
		k.follow(reader)
	}()
	t.Cleanup(func() {
		k.stop()
		<-doneC
		_ = reader.Close()
	})
	return k
}

func (k *keepalived) follow(reader *os.File) {
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		k.mu.Lock()
		k.log = append(k.log, lines.Text())
		k.mu.Unlock()
		select {
		case k.newC <- struct{}{}:
		default:
		}
	}
}

func (k *keepalived) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.log, "\n")
}

// awaitLog waits for a line with the words in it.
func (k *keepalived) awaitLog(words string) {
	k.t.Helper()
	for timeout := time.After(patience); !strings.Contains(k.text(), words); {
		select {
		case <-k.newC:
		case <-timeout:
			k.t.Fatalf("keepalived never logged %q:\n%s", words, k.text())
		}
	}
}

// stop ends keepalived in its own way, with a farewell to the network.
func (k *keepalived) stop() {
	if k.cmd.ProcessState != nil {
		return
	}
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := k.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		k.t.Errorf("wait for keepalived: %v", err)
	}
}

// keepalivedConfig is a vrrp_instance on eth0, with the lines given.
func keepalivedConfig(lines ...string) string {
	return fmt.Sprintf("global_defs {\n  router_id test\n}\nvrrp_instance V {\n  interface eth0\n  state BACKUP\n  %s\n}\n",
		strings.Join(lines, "\n  "))
}
