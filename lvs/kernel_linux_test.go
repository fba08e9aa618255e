package lvs_test

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/test/lab"
	"github.com/hafence/hafence/test/lab/kernel"
)

// open opens the IPVS of this test's network namespace, in the lab's machine.
func open(t *testing.T) *lvs.Kernel {
	t.Helper()
	k, err := lvs.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// ipvsadm is another program that writes to IPVS and reads it.
func ipvsadm(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("ipvsadm", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ipvsadm %s: %v: %s", line, err, out)
	}
	return string(out)
}

// Goal: the real kernel does what the fake does. Method: the same bodies, each in
// a network namespace of its own.
func TestKernel(t *testing.T) {
	if !kernel.Run(t, "ip_vs") {
		return
	}
	for name, body := range conformance {
		t.Run(name, func(t *testing.T) {
			host, err := lab.NewHost(name)
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			var k *lvs.Kernel
			if err := host.Do(func() error { k, err = lvs.Open(); return err }); err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			body(t, k)
		})
	}
}

// Goal: what we write is what another program reads. Method: ipvsadm's listing of
// a service of each sort.
func TestIpvsadmReadsWhatWeWrite(t *testing.T) {
	lab.Require(t, "ipvsadm")
	if !kernel.Run(t, "ip_vs") {
		return
	}
	k := open(t)
	mustApply(t, k, lvs.Plan(nil, everySort(), nil))
	got := strings.Split(strings.TrimSpace(ipvsadm(t, "-Sn")), "\n")
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	slices.Sort(got)
	want := []string{
		"-A -t 192.0.2.1:80 -s sh -b sh-fallback,sh-port",
		"-A -t 192.0.2.2:0 -s wlc -p 2678400 -M 255.255.255.0",
		"-A -t [2001:db8::1]:443 -s mh -p 3600 -M 64 -b mh-port",
		"-A -u 192.0.2.1:5060 -s rr -p 60 --pe sip",
		"-A -u 192.0.2.1:53 -s rr -o -b flag-3",
		"-A -f 100 -6 -s rr",
		"-A --sctp-service 192.0.2.1:80 -s wlc",
		"-a --sctp-service 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1",
		"-a -f 100 -6 -r [2001:db8::2]:0 -m -w 1",
		"-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 65535",
		"-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 0",
		"-a -t 192.0.2.1:80 -r 10.0.0.3:80 -i -w 1 --tun-type ipip",
		"-a -t 192.0.2.1:80 -r 10.0.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
		"-a -t 192.0.2.1:80 -r 10.0.0.5:80 -i -w 1 --tun-type gre --tun-csum",
		"-a -t 192.0.2.2:0 -r 10.0.0.1:0 -g -w 1",
		"-a -t [2001:db8::1]:443 -r [2001:db8::2]:443 -g -w 7",
		"-a -u 192.0.2.1:5060 -r 10.0.0.1:80 -g -w 1",
	}
	got = slices.DeleteFunc(got, func(line string) bool { return strings.Contains(line, "-f 1") && !strings.Contains(line, "-6") })
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	thresholds := strings.Fields(ipvsadm(t, "-Ln --thresholds -t 192.0.2.1:80"))
	if i := slices.Index(thresholds, "10.0.0.1:8080"); i < 0 || !slices.Equal(thresholds[i+1:i+3], []string{"100", "50"}) {
		t.Errorf("thresholds %v", thresholds)
	}
}

// Goal (I7): a restart adopts all; what another program adds to, edits in and
// takes out of our services is counted and undone; its own services stay. Method:
// ipvsadm is the other program.
func TestKernelDriftIsRepaired(t *testing.T) {
	lab.Require(t, "ipvsadm")
	if !kernel.Run(t, "ip_vs") {
		return
	}
	want := []lvs.Service{service(web, real(1, 1), real(2, 1), real(3, 1)), service(lvs.MarkKey(lvs.IPv4, 7), real(1, 1))}
	ipvsadm(t, "-A -f 9 -s rr")
	first := lvs.NewTable(nil)
	first.Want(want)
	round(t, first, open(t))

	k := open(t)
	second := lvs.NewTable(first.Owned())
	second.Want(want)
	if ops, drift := round(t, second, k); len(ops) != 0 || drift.Total() != 0 {
		t.Errorf("a restart does %v, drift %+v", words(ops), drift)
	}
	for _, line := range []string{
		"-D -f 7",
		"-E -t 192.0.2.1:80 -s rr",
		"-d -t 192.0.2.1:80 -r 10.0.0.1:80",
		"-e -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 0",
		"-a -t 192.0.2.1:80 -r 10.0.0.9:80 -m -w 1",
		"-a -f 9 -r 10.0.0.9:80 -m -w 1",
	} {
		ipvsadm(t, line)
	}
	_, drift := round(t, second, k)
	wantDrift := lvs.Drift{ServicesDeleted: 1, ServicesEdited: 1, DestinationsAdded: 1, DestinationsDeleted: 1, DestinationsEdited: 1}
	if diff := cmp.Diff(wantDrift, drift); diff != "" {
		t.Errorf("drift (-want +got)\n%s", diff)
	}
	foreign := lvs.Service{ServiceKey: lvs.MarkKey(lvs.IPv4, 9), Settings: lvs.Settings{Scheduler: "rr"}, Destinations: []lvs.Destination{
		{Addr: realAddr(9), Method: lvs.Masquerade, Weight: 1},
	}}
	if diff := difference(append(want, foreign), table(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Goal: while another program adds and deletes its own services all the time,
// ours are never refused anything, and both end as they should. Method: its ops
// between all the parts of our rounds, by a goroutine with a socket of its own.
func TestKernelIsSharedWithABusyProgram(t *testing.T) {
	if !kernel.Run(t, "ip_vs", "ip_vs_wlc") {
		return
	}
	ours, theirs := open(t), open(t)
	stopC, doneC := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(doneC)
		var foreign []lvs.Service
		for mark := range uint32(100) {
			foreign = append(foreign, service(lvs.MarkKey(lvs.IPv4, 1+mark), real(1, 1)))
		}
		for {
			theirs.Apply(lvs.Plan(nil, foreign, nil))
			select {
			case <-stopC:
				return
			default:
			}
			for _, s := range foreign {
				theirs.Apply([]lvs.Op{lvs.DeleteService{Service: s.ServiceKey}})
			}
		}
	}()
	tab := lvs.NewTable(nil)
	for n := range 30 {
		want := large(200, 400+n)
		tab.Want(want)
		have, err := ours.Services()
		if err != nil {
			t.Fatal(err)
		}
		tab.Saw(have)
		ops := tab.Plan()
		outcome := ours.Apply(ops)
		for _, refused := range outcome.Refused {
			t.Error(refused)
		}
		tab.Settled(ops, outcome)
	}
	close(stopC)
	<-doneC
	if ops, _ := round(t, tab, ours); len(ops) != 0 {
		t.Errorf("in the end %v were missing", words(ops))
	}
	if got := table(t, ours); len(got) != 300 {
		t.Errorf("%d services, want 200 of ours and 100 of theirs", len(got))
	}
}

// Goal: a service of a scheduler that only newer kernels have works there.
func TestKernelTwos(t *testing.T) {
	if !kernel.Run(t, "ip_vs") {
		return
	}
	if err := exec.Command("modprobe", "ip_vs_twos").Run(); err != nil {
		t.Log("nothing to test: this kernel has no ip_vs_twos")
		return
	}
	want := service(web, real(1, 1))
	want.Scheduler = "twos"
	mustApply(t, open(t), lvs.Plan(nil, []lvs.Service{want}, nil))
}

// Goal: a kernel without IPVS is said to be one, with the remedy; one that can
// load the module does so when asked. Method: the module unloaded, with and
// without the kernel's way to load it.
func TestKernelWithoutIPVS(t *testing.T) {
	if !kernel.Run(t) {
		return
	}
	const loader = "/proc/sys/kernel/modprobe"
	path, err := os.ReadFile(loader)
	if err != nil {
		t.Fatal(err)
	}
	unload(t)
	if err := os.WriteFile(loader, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	_, openErr := lvs.Open()
	if err := os.WriteFile(loader, path, 0); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(openErr, lvs.ErrNoIPVS) || !strings.Contains(openErr.Error(), "modprobe ip_vs") {
		t.Errorf("without the module: %v", openErr)
	}
	open(t) // loads it
}

// unload takes IPVS out of the machine's kernel; namespaces of earlier tests may
// hold it for a moment.
func unload(t *testing.T) {
	t.Helper()
	for range 100 {
		modules, err := os.ReadFile("/proc/modules")
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for line := range strings.Lines(string(modules)) {
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "ip_vs") {
				left++
				_ = exec.Command("rmmod", name).Run() // one that others need goes in a later round
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("IPVS can't be unloaded")
}

// Goal: an unprivileged process is told what it lacks. Method: a thread that has
// given up its capabilities, and ends with its goroutine.
func TestKernelRefusesTheUnprivileged(t *testing.T) {
	if !kernel.Run(t, "ip_vs") {
		return
	}
	outcomeC := make(chan lvs.Outcome, 1)
	go func() {
		defer close(outcomeC)
		runtime.LockOSThread() // and never unlocked
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &make([]unix.CapUserData, 2)[0]); err != nil {
			t.Error(err)
			return
		}
		k, err := lvs.Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer k.Close()
		outcomeC <- k.Apply(lvs.Plan(nil, []lvs.Service{service(web, real(1, 1))}, nil))
	}()
	outcome := <-outcomeC
	if len(outcome.Refused) != 2 || !strings.Contains(outcome.Refused[0].Error(), "CAP_NET_ADMIN") {
		t.Errorf("outcome %+v", outcome)
	}
}

// large makes so many services with so many destinations together.
func large(services, destinations int) []lvs.Service {
	all := make([]lvs.Service, services)
	for i := range all {
		vip := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		all[i] = service(lvs.AddressKey(lvs.TCP, netip.AddrPortFrom(vip, 80)))
	}
	for i := range destinations {
		s := &all[i%services]
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		s.Destinations = append(s.Destinations, lvs.Destination{Addr: netip.AddrPortFrom(addr, 80), Method: lvs.Tunnel, Weight: 1})
	}
	return all
}

// Goal: the largest configuration that is known is applied in 3 s, adopted by a
// restart without an op, and a reload with one change takes 200 ms and one op.
// Method: the table's rounds, in a kernel whose system calls are slow. The
// promises are asserted with room for a noisy machine.
func TestKernelTakesALargeTable(t *testing.T) {
	if !kernel.Run(t, "ip_vs", "ip_vs_wlc") {
		return
	}
	k := open(t)
	want := large(2284, 37298)
	const noise = 3
	within := func(what string, limit time.Duration, work func()) {
		begin := time.Now()
		work()
		took := time.Since(begin)
		t.Logf("%s: %s", what, took.Round(100*time.Microsecond))
		if took > noise*limit {
			t.Errorf("%s took %s, promised %s", what, took, limit)
		}
	}
	tab := lvs.NewTable(nil)
	tab.Want(want)
	within("first apply", 3*time.Second, func() { round(t, tab, k) })

	restarted := lvs.NewTable(tab.Owned())
	restarted.Want(want)
	within("restart", 3*time.Second, func() {
		if ops, drift := round(t, restarted, k); len(ops) != 0 || drift.Total() != 0 {
			t.Errorf("%d ops, drift %+v", len(ops), drift)
		}
	})

	changed := large(2284, 37298)
	changed[1000].Destinations[3].Weight = 0
	within("reload with one change", 200*time.Millisecond, func() {
		restarted.Want(changed)
		ops := restarted.Plan()
		outcome := k.Apply(ops)
		restarted.Settled(ops, outcome)
		if len(ops) != 1 || outcome.Done != 1 {
			t.Errorf("%d ops, outcome %+v", len(ops), outcome)
		}
	})
	within("statistics", 3*time.Second, func() {
		if all, err := k.Statistics(); err != nil || len(all) != len(want) {
			t.Errorf("of %d services: %v", len(all), err)
		}
	})
	restarted.Want(nil)
	within("delete all", 3*time.Second, func() {
		if round(t, restarted, k); len(table(t, k)) != 0 {
			t.Error("something is left")
		}
	})
}
