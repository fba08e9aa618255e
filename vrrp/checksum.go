package vrrp

import "encoding/binary"

// checksum is the sixteen-bit one's complement of the one's complement sum
// (RFC 1071) of the message; for version 3 also of the IPv4 pseudo-header, as
// keepalived and the other free routers count it.
//
//	version 2   the whole message, authentication data included (RFC 3768 §5.3.8)
//	version 3   pseudo-header, then the whole message (RFC 5798 §5.2.8)
//
// Over a message whose checksum field is zero it gives the field's value; over
// a message that has arrived whole it gives zero.
func checksum(message []byte, version Version, path Path) uint16 {
	var sum uint32
	if version == Version3 {
		sum = pseudoHeaderSum(path, len(message))
	}
	for len(message) >= 2 {
		sum += uint32(binary.BigEndian.Uint16(message))
		message = message[2:]
	}
	if len(message) == 1 {
		sum += uint32(message[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// pseudoHeaderSum adds up source, destination, protocol and length (RFC 793
// §3.1, with VRRP's protocol number).
func pseudoHeaderSum(path Path, length int) uint32 {
	source, destination := path.Source.As4(), path.Destination.As4()
	return uint32(binary.BigEndian.Uint16(source[:2])) + uint32(binary.BigEndian.Uint16(source[2:])) +
		uint32(binary.BigEndian.Uint16(destination[:2])) + uint32(binary.BigEndian.Uint16(destination[2:])) +
		Protocol + uint32(length)
}
