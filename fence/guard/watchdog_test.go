package guard

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/internal/boottime"
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

// What a driver does differently from what an operator may expect is logged when the
// watchdog is armed, and stays in the layers. Method: a device with a caution, its
// opening taken from the shell to the core.
func TestCautionOfTheWatchdogReachesTheLayers(t *testing.T) {
	s := &server{Options: Options{
		Log: hclog.NewNullLogger(),
		OpenWatchdog: func(_ string, timeout time.Duration) (fence.Watchdog, time.Duration, error) {
			return stubbornWatchdog{&fence.FakeWatchdog{}}, timeout, nil
		},
	}}
	opened := s.perform(OpenWatchdog{Path: "/dev/watchdog", Timeout: time.Second})
	core := NewCore(0)
	warned := slices.ContainsFunc(core.Step(boottime.Now(), opened), func(a Action) bool { l, ok := a.(Log); return ok && l.Warn })
	if got := core.layers(); !warned || !got.Watchdog || !slices.Equal(got.Cautions, []string{"watchdog: nowayout"}) {
		t.Errorf("warned is %v, layers are %+v", warned, got)
	}
}

// stubbornWatchdog can't be disarmed.
type stubbornWatchdog struct{ *fence.FakeWatchdog }

func (stubbornWatchdog) Cautions() []string { return []string{"nowayout"} }
