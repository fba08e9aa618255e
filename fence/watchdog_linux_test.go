package fence

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
