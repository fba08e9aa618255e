package machines

import (
	"fmt"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/test/lab/kernel"
)

const (
	memberCount = 3
	// restFor is how long one director alone has to answer, for the cluster to be at rest.
	restFor = 500 * time.Millisecond
)

// cluster is three directors and an observer on a switch. n1 is preferred.
type cluster struct {
	sw        *kernel.Switch
	directors []*director
	observer  *observer
	began     boottime.Instant // of the present test
}

// shared is the cluster that the tests with three directors use, one after another.
var shared *cluster

// threeDirectors returns the cluster at rest: n1 alone answers, and every watchdog is
// armed. At the test's end two directors must never have answered.
func threeDirectors(t *testing.T) *cluster {
	t.Helper()
	kernel.Require(t)
	if shared == nil {
		shared = &cluster{}
		shared.boot(t)
	}
	c := shared
	c.rest(t)
	c.began = boottime.Now()
	t.Cleanup(func() {
		if dual := c.observer.judge(c.began, boottime.Now()).DualAnswer; dual != 0 {
			t.Errorf("two directors answered for %v (I1)", dual)
		}
		if t.Failed() { // the next test shall not suffer from it
			closeShared()
			for _, d := range c.directors {
				t.Logf("log of %s:\n%s", d.name, d.log())
			}
		}
	})
	return c
}

func (c *cluster) boot(t *testing.T) {
	t.Helper()
	var err error
	if c.sw, err = kernel.NewSwitch(); err != nil {
		t.Fatal(err)
	}
	c.observer = observe(t, c.sw)
	for i := range memberCount {
		watchdog := fmt.Sprintf("watchdog /dev/watchdog timeout %d", watchdogTimeout/time.Second)
		if i > 0 { // nobody strikes them: they shall not be reset because the host is busy
			watchdog = "watchdog /dev/watchdog timeout 10"
		}
		c.directors = append(c.directors, powerOn(t, plan{index: i, members: memberCount, sw: c.sw, watchdog: watchdog}))
	}
}

// heal starts hafence on every machine that was booted since, as a service manager would.
func (c *cluster) heal(t *testing.T) {
	t.Helper()
	for _, d := range c.directors {
		d.ready(t)
		if d.started != d.machine.Boots() {
			d.start(t)
		}
	}
}

func closeShared() {
	if shared == nil {
		return
	}
	if shared.observer != nil {
		shared.observer.close()
	}
	for _, d := range shared.directors {
		_ = d.machine.Close()
	}
	_ = shared.sw.Close()
	shared = nil
}

// rest waits until the cluster is at rest.
func (c *cluster) rest(t *testing.T) {
	t.Helper()
	c.heal(t)
	c.directors[0].await(t, "n1 is MASTER and everybody well", func(s *status.Cluster) bool {
		c.heal(t)
		n1 := c.directors[0].name
		if len(s.Groups) != 1 || s.Groups[0].Holder != n1 || s.Leader == "" || s.Leader == n1 {
			return false // a death of the Raft leader costs an election besides (DESIGN §3)
		}
		for _, n := range s.Nodes {
			if !n.Reachable || n.Session == "" || !n.Layers.Watchdog {
				return false
			}
		}
		now := boottime.Now()
		return c.observer.judge(now.Add(-restFor), now).Answering == 0
	})
}
