package kernel

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/test/lab"
)

// A test that asks for the packet gate gets a kernel where that works, and IPVS
// and the softdog besides. Method: a client pings a VIP while the gate's own code
// sets it up, opens it, and leaves it alone until its time is over.
func TestRunHappensInAKernelWithThePacketGate(t *testing.T) {
	if !Run(t, PacketGate, "ip_vs", "softdog soft_margin=60 nowayout=0") {
		return
	}
	const long, short = time.Minute, 300 * time.Millisecond
	vips := []fence.VIP{{Prefix: netip.MustParsePrefix("10.0.0.9/32"), Interface: "eth0"}}
	director, client := pairOfHosts(t)
	var k *fence.Kernel
	err := director.Do(func() (err error) { k, err = fence.OpenKernel(); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, step := range []struct {
		name    string
		do      func() error
		answers bool
	}{
		{"address added", func() error { return k.Addresses.Add(vips[0], 0) }, true},
		{"gate set up", func() error {
			_, err := k.Gate.SetUp(fence.SetUpGate{Managed: []netip.Addr{vips[0].Prefix.Addr()}})
			return err
		}, false},
		{"armed", func() error { return k.Gate.Arm(vips, long) }, false},
		{"open", func() error { return k.Gate.Open(vips, long) }, true},
		{"left alone", func() error { defer time.Sleep(2 * short); return k.Gate.Refresh(vips, short) }, false},
	} {
		if err := director.Do(step.do); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if answers := client.Run("ping", "-c", "1", "-W", "1", "10.0.0.9") == nil; answers != step.answers {
			t.Errorf("%s: ping answered: %v", step.name, answers)
		}
	}
	for path, want := range map[string]string{"/proc/net/ip_vs": "IP Virtual Server", "/sys/class/watchdog/watchdog0/identity": "Software Watchdog"} {
		if got, err := os.ReadFile(path); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

// User-mode Linux runs a machine unless something is asked for that it lacks, or it
// doesn't run here. Method: the choice alone, with the second verdict made up.
func TestUserModeLinuxIsChosenWhereItSuffices(t *testing.T) {
	if err := umlRuns(); err != nil {
		lab.Skip(t, err.Error())
	}
	check := func(want Backend, modules ...string) {
		t.Helper()
		if got, why := choose(modules); got != want || (why == nil) != (want == UML) {
			t.Errorf("%v: %v, because %v", modules, got, why)
		}
	}
	check(UML, "ip_vs", packetGateModule)
	check(QEMU, "ip_vs", PacketGate)
	umlVerdict.err = errors.New("made up")
	defer func() { umlVerdict.err = nil }()
	check(QEMU, "ip_vs")
}

// pairOfHosts are two hosts on a switch.
func pairOfHosts(t *testing.T) (a, b *lab.Host) {
	t.Helper()
	sw, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	var hosts []*lab.Host
	for _, address := range []string{"10.0.0.1", "10.0.0.2"} {
		host, err := lab.NewHost(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = host.Close() })
		if _, err := sw.Plug(host, "eth0", netip.MustParsePrefix(address+"/24")); err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	return hosts[0], hosts[1]
}
