package demo

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
)

// datagramMax is more than any frame or datagram of ours.
const datagramMax = 2048

// clockTries is how often the two clocks are read to find out how far they are
// apart; the quickest reading counts.
const clockTries = 5

// socket is a socket whose datagrams carry the kernel's receive stamp.
type socket struct {
	file *os.File
}

// newSocket makes a socket in the calling thread's network namespace.
func newSocket(domain, kind, protocol int) (*socket, error) {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return nil, errors.Join(fmt.Errorf("ask for receive stamps: %w", err), unix.Close(fd))
	}
	return &socket{file: os.NewFile(uintptr(fd), "socket")}, nil
}

// control calls fn with the descriptor.
func (s *socket) control(fn func(fd int) error) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// send never waits: a full buffer is a lost packet, as on any network.
func (s *socket) send(packet []byte, to unix.Sockaddr) error {
	return s.control(func(fd int) error { return unix.Sendto(fd, packet, unix.MSG_DONTWAIT, to) })
}

// receive waits for a datagram. An interface that goes down is not its end.
func (s *socket) receive(buffer []byte) (n int, at boottime.Instant, err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	control := make([]byte, 128)
	for {
		var controlled int
		var inner error
		err = raw.Read(func(fd uintptr) bool {
			n, controlled, _, _, inner = unix.Recvmsg(int(fd), buffer, control, 0)
			return !errors.Is(inner, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return 0, 0, err
		case inner == nil:
			return n, stampOf(control[:controlled]), nil
		case errors.Is(inner, unix.EINTR), errors.Is(inner, unix.ENETDOWN), errors.Is(inner, unix.EHOSTUNREACH),
			errors.Is(inner, unix.ENETUNREACH), errors.Is(inner, unix.ECONNREFUSED):
		default:
			return 0, 0, fmt.Errorf("receive: %w", inner)
		}
	}
}

func (s *socket) close() error { return s.file.Close() }

// stampOf turns the kernel's stamp, which is of the wall clock, into an instant.
// Without one it is now.
func stampOf(control []byte) boottime.Instant {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return boottime.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			stamp := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return boottime.Instant(stamp.Nano() - wallAhead())
		}
	}
	return boottime.Now()
}

// wallAhead is how far the wall clock is ahead of the boot-time clock, in
// nanoseconds. A pause between reading one and the other would be an error of
// that size, so the quickest of a few readings is taken.
func wallAhead() int64 {
	var ahead int64
	best := time.Duration(1<<63 - 1)
	for range clockTries {
		before := boottime.Now()
		wall := time.Now().UnixNano()
		after := boottime.Now()
		if took := after.Sub(before); took < best {
			best, ahead = took, wall-int64(before)-int64(took/2)
		}
		if best < 5*time.Microsecond {
			break
		}
	}
	return ahead
}
