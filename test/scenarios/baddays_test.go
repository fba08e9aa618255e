package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// A configuration with mistakes does not start: each is named with its place, and
// the exit code is 2.
func TestWrongConfigurationIsNamedAndStartsNothing(t *testing.T) {
	lab.Require(t)
	file := filepath.Join(t.TempDir(), "bad.conf")
	text := "vrrp_instance VI_1 {\n    interfce eth0\n    virtual_router_id 300\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(hafence(), "run", file)
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("run: %v, want exit code 2", err)
	}
	for _, want := range []string{file + ":2:5: ", `interface`, file + ":3:23: ", "hafence check"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in:\n%s", want, stderr.String())
		}
	}
}

// SIGHUP with a bad file changes nothing, and says so; with a good one it changes
// what differs without an outage.
func TestReloadValidatesFirst(t *testing.T) {
	f := running(t)
	master := f.Nodes[0]
	good, err := os.ReadFile(master.ConfigFile())
	f.must(err)
	began := boottime.Now()
	f.rewrite(master, "virtual_router_id", "virtual_ruoter_id")
	f.must(master.Reload())
	f.warned(master, "the last reload was refused")
	f.rewrite(master, "virtual_ruoter_id", "virtual_router_id")
	f.rewrite(master, "lease_ttl 1.5", "lease_ttl 2")
	f.must(master.Reload())
	f.warned(master, "the consensus block can be changed by a restart only")
	f.must(os.WriteFile(master.ConfigFile(), good, 0o644))
	f.rewrite(master, "advert_int 1\n", "advert_int 1\n    garp_master_refresh 60\n")
	f.must(master.Reload())
	f.until("no more warning of a refused reload", func() bool {
		s, err := f.ask(master)
		return err == nil && !strings.Contains(strings.Join(s.Warnings, "\n"), "reload")
	})
	if outage := f.outageSince(began); outage > 0 {
		t.Fatalf("an outage of %v", outage)
	}
	// A VIP more: it is configured and answers after the reload.
	f.rewrite(master, "virtual_ipaddress {", "virtual_ipaddress {\n        10.77.0.101")
	f.must(master.Reload())
	f.until("the second VIP on the interface", func() bool {
		out, err := master.Host.Output("ip", "-br", "addr", "show", "dev", master.Port.Interface)
		return err == nil && strings.Contains(string(out), "10.77.0.101/32")
	})
	f.answers(master)
}

// One node of three: no quorum, no VIP, and the status says why. The second brings
// the service.
func TestNodeWithoutPeersServesNothing(t *testing.T) {
	f := open(t)
	f.must(f.Nodes[0].Start())
	f.until("a status", func() bool { _, err := f.ask(f.Nodes[0]); return err == nil })
	f.silent(4 * time.Second)
	out, err := exec.Command(hafence(), "status", "--socket", f.Nodes[0].SocketPath()).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("status: %v, want exit code 3", err)
	}
	if !strings.Contains(string(out), "NO QUORUM") || !strings.Contains(string(out), "1 of 3 nodes") {
		t.Errorf("status says:\n%s", out)
	}
	f.must(f.Nodes[1].Start())
	f.answers(f.Nodes[0])
}

// A node with another cluster's key stays out, and everybody says so; the others
// serve.
func TestWrongClusterKeyStaysOut(t *testing.T) {
	f := open(t)
	odd := f.Nodes[2]
	key := filepath.Join(t.TempDir(), "other.key")
	f.must(exec.Command(hafence(), "keygen", key).Run())
	f.rewriteKey(odd.ConfigFile(), key)
	f.must(f.Start())
	f.answers(f.Nodes[0])
	f.warned(f.Nodes[0], "a connection was refused")
	f.until("no quorum on the odd node", func() bool { s, err := f.ask(odd); return err == nil && !s.Quorum })
}

// A key file that is missing is named, with what to do; the others serve.
func TestMissingClusterKeyIsNamed(t *testing.T) {
	f := open(t)
	f.rewriteKey(f.Nodes[2].ConfigFile(), "/nonexistent/cluster.key")
	f.must(f.Start())
	f.answers(f.Nodes[0])
	f.logged(f.Nodes[2], "hafence keygen /nonexistent/cluster.key")
}

func (f *fixture) rewriteKey(config, key string) {
	f.Helper()
	text, err := os.ReadFile(config)
	f.must(err)
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		if strings.Contains(l, "key_file") {
			lines[i] = "    key_file " + key
		}
	}
	f.must(os.WriteFile(config, []byte(strings.Join(lines, "\n")), 0o644))
}

// smallDisk puts a node's data directory on a small file system that vanishes with
// its processes: a tmpfs in a mount namespace of their own.
func smallDisk(dataDir string) []string {
	script := fmt.Sprintf(`mount -t tmpfs -o size=1m tmpfs %q && exec "$@"`, dataDir)
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}
}

// I5: a full disk never costs a VIP. The MASTER's is filled; it goes on serving,
// also when another node restarts, says what is wrong, and hands over when asked.
func TestFullDataDirectoryCostsNothing(t *testing.T) {
	f := open(t)
	master := f.Nodes[0]
	master.Wrapper = smallDisk(master.DataDir())
	f.must(f.Start())
	f.answers(master)
	f.settled()
	began := boottime.Now()
	pids, err := master.Processes()
	f.must(err)
	// The process's own root shows its mounts.
	full := fmt.Sprintf("/proc/%d/root%s/full", pids[len(pids)-1], master.DataDir())
	err = os.WriteFile(full, make([]byte, 2<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v, want no space left", err)
	}
	// Something to write: another node leaves and comes back, until the pages that the
	// file already has are used up.
	other := f.Nodes[1]
	f.until("a warning of the disk", func() bool {
		f.must(other.Stop())
		f.until("the other node's end", func() bool { return !other.Running() })
		f.must(other.Start())
		f.until("the other node's session", func() bool { s, err := f.ask(other); return err == nil && s.Quorum })
		s, err := f.ask(master)
		return err == nil && strings.Contains(strings.Join(s.Warnings, "\n"), "the data directory cannot be written")
	})
	<-time.After(2 * f.TTL())
	if outage := f.outageSince(began); outage > 0 {
		t.Errorf("an outage of %v", outage)
	}
	if got := f.lately().Answering; got != master.Index {
		t.Errorf("node %d answers, want the one with the full disk", got)
	}
	f.must(os.Remove(full))
	f.until("no more warning of the disk", func() bool {
		s, err := f.ask(master)
		return err == nil && !strings.Contains(strings.Join(s.Warnings, "\n"), "cannot be written")
	})
}

// A data directory that is read-only from the start: the node says so and serves
// nothing; the others do.
func TestReadOnlyDataDirectoryIsNamed(t *testing.T) {
	f := open(t)
	n := f.Nodes[0]
	script := fmt.Sprintf(`mount -t tmpfs -o ro tmpfs %q && exec "$@"`, n.DataDir())
	n.Wrapper = []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}
	f.must(f.Start())
	f.answers(f.Nodes[1])
	f.logged(n, "read-only file system")
	f.logged(n, "needs it writable")
}

// A damaged Raft log: the node says what to do, and joins again once that is done.
func TestDamagedLogIsNamedAndComesBack(t *testing.T) {
	f := running(t)
	n := f.Nodes[2]
	f.must(n.Stop())
	f.until("the node's end", func() bool { return !n.Running() })
	log := filepath.Join(n.DataDir(), "raft.db")
	f.must(os.WriteFile(log, bytes.Repeat([]byte("damaged "), 8192), 0o600))
	f.must(n.Start())
	f.logged(n, "move the file away")
	if got := f.lately().Answering; got != 0 {
		t.Errorf("node %d answers, want the MASTER that was", got)
	}
	f.must(os.Rename(log, log+".damaged"))
	f.until("the node's session", func() bool { s, err := f.ask(n); return err == nil && s.Quorum })
}

// The MASTER's interface vanishes and is made anew. The others take over; the node
// notices both without a restart.
func TestInterfaceThatVanishesAndReturns(t *testing.T) {
	f := running(t)
	n := f.Nodes[0]
	f.must(f.Switch.Unplug(n.Port))
	f.answers(f.Nodes[1])
	f.logged(n, "FAULT: interface "+n.Port.Interface)
	f.must(f.Replug(n))
	f.answers(n)
}

// Somebody removes the VIP: it is put back. Somebody adds it on another director:
// the gate there keeps it silent.
func TestHandsOnTheVIP(t *testing.T) {
	f := running(t)
	master, other := f.Nodes[0], f.Nodes[1]
	f.must(master.Host.Run("ip", "addr", "del", "10.77.0.100/32", "dev", master.Port.Interface))
	f.logged(master, "put back")
	f.answers(master)
	f.must(other.Host.Run("ip", "addr", "add", "10.77.0.100/32", "dev", other.Port.Interface))
	<-time.After(2 * time.Second)
	f.answers(master) // and at the end: never two
}

// The guard dies alone: the controller withdraws with the same code and ends; the
// lease passes on without waiting for its time.
func TestDeadGuardIsNoStaleVIP(t *testing.T) {
	f := running(t)
	n := f.Nodes[0]
	pids, err := n.Processes()
	f.must(err)
	began := boottime.Now()
	f.must(syscall.Kill(pids[0], syscall.SIGKILL))
	f.answers(f.Nodes[1])
	if outage := f.outageSince(began); outage > f.TTL() {
		t.Errorf("an outage of %v; the controller should not leave it to the lease", outage)
	}
	f.until("the controller's end", func() bool { return syscall.Kill(pids[1], 0) != nil })
}

// Instants are never compared between hosts: nodes whose clocks began decades apart
// are one cluster. Method: time namespaces (time_namespaces(7)).
func TestNodesThatBootedAtOtherTimes(t *testing.T) {
	if out, err := exec.Command("unshare", "--time", "--boottime", "1000", "true").CombinedOutput(); err != nil {
		lab.Skip(t, "no time namespaces: "+strings.TrimSpace(string(out)))
	}
	f := open(t)
	for i, n := range f.Nodes {
		offset := fmt.Sprint((i + 1) * 300_000_000) // seconds; ten years
		n.Wrapper = []string{"unshare", "--time", "--boottime", offset, "--monotonic", offset, "--fork", "--kill-child=KILL"}
	}
	f.must(f.Start())
	f.answers(f.Nodes[0])
	f.settled()
	f.must(f.Nodes[0].Port.Cut())
	f.answers(f.Nodes[1])
	f.must(f.Nodes[0].Port.Heal())
	f.answers(f.Nodes[0])
}

// Two directors and a witness: it votes and never holds the VIP.
func TestWitnessVotesOnly(t *testing.T) {
	f := open(t)
	for _, n := range f.Nodes {
		f.rewrite(n, "member n3 10.77.0.13", "member n3 10.77.0.13 witness")
	}
	f.must(f.Start())
	f.answers(f.Nodes[0])
	f.settled()
	f.must(f.Nodes[0].Kill())
	f.answers(f.Nodes[1])
	s, err := f.ask(f.Nodes[2])
	f.must(err)
	for _, n := range s.Nodes {
		if n.Name == "n3" && (!n.Witness || len(n.Groups) != 0) {
			t.Errorf("the witness: %+v", n)
		}
	}
	f.must(f.Nodes[1].Kill()) // one of three left: the witness serves nothing
	f.silent(2 * f.TTL())
}

// "consensus off": plain VRRP between two nodes, with the guard's protection: when
// everything of the MASTER dies its VIP falls silent all the same (I4).
func TestConsensusOffIsVRRPWithoutStaleVIP(t *testing.T) {
	f := open(t)
	for _, n := range f.Nodes[:2] {
		text, err := os.ReadFile(n.ConfigFile())
		f.must(err)
		_, rest, _ := strings.Cut(string(text), "status {")
		f.must(os.WriteFile(n.ConfigFile(), []byte("consensus off\nstatus {"+rest), 0o644))
		f.must(n.Start())
	}
	f.answers(f.Nodes[0])
	f.must(f.Nodes[0].Kill())
	f.answers(f.Nodes[1])
	f.must(f.Nodes[1].Stop())
	f.until("the node's end", func() bool { return !f.Nodes[1].Running() })
	f.silent(time.Second)
}
