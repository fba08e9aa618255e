package checker

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/lvs/lvstest"
)

const patience = 20 * time.Second // for what has no promised time

// fakeKernel is a kernel that the test may look at while the checker works on it.
type fakeKernel struct {
	mu sync.Mutex
	*lvstest.Kernel
}

func (k *fakeKernel) Services() ([]lvs.Service, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Kernel.Services()
}

func (k *fakeKernel) Apply(ops []lvs.Op) lvs.Outcome {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Kernel.Apply(ops)
}

func (k *fakeKernel) Statistics() ([]lvs.ServiceStatistics, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Kernel.Statistics()
}

// disturb performs a change as another tool would.
func (k *fakeKernel) disturb(op lvs.Op) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Execute(op)
}

func (k *fakeKernel) ops() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Ops
}

// shown is the table in words: "TCP 192.0.2.1:80 rr: 127.0.0.1:8080/1 …".
func (k *fakeKernel) shown() string {
	services, _ := k.Services()
	var lines []string
	for _, s := range services {
		var destinations []string
		for _, d := range s.Destinations {
			destinations = append(destinations, fmt.Sprintf("%v/%d", d.Addr, d.Weight))
		}
		slices.Sort(destinations)
		lines = append(lines, s.ServiceKey.String()+": "+strings.Join(destinations, " "))
	}
	return strings.Join(lines, "; ")
}

// life is one checker process, without the process.
type life struct {
	t       *testing.T
	dir     string
	kernel  *fakeKernel
	checker *Checker
	guard   *guard.Client
	cancel  context.CancelFunc
	endC    chan error
}

// begin starts a checker on a configuration; dir and kernel outlive it.
func begin(t *testing.T, dir string, kernel *fakeKernel, text string) *life {
	t.Helper()
	l := &life{t: t, dir: dir, kernel: kernel, endC: make(chan error, 1)}
	l.write(text)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	l.must(err)
	l.guard, err = guard.NewClient(os.NewFile(uintptr(fds[0]), "guard"))
	l.must(err)
	l.checker, err = Open(Options{
		ConfigFile: l.file(), Load: config.Options{ID: "lb1", Node: "lb1"}, GuardFD: fds[1], Logger: hclog.NewNullLogger(),
		openKernel: l.open,
	})
	l.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.endC <- l.checker.Run(ctx) }()
	t.Cleanup(l.kill)
	return l
}

func (l *life) open() (kernel, error) {
	if l.kernel == nil {
		return nil, lvs.ErrNoIPVS
	}
	return l.kernel, nil
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) file() string { return filepath.Join(l.dir, "keepalived.conf") }

func (l *life) write(text string) {
	text = "status {\n socket " + l.dir + "/hafence.sock\n}\n" + text
	l.must(os.WriteFile(l.file(), []byte(text), 0o600))
}

// reload reads another configuration.
func (l *life) reload(text string) {
	l.write(text)
	l.checker.Reload()
}

// kill ends the checker without a word, as a crash would; stop asks it to end.
func (l *life) kill() {
	if l.endC == nil {
		return
	}
	l.cancel()
	<-l.endC
	_ = l.guard.Close()
	l.endC = nil
}

func (l *life) stop() {
	l.t.Helper()
	l.checker.Stop("the test")
	if err := <-l.endC; err != nil {
		l.t.Error(err)
	}
	l.cancel()
	_ = l.guard.Close()
	l.endC = nil
}

// await waits until the kernel's table is as wanted.
func (l *life) await(want string) {
	l.t.Helper()
	for end := time.Now().Add(patience); l.kernel.shown() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("IPVS has %q, want %q", l.kernel.shown(), want)
		}
	}
}

func (l *life) status() *status.Servers {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	s, err := status.FetchServers(ctx, status.ServersSocket(l.dir+"/hafence.sock"))
	l.must(err)
	return s
}

// settled waits until every check has been judged once.
func (l *life) settled() {
	l.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		ran := true
		for _, v := range l.status().VirtualServers {
			for _, r := range v.RealServers {
				for _, c := range r.Checks {
					ran = ran && c.Ran
				}
			}
		}
		if ran {
			return
		}
		if time.Now().After(end) {
			l.t.Fatal("not every check has run")
		}
	}
}

// servers are real servers on loopback that can be closed and opened.
type realServer struct {
	t        *testing.T
	address  string
	listener net.Listener
}

func newRealServer(t *testing.T) *realServer {
	r := &realServer{t: t, address: "127.0.0.1:0"}
	r.up()
	t.Cleanup(r.down)
	return r
}

func (r *realServer) up() {
	r.t.Helper()
	var err error
	if r.listener, err = net.Listen("tcp", r.address); err != nil {
		r.t.Fatal(err)
	}
	r.address = r.listener.Addr().String()
	go func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}(r.listener)
}

func (r *realServer) down() { _ = r.listener.Close() }

// block is a real_server with a quick TCP_CHECK.
func (r *realServer) block(options string) string {
	host, port, _ := net.SplitHostPort(r.address)
	return fmt.Sprintf("real_server %s %s {\n%s\nTCP_CHECK {\nconnect_timeout 1\nretry 0\n}\n}\n", host, port, options)
}

// server is a virtual_server whose checks are quick.
func server(address, options string, blocks ...string) string {
	return "virtual_server " + address + " 80 {\nprotocol TCP\nlvs_sched rr\ndelay_loop 0.05\nwarmup 0\n" + options + "\n" + strings.Join(blocks, "") + "}\n"
}

// Goal: what a check finds is in IPVS: a failed real server leaves it, a recovered
// one returns. Method: a real server on loopback is closed and opened again.
func TestFailedServerLeavesAndReturns(t *testing.T) {
	a, b := newRealServer(t), newRealServer(t)
	l := begin(t, t.TempDir(), &fakeKernel{Kernel: lvstest.New()}, server("192.0.2.1", "", a.block(""), b.block("weight 3")))
	both := sorted("TCP 192.0.2.1:80: ", a.address+"/1", b.address+"/3")
	l.await(both)
	a.down()
	l.await("TCP 192.0.2.1:80: " + b.address + "/3")
	s := l.status()
	if down, all := s.Down(); down != 1 || all != 2 || !strings.Contains(s.VirtualServers[0].RealServers[0].Reason, "refused") {
		t.Errorf("status: %d of %d down, %+v", down, all, s.VirtualServers[0].RealServers[0])
	}
	a.up()
	l.await(both)
}

func sorted(prefix string, words ...string) string {
	slices.Sort(words)
	return prefix + strings.Join(words, " ")
}

// Goal: a restart changes nothing (I7): what is in IPVS is adopted with no operation
// at all, and a real server that was down stays out until it is checked. Method: a
// killed checker, and a second one on the same kernel.
func TestRestartAdoptsEverything(t *testing.T) {
	a, b := newRealServer(t), newRealServer(t)
	dir, kernel := t.TempDir(), &fakeKernel{Kernel: lvstest.New()}
	text := server("192.0.2.1", "", a.block(""), b.block(""))
	first := begin(t, dir, kernel, text)
	b.down()
	first.await("TCP 192.0.2.1:80: " + a.address + "/1")
	first.checker.askC <- first.checker.save
	first.kill()
	before := kernel.ops()
	second := begin(t, dir, kernel, text)
	second.settled()
	if kernel.ops() != before {
		t.Errorf("%d operations at a restart", kernel.ops()-before)
	}
	b.up()
	second.await(sorted("TCP 192.0.2.1:80: ", a.address+"/1", b.address+"/1"))
}

// Goal: foreign services are left alone; ours that leave the configuration while
// nobody runs are removed by the next life, for the ledger names them.
func TestOursAreRemovedAndForeignOnesStay(t *testing.T) {
	a := newRealServer(t)
	dir, kernel := t.TempDir(), &fakeKernel{Kernel: lvstest.New()}
	foreign := lvs.MarkKey(lvs.IPv4, 7)
	kernel.disturb(lvs.AddService{Service: foreign, Settings: lvs.Settings{Scheduler: "rr"}})
	first := begin(t, dir, kernel, server("192.0.2.1", "", a.block(""))+server("192.0.2.2", "", a.block("")))
	first.await("FWM 7: ; TCP 192.0.2.1:80: " + a.address + "/1; TCP 192.0.2.2:80: " + a.address + "/1")
	first.kill()
	second := begin(t, dir, kernel, server("192.0.2.2", "", a.block("")))
	second.await("FWM 7: ; TCP 192.0.2.2:80: " + a.address + "/1")
	second.reload("consensus off\nvrrp_instance V {\ninterface lo\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.2\n}\n}\n")
	second.await("FWM 7: ")
}

// Goal: at an orderly stop everything stays, so that connections live through an
// upgrade; lvs_flush_on_stop removes ours, and ours alone.
func TestStopLeavesIPVSUnlessToldOtherwise(t *testing.T) {
	a := newRealServer(t)
	dir, kernel := t.TempDir(), &fakeKernel{Kernel: lvstest.New()}
	text := server("192.0.2.1", "", a.block(""))
	first := begin(t, dir, kernel, text)
	there := "TCP 192.0.2.1:80: " + a.address + "/1"
	first.await(there)
	first.stop()
	if got := kernel.shown(); got != there {
		t.Errorf("after the stop IPVS has %q", got)
	}
	second := begin(t, dir, kernel, "global_defs {\nlvs_flush_on_stop\n}\n"+text)
	second.await(there)
	second.stop()
	if got := kernel.shown(); got != "" {
		t.Errorf("after lvs_flush_on_stop IPVS has %q", got)
	}
}

// Goal: what another tool does to our services is put right and counted; a kernel
// that refuses is said in status and asked again. Method: repairs, by hand.
func TestDriftIsRepairedAndRefusalsAreSaid(t *testing.T) {
	a := newRealServer(t)
	kernel := &fakeKernel{Kernel: lvstest.New()}
	l := begin(t, t.TempDir(), kernel, server("192.0.2.1", "", a.block("")))
	there := "TCP 192.0.2.1:80: " + a.address + "/1"
	l.await(there)
	services, _ := kernel.Services()
	kernel.disturb(lvs.DeleteService{Service: services[0].ServiceKey})
	l.checker.askC <- l.checker.ipvs.repair
	l.await(there)
	if got := l.status().Repaired["services_deleted"]; got != 1 {
		t.Errorf("repaired: %v", l.status().Repaired)
	}
	kernel.mu.Lock()
	kernel.Refuse = func(lvs.Op) syscall.Errno { return syscall.EPERM }
	kernel.mu.Unlock()
	a.down()
	for end := time.Now().Add(patience); !strings.Contains(l.status().Trouble, "operation not permitted"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("trouble: %q", l.status().Trouble)
		}
	}
	kernel.mu.Lock()
	kernel.Refuse = nil
	kernel.mu.Unlock()
	l.checker.askC <- l.checker.ipvs.repair
	l.await("TCP 192.0.2.1:80: ")
	if trouble := l.status().Trouble; trouble != "" {
		t.Errorf("trouble after it has passed: %s", trouble)
	}
}

// Goal: a kernel without IPVS costs the virtual servers and nothing else: checks run,
// the guard hears the heart beat, status says what to do.
func TestMissingIPVSIsSaid(t *testing.T) {
	a := newRealServer(t)
	l := begin(t, t.TempDir(), nil, server("192.0.2.1", "", a.block("")))
	l.settled()
	if trouble := l.status().Trouble; !strings.Contains(trouble, "modprobe ip_vs") {
		t.Errorf("trouble: %q", trouble)
	}
	if m, err := l.guard.Receive(); err != nil || m != (guard.Heartbeat{}) {
		t.Errorf("the guard hears %v, %v", m, err)
	}
}

// Goal: a reload keeps what is unchanged, applies what is not with as many operations
// as there are changes, and one that can't be used changes nothing.
func TestReloadChangesWhatHasChanged(t *testing.T) {
	a, b := newRealServer(t), newRealServer(t)
	kernel := &fakeKernel{Kernel: lvstest.New()}
	l := begin(t, t.TempDir(), kernel, server("192.0.2.1", "", a.block(""), b.block(""))+server("192.0.2.2", "", a.block("")))
	b.down()
	l.await("TCP 192.0.2.1:80: " + a.address + "/1; TCP 192.0.2.2:80: " + a.address + "/1")
	before := kernel.ops()
	l.reload(server("192.0.2.1", "", a.block("weight 5"), b.block("")) + server("192.0.2.2", "", a.block("")))
	l.await("TCP 192.0.2.1:80: " + a.address + "/5; TCP 192.0.2.2:80: " + a.address + "/1")
	if got := kernel.ops() - before; got != 1 {
		t.Errorf("%d operations for one change", got)
	}
	l.reload("virtual_server 192.0.2.1 80 {\nnonsense\n}\n")
	for end := time.Now().Add(patience); len(l.status().Warnings) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("status does not tell of the refused reload")
		}
	}
	l.await("TCP 192.0.2.1:80: " + a.address + "/5; TCP 192.0.2.2:80: " + a.address + "/1")
}

// Goal: the quorum decides: lost, the sorry server stands in and quorum_down runs;
// gained, the reverse; notify_down and notify_up tell of the real server. Method:
// scripts that write into a file.
func TestQuorumSorryServerAndScripts(t *testing.T) {
	a := newRealServer(t)
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	say := func(word string) string { return fmt.Sprintf(`"/bin/sh -c 'echo %s >> %s'"`, word, said) }
	kernel := &fakeKernel{Kernel: lvstest.New()}
	l := begin(t, dir, kernel, "global_defs {\nscript_user root\n}\n"+server("192.0.2.1",
		"quorum_up "+say("gained")+"\nquorum_down "+say("lost")+"\nsorry_server 198.51.100.9 80\nomega",
		a.block("notify_up "+say("up")+"\nnotify_down "+say("down"))))
	l.await("TCP 192.0.2.1:80: " + a.address + "/1")
	a.down()
	l.await("TCP 192.0.2.1:80: 198.51.100.9:80/1")
	a.up()
	l.await("TCP 192.0.2.1:80: " + a.address + "/1")
	l.stop()
	text, err := os.ReadFile(said)
	l.must(err)
	words := strings.Fields(string(text))
	order := func(keep ...string) []string {
		return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !slices.Contains(keep, w) })
	}
	if got := order("gained", "lost"); !slices.Equal(got, []string{"gained", "lost", "gained", "lost"}) {
		t.Errorf("quorum scripts: %v", got)
	}
	if got := order("up", "down"); !slices.Equal(got, []string{"down", "up", "down"}) {
		t.Errorf("real server's scripts: %v", got)
	}
}

// Goal: two virtual servers may share a real server; each checks it for itself.
func TestSharedRealServer(t *testing.T) {
	a := newRealServer(t)
	l := begin(t, t.TempDir(), &fakeKernel{Kernel: lvstest.New()},
		server("192.0.2.1", "inhibit_on_failure", a.block(""))+server("192.0.2.2", "", a.block("weight 2")))
	l.await("TCP 192.0.2.1:80: " + a.address + "/1; TCP 192.0.2.2:80: " + a.address + "/2")
	a.down()
	l.await("TCP 192.0.2.1:80: " + a.address + "/0; TCP 192.0.2.2:80: ")
}

// Goal: a number in a file is a switch for one real server: its number times weight
// is added, and init_file makes the file, but a restart overwrites nothing. Method:
// FILE_CHECK with weight −1, the file written by hand.
func TestFileChangesTheWeight(t *testing.T) {
	a := newRealServer(t)
	dir, kernel := t.TempDir(), &fakeKernel{Kernel: lvstest.New()}
	path := filepath.Join(dir, "drain")
	host, port, _ := net.SplitHostPort(a.address)
	text := fmt.Sprintf("track_file drain {\nfile %s\nweight -1\ninit_file 0 overwrite\n}\n", path) +
		server("192.0.2.1", "", fmt.Sprintf("real_server %s %s {\nweight 5\nFILE_CHECK {\ntrack_file drain\n}\n}\n", host, port))
	first := begin(t, dir, kernel, text)
	first.await("TCP 192.0.2.1:80: " + a.address + "/5")
	first.must(os.WriteFile(path, []byte("3\n"), 0o644))
	first.await("TCP 192.0.2.1:80: " + a.address + "/2")
	first.checker.askC <- first.checker.save
	first.kill()
	second := begin(t, dir, kernel, text)
	second.settled()
	second.await("TCP 192.0.2.1:80: " + a.address + "/2")
}
