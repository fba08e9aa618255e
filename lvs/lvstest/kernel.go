// Package lvstest is an IPVS in memory that refuses what the kernel refuses.
//
// It has the methods of lvs.Kernel, so that what drives IPVS can be tested
// without one. A test of package lvs holds both to the same body. It may not be used by
// two goroutines at once, forwards no packets, and its counters are all zero.
//
//	ipvs := lvstest.New()
//	outcome := ipvs.Apply(lvs.Plan(nil, want, nil))
package lvstest

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/hafence/hafence/lvs"
)

// Kernel is the IPVS of an imagined network namespace. Make it with [New].
type Kernel struct {
	// Refuse, unless nil, is asked before every op; what it returns but 0 is the
	// refusal. Tests make the kernel fail with it.
	Refuse func(lvs.Op) syscall.Errno
	// Schedulers and Engines are those that the kernel has.
	Schedulers, Engines []string
	// Ops counts what was asked for, refused or not.
	Ops int

	services map[lvs.ServiceKey]*lvs.Service
	daemons  []lvs.SyncDaemon
	timeouts lvs.Timeouts
}

// New makes an empty one with the schedulers of Linux 6.1.
func New() *Kernel {
	return &Kernel{
		services:   map[lvs.ServiceKey]*lvs.Service{},
		Schedulers: []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh"},
		Engines:    []string{"sip"},
	}
}

// Close does nothing.
func (k *Kernel) Close() {}

// Services gives the whole table. The services are in the order of their names,
// the destinations in that of their addition.
func (k *Kernel) Services() ([]lvs.Service, error) {
	services := make([]lvs.Service, 0, len(k.services))
	for _, s := range k.services {
		copied := *s
		copied.Destinations = slices.Clone(s.Destinations)
		services = append(services, copied)
	}
	slices.SortFunc(services, func(a, b lvs.Service) int { return strings.Compare(a.ServiceKey.String(), b.ServiceKey.String()) })
	return services, nil
}

// Statistics gives counters of zero for the whole table.
func (k *Kernel) Statistics() ([]lvs.ServiceStatistics, error) {
	var all []lvs.ServiceStatistics
	services, _ := k.Services()
	for _, s := range services {
		statistics := lvs.ServiceStatistics{ServiceKey: s.ServiceKey}
		for _, d := range s.Destinations {
			statistics.Destinations = append(statistics.Destinations, lvs.DestinationStatistics{Addr: d.Addr})
		}
		all = append(all, statistics)
	}
	return all, nil
}

// Apply performs a plan as lvs.Kernel does.
func (k *Kernel) Apply(ops []lvs.Op) lvs.Outcome {
	return lvs.Settle(ops, func(ops []lvs.Op) []syscall.Errno {
		reasons := make([]syscall.Errno, len(ops))
		for i, op := range ops {
			reasons[i] = k.Execute(op)
		}
		return reasons
	})
}

// Execute performs one op and follows nothing up: what another program does.
func (k *Kernel) Execute(op lvs.Op) syscall.Errno {
	k.Ops++
	if k.Refuse != nil {
		if reason := k.Refuse(op); reason != 0 {
			return reason
		}
	}
	s := k.services[op.Key()]
	if add, ok := op.(lvs.AddService); ok {
		return k.add(s, add)
	}
	if s == nil {
		return syscall.ESRCH
	}
	switch op := op.(type) {
	case lvs.EditService:
		if reason := k.check(op.Settings); reason != 0 {
			return reason
		}
		s.Settings = op.Settings
	case lvs.DeleteService:
		delete(k.services, op.Service)
	default:
		return k.destination(s, op)
	}
	return 0
}

func (k *Kernel) add(existing *lvs.Service, op lvs.AddService) syscall.Errno {
	if existing != nil {
		return syscall.EEXIST
	}
	if reason := k.check(op.Settings); reason != 0 {
		return reason
	}
	k.services[op.Service] = &lvs.Service{ServiceKey: op.Service, Settings: op.Settings}
	return 0
}

// check refuses what the kernel has no module for.
func (k *Kernel) check(s lvs.Settings) syscall.Errno {
	if !slices.Contains(k.Schedulers, s.Scheduler) || (s.PersistenceEngine != "" && !slices.Contains(k.Engines, s.PersistenceEngine)) {
		return syscall.ENOENT
	}
	return 0
}

// destination performs an op on a destination of s. The order of the checks is
// the kernel's.
func (k *Kernel) destination(s *lvs.Service, op lvs.Op) syscall.Errno {
	switch op := op.(type) {
	case lvs.AddDestination:
		if reason := k.fits(s, op.Destination); reason != 0 {
			return reason
		}
		if indexOf(s, op.Destination) >= 0 {
			return syscall.EEXIST
		}
		s.Destinations = append(s.Destinations, op.Destination)
	case lvs.EditDestination:
		if reason := k.fits(s, op.Destination); reason != 0 {
			return reason
		}
		i := indexOf(s, op.Destination)
		if i < 0 {
			return syscall.ENOENT
		}
		s.Destinations[i] = op.Destination
	case lvs.DeleteDestination:
		i := indexOf(s, lvs.Destination{Addr: op.Addr})
		if i < 0 {
			return syscall.ENOENT
		}
		s.Destinations = slices.Delete(s.Destinations, i, i+1)
	default:
		panic(fmt.Sprintf("lvstest: unknown op %T", op))
	}
	return 0
}

func (k *Kernel) fits(s *lvs.Service, d lvs.Destination) syscall.Errno {
	mixed := lvs.FamilyOf(d.Addr.Addr()) != s.Family
	switch {
	case mixed && (len(k.daemons) > 0 || d.Method != lvs.Tunnel):
		return syscall.EINVAL
	case d.Weight < 0 || d.Lower > d.Upper:
		return syscall.ERANGE
	case d.Addr.Addr().IsMulticast():
		return syscall.EINVAL
	case d.Method == lvs.Tunnel && d.Encapsulation.Type == lvs.GUE && d.Encapsulation.Port == 0:
		return syscall.EINVAL
	}
	return 0
}

func indexOf(s *lvs.Service, d lvs.Destination) int {
	return slices.IndexFunc(s.Destinations, func(have lvs.Destination) bool { return have.Addr == d.Addr })
}

// SyncDaemons gives the daemons that run.
func (k *Kernel) SyncDaemons() ([]lvs.SyncDaemon, error) { return slices.Clone(k.daemons), nil }

// ApplySync performs a plan as lvs.Kernel does.
func (k *Kernel) ApplySync(ops []lvs.SyncOp) error {
	for _, op := range ops {
		i := slices.IndexFunc(k.daemons, func(d lvs.SyncDaemon) bool { return d.Role == op.Daemon.Role })
		switch {
		case op.Stop && i >= 0:
			k.daemons = slices.Delete(k.daemons, i, i+1)
		case op.Stop:
		case i >= 0:
			return fmt.Errorf("%s: %w", op, syscall.EEXIST)
		case k.mixed():
			return fmt.Errorf("%s: %w", op, syscall.EINVAL)
		default:
			k.daemons = append(k.daemons, op.Daemon)
		}
	}
	return nil
}

// mixed reports whether a service has a destination of the other family: the
// messages of sync daemons can't tell of its connections.
func (k *Kernel) mixed() bool {
	for _, s := range k.services {
		for _, d := range s.Destinations {
			if lvs.FamilyOf(d.Addr.Addr()) != s.Family {
				return true
			}
		}
	}
	return false
}

// Timeouts gives what was set.
func (k *Kernel) Timeouts() (lvs.Timeouts, error) { return k.timeouts, nil }

// SetTimeouts sets those that are not zero.
func (k *Kernel) SetTimeouts(t lvs.Timeouts) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if t.TCP != 0 {
		k.timeouts.TCP = t.TCP
	}
	if t.TCPFin != 0 {
		k.timeouts.TCPFin = t.TCPFin
	}
	if t.UDP != 0 {
		k.timeouts.UDP = t.UDP
	}
	return nil
}
