package scenarios

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/test/lab"
)

// patience is for what has no promised time, on a noisy machine.
const patience = 30 * time.Second

// programs is where both programs were built.
var programs string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hafence-scenarios-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	out, err := exec.Command("go", "build", "-o", dir, "github.com/hafence/hafence/cmd/...").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

func hafence() string { return filepath.Join(programs, "hafence") }

// fixture is a cluster under test, and when it began.
type fixture struct {
	*testing.T
	*demo.Cluster
	began boottime.Instant
}

// open builds a cluster that does not run yet. At its end two nodes must never have
// answered.
func open(t *testing.T) *fixture {
	t.Helper()
	lab.Require(t, "unshare")
	logs := t.TempDir()
	cluster, err := demo.Open(demo.Options{Program: hafence(), KeepLog: logs})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, Cluster: cluster, began: boottime.Now()}
	t.Cleanup(func() {
		if dual := f.Observer.Record().Judge(f.began, boottime.Now()).DualAnswer; dual != 0 {
			t.Errorf("two nodes answered for %v", dual)
		}
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, n := range cluster.Nodes {
				text, _ := os.ReadFile(filepath.Join(logs, n.Name+".log"))
				t.Logf("log of %s:\n%s", n.Name, text)
			}
		}
	})
	return f
}

// running builds a cluster and waits until the preferred node answers.
func running(t *testing.T) *fixture {
	t.Helper()
	f := open(t)
	f.must(f.Start())
	f.answers(f.Nodes[0])
	f.settled()
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// until waits for something to be so.
func (f *fixture) until(what string, ok func() bool) {
	f.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	f.Fatalf("never: %s", what)
}

// lately judges the last moments.
func (f *fixture) lately() demo.Judgement {
	now := boottime.Now()
	return f.Observer.Record().Judge(now.Add(-time.Second), now)
}

// answers waits until one node, and no other, answers.
func (f *fixture) answers(n *demo.Node) {
	f.Helper()
	f.until(n.Name+" answers for the VIP", func() bool { return f.lately().Answering == n.Index })
}

// silent checks that nobody answers for a while.
func (f *fixture) silent(d time.Duration) {
	f.Helper()
	<-time.After(d)
	if got := f.lately().Answering; got >= 0 {
		f.Fatalf("%s answers", f.Nodes[got].Name)
	}
}

// settled waits until every running node has a session and the Raft leader holds no
// lease.
func (f *fixture) settled() {
	f.Helper()
	f.until("a settled cluster", func() bool {
		for _, n := range f.Nodes {
			if !n.Running() {
				continue
			}
			s, err := f.ask(n)
			if err != nil || !s.Quorum || len(s.Groups) == 0 || s.Leader == "" || s.Leader == s.Groups[0].Holder {
				return false
			}
		}
		return true
	})
}

func (f *fixture) ask(n *demo.Node) (*status.Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return n.Status(ctx)
}

// warned waits until a node's status has a warning with the text.
func (f *fixture) warned(n *demo.Node, text string) {
	f.Helper()
	var last []string
	defer func() {
		if f.Failed() {
			f.Logf("the last warnings: %q", last)
		}
	}()
	f.until(fmt.Sprintf("a warning on %s with %q", n.Name, text), func() bool {
		s, err := f.ask(n)
		if err != nil {
			return false
		}
		last = s.Warnings
		return strings.Contains(strings.Join(last, "\n"), text)
	})
}

// logged waits until a node's log has the text.
func (f *fixture) logged(n *demo.Node, text string) {
	f.Helper()
	f.until(fmt.Sprintf("%q in the log of %s", text, n.Name), func() bool {
		log, err := os.ReadFile(n.LogFile())
		return err == nil && strings.Contains(string(log), text)
	})
}

// rewrite changes a node's configuration file.
func (f *fixture) rewrite(n *demo.Node, from, to string) {
	f.Helper()
	text, err := os.ReadFile(n.ConfigFile())
	f.must(err)
	if !strings.Contains(string(text), from) {
		f.Fatalf("no %q in the configuration of %s", from, n.Name)
	}
	f.must(os.WriteFile(n.ConfigFile(), []byte(strings.Replace(string(text), from, to, 1)), 0o644))
}

// outageSince is the longest time without an answer since an instant.
func (f *fixture) outageSince(from boottime.Instant) time.Duration {
	return f.Observer.Record().Judge(from, boottime.Now()).Outage
}
