package lvs

import "net/netip"

// Counters are what IPVS counts of a service or destination. As a total they
// count since it was added, as a rate they are per second: an average of the
// last seconds that the kernel renews every two.
type Counters struct {
	Connections           uint64 // scheduled
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64
}

// ServiceStatistics is what a service and its destinations have done.
type ServiceStatistics struct {
	ServiceKey
	Total, Rate  Counters
	Destinations []DestinationStatistics
}

// DestinationStatistics is what a destination has done and what it has to do.
type DestinationStatistics struct {
	Addr             netip.AddrPort
	Total, Rate      Counters
	Active, Inactive uint32 // connections: established, and all others
	Persistent       uint32 // persistence templates
}
