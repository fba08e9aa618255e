package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample is a cluster with everything that the forms can show.
func sample() *Cluster {
	layers := Layers{Guard: true, Gate: true, Lifetime: true, MemoryLocked: true, Missing: []string{"protection from the OOM killer: refused"}}
	instance := Instance{
		Name: "VI_1", Interface: "eth0", RouterID: 51, State: "MASTER", Reason: "MASTER: lease granted with token 7", Since: 185,
		Sent: 185, Received: 2, Dropped: map[string]uint64{"wrong TTL": 1},
	}
	return &Cluster{
		Version: "1.2.3", SeenFrom: "lb1", Mode: "lease", Quorum: true, Leader: "lb3", Term: 4, LeaseTTL: 1.5,
		Groups: []Group{{Name: "VI_1", Holder: "lb1", Token: 7, TimeLeft: 1.42, WantedBy: "lb2", VIPs: []string{"192.0.2.100/32"}}},
		Nodes: []Node{
			{Name: "lb1", Address: "192.0.2.1:7946", Reachable: true, Version: "1.2.3", Uptime: 200, Session: "lb1#3", TimeLeft: 1.42, Quorum: true, Layers: layers,
				Groups: []Local{{Group: "VI_1", State: "MASTER", Reason: "lease granted with token 7", Since: 185, Phase: "holding", Token: 7, Priority: 150,
					Eligible: true, VIPs: []string{"192.0.2.100/32"}, Instances: []Instance{instance}}}},
			{Name: "lb2", Error: "connection refused"},
			{Name: "lb3", Reachable: true, Witness: true, Session: "lb3#1", TimeLeft: 1.4, Quorum: true, Layers: Layers{Guard: true}},
		},
		Warnings: []string{"lb1: fencing layer missing: protection from the OOM killer: refused"},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", name, diff)
	}
}

// The JSON form is a contract: a change that breaks this file breaks its users.
func TestJSONFormIsStable(t *testing.T) {
	got, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", append(got, '\n'))
}

func TestRenderedForm(t *testing.T) {
	var out bytes.Buffer
	if err := Render(&out, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", out.Bytes())
}

// Without a quorum that is the first thing a reader sees, and why.
func TestNoQuorumComesFirst(t *testing.T) {
	c := sample()
	c.Quorum, c.Trouble = false, "no majority of the voters answers"
	var out bytes.Buffer
	if err := Render(&out, c); err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(out.String(), "\n"); !strings.HasPrefix(first, "NO QUORUM, as seen from lb1: no majority") {
		t.Fatalf("first line: %s", first)
	}
}

// A holder that is not MASTER is said to be so: it is what an operator must see.
func TestHolderThatIsNotMasterIsNamedSo(t *testing.T) {
	c := sample()
	c.Nodes[0].Groups[0].State = "BACKUP"
	if got := master(c, c.Groups[0]); !strings.Contains(got, "holds the lease, is BACKUP") {
		t.Fatal(got)
	}
}

// The socket answers, refuses a second server, replaces a dead one's file, and is
// not for everybody.
func TestSocketServesStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "s")
	serve := func() (stop func()) {
		s, err := Listen(path, func(context.Context) (*Cluster, error) { return sample(), nil })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		doneC := make(chan error, 1)
		go func() { doneC <- s.Run(ctx) }()
		return func() {
			cancel()
			if err := <-doneC; err != nil {
				t.Error(err)
			}
		}
	}
	stop := serve()
	got, err := Fetch(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, nil); err == nil || !strings.Contains(err.Error(), "another hafence") {
		t.Errorf("a second server: %v", err)
	}
	stop()
	if _, err := Fetch(context.Background(), path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
	// A server that was killed leaves its file.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	serve()()
}

// A client that says nothing, or reads nothing, is cut off and holds nobody up.
func TestIdleClientHoldsNobodyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, func(context.Context) (*Cluster, error) { return sample(), nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = s.Run(ctx) }()
	idle, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := Fetch(ctx, path); err != nil {
		t.Fatal(err)
	}
	_ = idle.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := idle.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("an idle client is never cut off")
	}
}

// servers is a checker's account with everything that the forms can show.
func servers() *Servers {
	return &Servers{
		Version: "1.2.3", Uptime: 200, Trouble: "1 of 2 operations refused", Repaired: map[string]uint64{"services_deleted": 1},
		Lateness: Lateness{P99: 0.002, Max: 0.01},
		VirtualServers: []VirtualServer{
			{
				Name: "[192.0.2.100]:tcp:80", Services: []string{"TCP 192.0.2.100:80"}, Scheduler: "wlc", Quorum: true, Needed: 1, Weight: 3,
				Connections: Connections{Total: 100, InBytes: 1000, OutBytes: 5000, Active: 12, Inactive: 3},
				RealServers: []RealServer{
					{Name: "[198.51.100.1]:tcp:80", Up: true, InIPVS: true, Weight: 3, Since: 7600, Reason: "connected",
						Connections: Connections{Active: 12, Inactive: 3}, Checks: []Check{{Name: "TCP_CHECK", Up: true, Ran: true}}},
					{Name: "[198.51.100.2]:tcp:80", InIPVS: true, Since: 8, Reason: "status 500", Checks: []Check{
						{Name: "HTTP_GET", Ran: true, History: []Try{{Ago: 3, Took: 0.01, Reason: "status 500"}, {Ago: 8, Took: 0.01, Reason: "status 500"}}},
					}},
				},
			},
			{
				Name: "[web]:tcp", Services: []string{"TCP 192.0.2.101:80", "TCP 192.0.2.102:80"}, Scheduler: "rr", Needed: 2, Weight: 1, Sorry: true,
				RealServers: []RealServer{{Name: "[198.51.100.3]:tcp:80", Since: 60, Reason: "connect: connection refused"}},
			},
		},
		Warnings: []string{"the last reload was refused: it has errors"},
	}
}

// The servers' JSON form is a contract, too.
func TestJSONFormOfServersIsStable(t *testing.T) {
	got, err := json.MarshalIndent(servers(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "servers.json", append(got, '\n'))
}

func TestRenderedFormOfServers(t *testing.T) {
	var out bytes.Buffer
	if err := RenderServers(&out, servers()); err != nil {
		t.Fatal(err)
	}
	golden(t, "servers.txt", out.Bytes())
}
