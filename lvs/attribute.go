package lvs

import (
	"encoding/binary"
	"errors"
)

// Netlink attributes, linux/netlink.h (struct nlattr):
//
//	0      2      4
//	| len  | type | value … | padding to 4 bytes |
//
// len counts header and value, not the padding. The two high bits of type are
// flags. Numbers are in the host's byte order unless said otherwise.
const (
	attributeHeader = 4
	attributeNested = 0x8000 // NLA_F_NESTED
	attributeType   = 0x3fff // NLA_TYPE_MASK
)

var errAttributes = errors.New("malformed netlink attributes")

// padded rounds a length up to the alignment of netlink.
func padded(n int) int { return (n + 3) &^ 3 }

// appendBytes appends an attribute.
func appendBytes(b []byte, kind uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attributeHeader+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, padded(len(value))-len(value))...)
}

// appendString appends an attribute that is a string with its zero.
func appendString(b []byte, kind uint16, value string) []byte {
	return appendBytes(b, kind, append([]byte(value), 0)...)
}

func appendUint8(b []byte, kind uint16, value uint8) []byte { return appendBytes(b, kind, value) }

func appendUint16(b []byte, kind, value uint16) []byte {
	return appendBytes(b, kind, binary.NativeEndian.AppendUint16(nil, value)...)
}

func appendUint32(b []byte, kind uint16, value uint32) []byte {
	return appendBytes(b, kind, nativeUint32(value)...)
}

// nativeUint32 gives a number in the host's byte order.
func nativeUint32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// appendPort appends a 16-bit number in network byte order.
func appendPort(b []byte, kind, value uint16) []byte {
	return appendBytes(b, kind, byte(value>>8), byte(value))
}

// appendNested appends an attribute that holds what fill appends.
func appendNested(b []byte, kind uint16, fill func([]byte) []byte) []byte {
	start := len(b)
	b = appendBytes(b, kind|attributeNested)
	b = fill(b)
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// eachAttribute calls visit for the attributes in b. An attribute that visit
// finds too short, or any that does not fit, is [errAttributes].
func eachAttribute(b []byte, visit func(kind uint16, value value) error) error {
	for len(b) >= attributeHeader {
		n := int(binary.NativeEndian.Uint16(b))
		if n < attributeHeader || n > len(b) {
			return errAttributes
		}
		kind := binary.NativeEndian.Uint16(b[2:]) & attributeType
		if err := visit(kind, value(b[attributeHeader:n])); err != nil {
			return err
		}
		b = b[min(padded(n), len(b)):]
	}
	return nil
}

// value is an attribute's value. Its methods read nothing beyond its end.
type value []byte

func (v value) uint8(to *uint8) error {
	if len(v) < 1 {
		return errAttributes
	}
	*to = v[0]
	return nil
}

func (v value) uint16(to *uint16) error {
	if len(v) < 2 {
		return errAttributes
	}
	*to = binary.NativeEndian.Uint16(v)
	return nil
}

func (v value) port(to *uint16) error {
	if len(v) < 2 {
		return errAttributes
	}
	*to = binary.BigEndian.Uint16(v)
	return nil
}

func (v value) uint32(to *uint32) error {
	if len(v) < 4 {
		return errAttributes
	}
	*to = binary.NativeEndian.Uint32(v)
	return nil
}

// number reads a number of 4 or 8 bytes.
func (v value) number(to *uint64) error {
	if len(v) >= 8 {
		*to = binary.NativeEndian.Uint64(v)
		return nil
	}
	var short uint32
	err := v.uint32(&short)
	*to = uint64(short)
	return err
}

// string reads up to the first zero.
func (v value) string(to *string) error {
	for i, c := range v {
		if c == 0 {
			v = v[:i]
			break
		}
	}
	*to = string(v)
	return nil
}
