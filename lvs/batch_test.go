package lvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeWire is a kernel as far as netlink goes: it answers refused requests and
// those that ask for it, in a queue that holds so many answers and no more.
type fakeWire struct {
	room    int                         // answers that the queue holds
	refuse  func(nth int) syscall.Errno // of all requests, from 1 on; nil: nothing is refused
	sendErr func(datagrams int) error   // nil: nothing fails
	queue   [][]byte
	overrun bool // an answer was dropped: said after the first answer, when some of it is read
	seq     uint32
	sizes   []int // requests per datagram, without barriers
	nth     int
}

func (w *fakeWire) nextSeq() uint32 { w.seq++; return w.seq }

func (w *fakeWire) send(datagram []byte) error {
	if w.sendErr != nil {
		if err := w.sendErr(len(w.sizes)); err != nil {
			return err
		}
	}
	w.sizes = append(w.sizes, 0)
	for len(datagram) > 0 {
		n, kind := binary.NativeEndian.Uint32(datagram), binary.NativeEndian.Uint16(datagram[4:])
		flags, seq := binary.NativeEndian.Uint16(datagram[6:]), binary.NativeEndian.Uint32(datagram[8:])
		reason := syscall.Errno(0)
		if kind != typeNothing {
			w.nth++
			w.sizes[len(w.sizes)-1]++
			if w.refuse != nil {
				reason = w.refuse(w.nth)
			}
		}
		if reason != 0 || flags&flagAck != 0 {
			w.answer(seq, reason)
		}
		datagram = datagram[padded(int(n)):]
	}
	return nil
}

func (w *fakeWire) answer(seq uint32, reason syscall.Errno) {
	if len(w.queue) >= w.room {
		w.overrun = true
		return
	}
	b := binary.NativeEndian.AppendUint32(nil, 20)
	b = binary.NativeEndian.AppendUint16(b, typeError)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	w.queue = append(w.queue, binary.NativeEndian.AppendUint32(b, uint32(-int32(reason))))
}

func (w *fakeWire) receive(bool) ([]byte, error) {
	if w.overrun && len(w.queue) < w.room {
		w.overrun = false
		return nil, syscall.ENOBUFS
	}
	if len(w.queue) == 0 {
		return nil, syscall.EAGAIN
	}
	first := w.queue[0]
	w.queue = w.queue[1:]
	return first, nil
}

// additions makes n ops that differ.
func additions(n int) []Op {
	ops := make([]Op, n)
	for i := range ops {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		ops[i] = AddDestination{codecKey, Destination{Addr: netip.AddrPortFrom(addr, 80), Method: Direct, Weight: 1}}
	}
	return ops
}

// Goal: batches are full, ask for one answer each, and each refusal finds its
// op. Method: 1,000 ops of which some are refused, one of them the last of a batch.
func TestBatchAttributesEachRefusal(t *testing.T) {
	refused := map[int]syscall.Errno{3: syscall.EEXIST, 128: syscall.EPERM, 129: syscall.ENOENT, 1000: syscall.EINVAL}
	w := &fakeWire{room: 129, refuse: func(nth int) syscall.Errno { return refused[nth] }}
	b := batcher{wire: w, family: 30}
	want := make([]syscall.Errno, 1000)
	for nth, reason := range refused {
		want[nth-1] = reason
	}
	if diff := cmp.Diff(want, b.execute(additions(1000))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if want := []int{128, 128, 128, 128, 128, 128, 128, 104}; !slices.Equal(w.sizes, want) {
		t.Errorf("batches of %v, want %v", w.sizes, want)
	}
}

// Goal: when answers are dropped nothing is taken for done that may not be, and
// nothing for refused that may be done. Method: a queue for 5 answers and all
// ops refused: smaller batches, until all fit.
func TestBatchLosesNothingWithFullBuffers(t *testing.T) {
	w := &fakeWire{room: 5, refuse: func(int) syscall.Errno { return syscall.EINVAL }}
	b := batcher{wire: w, family: 30}
	got := b.execute(additions(300))
	if i := slices.IndexFunc(got, func(reason syscall.Errno) bool { return reason != syscall.EINVAL }); i >= 0 {
		t.Errorf("op %d: %v", i, got[i])
	}
	if w.sizes[len(w.sizes)-1] > 4 {
		t.Errorf("batches of %v", w.sizes)
	}
}

// Goal: after a drop the answers of the first try do not stick to the second.
// Method: ops that are refused once only.
func TestBatchForgetsTheFirstTry(t *testing.T) {
	w := &fakeWire{room: 5}
	w.refuse = func(nth int) syscall.Errno {
		if nth <= 100 {
			return syscall.ENOMEM
		}
		return 0
	}
	b := batcher{wire: w, family: 30}
	for i, reason := range b.execute(additions(100)) {
		if reason != 0 {
			t.Errorf("op %d: %v", i, reason)
		}
	}
	if w.nth != 200 {
		t.Errorf("%d requests", w.nth)
	}
}

// Goal: a kernel that never answers, or has no memory for one op, ends in an
// error for all that is left, and not in a loop. Method: both.
func TestBatchEndsOnABrokenWire(t *testing.T) {
	for _, reason := range []syscall.Errno{syscall.EAGAIN, syscall.ENOBUFS} {
		w := &fakeWire{room: 128, sendErr: func(datagrams int) error {
			if datagrams == 1 {
				return reason
			}
			return nil
		}}
		b := batcher{wire: w, family: 30}
		got := b.execute(additions(200))
		want := append(make([]syscall.Errno, 128), slices.Repeat([]syscall.Errno{reason}, 72)...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", reason, diff)
		}
	}
	w := &fakeWire{room: 0} // not one answer arrives
	b := batcher{wire: w, family: 30}
	if got := b.execute(additions(200)); slices.Contains(got, 0) {
		t.Error("taken for done without an answer")
	}
	wrapped := &fakeWire{sendErr: func(int) error { return fmt.Errorf("send: %w", syscall.EPERM) }}
	b = batcher{wire: wrapped, family: 30}
	if got := b.execute(additions(1)); got[0] != syscall.EPERM {
		t.Errorf("a wrapped errno becomes %v", got[0])
	}
}

// Goal: answers to something else change nothing. Method: left-overs in the queue.
func TestBatchIgnoresLeftOvers(t *testing.T) {
	w := &fakeWire{room: 200, seq: 1000, refuse: func(nth int) syscall.Errno { return []syscall.Errno{syscall.EPERM, 0, syscall.EINVAL}[nth-1] }}
	w.answer(7, syscall.EIO)
	w.answer(1000, syscall.EIO)
	b := batcher{wire: w, family: 30}
	if got := b.execute(additions(3)); !slices.Equal(got, []syscall.Errno{syscall.EPERM, 0, syscall.EINVAL}) {
		t.Errorf("%v", got)
	}
}
