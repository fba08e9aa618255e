package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A power cut takes everything but /data, and the machine comes back without its
// leave to reboot. Method: a file in each place, a cut, power on.
func TestPowerCutKeepsDataOnly(t *testing.T) { onEach(t, powerCutKeepsDataOnly) }

func powerCutKeepsDataOnly(t *testing.T, backend Backend) {
	data := t.TempDir()
	machine := start(t, backend, Options{Name: "cut", Data: data, Restart: true})[0]
	must(t, machine, "sh", "-c", "echo kept > /data/file; echo gone > /file")
	machine.PowerCut()
	if end, err := machine.EndOf(soon(t), 1); err != nil || end.Cause != PowerCut {
		t.Fatal(end, err)
	}
	if _, err := machine.Exec(soon(t), "true"); err == nil {
		t.Error("a program runs without power")
	}
	if text, err := os.ReadFile(filepath.Join(data, "file")); string(text) != "kept\n" || err != nil {
		t.Fatalf("on the host: %q, %v", text, err)
	}
	if err := machine.PowerOn(); err != nil {
		t.Fatal(err)
	}
	if err := machine.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := must(t, machine, "sh", "-c", "cat /data/file; ls /file 2>&1 || true"); !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, "No such file") {
		t.Errorf("after the cut: %s", got)
	}
	if _, err := os.Stat("/file"); err == nil {
		t.Error("the machine wrote to the host's root")
	}
}

// A machine whose petter is killed is reset when the watchdog's timeout is over,
// boots again and has its data. Method: a shell that pets every 20 ms, killed by
// SIGKILL; the figure is what the host sees, from the kill to the last process's
// end.
func TestSoftdogResetsTheMachine(t *testing.T) { onEach(t, softdogResetsTheMachine) }

func softdogResetsTheMachine(t *testing.T, backend Backend) {
	const timeout = 2 * time.Second // a busy host has stalled a petter for one
	machine := start(t, backend, Options{Name: "dog", Data: t.TempDir(), Modules: []string{"softdog soft_margin=2 nowayout=0"}, Restart: true})[0]
	must(t, machine, "sh", "-c", "echo kept > /data/file")
	petter, err := machine.Go(Command{Args: []string{"sh", "-c", "exec 3>/dev/watchdog; while :; do echo >&3; sleep 0.02; done"}})
	if err != nil {
		t.Fatal(err)
	}
	must(t, machine, "sleep", "2.5") // well petted, it lives longer than the timeout
	if err := petter.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	end, err := machine.EndOf(soon(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	took := end.At.Sub(killed)
	t.Logf("reset %v after the kill, timeout %v", took.Round(time.Millisecond), timeout)
	if end.Cause != Softdog || took < timeout-100*time.Millisecond || took > timeout+2*time.Second {
		t.Errorf("%v after %v", end.Cause, took)
	}
	if code, err := petter.Wait(soon(t)); code != 128+int(syscall.SIGKILL) || err != nil {
		t.Errorf("the petter's end: %d, %v", code, err)
	}
	if err := machine.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready again %v after the reset", time.Since(end.At).Round(time.Millisecond))
	if got := must(t, machine, "cat", "/data/file"); got != "kept\n" || machine.Boots() != 2 {
		t.Errorf("boot %d has %q", machine.Boots(), got)
	}
}

// The host tells why a machine ended. Method: three machines, three ends.
func TestEndsAreToldApart(t *testing.T) { onEach(t, endsAreToldApart) }

func endsAreToldApart(t *testing.T, backend Backend) {
	ends := []struct {
		script string
		want   Cause
	}{
		{"echo b > /proc/sysrq-trigger", Reboot},
		{"echo c > /proc/sysrq-trigger", Panic},
		{"echo o > /proc/sysrq-trigger", Halt},
	}
	var options []Options
	for _, end := range ends {
		options = append(options, Options{Name: end.want.String()})
	}
	for i, machine := range start(t, backend, options...) {
		// It may end before it can say that the program ran.
		_, _ = machine.Exec(soon(t), "sh", "-c", ends[i].script)
		got, err := machine.EndOf(soon(t), 1)
		if err != nil {
			t.Error(err)
		} else if got.Cause != ends[i].want {
			t.Errorf("%s: %v, want %v; the console ends:\n%s", ends[i].script, got.Cause, ends[i].want, tail(machine.Console(), consoleTail))
		}
		if err := machine.Ready(soon(t)); err == nil {
			t.Errorf("%s: ready again, without Restart", ends[i].script)
		}
	}
}

// A machine that can't be set up says why. Method: a module that isn't there.
func TestSetupFailureIsReported(t *testing.T) {
	Require(t)
	machine, err := Start(Options{Name: "poor", Modules: []string{"no_such_module"}, Restart: true})
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	if err := machine.Ready(soon(t)); err == nil || !strings.Contains(err.Error(), "no_such_module") {
		t.Errorf("got %v", err)
	}
}
