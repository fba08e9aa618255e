package lvs

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// socketTimeout bounds every wait for the kernel, so that a table that somebody
	// else holds locked can't hold us for ever.
	socketTimeout = 5 * time.Second
	// readBytes is a datagram's greatest length: the kernel makes those of a dump
	// as large as what was read before, up to this (netlink_dump).
	readBytes  = 32 << 10
	queueBytes = 512 << 10 // asked for; the usual default of 208 kB does too
	// dumpTriesMax bounds how often a dump is begun again because the table has
	// changed in the meantime.
	dumpTriesMax = 5
)

// errTorn says that the table has changed while it was read.
var errTorn = errors.New("the table was changed by somebody else each time that it was read")

// socket is a generic-netlink socket. It implements [wire].
type socket struct {
	fd     int
	seq    uint32
	family uint16 // of IPVS
	buffer []byte
}

// openSocket opens a socket in the calling thread's network namespace and finds
// the IPVS family; the kernel then loads ip_vs by itself where it can.
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	s := &socket{fd: fd, buffer: make([]byte, readBytes)}
	if err := s.configure(); err != nil {
		s.close()
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	if err := s.findFamily(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) configure() error {
	timeout := unix.NsecToTimeval(socketTimeout.Nanoseconds())
	if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return err
	}
	// Without the privilege it stays as large as the system's limit allows.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queueBytes)
	return errors.Join(
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// findFamily asks for the number of the family "IPVS".
func (s *socket) findFamily() error {
	h := header{kind: typeControl, flags: flagRequest | flagAck, command: controlGetFamily, version: controlVersion}
	name := func(b []byte) []byte { return appendString(b, controlFamilyName, familyName) }
	err := s.ask(h, name, func(body []byte) error {
		return eachAttribute(body, func(kind uint16, v value) error {
			if kind == controlFamilyID {
				return v.uint16(&s.family)
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrNoIPVS
	case err != nil:
		return fmt.Errorf("find IPVS in the kernel: %w", err)
	}
	return nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }

func (s *socket) nextSeq() uint32 {
	s.seq++
	return s.seq
}

func (s *socket) send(datagram []byte) error {
	for {
		err := unix.Sendto(s.fd, datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *socket) receive(wait bool) ([]byte, error) {
	flags := unix.MSG_TRUNC // the length is the datagram's, also where that is longer than the buffer
	if !wait {
		flags |= unix.MSG_DONTWAIT
	}
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buffer, flags)
		switch sender, ok := from.(*unix.SockaddrNetlink); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case !ok || sender.Pid != 0: // not from the kernel
		case n > len(s.buffer):
			return nil, unix.EMSGSIZE
		default:
			return s.buffer[:n], nil
		}
	}
}

// get sends one request to IPVS and calls visit with each entry of the answer.
func (s *socket) get(c command, visit func(body []byte) error) error {
	h := header{kind: s.family, flags: flagRequest | flagAck, command: c, version: familyVersion}
	return s.ask(h, nothing, visit)
}

// set sends one request to IPVS that is answered by success or failure alone.
// EINTR: there was no answer, although the kernel is through with it.
func (s *socket) set(c command, fill func([]byte) []byte) error {
	h := header{kind: s.family, flags: flagRequest | flagAck, seq: s.nextSeq(), command: c, version: familyVersion}
	if err := s.send(appendBarrier(appendMessage(nil, h, fill), s.nextSeq())); err != nil {
		return err
	}
	reason := []syscall.Errno{syscall.EINTR}
	if err := collect(s, reason, h.seq); err != nil {
		return err
	}
	if reason[0] != 0 {
		return reason[0]
	}
	return nil
}

// dump reads a table, again when it was changed in the meantime.
func dump[Entry any](s *socket, c command, fill func([]byte) []byte, decode func(body []byte) (Entry, error)) ([]Entry, error) {
	h := header{kind: s.family, flags: flagRequest | flagDump, command: c, version: familyVersion}
	for range dumpTriesMax {
		var entries []Entry
		err := s.ask(h, fill, func(body []byte) error {
			entry, err := decode(body)
			entries = append(entries, entry)
			return err
		})
		switch {
		case err == nil:
			return entries, nil
		case !errors.Is(err, errTorn):
			return nil, err
		}
	}
	return nil, errTorn
}

// ask sends a request and calls visit with what the kernel answers, up to the
// end of it. visit must not keep the body.
func (s *socket) ask(h header, fill func([]byte) []byte, visit func(body []byte) error) error {
	h.seq = s.nextSeq()
	if err := s.send(appendMessage(nil, h, fill)); err != nil {
		return err
	}
	var last answer
	var visitErr error
	torn := false
	for !last.end {
		datagram, err := s.receive(true)
		if err == nil {
			err = eachAnswer(datagram, func(a answer) error {
				if a.seq != h.seq {
					return nil
				}
				torn, last = torn || a.torn, a
				if a.body != nil && visitErr == nil {
					visitErr = visit(a.body)
				}
				return nil
			})
		}
		if err != nil {
			drain(s)
			return err
		}
	}
	switch {
	case last.reason != 0:
		return last.reason
	case torn:
		return errTorn
	}
	return visitErr
}
