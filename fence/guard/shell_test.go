package guard

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// One namespace has one guard: the second is refused and told who holds it; an
// ended one leaves nothing and is followed at once. Method: locks in a directory
// of the test's.
func TestLockIsHeldByOne(t *testing.T) {
	dir := t.TempDir()
	first, err := acquireLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := acquireLock(dir); err == nil || !strings.Contains(err.Error(), "process "+itoa(os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	first.unlock()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	second, err := acquireLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	second.unlock()
}

// The timer fires at its instant and not before, at once for the past, and not
// when disarmed. Method: CLOCK_BOOTTIME around it.
func TestTimerFiresAtItsInstant(t *testing.T) {
	timer, err := newTimer()
	if err != nil {
		t.Fatal(err)
	}
	defer timer.close()
	for _, at := range []boottime.Instant{0, boottime.Now(), boottime.Now().Add(30 * time.Millisecond)} {
		if err := timer.set(at, true); err != nil {
			t.Fatal(err)
		}
		<-timer.fireC
		if now := boottime.Now(); now.Before(at) {
			t.Errorf("fired at %v for %v", now, at)
		}
	}
	if err := timer.set(boottime.Now().Add(20*time.Millisecond), true); err != nil {
		t.Fatal(err)
	}
	if err := timer.set(0, false); err != nil {
		t.Fatal(err)
	}
	select {
	case <-timer.fireC:
		t.Error("a disarmed timer fired")
	case <-time.After(50 * time.Millisecond):
	}
}

// The controller can't speak to the service manager.
func TestChildHasNoServiceManager(t *testing.T) {
	got := withoutServiceManager([]string{"A=1", "NOTIFY_SOCKET=/run/x", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "NOTIFY_SOCKETS=3"})
	if strings.Join(got, " ") != "A=1 NOTIFY_SOCKETS=3" {
		t.Errorf("got %v", got)
	}
}
