package checker

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/lvs"
)

// site is a configuration in the words of packages health and lvs. It is a
// translation: nothing here decides anything.
type site struct {
	config   *config.Config
	virtuals []*virtual // in the order of the file
	byName   map[string]*virtual
}

// virtual is a virtual server.
type virtual struct {
	config.VirtualServer
	pool     health.PoolConfig
	services []lvs.Service // without destinations
	reals    map[netip.AddrPort]*config.RealServer
}

// newSite translates a configuration. The error says that IPVS can't have it: then
// nothing of it may be applied, or what is there would be taken for unwanted (I7).
func newSite(c *config.Config) (*site, error) {
	s := &site{config: c, byName: map[string]*virtual{}}
	for _, v := range c.VirtualServers {
		one := newVirtual(v, c.LVS.InitNotify)
		s.virtuals = append(s.virtuals, one)
		s.byName[one.Name] = one
	}
	return s, s.validate()
}

// validate looks at the services with every real server, and with the sorry server,
// both at once where that stays in IPVS.
func (s *site) validate() error {
	var all, sorry []lvs.Service
	for _, v := range s.virtuals {
		var reals, standIn []health.Destination
		for _, server := range v.pool.Servers {
			reals = append(reals, health.Destination{Addr: server.Addr, Weight: server.Weight})
		}
		if v.Sorry != nil {
			standIn = append(standIn, health.Destination{Addr: v.Sorry.Address, Weight: sorryWeight, Sorry: true})
			if v.Sorry.Inhibit && v.reals[v.Sorry.Address] == nil {
				reals = append(reals, standIn...)
			}
		}
		all = append(all, v.with(reals)...)
		sorry = append(sorry, v.with(standIn)...)
	}
	if err := lvs.ValidateAll(all); err != nil {
		return err
	}
	return lvs.ValidateAll(sorry)
}

func newVirtual(v config.VirtualServer, initNotify bool) *virtual {
	one := &virtual{VirtualServer: v, reals: map[netip.AddrPort]*config.RealServer{}}
	one.pool = health.PoolConfig{
		Quorum: int64(v.Quorum), Hysteresis: int64(v.Hysteresis), Omega: v.Omega, InitNotifies: initNotify,
	}
	if v.Sorry != nil {
		one.pool.Sorry = &health.SorryServer{Addr: v.Sorry.Address, Weight: sorryWeight, Inhibit: v.Sorry.Inhibit}
	}
	for i := range v.RealServers {
		r := &v.RealServers[i]
		one.reals[r.Address] = r
		server := health.Server{Addr: r.Address, Weight: health.Weight(r.Weight), InhibitOnFailure: r.Inhibit}
		for n, check := range r.Checks {
			server.Checks = append(server.Checks, health.Member{Name: checkName(r.Checks, n), Alpha: check.Alpha || r.Alpha})
		}
		one.pool.Servers = append(one.pool.Servers, server)
	}
	for _, s := range v.Services {
		one.services = append(one.services, lvs.Service{ServiceKey: serviceKey(v.Protocol, s), Settings: settings(v)})
	}
	return one
}

// sorryWeight is what keepalived gives a sorry server.
const sorryWeight = 1

// checkName names a check so that a reload finds it again: its kind, and which of
// its kind it is.
func checkName(checks []config.Check, n int) string {
	which := 1
	for _, before := range checks[:n] {
		if before.Kind == checks[n].Kind {
			which++
		}
	}
	if which == 1 {
		return checks[n].Kind
	}
	return checks[n].Kind + " " + strconv.Itoa(which)
}

var protocols = map[string]lvs.Protocol{"TCP": lvs.TCP, "UDP": lvs.UDP, "SCTP": lvs.SCTP}

func serviceKey(protocol string, s config.VirtualService) lvs.ServiceKey {
	if s.Mark == 0 {
		return lvs.AddressKey(protocols[protocol], s.Address)
	}
	family := lvs.IPv4
	if s.IPv6 {
		family = lvs.IPv6
	}
	return lvs.MarkKey(family, uint32(s.Mark))
}

func settings(v config.VirtualServer) lvs.Settings {
	var flags lvs.Flags
	for _, f := range []struct {
		on   bool
		flag lvs.Flags
	}{
		{v.Flags.OnePacket, lvs.OnePacket}, {v.Flags.Flag1, lvs.SchedulerFlag1},
		{v.Flags.Flag2, lvs.SchedulerFlag2}, {v.Flags.Flag3, lvs.SchedulerFlag3},
	} {
		if f.on {
			flags |= f.flag
		}
	}
	return lvs.Settings{
		Scheduler: v.Scheduler, Flags: flags, Persistence: v.Persistence.Timeout,
		PersistenceMask: v.Persistence.Bits, PersistenceEngine: v.Persistence.Engine,
	}
}

// with gives the services with these destinations, as IPVS is to have them.
func (v *virtual) with(destinations []health.Destination) []lvs.Service {
	services := make([]lvs.Service, 0, len(v.services))
	for _, s := range v.services {
		s.Destinations = make([]lvs.Destination, 0, len(destinations))
		for _, d := range destinations {
			s.Destinations = append(s.Destinations, v.destination(s.ServiceKey, d))
		}
		services = append(services, s)
	}
	return services
}

// destination is a real server, or the sorry server, behind one of the services.
func (v *virtual) destination(key lvs.ServiceKey, d health.Destination) lvs.Destination {
	one := lvs.Destination{Addr: d.Addr, Weight: lvs.Weight(d.Weight)}
	method := config.Method{}
	if r := v.reals[d.Addr]; r != nil && !d.Sorry {
		method = r.Method
		one.Upper, one.Lower = uint32(r.Upper), uint32(r.Lower)
	} else if v.Sorry != nil {
		method = v.Sorry.Method
	}
	one.Method, one.Encapsulation = methodOf(method)
	// Only NAT can change the port; and a real server without one has the service's.
	if key.FirewallMark == 0 && (d.Addr.Port() == 0 || one.Method != lvs.Masquerade) {
		one.Addr = netip.AddrPortFrom(d.Addr.Addr(), key.Addr.Port())
	}
	return one
}

func methodOf(m config.Method) (lvs.Method, lvs.Encapsulation) {
	switch m.Kind {
	case "DR":
		return lvs.Direct, lvs.Encapsulation{}
	case "TUN":
		types := map[string]lvs.TunnelType{"ipip": lvs.IPIP, "gue": lvs.GUE, "gre": lvs.GRE}
		sums := map[string]lvs.TunnelChecksum{"nocsum": lvs.NoChecksum, "csum": lvs.Checksum, "remcsum": lvs.RemoteChecksum}
		return lvs.Tunnel, lvs.Encapsulation{Type: types[m.Tunnel.Type], Port: uint16(m.Tunnel.Port), Checksum: sums[m.Tunnel.Checksum]}
	}
	return lvs.Masquerade, lvs.Encapsulation{}
}

// addresses are those of the virtual server's services, none for marked ones.
func (v *virtual) addresses() []netip.Addr {
	var all []netip.Addr
	for _, s := range v.VirtualServer.Services {
		if s.Mark == 0 {
			all = append(all, s.Address.Addr())
		}
	}
	return all
}

// label names a real server as keepalived does: "[198.51.100.1]:tcp:80".
func (v *virtual) label(server netip.AddrPort) string {
	if r := v.reals[server]; r != nil {
		return r.Name
	}
	return "[" + server.Addr().String() + "]:" + strings.ToLower(v.Protocol)
}
