package lvs

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel"
)

// Goal: with a receive queue that is far too small the kernel drops answers, and
// still each op gets its own. Method: the smallest queue that there is, and ops
// that are all refused, then some that are not.
func TestSocketLosesNothingWithASmallQueue(t *testing.T) {
	if !kernel.Run(t, "ip_vs", "ip_vs_rr") {
		return
	}
	s, err := openSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	drops := &countingWire{wire: s}
	b := batcher{wire: drops, family: s.family}
	reasons := b.execute(additions(300)) // there is no service
	if i := slices.IndexFunc(reasons, func(reason syscall.Errno) bool { return reason != syscall.ESRCH }); i >= 0 {
		t.Errorf("op %d: %v", i, reasons[i])
	}
	if drops.overruns == 0 {
		t.Error("nothing was dropped: the test has tested nothing")
	}
	outcome := Settle(append([]Op{AddService{codecKey, Settings{Scheduler: "rr"}}}, additions(300)...), b.execute)
	if outcome.Done != 301 || outcome.Surprises != 0 {
		t.Errorf("outcome %+v", outcome)
	}
}

// countingWire counts the overruns of another.
type countingWire struct {
	wire
	overruns int
}

func (w *countingWire) receive(wait bool) ([]byte, error) {
	datagram, err := w.wire.receive(wait)
	if err == unix.ENOBUFS {
		w.overruns++
	}
	return datagram, err
}
