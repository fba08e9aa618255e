package bfd

import (
	"bufio"
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// patience is how long a test waits for what must happen soon; it is no promise.
const patience = 20 * time.Second

// segment is two hosts on a switch, 10.9.0.1 and 10.9.0.2, fd00::1 and fd00::2.
type segment struct {
	t     *testing.T
	hosts [2]*lab.Host
	cable *lab.Port // the second host's
}

func newSegment(t *testing.T, programs ...string) *segment {
	t.Helper()
	lab.Require(t, programs...)
	sw, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	s := &segment{t: t}
	for i := range s.hosts {
		h, err := lab.NewHost("host")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		if s.cable, err = sw.Plug(h, "eth0", netip.PrefixFrom(address(i), 24)); err != nil {
			t.Fatal(err)
		}
		if err := h.Do(func() error { return addWithoutDAD(address6(i)) }); err != nil {
			t.Fatal(err)
		}
		s.hosts[i] = h
	}
	return s
}

func address(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}) }
func address6(i int) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i + 1)}) }

func addWithoutDAD(a netip.Addr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	prefix, err := netlink.ParseIPNet(a.String() + "/64")
	if err != nil {
		return err
	}
	return netlink.AddrAdd(link, &netlink.Addr{IPNet: prefix, Flags: syscall.IFA_F_NODAD})
}

// speaking is a running Speaker and what it has reported.
type speaking struct {
	t       *testing.T
	speaker *Speaker
	stop    func()

	mu      sync.Mutex
	changes []Change
	newC    chan struct{} // capacity 1: there are new changes
}

// speak runs a speaker on a host until the test ends.
func speak(t *testing.T, h *lab.Host, configs ...Config) *speaking {
	t.Helper()
	s := &speaking{t: t, newC: make(chan struct{}, 1)}
	s.speaker = NewSpeaker(SpeakerOptions{Now: boottime.Now, Changed: s.changed})
	if err := s.speaker.Configure(configs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	doneC := make(chan struct{})
	go func() {
		defer close(doneC)
		// The host's thread is in its namespace, and Run opens sockets at any time.
		if err := h.Do(func() error { return s.speaker.Run(ctx) }); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	s.stop = func() { cancel(); <-doneC }
	t.Cleanup(s.stop)
	return s
}

func (s *speaking) changed(c Change) {
	s.mu.Lock()
	s.changes = append(s.changes, c)
	s.mu.Unlock()
	select {
	case s.newC <- struct{}{}:
	default:
	}
}

// await waits for a change of a session and gives it, and forgets those of the session up
// to it.
func (s *speaking) await(name string, match func(Change) bool) Change {
	s.t.Helper()
	for timeout := time.After(patience); ; {
		for _, c := range s.changesOf(name) {
			s.forget(c)
			if match(c) {
				return c
			}
		}
		select {
		case <-s.newC:
		case <-timeout:
			s.t.Fatalf("session %s: what was waited for did not come; status %+v", name, s.speaker.Status())
		}
	}
}

// changesOf gives what has been reported of a session and not been waited for.
func (s *speaking) changesOf(name string) []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Change
	for _, c := range s.changes {
		if c.Name == name {
			all = append(all, c)
		}
	}
	return all
}

func (s *speaking) forget(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.changes, c)
	s.changes = slices.Delete(s.changes, i, i+1)
}

func isUp(c Change) bool    { return c.Up }
func isDown(c Change) bool  { return !c.Up && !c.Local }
func isLocal(c Change) bool { return c.Local }

// expectNoDrops checks that neither side has found fault with the other.
func (s *speaking) expectNoDrops() {
	s.t.Helper()
	for _, reason := range DropReasons() {
		if n := s.speaker.Drops(reason); n != 0 {
			s.t.Errorf("%d packets dropped: %s", n, reason)
		}
	}
}

// keepalived is a running keepalived and what it has logged.
type keepalived struct {
	t   *testing.T
	cmd *exec.Cmd

	mu  sync.Mutex
	log []string
}

// startKeepalived runs Debian's keepalived on a host, with files of its own.
func startKeepalived(t *testing.T, h *lab.Host, config string) *keepalived {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &keepalived{t: t}
	k.cmd = exec.Command("keepalived", "--dont-fork", "--log-console", "--log-detail", "--use-file", file,
		"--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp.pid"),
		"--checkers_pid", filepath.Join(dir, "checkers.pid"), "--bfd_pid", filepath.Join(dir, "bfd.pid"))
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
		if t.Failed() {
			t.Log(strings.Join(k.log, "\n"))
		}
	})
	return k
}

func (k *keepalived) follow(reader *os.File) {
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		k.mu.Lock()
		k.log = append(k.log, lines.Text())
		k.mu.Unlock()
	}
}

// awaitLog waits for n lines with the words in them.
func (k *keepalived) awaitLog(n int, words string) {
	k.t.Helper()
	for end := time.Now().Add(patience); k.count(words) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("keepalived has logged %q %d times, want %d", words, k.count(words), n)
		}
	}
}

func (k *keepalived) count(words string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Count(strings.Join(k.log, "\n"), words)
}

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
