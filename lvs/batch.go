package lvs

import (
	"errors"
	"syscall"
)

// A batch is many requests in one datagram. The kernel performs them one after
// another and puts an answer for each refused one into the receive queue, and one
// for the barrier at the end. That queue is why the number is bounded: an answer
// takes up to 1.3 kB of it, and the usual default of a queue is 208 kB.
const (
	batchOpsMax   = 128
	batchBytesMax = 32 << 10 // looked at before each request; one takes some 160 bytes, 400 at most
)

// wire carries datagrams to and from the kernel. Its errors are errnos.
type wire interface {
	send(datagram []byte) error
	// receive gives the next datagram. EAGAIN: with wait false, there is none now;
	// with wait true, the kernel has not answered in time.
	receive(wait bool) ([]byte, error)
	nextSeq() uint32 // one more than the last
}

// batcher performs ops in batches.
type batcher struct {
	wire   wire
	family uint16 // of IPVS
	buffer []byte
}

// execute performs the ops one after another and returns what the kernel said of
// each, 0 for done. One is done only when the kernel has said so. When the wire
// breaks, its errno is said of all whose end is not known.
func (b *batcher) execute(ops []Op) []syscall.Errno {
	reasons := make([]syscall.Errno, len(ops))
	limit := batchOpsMax
	for start := 0; start < len(ops); {
		datagram, n, first := b.pack(ops[start:], limit)
		err := b.wire.send(datagram)
		if err == nil {
			clear(reasons[start : start+n]) // of what a first try has said
			err = collect(b.wire, reasons[start:start+n], first)
		}
		switch {
		case err == nil:
			start += n
		case errors.Is(err, syscall.ENOBUFS) && limit > 1:
			// Answers were dropped: what was done is not known. It is asked for again,
			// less at a time; Resolve knows what it means that things are there already.
			limit /= 2
		default:
			return broken(reasons, start, err)
		}
	}
	return reasons
}

// pack makes a datagram of as many ops as fit, at least one and at most limit:
// n of them, the first with the sequence number first, and a barrier.
func (b *batcher) pack(ops []Op, limit int) (datagram []byte, n int, first uint32) {
	datagram = b.buffer[:0]
	for n < min(len(ops), limit) && len(datagram) < batchBytesMax {
		h := header{kind: b.family, flags: flagRequest, seq: b.wire.nextSeq(), command: commandOf(ops[n]), version: familyVersion}
		if n == 0 {
			first = h.seq
		}
		datagram = appendMessage(datagram, h, func(body []byte) []byte { return appendOp(body, ops[n]) })
		n++
	}
	datagram = appendBarrier(datagram, b.wire.nextSeq())
	b.buffer = datagram
	return datagram, n, first
}

// collect reads what the kernel says of requests into reasons, up to the barrier.
// The first has the sequence number first, and the barrier's follows the last's.
func collect(w wire, reasons []syscall.Errno, first uint32) error {
	for finished := false; !finished; {
		datagram, err := w.receive(true)
		if err == nil {
			err = eachAnswer(datagram, func(a answer) error {
				switch i := a.seq - first; { // beyond them for what is left over from others
				case a.end && i < uint32(len(reasons)):
					reasons[i] = a.reason
				case a.end && i == uint32(len(reasons)):
					finished = true
				}
				return nil
			})
		}
		if err != nil {
			drain(w)
			return err
		}
	}
	return nil
}

// drain throws away what is in the queue, and what is left of a dump: there is
// room for answers then.
func drain(w wire) {
	for {
		if _, err := w.receive(false); err != nil && !errors.Is(err, syscall.ENOBUFS) {
			return
		}
	}
}

// broken gives all reasons from start on the errno of err.
func broken(reasons []syscall.Errno, start int, err error) []syscall.Errno {
	errno := syscall.EIO
	_ = errors.As(err, &errno)
	for i := start; i < len(reasons); i++ {
		reasons[i] = errno
	}
	return reasons
}
