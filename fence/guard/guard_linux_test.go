package guard

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/test/lab"
)

const (
	patience    = 20 * time.Second // for what has no promised time
	echoAddress = "10.0.0.50:7"    // testVIP, RFC 862
)

// node is a built guard with a fake controller in a namespace, and a client on
// the same switch that judges it.
type node struct {
	t        *testing.T
	director *lab.Host
	client   *lab.Host
	dir      string
	guard    *exec.Cmd
	endedC   chan struct{} // closed when the guard has ended
	kernel   *fence.Kernel // of the director, for looking
	probe    net.Conn      // from the client to the VIP
}

// binaryDir is where binary has built; removed by TestMain.
var binaryDir string

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hafence-guard-test")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	path := filepath.Join(dir, "hafence-guard")
	out, err := exec.Command("go", "build", "-o", path, "github.com/hafence/hafence/cmd/hafence-guard").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// newNode wires the network; start starts the guard.
func newNode(t *testing.T) *node {
	lab.Require(t, "go")
	n := &node{t: t, dir: t.TempDir()}
	sw, err := lab.NewSwitch()
	n.must(err)
	t.Cleanup(func() { _ = sw.Close() })
	plug := func(name, address string) *lab.Host {
		h, err := lab.NewHost(name)
		n.must(err)
		t.Cleanup(func() { _ = h.Close() })
		_, err = sw.Plug(h, "eth0", netip.MustParsePrefix(address))
		n.must(err)
		return h
	}
	n.director = plug("director", "10.0.0.1/24")
	n.client = plug("client", "10.0.0.100/24")
	n.echo()
	n.must(n.director.Do(func() (err error) { n.kernel, err = fence.OpenKernel(); return err }))
	t.Cleanup(n.kernel.Close)
	return n
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func defaultScript(ttl time.Duration) script {
	return script{Configure: Configure{
		TTL: ttl, Groups: []Group{{Name: "web", VIPs: []fence.VIP{testVIP}}},
		Gate: true, Lifetime: true, LockMemory: true, HeartbeatTimeout: time.Second,
	}}
}

func (n *node) command() *exec.Cmd {
	n.t.Helper()
	path, err := binary()
	n.must(err)
	self, err := os.Executable()
	n.must(err)
	command := exec.Command(path, "-run-dir", n.dir, "--", self)
	command.Env = append(os.Environ(), fakeEnvironment+"="+n.dir)
	return command
}

// start runs the guard until the test ends at the latest.
func (n *node) start(s script) {
	n.t.Helper()
	data, err := json.Marshal(s)
	n.must(err)
	n.must(os.WriteFile(filepath.Join(n.dir, "script.json"), data, 0o600))
	n.guard = n.command()
	log, err := os.Create(filepath.Join(n.dir, "log"))
	n.must(err)
	n.guard.Stderr = log
	n.must(n.director.Start(n.guard))
	_ = log.Close()
	n.endedC = make(chan struct{})
	go func() { defer close(n.endedC); _ = n.guard.Wait() }()
	n.t.Cleanup(func() {
		_ = n.guard.Process.Kill()
		<-n.endedC
		for _, child := range []string{"pid", "checker"} {
			for life := 1; ; life++ { // those that outlived their guard, stopped ones too
				var pid int
				if !n.read(child, life, &pid) {
					break
				}
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if n.t.Failed() {
			text, _ := os.ReadFile(filepath.Join(n.dir, "log"))
			n.t.Logf("the guard's log:\n%s", text)
		}
	})
}

// hold starts the guard and waits until the VIP answers.
func (n *node) hold(s script) {
	n.t.Helper()
	n.start(s)
	var opened Opened
	n.await("opening", func() bool { return n.read("opened", 1, &opened) })
	if opened.Error != "" {
		n.t.Fatal(opened.Error)
	}
	if !n.answers() {
		n.t.Fatal("an opened VIP does not answer")
	}
}

func (n *node) await(what string, done func() bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// read reads a trace of the controller's, if it is there.
func (n *node) read(what string, life int, value any) bool {
	n.t.Helper()
	data, err := os.ReadFile(trace(n.dir, what, life))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	n.must(err)
	n.must(json.Unmarshal(data, value))
	return true
}

func (n *node) controller(life int) (pid int) {
	n.t.Helper()
	n.await("controller", func() bool { return n.read("pid", life, &pid) })
	return pid
}

// present reports whether the director has the address.
func (n *node) present() bool {
	n.t.Helper()
	var lost []fence.VIP
	n.must(n.director.Do(func() (err error) {
		lost, _, err = n.kernel.Addresses.Missing([]fence.VIP{testVIP})
		return err
	}))
	return len(lost) == 0
}

// echo answers UDP to the VIP on the director, whether it has the address or
// not: what is judged is the way there and back.
func (n *node) echo() {
	n.t.Helper()
	var server *net.UDPConn
	n.must(n.director.Do(func() error {
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) })
		}}
		conn, err := config.ListenPacket(n.t.Context(), "udp4", echoAddress)
		if err == nil {
			server = conn.(*net.UDPConn)
		}
		return err
	}))
	var group sync.WaitGroup
	group.Go(func() {
		buf := make([]byte, 64)
		for {
			size, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDPAddrPort(buf[:size], from)
		}
	})
	n.t.Cleanup(func() { _ = server.Close(); group.Wait() })
	n.must(n.client.Do(func() (err error) { n.probe, err = net.Dial("udp4", echoAddress); return err }))
	n.t.Cleanup(func() { _ = n.probe.Close() })
}

// answers asks the VIP from the client.
func (n *node) answers() bool {
	_, _ = n.probe.Write([]byte("?"))
	_ = n.probe.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := n.probe.Read(make([]byte, 64))
	return err == nil
}

// silentSince probes until nothing was answered for the quiet time, and returns
// when the last answered probe was sent.
func (n *node) silentSince(quiet time.Duration) (last time.Time) {
	for began := time.Now(); time.Since(began) < quiet || time.Since(last) < quiet; time.Sleep(time.Millisecond) {
		sent := time.Now()
		if n.answers() {
			last = sent
		}
	}
	return last
}

// A controller that is killed costs the VIP at once, long before the gate would
// shut, its farewell reaches the peer, and another controller is started.
// Method: kill −9, with a TTL whose gate takes 5 s.
func TestKilledControllerIsWithdrawnAndBidsFarewell(t *testing.T) {
	n := newNode(t)
	peer := newPeer(t, n.client)
	s := defaultScript(10 * time.Second)
	s.Farewell = peer.farewell
	n.hold(s)
	killed := time.Now()
	n.must(syscall.Kill(n.controller(1), syscall.SIGKILL))
	select {
	case frame := <-peer.frameC:
		if string(frame) != string(s.Farewell.Frame) {
			t.Errorf("the farewell is %q, want %q", frame, s.Farewell.Frame)
		}
	case <-time.After(patience):
		t.Fatal("no farewell")
	}
	took := time.Since(killed)
	if n.present() {
		t.Error("the farewell went out before the address was gone")
	}
	if took > 2*time.Second {
		t.Errorf("withdrawal and farewell took %v", took)
	}
	t.Logf("farewell %v after the kill", took)
	n.controller(2)
	var configured Configured
	n.await("second configuration", func() bool { return n.read("configured", 2, &configured) })
	if configured.Error != "" || !configured.Layers.Gate {
		t.Errorf("second configuration: %+v", configured)
	}
}

// A controller that is stopped keeps the VIP no longer than the deadline, and is
// killed and replaced after its heartbeat's timeout. Method: SIGSTOP.
func TestStoppedControllerLapsesAndIsReplaced(t *testing.T) {
	n := newNode(t)
	ttl := 2 * time.Second
	n.hold(defaultScript(ttl))
	first := n.controller(1)
	stopped := time.Now()
	n.must(syscall.Kill(first, syscall.SIGSTOP))
	if last := n.silentSince(300 * time.Millisecond); last.Sub(stopped) > ttl {
		t.Errorf("the VIP answered %v after the stop, TTL %v", last.Sub(stopped), ttl)
	}
	n.await("withdrawal", func() bool { return !n.present() })
	if second := n.controller(2); second == first {
		t.Error("the same controller again")
	}
	if err := syscall.Kill(first, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the stopped controller still exists: %v", err)
	}
}

// With guard and controller dead nothing of ours is left to act, and the VIP is
// silent by ttl/2 after the last refresh; the address follows. Method: both
// stopped, so that neither can react, then killed.
func TestEverybodyDeadIsSilentByHalfTheTTL(t *testing.T) {
	n := newNode(t)
	ttl := 2 * time.Second
	n.hold(defaultScript(ttl))
	controller := n.controller(1)
	n.must(n.guard.Process.Signal(syscall.SIGSTOP))
	n.must(syscall.Kill(controller, syscall.SIGSTOP))
	stopped := time.Now()
	n.must(n.guard.Process.Kill())
	n.must(syscall.Kill(controller, syscall.SIGKILL))
	last := n.silentSince(300 * time.Millisecond)
	if last.Sub(stopped) < ttl/4 {
		t.Errorf("the VIP answered for only %v: nothing was fenced here", last.Sub(stopped))
	}
	if last.Sub(stopped) > ttl/2 {
		t.Errorf("the VIP answered %v after everybody was stopped, ttl/2 is %v", last.Sub(stopped), ttl/2)
	}
	t.Logf("silent %v after the stop", last.Sub(stopped))
	n.await("the kernel clearing the address away", func() bool { return !n.present() })
}

// A guard that is killed leaves a controller that withdraws by itself. Method:
// kill −9 of the guard, with a gate that would take 5 s.
func TestKilledGuardLeavesAControllerThatWithdraws(t *testing.T) {
	n := newNode(t)
	n.hold(defaultScript(10 * time.Second))
	killed := time.Now()
	n.must(n.guard.Process.Kill())
	n.await("withdrawal", func() bool { return !n.present() })
	if took := time.Since(killed); took > 2*time.Second {
		t.Errorf("the withdrawal took %v", took)
	}
}

// SIGTERM ends everything in order: VIP gone, gate gone, exit code 0, lock gone.
// A second guard in the namespace is refused before, and named the holder.
func TestTerminatedGuardLeavesNothing(t *testing.T) {
	n := newNode(t)
	n.hold(defaultScript(2 * time.Second))
	var second []byte
	n.must(n.director.Do(func() error {
		var err error
		if second, err = n.command().CombinedOutput(); err == nil {
			t.Error("a second guard was let in")
		}
		return nil
	}))
	if !strings.Contains(string(second), "another guard, process "+itoa(n.guard.Process.Pid)) {
		t.Errorf("the second guard says %q", second)
	}
	n.must(n.guard.Process.Signal(syscall.SIGTERM))
	select {
	case <-n.endedC:
	case <-time.After(patience):
		t.Fatal("the guard does not end")
	}
	if code := n.guard.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n.present() {
		t.Error("the VIP is left")
	}
	n.must(n.director.Do(func() error {
		managed, err := n.kernel.Gate.Managed()
		if len(managed) != 0 {
			t.Errorf("the gate is left, for %v", managed)
		}
		return err
	}))
	if locks, _ := filepath.Glob(filepath.Join(n.dir, "guard-*.lock")); len(locks) != 0 {
		t.Errorf("left: %v", locks)
	}
}

// A VIP removed by hand comes back, and a leftover of a previous life is cleaned
// up and reported. Method: ip address del, and the VIP there before the start.
func TestGuardRepairsAndCleansUp(t *testing.T) {
	n := newNode(t)
	n.must(n.director.Do(func() error { return n.kernel.Addresses.Add(testVIP, 0) }))
	n.hold(defaultScript(2 * time.Second))
	var configured Configured
	if !n.read("configured", 1, &configured) || len(configured.Removed) != 1 || configured.Removed[0] != testVIP.Prefix.Addr().String() {
		t.Errorf("configured: %+v, want the leftover VIP in Removed", configured)
	}
	if l := configured.Layers; !l.Gate || !l.Lifetime || !l.MemoryLocked {
		t.Errorf("layers: %+v", l)
	}
	n.must(n.director.Run("ip", "address", "del", testVIP.Prefix.String(), "dev", "eth0"))
	var repaired Repaired
	n.await("repair", func() bool { return n.read("repaired", 1, &repaired) })
	if repaired.VIP != testVIP || repaired.Count < 1 || !n.answers() {
		t.Errorf("repaired: %+v, answers: %v", repaired, n.answers())
	}
	n.must(n.director.Run("ip", "link", "del", "eth0"))
	var lapsed Lapsed
	n.await("lapse with the interface", func() bool { return n.read("lapsed", 1, &lapsed) })
}

// A controller that refuses its configuration ends the guard with its code,
// once. Method: ExitConfiguration before the first message.
func TestRefusedConfigurationEndsTheGuard(t *testing.T) {
	n := newNode(t)
	n.start(script{ExitCode: ExitConfiguration})
	select {
	case <-n.endedC:
	case <-time.After(patience):
		t.Fatal("the guard goes on")
	}
	if code := n.guard.ProcessState.ExitCode(); code != ExitConfiguration {
		t.Errorf("exit code %d, want %d", code, ExitConfiguration)
	}
	var pid int
	if n.read("pid", 2, &pid) {
		t.Error("the controller was started again")
	}
}

// The second child lives and dies beside the VIPs: killed or stopped it is replaced
// and the VIP answers on; a killed guard is noticed by it; SIGTERM ends it. Method:
// kill −9 and SIGSTOP of the fake checker, then of the guard.
func TestCheckerIsReplacedAndTheVIPStays(t *testing.T) {
	n := newNode(t)
	s := defaultScript(2 * time.Second)
	s.Configure.Checker = true
	n.hold(s)
	for life, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		var pid, next int
		n.await("a checker", func() bool { return n.read("checker", life+1, &pid) && n.read("checker-beating", life+1, new(bool)) })
		n.must(syscall.Kill(pid, signal))
		n.await("its successor", func() bool { return n.read("checker", life+2, &next) })
		if !n.answers() {
			t.Errorf("the VIP does not answer after %v of the checker", signal)
		}
	}
	var controllers int
	if n.read("pid", 2, &controllers) {
		t.Error("the controller was replaced, too")
	}
	n.must(n.guard.Process.Kill())
	n.await("the checker to notice", func() bool { return n.read("checker-closed", 3, new(bool)) })
}
