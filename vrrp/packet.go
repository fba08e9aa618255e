package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// The VRRP message, the payload of an IP packet of protocol 112 with TTL 255.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|   Auth Type   |   Adver Int   |          Checksum             |  version 2
//	|(rsvd) |     Max Adver Int     |          Checksum             |  version 3
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                  IPv4 addresses, Count of them                |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|            Authentication Data (8 octets), version 2          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
//	field                where            unit          source
//	Version, Type        octet 0          2 or 3, 1     RFC 3768 §5.3.1, RFC 9568 §5.2.1
//	Virtual Rtr ID       octet 1          1–255         RFC 3768 §5.3.3
//	Priority             octet 2          0–255         RFC 3768 §5.3.4
//	Count IP Addrs       octet 3                        RFC 3768 §5.3.5
//	Auth Type            octet 4 (v2)     0 or 1        RFC 3768 §5.3.6, RFC 2338 §5.3.6
//	Adver Int            octet 5 (v2)     seconds       RFC 3768 §5.3.7
//	Max Adver Int        12 bit (v3)      centiseconds  RFC 9568 §5.2.7
//	Checksum             octets 6, 7      see checksum.go
//	Authentication Data  last 8 (v2)      always there  RFC 3768 §5.3.10
const (
	headerLength  = 8
	addressLength = 4
	authLength    = 8

	offsetVersionType = 0
	offsetID          = 1
	offsetPriority    = 2
	offsetCount       = 3
	offsetAuthType    = 4
	offsetInterval    = 5
	offsetChecksum    = 6

	typeAdvertisement = 1

	// maxInterval12 is what the twelve bits of Max Adver Int hold.
	maxInterval12 = 1<<12 - 1
)

// Protocol is VRRP's IP protocol number (RFC 3768 §5.2.4).
const Protocol = 112

// TTL is what every VRRP packet is sent with, and what a multicast one must
// still have on arrival (RFC 3768 §5.2.3).
const TTL = 255

// AddressesMax is how many addresses an advertisement can count.
const AddressesMax = 255

// MessageMax is the length of the longest message there is, in octets.
const MessageMax = headerLength + AddressesMax*addressLength + authLength

// DefaultGroup is the IPv4 multicast group of VRRP (RFC 3768 §5.2.2).
var DefaultGroup = netip.AddrFrom4([4]byte{224, 0, 0, 18})

// ID is a virtual router identifier (VRID), 1–255.
type ID uint8

// Priority is a VRRP priority: 1–254, and the two with a meaning of their own
// below (RFC 3768 §5.3.4).
type Priority uint8

// Priorities with a meaning of their own.
const (
	PriorityStop  Priority = 0   // the MASTER stops taking part: take over at once
	PriorityOwner Priority = 255 // the router whose own addresses the VIPs are
)

// Version is a version of the protocol.
type Version uint8

// The versions on the wire.
const (
	Version2 Version = 2 // RFC 3768
	Version3 Version = 3 // RFC 9568, here for IPv4
)

// String gives the version as people write it.
func (v Version) String() string {
	switch v {
	case Version2:
		return "VRRPv2"
	case Version3:
		return "VRRPv3"
	default:
		return fmt.Sprintf("Version(%d)", uint8(v))
	}
}

// Limits of the advertisement interval. A version 2 interval is whole seconds,
// a version 3 interval whole centiseconds.
const (
	IntervalMin2 = 1 * time.Second
	IntervalMax2 = 255 * time.Second
	IntervalMin3 = 10 * time.Millisecond
	IntervalMax3 = 40950 * time.Millisecond

	centisecond = 10 * time.Millisecond
)

// AuthType is how a version 2 advertisement is authenticated. The value on the
// wire is one less.
type AuthType uint8

// The authentication types spoken here. The IP Authentication Header, the third
// of RFC 2338, is not.
const (
	AuthNone     AuthType = iota + 1 // no authentication (wire 0)
	AuthPassword                     // simple text password, keepalived's PASS (wire 1)
)

// String gives keepalived's word for the type.
func (t AuthType) String() string {
	switch t {
	case AuthNone:
		return "none"
	case AuthPassword:
		return "PASS"
	default:
		return fmt.Sprintf("AuthType(%d)", uint8(t))
	}
}

// Auth is a version 2 authentication: a type and its eight octets of data.
// Version 3 has none; its Auth is the zero value.
type Auth struct {
	Type AuthType
	Data [authLength]byte // the password, padded with zero octets; zero with AuthNone
}

// NoAuth is version 2 without authentication.
func NoAuth() Auth { return Auth{Type: AuthNone} }

// Password is version 2's simple text password. As keepalived does, it uses the
// first eight octets and pads a shorter one with zeros.
func Password(text string) Auth {
	auth := Auth{Type: AuthPassword}
	copy(auth.Data[:], text)
	return auth
}

// Advertisement is a VRRP ADVERTISEMENT. It has no pointer into the buffer it
// was decoded from.
type Advertisement struct {
	Version   Version
	ID        ID
	Priority  Priority
	Interval  time.Duration // Advertisement_Interval; see IntervalMin2 and its neighbours
	Auth      Auth          // version 2 only
	Addresses []netip.Addr  // the VIPs, IPv4, in the sender's order
}

// Path is where a message goes from and to. Version 3 counts it into the
// checksum; version 2 does not look at it.
type Path struct {
	Source, Destination netip.Addr
}

// What can be wrong with an advertisement that is to be sent.
var (
	ErrVersion   = errors.New("version is neither 2 nor 3")
	ErrID        = errors.New("virtual router ID is not 1–255")
	ErrInterval  = errors.New("advertisement interval is out of range for its version")
	ErrAuth      = errors.New("authentication does not fit the version")
	ErrAddresses = errors.New("addresses must be IPv4 and at most 255")
	ErrPath      = errors.New("version 3 needs an IPv4 source and destination")
)

// Append encodes a and appends it to b. It fails, with one of the errors above,
// only for what cannot be put into a message.
func (a Advertisement) Append(b []byte, path Path) ([]byte, error) {
	if err := a.check(path); err != nil {
		return b, fmt.Errorf("encode advertisement of VRID %d: %w", a.ID, err)
	}
	start := len(b)
	b = append(b, byte(a.Version)<<4|typeAdvertisement, byte(a.ID), byte(a.Priority), byte(len(a.Addresses)))
	if a.Version == Version2 {
		b = append(b, byte(a.Auth.Type-1), byte(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond))
	}
	b = append(b, 0, 0)
	for _, address := range a.Addresses {
		octets := address.As4()
		b = append(b, octets[:]...)
	}
	if a.Version == Version2 {
		b = append(b, a.Auth.Data[:]...)
	}
	message := b[start:]
	binary.BigEndian.PutUint16(message[offsetChecksum:], checksum(message, a.Version, path))
	return b, nil
}

func (a Advertisement) check(path Path) error {
	switch {
	case a.Version != Version2 && a.Version != Version3:
		return ErrVersion
	case a.ID == 0:
		return ErrID
	case !intervalFits(a.Version, a.Interval):
		return ErrInterval
	case !a.Auth.fits(a.Version):
		return ErrAuth
	case len(a.Addresses) > AddressesMax:
		return ErrAddresses
	case a.Version == Version3 && !(path.Source.Is4() && path.Destination.Is4()):
		return ErrPath
	}
	for _, address := range a.Addresses {
		if !address.Is4() {
			return ErrAddresses
		}
	}
	return nil
}

func intervalFits(version Version, d time.Duration) bool {
	if version == Version2 {
		return d >= IntervalMin2 && d <= IntervalMax2 && d%time.Second == 0
	}
	return d >= IntervalMin3 && d <= IntervalMax3 && d%centisecond == 0
}

func (a Auth) fits(version Version) bool {
	if version == Version3 {
		return a == Auth{}
	}
	return a.Type == AuthPassword || a == NoAuth()
}

// Decode reads a whole message. What it returns encodes to the same octets,
// except for reserved bits and for data under authentication type 0, which it
// does not keep (RFC 3768 §5.3.10: ignored on reception). The error is a
// [DropReason].
//
// It looks at the message alone; whether a router should listen to it is
// [Filter]'s question.
func Decode(message []byte, path Path) (Advertisement, error) {
	if len(message) < headerLength {
		return Advertisement{}, DropTooShort
	}
	raw := rawMessage(message)
	steps := []DropReason{raw.checkVersion(), raw.checkType(), raw.checkAuthType(), raw.checkInterval(), raw.checkLength()}
	for _, reason := range steps {
		if reason != 0 {
			return Advertisement{}, reason
		}
	}
	if reason := raw.checkChecksum(path); reason != 0 {
		return Advertisement{}, reason
	}
	return raw.advertisement(), nil
}

// rawMessage is a message of at least headerLength octets. Each check is one
// step of reception, in no order of its own.
type rawMessage []byte

func (m rawMessage) version() Version { return Version(m[offsetVersionType] >> 4) }
func (m rawMessage) id() ID           { return ID(m[offsetID]) }

func (m rawMessage) interval() time.Duration {
	if m.version() == Version2 {
		return time.Duration(m[offsetInterval]) * time.Second
	}
	return time.Duration(binary.BigEndian.Uint16(m[offsetAuthType:])&maxInterval12) * centisecond
}

// length is what the header says the message's length is.
func (m rawMessage) length() int {
	n := headerLength + int(m[offsetCount])*addressLength
	if m.version() == Version2 {
		n += authLength
	}
	return n
}

func (m rawMessage) checkVersion() DropReason {
	if m.version() != Version2 && m.version() != Version3 {
		return DropVersion
	}
	return 0
}

func (m rawMessage) checkType() DropReason {
	if m[offsetVersionType]&0x0f != typeAdvertisement {
		return DropType
	}
	return 0
}

func (m rawMessage) checkAuthType() DropReason {
	if m.version() == Version2 && m[offsetAuthType] > byte(AuthPassword-1) {
		return DropAuthType
	}
	return 0
}

// checkInterval refuses an interval of zero: taken at its word, version 3's
// backup would count its MASTER as dead at once.
func (m rawMessage) checkInterval() DropReason {
	if m.interval() == 0 {
		return DropInterval
	}
	return 0
}

func (m rawMessage) checkLength() DropReason {
	if len(m) != m.length() {
		return DropLength
	}
	return 0
}

func (m rawMessage) checkChecksum(path Path) DropReason {
	if m.version() == Version3 && !(path.Source.Is4() && path.Destination.Is4()) {
		return DropChecksum
	}
	if checksum(m, m.version(), path) != 0 {
		return DropChecksum
	}
	return 0
}

// authData is the message's last eight octets, where keepalived looks for the
// password. Version 2 only; nil when the message is too short to have them.
func (m rawMessage) authData() []byte {
	if len(m) < headerLength+authLength {
		return nil
	}
	return m[len(m)-authLength:]
}

// advertisement needs every check to have passed.
func (m rawMessage) advertisement() Advertisement {
	a := Advertisement{
		Version:   m.version(),
		ID:        m.id(),
		Priority:  Priority(m[offsetPriority]),
		Interval:  m.interval(),
		Addresses: make([]netip.Addr, m[offsetCount]),
	}
	for i := range a.Addresses {
		octets := m[headerLength+i*addressLength:]
		a.Addresses[i] = netip.AddrFrom4([addressLength]byte(octets[:addressLength]))
	}
	if a.Version == Version2 {
		a.Auth.Type = AuthType(m[offsetAuthType] + 1)
		if a.Auth.Type == AuthPassword {
			copy(a.Auth.Data[:], m.authData())
		}
	}
	return a
}
