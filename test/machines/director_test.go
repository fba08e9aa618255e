package machines

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/test/lab/kernel"
)

const (
	// patience is for what has no promised time, on a noisy machine.
	patience = 60 * time.Second
	// poll is between two questions for a status, which cost a machine 50 ms.
	poll = 200 * time.Millisecond
	// noise is what a loaded host may add to any bound that timers are part of.
	noise = 500 * time.Millisecond
)

const (
	// leaseTTL is twice the default: machines that share two CPUs have to wait for them
	// for longer than elections of the default's size last.
	leaseTTL = 3 * time.Second
	// softdogMargin is what the module is loaded with; hafence sets its own.
	softdogMargin = 60
)

var vip = netip.MustParseAddr("10.0.0.100")

// director is a machine with hafence on it.
type director struct {
	name    string
	index   int // its number in a record
	machine *kernel.Machine
	data    string // the host's directory that is /data in the machine
	hafence *kernel.Process
	started int // the boot in which hafence was started last; 0: never
}

// plan is what a director is made of.
type plan struct {
	index    int // n1 is 0, and preferred
	members  int // of its cluster; 0 is 1
	sw       *kernel.Switch
	nowayout int    // of the softdog
	watchdog string // the fence block's line on it
}

// powerOn starts a director's machine; ready waits for it.
func powerOn(t *testing.T, p plan) *director {
	t.Helper()
	d := &director{name: memberName(p.index), index: p.index}
	var err error
	if d.data, err = os.MkdirTemp(scratch, d.name+"-"); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"hafence", "hafence-guard", "cluster.key"} {
		if err := os.Link(program(file), filepath.Join(d.data, file)); err != nil {
			t.Fatal(err)
		}
	}
	d.configure(t, p)
	d.machine, err = kernel.Start(kernel.Options{
		Name: d.name, Switch: p.sw, Data: d.data, Restart: true,
		Modules: []string{"ip_vs", fmt.Sprintf("softdog soft_margin=%d nowayout=%d", softdogMargin, p.nowayout)},
		NICs:    []kernel.NIC{{MAC: hardwareAddress(p.index), Addresses: []netip.Prefix{netip.PrefixFrom(memberAddress(p.index), 24)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func memberName(i int) string { return fmt.Sprintf("n%d", i+1) }

func memberAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }

func hardwareAddress(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 1, byte(i + 1)} }

// configure writes the configuration, as a user would.
func (d *director) configure(t *testing.T, p plan) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "consensus {\n    node %s\n", d.name)
	for i := range max(p.members, 1) {
		fmt.Fprintf(&b, "    member %s %s\n", memberName(i), memberAddress(i))
	}
	fmt.Fprintf(&b, `    key_file /data/cluster.key
    data_dir /data/raft
    lease_ttl %v
}
fence {
    gate off
    lifetime off
    %s
}
vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority %d
    advert_int 1
    virtual_ipaddress {
        %s
    }
}
virtual_server %[4]s 80 {
    protocol TCP
    real_server 10.0.0.200 80 {
        TCP_CHECK {
        }
    }
}
`, leaseTTL.Seconds(), p.watchdog, 150-10*p.index, vip)
	if err := os.WriteFile(filepath.Join(d.data, "hafence.conf"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ready waits until the machine has booted.
func (d *director) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.machine.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// start starts hafence, as a service manager would.
func (d *director) start(t *testing.T) {
	t.Helper()
	var err error
	d.started = d.machine.Boots()
	// The log goes into a file: it outlives the machine.
	d.hafence, err = d.machine.Go(kernel.Command{Args: []string{"sh", "-c", "exec /data/hafence run /data/hafence.conf >>/data/log 2>&1"}})
	if err != nil {
		t.Fatal(err)
	}
}

// stop stops hafence orderly and waits for its end.
func (d *director) stop(t *testing.T) {
	t.Helper()
	if err := d.hafence.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if code, err := d.hafence.Wait(ctx); err != nil || code != 0 {
		t.Fatalf("hafence on %s: exit status %d, %v", d.name, code, err)
	}
}

// processes are the IDs, in the machine, of a program's processes, with blanks between.
func (d *director) processes(t *testing.T, program string) string {
	t.Helper()
	return strings.TrimSpace(d.shell(t, "pidof "+program))
}

// stopGuard stops the guard alone where it is (SIGSTOP).
func (d *director) stopGuard(t *testing.T) (at boottime.Instant) {
	t.Helper()
	guard := d.processes(t, "hafence-guard")
	at = boottime.Now()
	d.shell(t, "kill -STOP "+guard)
	return at
}

// killAll kills the guard and its children at once. They are stopped before, so that
// none sees another's death, and the children die first: a stopped child would be woken
// by the guard's death (setpgid(2), orphaned process groups).
func (d *director) killAll(t *testing.T) (at boottime.Instant) {
	t.Helper()
	guard, children := d.processes(t, "hafence-guard"), d.processes(t, "hafence")
	at = boottime.Now()
	d.shell(t, fmt.Sprintf("kill -STOP %s %s; kill -KILL %[2]s %[1]s", guard, children))
	return at
}

// killChildren kills the controller and the checker, which the guard then has to
// withdraw for.
func (d *director) killChildren(t *testing.T) (at boottime.Instant) {
	t.Helper()
	children := d.processes(t, "hafence")
	at = boottime.Now()
	d.shell(t, "kill -KILL "+children)
	return at
}

// refuse makes the kernel refuse every rtnetlink request of the guard (EPERM), from now
// on until the machine ends. Method: a tracer.
func (d *director) refuse(t *testing.T) {
	t.Helper()
	guard := d.processes(t, "hafence-guard")
	_, err := d.machine.Go(kernel.Command{
		Args: []string{"strace", "-f", "-o", "/dev/null", "-e", "trace=sendto", "-e", "inject=sendto:error=EPERM", "-p", guard},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Until no thread is left that is not traced.
	d.shell(t, fmt.Sprintf("while grep -L 'TracerPid:.*[1-9]' /proc/%s/task/*/status | grep -q .; do sleep 0.01; done", guard))
}

func (d *director) shell(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := d.machine.Run(ctx, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// status asks the director for the cluster's status; nil while it has none.
func (d *director) status(t *testing.T) *status.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := d.machine.Exec(ctx, "/data/hafence", "status", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var c status.Cluster
	if json.Unmarshal([]byte(out.Stdout), &c) != nil {
		return nil
	}
	return &c
}

// await waits for a status.
func (d *director) await(t *testing.T, what string, is func(*status.Cluster) bool) *status.Cluster {
	t.Helper()
	var last *status.Cluster
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(poll) {
		if last = d.status(t); last != nil && is(last) {
			return last
		}
	}
	text, _ := json.MarshalIndent(last, "", "  ")
	t.Fatalf("%s: not within %v; the status of %s is %s", what, patience, d.name, text)
	return nil
}

// reset waits until the watchdog has reset the machine, for the n-th time it was on,
// and returns when.
func (d *director) reset(t *testing.T, boot int) boottime.Instant {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end, err := d.machine.EndOf(ctx, boot)
	if err != nil {
		t.Fatal(err)
	}
	if end.Cause != kernel.Softdog {
		t.Fatalf("%s ended by %s; its console:\n%s", d.name, end.Cause, d.machine.Console())
	}
	return boottime.Now().Add(-time.Since(end.At))
}

// livesOn fails the test if the machine ends within a time.
func (d *director) livesOn(t *testing.T, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if end, err := d.machine.EndOf(ctx, d.machine.Boots()); err == nil {
		t.Fatalf("%s ended by %s", d.name, end.Cause)
	}
}

// log is what hafence has said on the machine, over all its boots.
func (d *director) log() string {
	text, _ := os.ReadFile(filepath.Join(d.data, "log"))
	return string(text)
}

// close ends the machine, and shows what hafence said where the test has failed.
func (d *director) close(t *testing.T) {
	t.Helper()
	if err := d.machine.Close(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("log of %s:\n%s", d.name, d.log())
	}
}

// raftLog is the file with the director's votes and log.
func (d *director) raftLog(t *testing.T) os.FileInfo {
	t.Helper()
	found, err := os.Stat(filepath.Join(d.data, "raft", "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// token is the fencing token of the cluster's only group.
func (d *director) token(t *testing.T) uint64 {
	t.Helper()
	return d.await(t, "a status", func(c *status.Cluster) bool { return len(c.Groups) == 1 }).Groups[0].Token
}
