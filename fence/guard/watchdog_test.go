package guard

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/fence"
)

// The shell carries the core's word to the device and decides nothing: it opens
// what it is told to, pets and disarms when it is told to, and says why an opening
// failed. When to pet is the core's business (core_test.go). Method: a fake device.
func TestServerCarriesTheCoresWordToTheWatchdog(t *testing.T) {
	device := &fence.FakeWatchdog{}
	var failure error
	s := &server{Options: Options{
		Log: hclog.NewNullLogger(),
		OpenWatchdog: func(path string, timeout time.Duration) (fence.Watchdog, time.Duration, error) {
			if path != "/dev/watchdog" {
				t.Errorf("opened %s", path)
			}
			return device, timeout + time.Second, failure // a device rounds as it likes
		},
	}}
	opening := OpenWatchdog{Path: "/dev/watchdog", Timeout: 4 * time.Second}

	failure = errors.New("device busy")
	if got := s.perform(opening); got != (WatchdogOpened{Reason: "device busy"}) {
		t.Fatalf("a failed opening: %+v", got)
	}
	failure = nil
	if got := s.perform(opening); got != (WatchdogOpened{Timeout: 5 * time.Second}) {
		t.Fatalf("an opening: %+v", got)
	}
	for range 3 {
		s.perform(PetWatchdog{})
	}
	device.Err = errors.New("input/output error") // is logged; the host resets by itself
	s.perform(PetWatchdog{})
	device.Err = nil
	s.perform(DisarmWatchdog{})
	if device.Pets != 3 || !device.Disarmed {
		t.Fatalf("the device: %+v, want 3 pets and disarmed", device)
	}
}
