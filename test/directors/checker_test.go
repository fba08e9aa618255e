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
	c.until("the new checker takes a failed server out", func() bool {
		told, err := n.Servers(context.Background())
		if err != nil {
			return false
		}
		down, _ := told.Down()
		return down == 1
	})
}
