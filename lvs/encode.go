package lvs

import (
	"fmt"
	"math/bits"
	"net/netip"
	"time"
)

// Commands and attributes of the generic-netlink family "IPVS", version 1, from
// linux/ip_vs.h. A request is a genlmsghdr with the command and then
//
//	IPVS_CMD_{NEW,SET,DEL}_SERVICE  SERVICE{key, settings unless DEL}
//	IPVS_CMD_{NEW,SET,DEL}_DEST     SERVICE{key} DEST{address, attributes unless DEL}
//	IPVS_CMD_GET_SERVICE            as a dump: nothing
//	IPVS_CMD_GET_DEST               as a dump: SERVICE{key}
//	IPVS_CMD_{NEW,DEL}_DAEMON       DAEMON{…}
//	IPVS_CMD_SET_CONFIG             the three timeouts
//
// and an entry of an answer to a GET has the same shape.
const (
	familyName    = "IPVS"
	familyVersion = 1
)

type command uint8

const (
	newService command = iota + 1
	setService
	deleteService
	getService
	newDestination
	setDestination
	deleteDestination
	getDestination
	newDaemon
	deleteDaemon
	getDaemon
	setConfig
	getConfig
)

// IPVS_CMD_ATTR_*.
const (
	attrService = iota + 1
	attrDestination
	attrDaemon
	attrTimeoutTCP
	attrTimeoutTCPFin
	attrTimeoutUDP
)

// IPVS_SVC_ATTR_*.
const (
	serviceFamily    = iota + 1 // u16: AF_INET, AF_INET6
	serviceProtocol             // u16
	serviceAddress              // 4 or 16 bytes; 16 in answers
	servicePort                 // u16, network order
	serviceMark                 // u32; instead of the three above
	serviceScheduler            // string
	serviceFlags                // u32 flags, u32 mask
	serviceTimeout              // u32, seconds of persistence
	serviceMask                 // IPv4: 4 bytes, network order; IPv6: u32 prefix length
	serviceStatistics
	serviceEngine // string
	serviceStatistics64
)

// IPVS_DEST_ATTR_*.
const (
	destinationAddress    = iota + 1 // as of a service
	destinationPort                  // u16, network order
	destinationMethod                // u32
	destinationWeight                // u32
	destinationUpper                 // u32
	destinationLower                 // u32
	destinationActive                // u32
	destinationInactive              // u32
	destinationPersistent            // u32
	destinationStatistics
	destinationFamily // u16
	destinationStatistics64
	destinationTunnelType  // u8
	destinationTunnelPort  // u16, network order
	destinationTunnelFlags // u16
)

// IPVS_DAEMON_ATTR_*.
const (
	daemonState     = iota + 1 // u32
	daemonInterface            // string
	daemonID                   // u32
	daemonMaxLength            // u16
	daemonGroup                // 4 bytes
	daemonGroup6               // 16 bytes
	daemonPort                 // u16, host order
	daemonTTL                  // u8
)

// IPVS_STATS_ATTR_*: totals, then rates.
const (
	statsConnections = iota + 1
	statsPacketsIn
	statsPacketsOut
	statsBytesIn
	statsBytesOut
	statsRate // what follows is the same again, per second
)

// The kernel's numbers of families (AF_*) and methods (IP_VS_CONN_F_*). Its
// IP_VS_CONN_F_TUNNEL_TYPE_* and IP_VS_TUNNEL_ENCAP_FLAG_* are ours less one, for
// zero means the default here; its IP_VS_STATE_* are our roles.
var (
	familyNumbers = map[Family]uint16{IPv4: 2, IPv6: 10}
	methodNumbers = map[Method]uint32{Masquerade: 0, Tunnel: 2, Direct: 3}
)

// commandOf gives the command of an op's request.
func commandOf(op Op) command {
	switch op.(type) {
	case AddService:
		return newService
	case EditService:
		return setService
	case DeleteService:
		return deleteService
	case AddDestination:
		return newDestination
	case EditDestination:
		return setDestination
	case DeleteDestination:
		return deleteDestination
	}
	panic(fmt.Sprintf("lvs: unknown op %T", op))
}

// appendOp appends the body of an op's request.
func appendOp(b []byte, op Op) []byte {
	switch op := op.(type) {
	case AddService:
		return appendService(b, op.Service, &op.Settings)
	case EditService:
		return appendService(b, op.Service, &op.Settings)
	case DeleteService:
		return appendService(b, op.Service, nil)
	case AddDestination:
		return appendDestination(appendService(b, op.Service, nil), op.Destination)
	case EditDestination:
		return appendDestination(appendService(b, op.Service, nil), op.Destination)
	case DeleteDestination:
		return appendNested(appendService(b, op.Service, nil), attrDestination, func(b []byte) []byte {
			return appendDestinationKey(b, op.Addr)
		})
	}
	panic(fmt.Sprintf("lvs: unknown op %T", op))
}

// appendService appends a service's key and, unless settings is nil, all that
// the kernel must be told to add or edit it.
func appendService(b []byte, key ServiceKey, settings *Settings) []byte {
	return appendNested(b, attrService, func(b []byte) []byte {
		b = appendUint16(b, serviceFamily, familyNumbers[key.Family])
		if key.FirewallMark != 0 {
			b = appendUint32(b, serviceMark, key.FirewallMark)
		} else {
			b = appendUint16(b, serviceProtocol, uint16(key.Protocol))
			b = appendBytes(b, serviceAddress, key.Addr.Addr().AsSlice()...)
			b = appendPort(b, servicePort, key.Addr.Port())
		}
		if settings == nil {
			return b
		}
		return appendSettings(b, settings.normal(key.Family), key.Family)
	})
}

func appendSettings(b []byte, s Settings, family Family) []byte {
	b = appendString(b, serviceScheduler, s.Scheduler)
	if s.PersistenceEngine != "" {
		b = appendString(b, serviceEngine, s.PersistenceEngine)
	}
	flags := s.Flags
	if s.Persistence > 0 {
		flags |= flagPersistent
	}
	const allFlags = ^uint32(0) // are said
	b = appendBytes(b, serviceFlags, append(nativeUint32(uint32(flags)), nativeUint32(allFlags)...)...)
	b = appendUint32(b, serviceTimeout, uint32(s.Persistence/time.Second))
	prefix := s.PersistenceMask
	if prefix == 0 {
		prefix = family.bits()
	}
	if family == IPv6 {
		return appendUint32(b, serviceMask, uint32(prefix))
	}
	mask := ^uint32(0) << (32 - prefix)
	return appendBytes(b, serviceMask, byte(mask>>24), byte(mask>>16), byte(mask>>8), byte(mask))
}

func appendDestinationKey(b []byte, addr netip.AddrPort) []byte {
	b = appendUint16(b, destinationFamily, familyNumbers[FamilyOf(addr.Addr())])
	b = appendBytes(b, destinationAddress, addr.Addr().AsSlice()...)
	return appendPort(b, destinationPort, addr.Port())
}

func appendDestination(b []byte, d Destination) []byte {
	d = d.normal()
	return appendNested(b, attrDestination, func(b []byte) []byte {
		b = appendDestinationKey(b, d.Addr)
		b = appendUint32(b, destinationMethod, methodNumbers[d.Method])
		b = appendUint32(b, destinationWeight, uint32(d.Weight))
		b = appendUint32(b, destinationUpper, d.Upper)
		b = appendUint32(b, destinationLower, d.Lower)
		if d.Method != Tunnel {
			return b
		}
		b = appendUint8(b, destinationTunnelType, uint8(d.Encapsulation.Type-1))
		b = appendPort(b, destinationTunnelPort, d.Encapsulation.Port)
		return appendUint16(b, destinationTunnelFlags, checksumFlags(d.Encapsulation.Checksum))
	})
}

func checksumFlags(c TunnelChecksum) uint16 {
	if c == 0 { // an ipip tunnel has none
		return 0
	}
	return uint16(c - 1)
}

// appendDaemon appends what starts a sync daemon.
func appendDaemon(b []byte, d SyncDaemon) []byte {
	return appendNested(b, attrDaemon, func(b []byte) []byte {
		b = appendUint32(b, daemonState, uint32(d.Role))
		b = appendString(b, daemonInterface, d.Interface)
		b = appendUint32(b, daemonID, uint32(d.ID))
		if d.MaxLength != 0 {
			b = appendUint16(b, daemonMaxLength, d.MaxLength)
		}
		switch group := d.Group.Unmap(); {
		case group.Is4():
			b = appendBytes(b, daemonGroup, group.AsSlice()...)
		case group.Is6():
			b = appendBytes(b, daemonGroup6, group.AsSlice()...)
		}
		if d.Port != 0 {
			b = appendUint16(b, daemonPort, d.Port)
		}
		if d.TTL != 0 {
			b = appendUint8(b, daemonTTL, d.TTL)
		}
		return b
	})
}

// appendDaemonRole appends what stops the sync daemon of a role.
func appendDaemonRole(b []byte, role SyncRole) []byte {
	return appendNested(b, attrDaemon, func(b []byte) []byte { return appendUint32(b, daemonState, uint32(role)) })
}

func appendTimeouts(b []byte, t Timeouts) []byte {
	b = appendUint32(b, attrTimeoutTCP, uint32(t.TCP/time.Second))
	b = appendUint32(b, attrTimeoutTCPFin, uint32(t.TCPFin/time.Second))
	return appendUint32(b, attrTimeoutUDP, uint32(t.UDP/time.Second))
}

// prefixLength gives the prefix length of an IPv4 netmask in network order.
func prefixLength(mask uint32) int {
	ones := bits.LeadingZeros32(^mask)
	if ones == 0 || mask != ^uint32(0)<<(32-ones) {
		return maskUnspecific
	}
	return ones
}
