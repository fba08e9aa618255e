package demo

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Layouts. Ethernet II; ARP over Ethernet: RFC 826; IPv4: RFC 791 §3.1; UDP: RFC 768.
const (
	ethernetBytes = 14
	arpBytes      = 28
	ipv4Bytes     = 20
	udpBytes      = 8
	macBytes      = 6

	arpRequest = 1
	arpReply   = 2
	probeTTL   = 1 // never routed
)

// mac is an Ethernet address.
type mac [macBytes]byte

var broadcast = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func ethernet(to, from mac, kind uint16) []byte {
	frame := append(append(make([]byte, 0, ethernetBytes+ipv4Bytes+udpBytes+32), to[:]...), from[:]...)
	return binary.BigEndian.AppendUint16(frame, kind)
}

// arpProbe asks who has an address. Its sender address is 0.0.0.0, so that
// whoever hears it learns nothing (RFC 5227 §2.1.1).
func arpProbe(from mac, target netip.Addr) []byte {
	frame := ethernet(broadcast, from, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, macBytes, 4, 0, arpRequest) // Ethernet, IPv4
	frame = append(frame, from[:]...)
	frame = append(frame, 0, 0, 0, 0)
	frame = append(frame, make([]byte, macBytes)...)
	return append(frame, target.AsSlice()...)
}

// udpFrame is a whole UDP datagram. It has no UDP checksum, which IPv4 allows.
func udpFrame(to, from mac, destination, source netip.AddrPort, payload []byte) []byte {
	frame := ethernet(to, from, unix.ETH_P_IP)
	length := ipv4Bytes + udpBytes + len(payload)
	frame = append(frame, 0x45, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(length))
	frame = append(frame, 0, 0, 0x40, 0, probeTTL, unix.IPPROTO_UDP, 0, 0)
	frame = append(frame, source.Addr().AsSlice()...)
	frame = append(frame, destination.Addr().AsSlice()...)
	header := frame[ethernetBytes:]
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	frame = binary.BigEndian.AppendUint16(frame, source.Port())
	frame = binary.BigEndian.AppendUint16(frame, destination.Port())
	frame = binary.BigEndian.AppendUint16(frame, uint16(udpBytes+len(payload)))
	return append(append(frame, 0, 0), payload...)
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(data []byte) uint16 {
	var sum uint32
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// answerVia says how a frame answers for the VIP: an ARP reply for it, or UDP
// from it and the echo port. 0: it doesn't.
func answerVia(frame []byte, to mac, vip netip.AddrPort) Via {
	if len(frame) < ethernetBytes || !bytes.Equal(frame[:macBytes], to[:]) {
		return 0
	}
	packet := frame[ethernetBytes:]
	address := vip.Addr().As4()
	switch binary.BigEndian.Uint16(frame[2*macBytes:]) {
	case unix.ETH_P_ARP:
		if len(packet) >= arpBytes && packet[7] == arpReply && [4]byte(packet[14:18]) == address {
			return ViaARP
		}
	case unix.ETH_P_IP:
		if len(packet) < ipv4Bytes || packet[0]>>4 != 4 || packet[9] != unix.IPPROTO_UDP || [4]byte(packet[12:16]) != address {
			return 0
		}
		header := int(packet[0]&0xf) * 4
		if header >= ipv4Bytes && len(packet) >= header+udpBytes && binary.BigEndian.Uint16(packet[header:]) == vip.Port() {
			return ViaIP
		}
	}
	return 0
}
