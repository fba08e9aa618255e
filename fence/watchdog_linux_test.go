package fence

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel"
)

// What is no watchdog is refused and closed, and so is a timeout that no device
// can count. Method: /dev/null.
func TestOpenWatchdogRefuses(t *testing.T) {
	if _, err := OpenWatchdog("/dev/null", 5*time.Second); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("/dev/null: got %v, want ENOTTY", err)
	}
	for _, timeout := range []time.Duration{0, WatchdogTimeoutMin - 1, WatchdogTimeoutMax + 1} {
		if _, err := OpenWatchdog("/dev/null", timeout); err == nil || errors.Is(err, unix.ENOTTY) {
			t.Errorf("timeout %v: got %v, want a refusal before the device is touched", timeout, err)
		}
	}
}

// A file that was named by mistake is not written to: the magic close is for
// watchdogs.
func TestOpenWatchdogLeavesAFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWatchdog(path, 5*time.Second); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %v, want ENOTTY", err)
	}
	if text, err := os.ReadFile(path); string(text) != "text" {
		t.Errorf("the file is %q now, %v", text, err)
	}
}

// Each way in which a driver falls short of what is asked of it is said, and
// nothing is said of one that doesn't.
func TestWatchdogCautions(t *testing.T) {
	const good = unix.WDIOF_SETTIMEOUT | unix.WDIOF_KEEPALIVEPING | unix.WDIOF_MAGICCLOSE
	for _, c := range []struct {
		name   string
		driver watchdogDriver
		want   []string // a piece of each caution
	}{
		{"softdog", watchdogDriver{asked: time.Second, timeout: time.Second, options: good}, nil},
		{"rounded", watchdogDriver{asked: time.Second, timeout: 2 * time.Second, options: good}, []string{"after 2s, not after 1s"}},
		{
			"fixed timeout", watchdogDriver{asked: time.Second, timeout: time.Minute, refusal: unix.EOPNOTSUPP, options: good},
			[]string{"refuses a timeout of 1s (operation not supported)"},
		},
		{"nowayout", watchdogDriver{asked: time.Second, timeout: time.Second, options: good, nowayout: true}, []string{"nowayout"}},
		{"no magic close", watchdogDriver{asked: time.Second, timeout: time.Second}, []string{"no magic close"}},
		{"no magic close, but nowayout", watchdogDriver{asked: time.Second, timeout: time.Second, nowayout: true}, []string{"nowayout"}},
		{"alarm", watchdogDriver{asked: time.Second, timeout: time.Second, options: good | unix.WDIOF_ALARMONLY}, []string{"only raises an alarm"}},
	} {
		got := c.driver.cautions()
		same := len(got) == len(c.want)
		for i := 0; same && i < len(got); i++ {
			same = strings.Contains(got[i], c.want[i])
		}
		if !same {
			t.Errorf("%s: (-want +got)\n%s", c.name, cmp.Diff(c.want, got))
		}
	}
}

// On a driver of the kernel: the timeout asked for holds, a second opening says who
// may have it, and nothing is left running by a disarming. Method: softdog.
func TestWatchdogIsDisarmedByTheMagicClose(t *testing.T) {
	if !kernel.Run(t, "softdog soft_noboot=1 nowayout=0") {
		return
	}
	w := openSoftdog(t)
	if _, err := OpenWatchdog("/dev/watchdog", time.Second); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "RuntimeWatchdogSec") {
		t.Errorf("a second opening: %v, want EBUSY and what to do about it", err)
	}
	if err := w.Pet(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string(nil), w.Cautions()); diff != "" {
		t.Errorf("cautions (-want +got):\n%s", diff)
	}
	if err := w.Disarm(); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("modprobe", "-r", "softdog").CombinedOutput(); err != nil { // a running one can't be unloaded
		t.Errorf("it still runs: %v: %s", err, out)
	}
}

// With nowayout it is said before and at the disarming that the host will be reset,
// and when. Method: softdog, loaded anew, that barks and doesn't bite.
func TestWatchdogWithNowayoutSaysThatItResets(t *testing.T) {
	if !kernel.Run(t, "-r softdog", "softdog soft_noboot=1 nowayout=1") {
		return
	}
	w := openSoftdog(t)
	if c := w.Cautions(); len(c) != 1 || !strings.Contains(c[0], "nowayout") || !strings.Contains(c[0], "2s") {
		t.Errorf("cautions: %q, want one that says nowayout and 2s", c)
	}
	if err := w.Pet(); err != nil {
		t.Error(err)
	}
	if err := w.Disarm(); err == nil || !strings.Contains(err.Error(), "resets in 2s") {
		t.Errorf("disarmed: %v, want an error that says when the host resets", err)
	}
}

// openSoftdog asks for what is rounded up to two seconds.
func openSoftdog(t *testing.T) *DeviceWatchdog {
	t.Helper()
	w, err := OpenWatchdog("/dev/watchdog", 1500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if w.Timeout() != 2*time.Second {
		t.Errorf("timeout %v, want 2s", w.Timeout())
	}
	return w
}
