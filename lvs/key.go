package lvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Family is the address family of a virtual service.
type Family uint8

// The families that IPVS knows.
const (
	IPv4 Family = iota + 1
	IPv6
)

// FamilyOf gives the family of an address; 4-in-6 counts as IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// String gives "IPv4" or "IPv6".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return "Family(" + strconv.Itoa(int(f)) + ")"
}

// bits is the length of the family's addresses.
func (f Family) bits() int {
	if f == IPv6 {
		return 128
	}
	return 32
}

// Protocol is the transport protocol of a virtual service. Its value is the IP
// protocol number.
type Protocol uint8

// The protocols that IPVS schedules by address and port.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

var protocolNames = map[Protocol]string{TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}

// String gives the name as keepalived.conf spells it.
func (p Protocol) String() string {
	if name, ok := protocolNames[p]; ok {
		return name
	}
	return "Protocol(" + strconv.Itoa(int(p)) + ")"
}

// ServiceKey is what IPVS finds a virtual service by: protocol, address and
// port, or a firewall mark and a family. Make it with [AddressKey] or [MarkKey]:
// equal services then have equal keys.
type ServiceKey struct {
	Family       Family
	Protocol     Protocol       // 0 with a firewall mark
	Addr         netip.AddrPort // the zero AddrPort with a firewall mark; port 0 means every port
	FirewallMark uint32         // 0 with an address
}

// AddressKey is the key of the service at an address and port.
func AddressKey(protocol Protocol, addr netip.AddrPort) ServiceKey {
	addr = plain(addr)
	return ServiceKey{Family: FamilyOf(addr.Addr()), Protocol: protocol, Addr: addr}
}

// MarkKey is the key of the service for packets with a firewall mark, 1 or more.
func MarkKey(family Family, mark uint32) ServiceKey {
	return ServiceKey{Family: family, FirewallMark: mark}
}

// plain takes away what the kernel does not keep: 4-in-6 and zones.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// String gives the key as ipvsadm prints it: "TCP 192.0.2.1:80",
// "UDP [2001:db8::1]:53", "FWM 7", "FWM 7 IPv6".
func (k ServiceKey) String() string {
	switch {
	case k.FirewallMark == 0:
		return k.Protocol.String() + " " + k.Addr.String()
	case k.Family == IPv6:
		return fmt.Sprintf("FWM %d IPv6", k.FirewallMark)
	}
	return fmt.Sprintf("FWM %d", k.FirewallMark)
}

// MarshalText gives [ServiceKey.String], so that a ledger of keys can be kept in
// a file. It never fails.
func (k ServiceKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText has written. The error names the text.
func (k *ServiceKey) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	if len(fields) < 2 || len(fields) > 3 {
		return fmt.Errorf("read virtual service %q: want PROTOCOL ADDRESS:PORT or FWM MARK [IPv6]", text)
	}
	if fields[0] == "FWM" {
		return k.unmarshalMark(fields[1:])
	}
	for protocol, name := range protocolNames {
		if fields[0] != name || len(fields) != 2 {
			continue
		}
		addr, err := netip.ParseAddrPort(fields[1])
		if err != nil {
			return fmt.Errorf("read virtual service %q: %w", text, err)
		}
		*k = AddressKey(protocol, addr)
		return nil
	}
	return fmt.Errorf("read virtual service %q: want TCP, UDP, SCTP or FWM first", text)
}

func (k *ServiceKey) unmarshalMark(fields []string) error {
	mark, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || mark == 0 {
		return fmt.Errorf("read firewall mark %q: want a number from 1 to 4294967295", fields[0])
	}
	family := IPv4
	if len(fields) == 2 {
		if fields[1] != IPv6.String() {
			return fmt.Errorf("read firewall mark %d: want IPv6 or nothing behind it, not %q", mark, fields[1])
		}
		family = IPv6
	}
	*k = MarkKey(family, uint32(mark))
	return nil
}

// compareKeys orders services for plans and ledgers: IPv4 first, addresses
// before firewall marks.
func compareKeys(a, b ServiceKey) int {
	return cmp.Or(
		cmp.Compare(a.Family, b.Family),
		cmp.Compare(a.FirewallMark, b.FirewallMark),
		a.Addr.Compare(b.Addr),
		cmp.Compare(a.Protocol, b.Protocol))
}

func (k ServiceKey) validate() error {
	switch {
	case k.Family != IPv4 && k.Family != IPv6:
		return fmt.Errorf("virtual service %s: it has no address family", k)
	case k.FirewallMark != 0:
		if k != MarkKey(k.Family, k.FirewallMark) {
			return fmt.Errorf("virtual service %s: a firewall mark has no protocol and no address", k)
		}
		return nil
	case !k.Addr.Addr().IsValid() || k != AddressKey(k.Protocol, k.Addr):
		return fmt.Errorf("virtual service %s: no plain address of its family", k)
	case protocolNames[k.Protocol] == "":
		return fmt.Errorf("virtual service %s: IPVS knows TCP, UDP and SCTP", k)
	}
	return nil
}
