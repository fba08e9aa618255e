package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
)

// fakeEnvironment makes this test binary a controller; its value is a directory
// with script.json, where it leaves its traces.
const fakeEnvironment = "HAFENCE_FAKE_CONTROLLER"

var testVIP = fence.VIP{Prefix: netip.MustParsePrefix("10.0.0.50/32"), Interface: "eth0"}

// script tells the fake controller what to do.
type script struct {
	Configure Configure
	Farewell  Farewell
	ExitCode  int // before saying anything; 0: live
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakeEnvironment); dir != "" {
		if os.Args[1] == "checker" {
			os.Exit(fakeChecker(dir))
		}
		os.Exit(fakeController(dir))
	}
	code := m.Run()
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

// fakeController holds one group as the real one does, with itself as the store
// that always says yes. Only its first life opens the VIP.
func fakeController(dir string) int {
	var s script
	data, err := os.ReadFile(filepath.Join(dir, "script.json"))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return 99
	}
	life := begin(dir, "pid")
	if s.ExitCode != 0 {
		return s.ExitCode
	}
	client, err := Dial(FD)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	c := &fakeLife{dir: dir, life: life, script: s, client: client}
	return c.live()
}

// fakeChecker beats its heart until it is asked to stop or its guard is gone.
func fakeChecker(dir string) int {
	life := begin(dir, "checker")
	client, err := Dial(FD)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	_ = client.Send(Heartbeat{})
	leave(dir, "checker-beating", life, true)
	closedC := make(chan struct{})
	go func() {
		defer close(closedC)
		_, _ = client.Receive()
	}()
	terminateC := make(chan os.Signal, 1)
	signal.Notify(terminateC, syscall.SIGTERM)
	for {
		select {
		case <-terminateC:
			return 0
		case <-closedC:
			leave(dir, "checker-closed", life, true)
			return 1
		case <-time.After(50 * time.Millisecond):
			_ = client.Send(Heartbeat{})
		}
	}
}

// begin leaves this process's number as the trace of its life, and says which one
// that is.
func begin(dir, what string) (life int) {
	life = 1
	for ; ; life++ {
		if _, err := os.Stat(trace(dir, what, life)); err != nil {
			break
		}
	}
	leave(dir, what, life, os.Getpid())
	return life
}

func trace(dir, what string, life int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.%d", what, life))
}

func leave(dir, what string, life int, value any) {
	data, _ := json.Marshal(value)
	temporary := trace(dir, "writing-"+what, life)
	_ = os.WriteFile(temporary, data, 0o600)
	_ = os.Rename(temporary, trace(dir, what, life))
}

type fakeLife struct {
	dir    string
	life   int
	script script
	client *Client
	t0     boottime.Instant
	held   bool
}

func (c *fakeLife) live() int {
	messageC := make(chan Message)
	go func() {
		defer close(messageC)
		for {
			m, err := c.client.Receive()
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				messageC <- m
			}
		}
	}()
	terminateC := make(chan os.Signal, 1)
	signal.Notify(terminateC, syscall.SIGTERM)
	_ = c.client.Send(c.script.Farewell)
	_ = c.client.Send(c.script.Configure)
	beat := time.NewTicker(c.script.Configure.TTL / 10)
	defer beat.Stop()
	for {
		select {
		case m, ok := <-messageC:
			if !ok { // the guard is gone
				if err := fence.Withdraw([]fence.VIP{testVIP}); err != nil {
					return 97
				}
				return 0
			}
			if c.heard(m) {
				return 0
			}
		case <-beat.C:
			_ = c.client.Send(Heartbeat{})
			if c.held {
				c.t0 = boottime.Now()
				_ = c.client.Send(Refresh{Deadline: c.deadline(), Groups: []string{"web"}})
			}
		case <-terminateC:
			_ = c.client.Send(Farewell{})
			_ = c.client.Send(Drop{Groups: []string{"web"}, Cause: "stop"})
		}
	}
}

func (c *fakeLife) deadline() boottime.Instant { return c.t0.Add(c.script.Configure.TTL) }

// heard reacts to one message, and reports whether that was the last.
func (c *fakeLife) heard(m Message) (end bool) {
	switch m := m.(type) {
	case Configured:
		leave(c.dir, "configured", c.life, m)
		_ = c.client.Send(Ready{Status: "fake"})
		if c.life == 1 {
			_ = c.client.Send(Arm{Group: "web"})
		}
	case Armed:
		c.t0 = boottime.Now()
		_ = c.client.Send(Open{Group: "web", Token: 7, Deadline: c.deadline()})
	case Opened:
		c.held = m.Error == ""
		leave(c.dir, "opened", c.life, m)
	case Lapsed:
		c.held = false
		leave(c.dir, "lapsed", c.life, m)
	case Repaired:
		leave(c.dir, "repaired", c.life, m)
	case Dropped:
		return true
	}
	return false
}
