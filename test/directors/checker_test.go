package directors

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/test/lab/kernel"
)

// checker finds the process of a node's checker, 0 for none.
func (c *cluster) checker(n *demo.Node) int {
	c.Helper()
	pids, err := n.Processes()
	c.must(err)
	for _, pid := range pids {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && slices.Contains(strings.Split(string(line), "\x00"), "checker") {
			return pid
		}
	}
	return 0
}

// Goal: a checker that is killed, or hangs, costs no connection and no VIP; another one
// takes its place and goes on. Method: SIGKILL and SIGSTOP of the MASTER's checker while
// a client connects all the time; a real server fails afterwards.
func TestCheckersDeathCostsNoConnection(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	c := open(t, demo.Options{Service: &demo.Service{Method: "DR", Patience: slow}, Plain: true, Ungated: true})
	c.serving()
	n := c.Nodes[0]
	visitor := demo.NewVisitor(c.Cluster)
	defer visitor.Close()
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		c.until("the checker answers", func() bool { _, err := n.Servers(context.Background()); return err == nil })
		before, began := c.checker(n), boottime.Now()
		c.must(syscall.Kill(before, signal))
		c.until("another checker answers", func() bool {
			if pid := c.checker(n); pid == before || pid == 0 {
				return false
			}
			told, err := n.Servers(context.Background())
			return err == nil && told.Trouble == ""
		})
		<-time.After(time.Second)
		visits := visitor.Visits(began)
		failed := slices.DeleteFunc(slices.Clone(visits), func(v demo.Visit) bool { return v.Server != "" })
		if len(failed) > 0 || len(visits) == 0 {
			t.Errorf("%v: %d of %d visits failed", signal, len(failed), len(visits))
		}
	}
	c.must(c.Servers[0].Down())
	c.until("the new checker takes a failed server out", func() bool { return c.down(n) == 1 })
}

// Goal: the wall clock decides nothing: when it jumps, no check bursts or sleeps and no
// server leaves. Method: the machine's clock a day forward, two days back, and right again, while a
// client connects all the time; a real server fails and returns afterwards.
func TestWallClockJumpsCostNothing(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	c := open(t, demo.Options{Service: &demo.Service{Method: "DR", Patience: slow}, Plain: true, Ungated: true})
	c.serving()
	n := c.Nodes[0]
	visitor := demo.NewVisitor(c.Cluster)
	defer visitor.Close()
	for _, jump := range []time.Duration{24 * time.Hour, -48 * time.Hour, 24 * time.Hour} {
		began := boottime.Now()
		now := unix.NsecToTimespec(time.Now().Add(jump).UnixNano())
		c.must(unix.ClockSettime(unix.CLOCK_REALTIME, &now))
		<-boottimeAfter(2 * time.Second)
		visits := visitor.Visits(began)
		failed := slices.DeleteFunc(slices.Clone(visits), func(v demo.Visit) bool { return v.Server != "" })
		// A visitor's own deadlines are Go's monotonic ones; one visit may have met the jump.
		if len(failed) > 1 || len(visits) < 10 {
			t.Errorf("jump of %v: %d of %d visits failed", jump, len(failed), len(visits))
		}
		told, err := n.Servers(context.Background())
		c.must(err)
		if down, _ := told.Down(); down > 0 || told.Lateness.Max > patience.Seconds() {
			t.Errorf("jump of %v: %d real servers are down, checks were up to %g s late", jump, down, told.Lateness.Max)
		}
	}
	c.must(c.Servers[0].Down())
	c.until("a failed server is noticed", func() bool { return c.down(n) == 1 })
	c.must(c.Servers[0].Up())
	c.until("it is back", func() bool { return c.down(n) == 0 })
}

// boottimeAfter is time.After by the clock that doesn't jump.
func boottimeAfter(d time.Duration) <-chan struct{} {
	doneC := make(chan struct{})
	go func() {
		defer close(doneC)
		for end := boottime.Now().Add(d); boottime.Now().Before(end); {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(50 * time.Millisecond)}, nil) // an interruption is another round
		}
	}()
	return doneC
}

// down counts a node's real servers that are down, −1 while it does not say.
func (c *cluster) down(n *demo.Node) int {
	told, err := n.Servers(context.Background())
	if err != nil {
		return -1
	}
	down, _ := told.Down()
	return down
}
