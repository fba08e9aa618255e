package kernel

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hafence/hafence/test/lab"
)

// A test that calls Run runs in another kernel, with the modules that it asked
// for, where networks can be built. Method: IPVS in one of two hosts on a switch,
// and none in the other: it belongs to a namespace.
func TestRunHappensInAKernelWithIPVS(t *testing.T) {
	if !Run(t, "ip_vs") {
		return
	}
	one, other := pairOfHosts(t)
	// The lowest layer that every kernel has: a sysctl of the namespace.
	if err := one.Run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/vs/conntrack"); err != nil {
		t.Fatal(err)
	}
	if err := other.Run("ping", "-c", "1", "-W", "5", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	var tables []string
	for _, host := range []*lab.Host{one, other} {
		out, err := host.Output("sh", "-c", "cat /proc/net/ip_vs /proc/sys/net/ipv4/vs/conntrack")
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, string(out))
	}
	if !strings.Contains(tables[0], "IP Virtual Server") || !strings.HasSuffix(tables[0], "\n1\n") || !strings.HasSuffix(tables[1], "\n0\n") {
		t.Errorf("%q", tables)
	}
}

// The second test of a binary finds the machine booted, can ask for more modules,
// and doesn't see what the first one did to its network. Method: two subtests
// that make the same interface.
func TestRunGivesEachTestANetworkOfItsOwn(t *testing.T) {
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			if !Run(t, "dummy") {
				return
			}
			if out, err := exec.Command("ip", "link", "add", "same", "type", "dummy").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if _, err := os.Stat("/sys/class/net/same"); err != nil {
				t.Errorf("/sys shows another network: %v", err)
			}
		})
	}
}

// failureVariable lets the test below fail.
const failureVariable = "HAFENCE_KERNEL_FAIL"

// What fails, panics or kills the kernel inside fails outside too. Method: this
// test, told how to fail, in a process of its own.
func TestRunFailsWithTheTestInside(t *testing.T) {
	if how := os.Getenv(failureVariable); how != "" {
		if Run(t) {
			t.Log("inside")
			fail(t, how)
		}
		return
	}
	RequireInside(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"fail", "panic", "crash"} {
		cmd := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), failureVariable+"="+how)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "inside") || !strings.Contains(string(out), "--- FAIL: "+t.Name()) {
			t.Errorf("%s: %v\n%s", how, err, out)
		}
	}
}

func fail(t *testing.T, how string) {
	switch how {
	case "fail":
		t.Fatal("as told")
	case "panic":
		panic("as told")
	case "crash":
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	}
}
