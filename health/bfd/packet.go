package bfd

import (
	"encoding/binary"
	"time"
)

// The BFD control packet (RFC 5880 §4.1), the payload of a UDP datagram.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       My Discriminator                        |
//	|                      Your Discriminator                       |
//	|                    Desired Min TX Interval                    |
//	|                   Required Min RX Interval                    |
//	|                 Required Min Echo RX Interval                 |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
//	field                    where            unit, values
//	Vers                     octet 0, 3 bits  1
//	Diag                     octet 0, 5 bits  Diagnostic
//	Sta                      octet 1, 2 bits  State, one less
//	P, F, C, A, D, M         octet 1          bits 0x20 to 0x01
//	Detect Mult              octet 2          packets, not 0
//	Length                   octet 3          octets, of the whole packet
//	discriminators           octets 4, 8      My is not 0
//	the three intervals      octets 12 to 23  microseconds
//
// An authentication section may follow where A is set; we have none.
const (
	packetLength       = 24 // §6.8.6: the least with A clear
	packetLengthSigned = 26 // and with A set

	version = 1

	offsetVersion            = 0
	offsetFlags              = 1
	offsetMultiplier         = 2
	offsetLength             = 3
	offsetMyDiscriminator    = 4
	offsetYourDiscriminator  = 8
	offsetDesiredMinTx       = 12
	offsetRequiredMinRx      = 16
	offsetRequiredMinEchoRx  = 20
	diagnosticMask           = 0x1f
	versionShift, stateShift = 5, 6

	bitPoll          = 0x20
	bitFinal         = 0x10
	bitControlPlane  = 0x08
	bitAuthenticated = 0x04
	bitDemand        = 0x02
	bitMultipoint    = 0x01
)

// PayloadMax is the length in octets of the longest packet that its Length can name:
// a datagram may be longer, but nothing behind this is looked at.
const PayloadMax = 255

// Packet is a BFD control packet without authentication. Intervals are whole
// microseconds, up to [IntervalMax].
type Packet struct {
	Diagnostic              Diagnostic // why the sender's state last changed
	State                   State      // of the sender's session
	Poll, Final             bool       // never both
	ControlPlaneIndependent bool
	Demand                  bool  // the sender wants no periodic packets while Up
	Multiplier              uint8 // Detect Mult: packets in a row that may be missed; not 0
	MyDiscriminator         uint32
	YourDiscriminator       uint32        // what was last received as MyDiscriminator, or 0
	DesiredMinTx            time.Duration // what the sender would like to send at
	RequiredMinRx           time.Duration // what it can receive at; 0: no periodic packets, please
	RequiredMinEchoRx       time.Duration // 0: it loops no echo packets back
}

// Append encodes p and appends it to b. p is one of ours, so that a value that doesn't
// fit is a bug.
func (p Packet) Append(b []byte) []byte {
	if p.State < AdminDown || p.State > Up || p.Diagnostic > diagnosticMask {
		panic("bfd: packet with a state or diagnostic that has no encoding")
	}
	flags := byte(p.State-1) << stateShift
	for _, f := range []struct {
		set bool
		bit byte
	}{{p.Poll, bitPoll}, {p.Final, bitFinal}, {p.ControlPlaneIndependent, bitControlPlane}, {p.Demand, bitDemand}} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(b, version<<versionShift|byte(p.Diagnostic), flags, p.Multiplier, packetLength)
	b = binary.BigEndian.AppendUint32(b, p.MyDiscriminator)
	b = binary.BigEndian.AppendUint32(b, p.YourDiscriminator)
	b = binary.BigEndian.AppendUint32(b, microseconds(p.DesiredMinTx))
	b = binary.BigEndian.AppendUint32(b, microseconds(p.RequiredMinRx))
	return binary.BigEndian.AppendUint32(b, microseconds(p.RequiredMinEchoRx))
}

func microseconds(d time.Duration) uint32 {
	if d < 0 || d > IntervalMax {
		panic("bfd: packet with an interval that has no encoding")
	}
	return uint32(d / time.Microsecond)
}

// Decode reads the payload of a datagram and makes, in the order of RFC 5880 §6.8.6, all
// checks that need no session. The error is a [DropReason]. What it returns encodes to
// the same octets, unless the datagram had more of them than Length says.
//
// Authentication is refused here, one step before the RFC looks for a session: no
// session of ours has any.
func Decode(payload []byte) (Packet, error) {
	if len(payload) < packetLength {
		return Packet{}, DropTooShort
	}
	if reason := checkFields(payload); reason != 0 {
		return Packet{}, reason
	}
	flags := payload[offsetFlags]
	return Packet{
		Diagnostic:              Diagnostic(payload[offsetVersion] & diagnosticMask),
		State:                   stateOf(flags),
		Poll:                    flags&bitPoll != 0,
		Final:                   flags&bitFinal != 0,
		ControlPlaneIndependent: flags&bitControlPlane != 0,
		Demand:                  flags&bitDemand != 0,
		Multiplier:              payload[offsetMultiplier],
		MyDiscriminator:         binary.BigEndian.Uint32(payload[offsetMyDiscriminator:]),
		YourDiscriminator:       binary.BigEndian.Uint32(payload[offsetYourDiscriminator:]),
		DesiredMinTx:            interval(payload[offsetDesiredMinTx:]),
		RequiredMinRx:           interval(payload[offsetRequiredMinRx:]),
		RequiredMinEchoRx:       interval(payload[offsetRequiredMinEchoRx:]),
	}, nil
}

// checkFields makes the checks of a payload of at least packetLength octets.
func checkFields(payload []byte) DropReason {
	flags, length := payload[offsetFlags], int(payload[offsetLength])
	authenticated := flags&bitAuthenticated != 0
	yours := binary.BigEndian.Uint32(payload[offsetYourDiscriminator:])
	switch {
	case payload[offsetVersion]>>versionShift != version:
		return DropVersion
	case length < packetLength, authenticated && length < packetLengthSigned:
		return DropTooShort
	case length > len(payload):
		return DropLength
	case payload[offsetMultiplier] == 0:
		return DropMultiplier
	case flags&bitMultipoint != 0:
		return DropMultipoint
	case binary.BigEndian.Uint32(payload[offsetMyDiscriminator:]) == 0:
		return DropMyDiscriminator
	case yours == 0 && stateOf(flags) > Down:
		return DropYourDiscriminator
	case authenticated:
		return DropAuthenticated
	case flags&bitPoll != 0 && flags&bitFinal != 0:
		return DropPollFinal
	}
	return 0
}

func stateOf(flags byte) State { return State(flags>>stateShift) + 1 }

func interval(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}
