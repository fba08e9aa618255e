package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Checker does the tries of a check. [TCP], [HTTP], [SMTP], [DNS], [Misc], [Ping] and
// [UDP] are values that many goroutines may use at once.
type Checker interface {
	// Try does one try. It takes no longer than Bound, and ends soon after ctx does.
	Try(ctx context.Context) Result
	Bound() time.Duration
	Lane() Lane
}

// up is a result that says yes.
func up(reason string) Result { return Result{Up: true, Reason: shorten(reason)} }

// down is a result that says no.
func down(format string, args ...any) Result {
	return Result{Reason: shorten(fmt.Sprintf(format, args...))}
}

// failed is the result of a try that ended in an error. What failed on this side says
// nothing about the server: it stays what it was.
func failed(action string, err error) Result {
	r := down("%s: %s", action, explain(err))
	r.Inconclusive = isLocal(err)
	return r
}

// isLocal reports whether an error is this host's own: no descriptors, no memory, no
// port, no such source address or interface, not allowed, being stopped.
func isLocal(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return errors.Is(err, os.ErrClosed)
	}
	switch errno {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.EADDRINUSE,
		unix.EPERM, unix.EACCES, unix.ENODEV, unix.EAFNOSUPPORT:
		return true
	}
	return false
}

// explain gives the part of an error that an operator needs.
func explain(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out"
	case errors.Is(err, os.ErrClosed):
		return "interrupted"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// shorten cuts a reason at [ReasonMax] and keeps it on one line: parts of it may
// come from a server that lies.
func shorten(reason string) string {
	line := make([]byte, 0, min(len(reason), ReasonMax))
	for _, r := range reason {
		if len(line)+utf8.RuneLen(r) > ReasonMax-len("…") {
			return string(line) + "…"
		}
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		line = utf8.AppendRune(line, r)
	}
	return string(line)
}
