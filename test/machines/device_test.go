package machines

import (
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/test/lab/kernel"
)

// restartTimeout is a watchdog's timeout that leaves time for a restart, which takes 0.6 s
// until the guard pets again, and for the stalls of a machine that shares its CPU: 2.2 s
// were seen.
const restartTimeout = 5 * time.Second

// oneDirector boots a director that is its own cluster.
func oneDirector(t *testing.T, p plan) *director {
	t.Helper()
	kernel.Require(t)
	var err error
	if p.sw, err = kernel.NewSwitch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.sw.Close() })
	d := powerOn(t, p)
	t.Cleanup(func() { d.close(t) })
	d.ready(t)
	return d
}

// serve starts hafence and waits until it is MASTER.
func (d *director) serve(t *testing.T) *status.Cluster {
	t.Helper()
	d.start(t)
	return d.await(t, "MASTER", func(c *status.Cluster) bool {
		return len(c.Nodes[0].Groups) == 1 && c.Nodes[0].Groups[0].State == "MASTER"
	})
}

// Goal: an orderly stop disarms the watchdog. Method: the magic close on a softdog that
// heeds it, and waiting for longer than the timeout.
func TestOrderlyStopDisarms(t *testing.T) {
	d := oneDirector(t, plan{nowayout: 0, watchdog: "watchdog /dev/watchdog timeout 2"})
	if c := d.serve(t); !c.Nodes[0].Layers.Watchdog {
		t.Fatal("the watchdog is not armed")
	}
	d.stop(t)
	d.livesOn(t, 2*watchdogTimeout)
}

// Goal: a guard that is started again within the timeout goes on petting, whether it was
// stopped or killed; and where the watchdog can't be disarmed, a stop that lasts resets
// the host, and it was said so. Method: softdog with nowayout.
func TestRestartGoesOnPettingAndNowayoutResets(t *testing.T) {
	d := oneDirector(t, plan{nowayout: 1, watchdog: "watchdog /dev/watchdog timeout 5"})
	if warnings := strings.Join(d.serve(t).Warnings, "\n"); !strings.Contains(warnings, "nowayout: it can't be disarmed") {
		t.Errorf("the status does not warn of nowayout: %q", warnings)
	}

	began := boottime.Now()
	d.stop(t)
	d.serve(t)
	t.Logf("restarted and MASTER again in %v", boottime.Now().Sub(began).Round(10*time.Millisecond))
	d.livesOn(t, restartTimeout+resetSlack)

	began = d.killAll(t)
	d.serve(t)
	t.Logf("killed, started and MASTER again in %v", boottime.Now().Sub(began).Round(10*time.Millisecond))
	d.livesOn(t, restartTimeout+resetSlack)

	boots := d.machine.Boots()
	d.stop(t)
	stopped := boottime.Now()
	took := d.reset(t, boots).Sub(stopped)
	t.Logf("reset %v after a stop with nowayout", took.Round(time.Millisecond))
	if took > restartTimeout+resetSlack+noise {
		t.Errorf("the reset took %v", took)
	}
	if said := "nowayout: this host resets in 5s"; !strings.Contains(d.log(), said) {
		t.Errorf("the log does not say %q", said)
	}
}

// Goal: without a watchdog a director serves all the same, and says what is missing and
// why. Method: a device that is not there, one that another program has, and one that
// is none.
func TestDirectorServesWithoutItsWatchdog(t *testing.T) {
	d := oneDirector(t, plan{watchdog: "watchdog /dev/watchdog9"})
	for _, c := range []struct{ device, why string }{
		{"/dev/watchdog9", "no such file"},
		{"/dev/null", "it is no watchdog"},
		{"/dev/watchdog", "another program has it"},
	} {
		if c.device == "/dev/watchdog" {
			if _, err := d.machine.Go(kernel.Command{Args: []string{"sh", "-c", "exec sleep 1000 >/dev/watchdog"}}); err != nil {
				t.Fatal(err)
			}
		}
		d.configure(t, plan{watchdog: "watchdog " + c.device})
		s := d.serve(t)
		missing := strings.Join(s.Warnings, "\n")
		if s.Nodes[0].Layers.Watchdog || !strings.Contains(missing, "watchdog: ") || !strings.Contains(missing, c.why) {
			t.Errorf("%s: armed is %v, warnings: %s; want one that says %q", c.device, s.Nodes[0].Layers.Watchdog, missing, c.why)
		}
		d.stop(t)
	}
}
