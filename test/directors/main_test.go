package directors

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/test/lab/kernel"
)

// programsVariable names the directory of the built programs; what begins with HAFENCE_
// is passed on to tests inside a machine.
const programsVariable = "HAFENCE_TEST_PROGRAMS"

const (
	patience = 60 * time.Second // for what has no promised time, in a machine that is slow
	leaseTTL = 4 * time.Second  // long, for the same reason
	slow     = time.Second      // for an answer from a kernel that is emulated
)

func TestMain(m *testing.M) { os.Exit(build(m)) }

// build builds both programs once, on the host: inside a machine it would take long.
func build(m *testing.M) int {
	if kernel.Inside() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hafence-directors-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	command := exec.Command("go", "build", "-o", dir, "github.com/hafence/hafence/cmd/...")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(programsVariable, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// modules are what directors and real servers need.
var modules = []string{"ip_vs", "ip_vs_rr", "nf_tables", "bridge", "veth", "ipip"}

// gated are what they need where there is a packet gate, too.
var gated = append([]string{kernel.PacketGate, "nft_chain_nat", "nft_redir"}, modules...)

// cluster is a demo's cluster with a virtual server, inside a machine.
type cluster struct {
	*testing.T
	*demo.Cluster
	logs string
}

func open(t *testing.T, options demo.Options) *cluster {
	t.Helper()
	c := &cluster{T: t, logs: t.TempDir()}
	options.Program = filepath.Join(os.Getenv(programsVariable), "hafence")
	options.TTL, options.KeepLog = leaseTTL, c.logs
	var err error
	if c.Cluster, err = demo.Open(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Cluster.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, n := range c.Nodes {
				text, _ := os.ReadFile(filepath.Join(c.logs, n.Name+".log"))
				t.Logf("log of %s:\n%s", n.Name, text)
			}
		}
	})
	return c
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) until(what string, ok func() bool) {
	c.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("never: %s", what)
		}
	}
}

// tell tells the service's story, which judges itself.
func tell(t *testing.T, options demo.Options) {
	t.Helper()
	c := open(t, options)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	report, err := demo.RunService(ctx, c.Cluster, func(s demo.ServiceStep) { t.Logf("%+v", s) })
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK {
		t.Error("a promise was broken")
	}
}
