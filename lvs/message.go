package lvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// Netlink messages, linux/netlink.h (struct nlmsghdr) and linux/genetlink.h
// (struct genlmsghdr):
//
//	0      4      6       8     12     16        17        18       20
//	| len  | type | flags | seq | port | command | version | unused | attributes … |
//
// len counts all of it. In NLMSG_ERROR an errno, negative or 0, follows the
// netlink header, and the header of the message that it answers follows that.
const (
	messageHeader = 16
	bodyHeader    = messageHeader + 4

	typeNothing = 1    // NLMSG_NOOP: answered by success where an answer is asked for
	typeError   = 2    // NLMSG_ERROR
	typeDone    = 3    // NLMSG_DONE
	typeControl = 0x10 // GENL_ID_CTRL, the first that is no message of netlink itself

	flagRequest  = 0x01  // NLM_F_REQUEST
	flagAck      = 0x04  // NLM_F_ACK
	flagDumpTorn = 0x10  // NLM_F_DUMP_INTR
	flagDump     = 0x300 // NLM_F_DUMP

	controlGetFamily  = 3 // CTRL_CMD_GETFAMILY
	controlVersion    = 1
	controlFamilyID   = 1 // CTRL_ATTR_FAMILY_ID, u16
	controlFamilyName = 2 // CTRL_ATTR_FAMILY_NAME, string
)

var errMessages = errors.New("malformed netlink messages")

// header is what a message begins with. The port is the kernel's business.
type header struct {
	kind, flags uint16
	seq         uint32
	command     command
	version     uint8
}

// appendMessage appends a message whose body fill appends.
func appendMessage(b []byte, h header, fill func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0) // its length, below
	b = binary.NativeEndian.AppendUint16(b, h.kind)
	b = binary.NativeEndian.AppendUint16(b, h.flags)
	b = binary.NativeEndian.AppendUint32(b, h.seq)
	b = append(b, 0, 0, 0, 0, byte(h.command), h.version, 0, 0)
	b = fill(b)
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendBarrier appends a message that does nothing. Its answer says that the
// kernel is through with those before it, which themselves need no answer then:
// it answers what it refuses anyway, and never what ends in EINTR (netlink_rcv_skb).
func appendBarrier(b []byte, seq uint32) []byte {
	return appendMessage(b, header{kind: typeNothing, flags: flagRequest | flagAck, seq: seq}, nothing)
}

// nothing is the body of a message without attributes.
func nothing(b []byte) []byte { return b }

// answer is a message from the kernel.
type answer struct {
	seq    uint32
	torn   bool          // the table changed while it was dumped
	end    bool          // nothing more comes for seq
	reason syscall.Errno // with end: 0 for done
	body   []byte        // attributes; nil with end. It lies in the buffer that was read into
}

// eachAnswer calls visit for the messages in a datagram.
func eachAnswer(b []byte, visit func(answer) error) error {
	for len(b) > 0 {
		if len(b) < messageHeader {
			return errMessages
		}
		n := int(binary.NativeEndian.Uint32(b))
		if n < messageHeader || n > len(b) {
			return errMessages
		}
		a, err := decodeAnswer(b[:n])
		if err != nil {
			return err
		}
		if err := visit(a); err != nil {
			return err
		}
		b = b[min(padded(n), len(b)):]
	}
	return nil
}

func decodeAnswer(message []byte) (answer, error) {
	a := answer{
		seq:  binary.NativeEndian.Uint32(message[8:]),
		torn: binary.NativeEndian.Uint16(message[6:])&flagDumpTorn != 0,
	}
	kind := binary.NativeEndian.Uint16(message[4:])
	switch {
	case kind == typeError || kind == typeDone:
		a.end = true
		var err error
		a.reason, err = decodeErrno(message[messageHeader:], kind)
		return a, err
	case kind < typeControl: // NLMSG_NOOP, NLMSG_OVERRUN: nothing for us
		return a, nil
	case len(message) < bodyHeader:
		return a, errMessages
	}
	a.body = message[bodyHeader:]
	return a, nil
}

// decodeErrno reads the errno of NLMSG_ERROR, or of NLMSG_DONE where the kernel
// puts one.
func decodeErrno(b []byte, kind uint16) (syscall.Errno, error) {
	if len(b) < 4 {
		if kind == typeDone {
			return 0, nil
		}
		return 0, errMessages
	}
	n := int32(binary.NativeEndian.Uint32(b))
	if n > 0 || n < -4095 { // MAX_ERRNO
		return 0, fmt.Errorf("errno %d: %w", n, errMessages)
	}
	return syscall.Errno(-n), nil
}
