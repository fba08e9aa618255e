package lvs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of what is configured. Names: IP_VS_SCHEDNAME_MAXLEN and
// IP_VS_PENAME_MAXLEN of linux/ip_vs.h, less the terminating zero.
const (
	ServicesMax     = 1 << 16
	DestinationsMax = 1 << 20             // of all services together
	nameMax         = 15                  // bytes
	PersistenceMax  = 31 * 24 * time.Hour // as ipvsadm and keepalived
	maskUnspecific  = -1                  // a netmask in the kernel that is no prefix, or an empty one
)

// Flags are the flags of a virtual service, IP_VS_SVC_F_* of linux/ip_vs.h.
type Flags uint32

// Flags that may be wanted. Source-hash and Maglev schedulers give names to the
// first two scheduler flags.
const (
	OnePacket      Flags = 0x04 // schedule each UDP packet by itself (keepalived: ops)
	SchedulerFlag1 Flags = 0x08
	SchedulerFlag2 Flags = 0x10
	SchedulerFlag3 Flags = 0x20
	SHFallback           = SchedulerFlag1 // sh: on to the next destination when one is unusable
	SHPort               = SchedulerFlag2 // sh: hash the port too
	MHFallback           = SchedulerFlag1 // mh: likewise
	MHPort               = SchedulerFlag2
)

// Flags that the kernel shows and that are not wanted as such: persistent says
// what Settings.Persistence says, and hashed is on every service there.
const (
	flagPersistent Flags = 0x01
	flagHashed     Flags = 0x02
	flagsWanted          = OnePacket | SchedulerFlag1 | SchedulerFlag2 | SchedulerFlag3
)

// String lists the flags with keepalived's words: "ops flag-1".
func (f Flags) String() string {
	var words []string
	for _, known := range []struct {
		flag Flags
		word string
	}{{OnePacket, "ops"}, {SchedulerFlag1, "flag-1"}, {SchedulerFlag2, "flag-2"}, {SchedulerFlag3, "flag-3"}} {
		if f&known.flag != 0 {
			words = append(words, known.word)
		}
		f &^= known.flag
	}
	if f != 0 {
		words = append(words, fmt.Sprintf("%#x", uint32(f)))
	}
	return strings.Join(words, " ")
}

// Settings are the attributes of a virtual service. All of them can be edited
// without losing a connection. While the scheduler is exchanged the kernel
// schedules no new connection for one RCU grace period (ip_vs_edit_service).
type Settings struct {
	Scheduler         string        // "rr", "wlc", …: ip_vs_NAME is the kernel's module
	Flags             Flags         // OnePacket and the scheduler's
	Persistence       time.Duration // whole seconds; 0: not persistent
	PersistenceMask   int           // prefix length of clients that go together; 0: each by itself (/32, /128)
	PersistenceEngine string        // "sip" or ""
}

// normal makes settings that mean the same equal. Without persistence mask and
// engine mean nothing.
func (s Settings) normal(f Family) Settings {
	switch {
	case s.Persistence == 0 && s.Flags&flagPersistent == 0:
		s.PersistenceMask, s.PersistenceEngine = 0, ""
	case s.PersistenceMask == f.bits():
		s.PersistenceMask = 0
	}
	if s.Persistence > 0 {
		s.Flags &^= flagPersistent // alone it stays: somebody has set a timeout of 0
	}
	s.Flags &^= flagHashed
	return s
}

// String gives the settings with keepalived's words: "wrr persistent 360/24 sip ops".
func (s Settings) String() string {
	words := []string{s.Scheduler}
	if s.Persistence > 0 {
		words = append(words, "persistent "+s.persistence())
	}
	if s.PersistenceEngine != "" {
		words = append(words, s.PersistenceEngine)
	}
	if flags := s.Flags.String(); flags != "" {
		words = append(words, flags)
	}
	return strings.Join(words, " ")
}

func (s Settings) persistence() string {
	text := fmt.Sprint(int64(s.Persistence / time.Second))
	if s.PersistenceMask != 0 {
		text += fmt.Sprintf("/%d", s.PersistenceMask)
	}
	return text
}

func (s Settings) validate(k ServiceKey) error {
	switch {
	case s.Scheduler == "" || len(s.Scheduler) > nameMax || strings.ContainsRune(s.Scheduler, 0):
		return fmt.Errorf("a scheduler's name has 1 to %d bytes, not %q", nameMax, s.Scheduler)
	case len(s.PersistenceEngine) > nameMax || strings.ContainsRune(s.PersistenceEngine, 0):
		return fmt.Errorf("a persistence engine's name has at most %d bytes, not %q", nameMax, s.PersistenceEngine)
	case s.Flags&^flagsWanted != 0:
		return fmt.Errorf("flags %s: not a choice", s.Flags&^flagsWanted)
	case s.Persistence < 0 || s.Persistence > PersistenceMax || s.Persistence%time.Second != 0:
		return fmt.Errorf("persistence %s: want whole seconds up to %s", s.Persistence, PersistenceMax)
	case s.PersistenceMask < 0 || s.PersistenceMask > k.Family.bits():
		return fmt.Errorf("persistence mask /%d: %s has /1 to /%d", s.PersistenceMask, k.Family, k.Family.bits())
	case s.Persistence == 0 && k.FirewallMark == 0 && k.Addr.Port() == 0:
		return errors.New("every port (port 0) needs persistence")
	}
	return nil
}

// Service is a virtual service with its destinations.
type Service struct {
	ServiceKey
	Settings
	Destinations []Destination // in any order; each address and port once
}

// String gives key and settings: "TCP 192.0.2.1:80 wlc".
func (s Service) String() string { return s.ServiceKey.String() + " " + s.Settings.String() }

// Validate reports the first reason why the kernel can't be given this service.
func (s Service) Validate() error {
	if err := s.ServiceKey.validate(); err != nil {
		return err
	}
	if err := s.Settings.validate(s.ServiceKey); err != nil {
		return fmt.Errorf("virtual service %s: %w", s.ServiceKey, err)
	}
	for _, d := range s.Destinations {
		if err := d.validate(s.Family); err != nil {
			return fmt.Errorf("virtual service %s: real server %s: %w", s.ServiceKey, d.Addr, err)
		}
	}
	sorted := s.normal().Destinations
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Addr == sorted[i-1].Addr {
			return fmt.Errorf("virtual service %s: real server %s is named twice", s.ServiceKey, sorted[i].Addr)
		}
	}
	return nil
}

// ValidateAll reports the first reason why the kernel can't be given these
// services together: one of them is wrong, named twice, or there are too many.
func ValidateAll(services []Service) error {
	destinations := 0
	named := make(map[ServiceKey]bool, len(services))
	for _, s := range services {
		if err := s.Validate(); err != nil {
			return err
		}
		if named[s.ServiceKey] {
			return fmt.Errorf("virtual service %s is named twice", s.ServiceKey)
		}
		named[s.ServiceKey] = true
		destinations += len(s.Destinations)
	}
	if len(services) > ServicesMax || destinations > DestinationsMax {
		return fmt.Errorf("%d virtual services with %d real servers: at most %d and %d", len(services), destinations, ServicesMax, DestinationsMax)
	}
	return nil
}

// normal makes services that mean the same equal: settings and destinations in
// normal form, destinations in order. s is not changed.
func (s Service) normal() Service {
	s.Settings = s.Settings.normal(s.Family)
	inOrder := slices.IsSortedFunc(s.Destinations, compareDestinations)
	if inOrder && !slices.ContainsFunc(s.Destinations, func(d Destination) bool { return d != d.normal() }) {
		return s
	}
	s.Destinations = slices.Clone(s.Destinations)
	for i, d := range s.Destinations {
		s.Destinations[i] = d.normal()
	}
	slices.SortStableFunc(s.Destinations, compareDestinations)
	return s
}
