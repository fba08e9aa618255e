package fence

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// magicClose, written before the device is closed, stops the watchdog unless
// the driver was built or loaded with nowayout (watchdog-api.rst).
const magicClose = "V"

// DeviceWatchdog is a /dev/watchdog.
type DeviceWatchdog struct {
	file   *os.File
	driver watchdogDriver
}

// watchdogDriver is what a driver does with what is asked of it.
type watchdogDriver struct {
	asked    time.Duration // in whole seconds
	timeout  time.Duration // what holds
	refusal  error         // of the timeout that was asked for
	options  uint32        // WDIOF_…, of WDIOC_GETSUPPORT
	nowayout bool
}

// OpenWatchdog opens the device, which starts it, and sets its timeout in whole
// seconds, rounded up. A driver that refuses the timeout keeps its own: once it
// is open it may be too late to go without. Only one process may have it open
// (EBUSY); systemd takes it with RuntimeWatchdogSec=.
func OpenWatchdog(path string, timeout time.Duration) (*DeviceWatchdog, error) {
	if timeout < WatchdogTimeoutMin || timeout > WatchdogTimeoutMax {
		return nil, fmt.Errorf("open watchdog %s: timeout %v is not within %v and %v", path, timeout, WatchdogTimeoutMin, WatchdogTimeoutMax)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("open watchdog: %w; another program has it, perhaps systemd: set RuntimeWatchdogSec=0 in system.conf", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open watchdog: %w", err)
	}
	driver, err := setUpWatchdog(int(file.Fd()), timeout)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open watchdog %s: %w", path, err), file.Close())
	}
	return &DeviceWatchdog{file: file, driver: driver}, nil
}

// setUpWatchdog fails where there is no watchdog that runs: nothing was changed
// then, and nothing needs to be disarmed.
func setUpWatchdog(fd int, timeout time.Duration) (watchdogDriver, error) {
	d := watchdogDriver{asked: (timeout + time.Second - 1).Truncate(time.Second)}
	support, err := unix.IoctlGetWatchdogInfo(fd)
	if err != nil {
		return d, fmt.Errorf("it is no watchdog: %w", err)
	}
	d.options = support.Options
	d.refusal = unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, int(d.asked/time.Second))
	d.timeout = d.asked
	if seconds, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT); err == nil && seconds > 0 {
		d.timeout = time.Duration(seconds) * time.Second
	}
	// Stopped and started in one call: with nowayout it is refused, and nobody has
	// to know where this kernel would say so (sysfs, if it was built with that).
	err = unix.IoctlSetPointerInt(fd, unix.WDIOC_SETOPTIONS, unix.WDIOS_DISABLECARD|unix.WDIOS_ENABLECARD)
	switch {
	case errors.Is(err, unix.EBUSY):
		d.nowayout = true
	case err == nil, errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL): // it may know no such call
	default:
		return d, fmt.Errorf("start it: %w", err)
	}
	return d, nil
}

// Timeout is what the driver made of the timeout asked for; that itself, where
// the driver does not tell.
func (w *DeviceWatchdog) Timeout() time.Duration { return w.driver.timeout }

// Cautions say, a sentence each, what this watchdog does differently from what
// an operator may expect of it. None is the normal case.
func (w *DeviceWatchdog) Cautions() []string { return w.driver.cautions() }

func (d watchdogDriver) cautions() []string {
	var cautions []string
	if d.refusal != nil {
		cautions = append(cautions, fmt.Sprintf("its driver refuses a timeout of %v (%v) and keeps its own", d.asked, d.refusal))
	} else if d.timeout != d.asked {
		cautions = append(cautions, fmt.Sprintf("its driver resets the host after %v, not after %v", d.timeout, d.asked))
	}
	if d.options&unix.WDIOF_ALARMONLY != 0 {
		cautions = append(cautions, "its driver only raises an alarm and does not reset the host")
	}
	switch {
	case d.nowayout:
		cautions = append(cautions, fmt.Sprintf("nowayout: it can't be disarmed; a stop of hafence resets the host %v later, unless it is started again before", d.timeout))
	case d.options&unix.WDIOF_MAGICCLOSE == 0:
		cautions = append(cautions, "its driver knows no magic close: it stops when the guard is killed, and resets the host only when the guard hangs")
	}
	return cautions
}

// Pet implements [Watchdog].
func (w *DeviceWatchdog) Pet() error {
	if err := unix.IoctlWatchdogKeepalive(int(w.file.Fd())); err != nil {
		return fmt.Errorf("pet watchdog: %w", err)
	}
	return nil
}

// Disarm implements [Watchdog]. With nowayout it closes the device, and the
// error says when the host will be reset.
func (w *DeviceWatchdog) Disarm() error {
	_, writeErr := w.file.WriteString(magicClose)
	if err := errors.Join(writeErr, w.file.Close()); err != nil {
		return fmt.Errorf("disarm watchdog: %w", err)
	}
	if w.driver.nowayout {
		return fmt.Errorf("disarm watchdog: nowayout: this host resets in %v unless hafence is started again before", w.driver.timeout)
	}
	return nil
}
