package lvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// What the kernel answers is read here. Attributes that are not known are
// skipped; one that is too short is an error; one that is missing leaves zero.

// decodeService reads an entry of IPVS_CMD_GET_SERVICE, without destinations and
// in normal form. statistics may be nil.
func decodeService(entry []byte, statistics *ServiceStatistics) (Service, error) {
	var raw rawService
	err := eachAttribute(entry, func(kind uint16, v value) error {
		if kind != attrService {
			return nil
		}
		return eachAttribute(v, func(kind uint16, v value) error { return raw.read(kind, v, statistics) })
	})
	if err != nil {
		return Service{}, fmt.Errorf("read a virtual service: %w", err)
	}
	key, err := raw.key()
	if err != nil {
		return Service{}, fmt.Errorf("read a virtual service: %w", err)
	}
	if statistics != nil {
		statistics.ServiceKey = key
	}
	return Service{ServiceKey: key, Settings: raw.settings(key.Family)}, nil
}

// rawService is a service in the kernel's numbers.
type rawService struct {
	family, protocol, port uint16
	mark, flags, timeout   uint32
	address, mask          value
	scheduler, engine      string
}

func (r *rawService) read(kind uint16, v value, statistics *ServiceStatistics) error {
	switch kind {
	case serviceFamily:
		return v.uint16(&r.family)
	case serviceProtocol:
		return v.uint16(&r.protocol)
	case serviceAddress:
		r.address = v
	case servicePort:
		return v.port(&r.port)
	case serviceMark:
		return v.uint32(&r.mark)
	case serviceScheduler:
		return v.string(&r.scheduler)
	case serviceFlags:
		return v.uint32(&r.flags)
	case serviceTimeout:
		return v.uint32(&r.timeout)
	case serviceMask:
		if len(v) < 4 {
			return errAttributes
		}
		r.mask = v
	case serviceEngine:
		return v.string(&r.engine)
	case serviceStatistics, serviceStatistics64: // the latter is the later one, where there is one
		if statistics != nil {
			return decodeCounters(v, &statistics.Total, &statistics.Rate)
		}
	}
	return nil
}

func (r *rawService) key() (ServiceKey, error) {
	family, err := decodeFamily(r.family)
	if err != nil {
		return ServiceKey{}, err
	}
	if r.mark != 0 {
		return MarkKey(family, r.mark), nil
	}
	addr, err := decodeAddress(family, r.address)
	if err != nil {
		return ServiceKey{}, err
	}
	if r.protocol > 255 {
		return ServiceKey{}, errAttributes
	}
	// Not AddressKey: a 4-in-6 address of somebody else's is not an IPv4 one.
	return ServiceKey{Family: family, Protocol: Protocol(r.protocol), Addr: netip.AddrPortFrom(addr, r.port)}, nil
}

func (r *rawService) settings(family Family) Settings {
	s := Settings{Scheduler: r.scheduler, Flags: Flags(r.flags), PersistenceEngine: r.engine}
	if s.Flags&flagPersistent != 0 { // without it the kernel does not look at the two
		s.Persistence = time.Duration(r.timeout) * time.Second
		s.PersistenceMask = decodeMask(family, r.mask)
	}
	return s.normal(family)
}

func decodeMask(family Family, mask value) int {
	if len(mask) < 4 {
		return maskUnspecific
	}
	if family == IPv4 {
		return prefixLength(binary.BigEndian.Uint32(mask))
	}
	if length := binary.NativeEndian.Uint32(mask); length >= 1 && length <= 128 {
		return int(length)
	}
	return maskUnspecific
}

// decodeDestination reads an entry of IPVS_CMD_GET_DEST in normal form. family
// is the service's, for kernels older than 3.18 that don't say it. statistics
// may be nil.
func decodeDestination(entry []byte, family Family, statistics *DestinationStatistics) (Destination, error) {
	raw := rawDestination{family: familyNumbers[family]}
	err := eachAttribute(entry, func(kind uint16, v value) error {
		if kind != attrDestination {
			return nil
		}
		return eachAttribute(v, func(kind uint16, v value) error {
			if statistics != nil {
				if err := statistics.read(kind, v); err != nil {
					return err
				}
			}
			return raw.read(kind, v)
		})
	})
	if err != nil {
		return Destination{}, fmt.Errorf("read a real server: %w", err)
	}
	d, err := raw.destination()
	if err != nil {
		return Destination{}, fmt.Errorf("read a real server: %w", err)
	}
	if statistics != nil {
		statistics.Addr = d.Addr
	}
	return d, nil
}

// rawDestination is a destination in the kernel's numbers.
type rawDestination struct {
	family, port, tunnelPort, tunnelFlags uint16
	method, weight, upper, lower          uint32
	tunnelType                            uint8
	address                               value
}

func (r *rawDestination) read(kind uint16, v value) error {
	switch kind {
	case destinationFamily:
		return v.uint16(&r.family)
	case destinationAddress:
		r.address = v
	case destinationPort:
		return v.port(&r.port)
	case destinationMethod:
		return v.uint32(&r.method)
	case destinationWeight:
		return v.uint32(&r.weight)
	case destinationUpper:
		return v.uint32(&r.upper)
	case destinationLower:
		return v.uint32(&r.lower)
	case destinationTunnelType:
		return v.uint8(&r.tunnelType)
	case destinationTunnelPort:
		return v.port(&r.tunnelPort)
	case destinationTunnelFlags:
		return v.uint16(&r.tunnelFlags)
	}
	return nil
}

func (r *rawDestination) destination() (Destination, error) {
	family, err := decodeFamily(r.family)
	if err != nil {
		return Destination{}, err
	}
	addr, err := decodeAddress(family, r.address)
	if err != nil {
		return Destination{}, err
	}
	d := Destination{
		Addr:   netip.AddrPortFrom(addr, r.port),
		Method: ours(methodNumbers, r.method), // none for local and bypass, which nobody can want
		Weight: Weight(r.weight), Upper: r.upper, Lower: r.lower,
	}
	if d.Method == Tunnel {
		d.Encapsulation = Encapsulation{
			Type: TunnelType(r.tunnelType + 1), Port: r.tunnelPort, Checksum: TunnelChecksum(r.tunnelFlags + 1),
		}.normal()
	}
	return d, nil
}

// read reads what is not configuration.
func (s *DestinationStatistics) read(kind uint16, v value) error {
	switch kind {
	case destinationActive:
		return v.uint32(&s.Active)
	case destinationInactive:
		return v.uint32(&s.Inactive)
	case destinationPersistent:
		return v.uint32(&s.Persistent)
	case destinationStatistics, destinationStatistics64:
		return decodeCounters(v, &s.Total, &s.Rate)
	}
	return nil
}

// decodeCounters reads IPVS_*_ATTR_STATS (numbers of 4 and 8 bytes) or STATS64.
func decodeCounters(v value, total, rate *Counters) error {
	return eachAttribute(v, func(kind uint16, v value) error {
		to := total
		if kind >= statsRate {
			to, kind = rate, kind-statsRate+statsConnections
		}
		switch kind {
		case statsConnections:
			return v.number(&to.Connections)
		case statsPacketsIn:
			return v.number(&to.PacketsIn)
		case statsPacketsOut:
			return v.number(&to.PacketsOut)
		case statsBytesIn:
			return v.number(&to.BytesIn)
		case statsBytesOut:
			return v.number(&to.BytesOut)
		}
		return nil
	})
}

// decodeDaemon reads an entry of IPVS_CMD_GET_DAEMON.
func decodeDaemon(entry []byte) (SyncDaemon, error) {
	var d SyncDaemon
	var state, id uint32
	err := eachAttribute(entry, func(kind uint16, v value) error {
		if kind != attrDaemon {
			return nil
		}
		return eachAttribute(v, func(kind uint16, v value) error {
			switch kind {
			case daemonState:
				return v.uint32(&state)
			case daemonInterface:
				return v.string(&d.Interface)
			case daemonID:
				return v.uint32(&id)
			case daemonMaxLength:
				return v.uint16(&d.MaxLength)
			case daemonGroup, daemonGroup6:
				var ok bool
				if d.Group, ok = netip.AddrFromSlice(v); !ok {
					return errAttributes
				}
			case daemonPort:
				return v.uint16(&d.Port)
			case daemonTTL:
				return v.uint8(&d.TTL)
			}
			return nil
		})
	})
	if err == nil && (state < uint32(SyncMaster) || state > uint32(SyncBackup) || id > 255) {
		err = errAttributes
	}
	if err != nil {
		return SyncDaemon{}, fmt.Errorf("read a sync daemon: %w", err)
	}
	d.Role, d.ID = SyncRole(state), uint8(id)
	return d, nil
}

// decodeTimeouts reads the answer to IPVS_CMD_GET_CONFIG.
func decodeTimeouts(entry []byte) (Timeouts, error) {
	var t Timeouts
	err := eachAttribute(entry, func(kind uint16, v value) error {
		var seconds uint32
		switch kind {
		case attrTimeoutTCP, attrTimeoutTCPFin, attrTimeoutUDP:
			if err := v.uint32(&seconds); err != nil {
				return err
			}
		}
		timeout := time.Duration(seconds) * time.Second
		switch kind {
		case attrTimeoutTCP:
			t.TCP = timeout
		case attrTimeoutTCPFin:
			t.TCPFin = timeout
		case attrTimeoutUDP:
			t.UDP = timeout
		}
		return nil
	})
	if err != nil {
		return Timeouts{}, fmt.Errorf("read the timeouts: %w", err)
	}
	return t, nil
}

func decodeFamily(number uint16) (Family, error) {
	if family := ours(familyNumbers, number); family != 0 {
		return family, nil
	}
	return 0, fmt.Errorf("address family %d: %w", number, errAttributes)
}

// decodeAddress reads an address at the start of a value: IPv4 ones are followed
// by zeros.
func decodeAddress(family Family, v value) (netip.Addr, error) {
	n := family.bits() / 8
	if len(v) < n {
		return netip.Addr{}, errAttributes
	}
	addr, _ := netip.AddrFromSlice(v[:n])
	return addr, nil
}

// ours finds our value of the kernel's number, zero where there is none.
func ours[Ours, Number comparable](numbers map[Ours]Number, number Number) Ours {
	for ours, n := range numbers {
		if n == number {
			return ours
		}
	}
	var none Ours
	return none
}
