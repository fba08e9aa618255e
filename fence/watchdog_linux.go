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
	file    *os.File
	timeout time.Duration
}

// OpenWatchdog opens the device, which starts it, and sets its timeout in whole
// seconds, rounded up. Only one process may have it open (EBUSY); systemd takes
// it with RuntimeWatchdogSec=.
func OpenWatchdog(path string, timeout time.Duration) (*DeviceWatchdog, error) {
	if timeout < WatchdogTimeoutMin || timeout > WatchdogTimeoutMax {
		return nil, fmt.Errorf("open watchdog %s: timeout %v is not within %v and %v", path, timeout, WatchdogTimeoutMin, WatchdogTimeoutMax)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open watchdog: %w", err)
	}
	w := &DeviceWatchdog{file: file}
	if err := w.setTimeout(timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("set timeout of watchdog %s to %v: %w", path, timeout, err), w.Disarm())
	}
	return w, nil
}

func (w *DeviceWatchdog) setTimeout(timeout time.Duration) error {
	seconds := int((timeout + time.Second - 1) / time.Second)
	fd := int(w.file.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds); err != nil {
		return err
	}
	actual, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	if err != nil {
		actual = seconds // a driver that can't tell has at least accepted
	}
	w.timeout = time.Duration(actual) * time.Second
	return nil
}

// Timeout is what the driver made of the timeout asked for.
func (w *DeviceWatchdog) Timeout() time.Duration { return w.timeout }

// Pet implements [Watchdog].
func (w *DeviceWatchdog) Pet() error {
	if err := unix.IoctlWatchdogKeepalive(int(w.file.Fd())); err != nil {
		return fmt.Errorf("pet watchdog: %w", err)
	}
	return nil
}

// Disarm implements [Watchdog].
func (w *DeviceWatchdog) Disarm() error {
	_, writeErr := w.file.WriteString(magicClose)
	if err := errors.Join(writeErr, w.file.Close()); err != nil {
		return fmt.Errorf("disarm watchdog: %w", err)
	}
	return nil
}
