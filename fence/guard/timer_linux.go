package guard

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
)

// timer fires at an instant of CLOCK_BOOTTIME: unlike Go's timers also while,
// and right after, the host was suspended.
type timer struct {
	file  *os.File
	fireC chan struct{} // capacity 1: an unread expiry says all there is to say
}

func newTimer() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	t := &timer{file: os.NewFile(uintptr(fd), "timerfd"), fireC: make(chan struct{}, 1)}
	go t.read()
	return t, nil
}

func (t *timer) read() {
	expirations := make([]byte, 8) // timerfd_create(2)
	for {
		if _, err := t.file.Read(expirations); err != nil {
			return // closed
		}
		select {
		case t.fireC <- struct{}{}:
		default:
		}
	}
}

// set arms the timer, or disarms it. An instant in the past fires at once.
func (t *timer) set(at boottime.Instant, needed bool) error {
	var spec unix.ItimerSpec // zero disarms
	if needed {
		spec.Value = unix.NsecToTimespec(int64(max(at, 1)))
	}
	connection, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	if err := connection.Control(func(fd uintptr) {
		setErr = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil)
	}); err != nil {
		return err
	}
	return setErr
}

func (t *timer) close() { _ = t.file.Close() }
