package directors

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/test/lab/kernel"
)

// Goal: where there is a user hafence and no script needs root, the checker is that user
// with just the rights that it needs, and does all it did as root; the first script of a
// reload makes it root again, and IPVS does not notice. Method: the user, in the
// machine's own /etc; the process's status; a client that connects all the time.
func TestCheckerRunsAsItsOwnUser(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	const own = "990"
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	line := "hafence:x:" + own + ":" + own + "::/:/usr/sbin/nologin\n"
	if err := os.WriteFile("/etc/passwd", append([]byte(line), passwd...), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/etc/passwd", passwd, 0o644) })
	c := open(t, demo.Options{Service: &demo.Service{Method: "DR", Patience: slow}, Plain: true, Ungated: true})
	c.serving()
	n := c.Nodes[0]
	c.until("the checker answers", func() bool { return c.down(n) == 0 })
	// CAP_DAC_READ_SEARCH 2, NET_BIND_SERVICE 10, NET_ADMIN 12, NET_RAW 13.
	if uid, caps := c.rights(c.checker(n)); uid != own || caps != "0000000000003404" {
		t.Errorf("the checker runs as %s with %s", uid, caps)
	}
	c.must(c.Servers[0].Down())
	c.until("it takes a failed server out", func() bool { return c.down(n) == 1 })
	c.must(c.Servers[0].Up())
	c.until("and in again", func() bool { return c.down(n) == 0 })

	text, err := os.ReadFile(n.ConfigFile())
	c.must(err)
	visitor := demo.NewVisitor(c.Cluster)
	defer visitor.Close()
	before := c.checker(n)
	scripted := strings.Replace(string(text), "    delay_loop", "    quorum_up /bin/true\n    delay_loop", 1)
	c.must(os.WriteFile(n.ConfigFile(), []byte(scripted), 0o644))
	c.must(n.Reload())
	c.until("another checker answers", func() bool {
		told, err := n.Servers(context.Background())
		return err == nil && told.Trouble == "" && c.checker(n) != before
	})
	if uid, _ := c.rights(c.checker(n)); uid != "0" {
		t.Errorf("with a script the checker runs as %s", uid)
	}
	for _, v := range visitor.Visits(0) {
		if v.Server == "" {
			t.Errorf("a visit failed meanwhile: %+v", v)
		}
	}
}

// rights are a process's effective user and capabilities.
func (c *cluster) rights(pid int) (uid, capabilities string) {
	c.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	c.must(err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Uid:"):
			uid = fields[2]
		case strings.HasPrefix(line, "CapEff:"):
			capabilities = fields[1]
		}
	}
	return uid, capabilities
}
