package scenarios

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hafence/hafence/test/lab"
)

// A keepalived of higher priority on the LAN, no member of the cluster: hafence
// gives way as RFC 3768 has it, all nodes leave it the VIP, the status names it, and
// when it is gone the service returns.
func TestMasterYieldsToKeepalivedOfHigherPriority(t *testing.T) {
	lab.Require(t, "keepalived")
	f := running(t)
	stop := keepalived(f, 250)
	f.warned(f.Nodes[0], "10.77.0.66, which is no member of this cluster")
	f.until("no node of the cluster answers", func() bool { return f.lately().Answering < 0 })
	f.silent(5 * time.Second)
	stop()
	f.answers(f.Nodes[0])
}

// A keepalived of lower priority takes nothing away.
func TestMasterIsKeptAgainstKeepalivedOfLowerPriority(t *testing.T) {
	lab.Require(t, "keepalived")
	f := running(t)
	defer keepalived(f, 50)()
	<-time.After(6 * time.Second)
	f.answers(f.Nodes[0])
}

// keepalived runs Debian's keepalived on a host of its own, 10.77.0.66, with all its
// files in a directory of the test.
func keepalived(f *fixture, priority int) (stop func()) {
	f.Helper()
	host, err := lab.NewHost("stranger")
	f.must(err)
	f.Cleanup(func() { _ = host.Close() })
	_, err = f.Switch.Plug(host, "eth0", netip.MustParsePrefix("10.77.0.66/24"))
	f.must(err)
	dir := f.TempDir()
	config := filepath.Join(dir, "keepalived.conf")
	f.must(os.WriteFile(config, fmt.Appendf(nil, `vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority %d
    advert_int 1
    virtual_ipaddress {
        10.77.0.100
    }
}
`, priority), 0o644))
	cmd := exec.Command("keepalived", "--dont-fork", "--log-console", "--vrrp", "--use-file", config,
		"--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp"), "--checkers_pid", filepath.Join(dir, "checkers"))
	f.must(host.Start(cmd))
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // how it ends is no concern of ours
	}
}
