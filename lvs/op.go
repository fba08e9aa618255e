package lvs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Op is one change of the kernel's table. The types are the ones in this file.
// String gives it in words, as a plan, a log line or an error shows it.
type Op interface {
	Key() ServiceKey // the service that is changed, or whose destination is
	String() string
	deletes() bool
}

// AddService adds a service without destinations.
type AddService struct {
	Service  ServiceKey
	Settings Settings
}

// EditService gives a service other settings; its destinations and connections
// stay. Was is what it had, zero when that is not known.
type EditService struct {
	Service       ServiceKey
	Was, Settings Settings
}

// DeleteService deletes a service with its destinations.
type DeleteService struct {
	Service ServiceKey
}

// AddDestination adds a destination to a service.
type AddDestination struct {
	Service     ServiceKey
	Destination Destination
}

// EditDestination gives a destination other attributes; its connections stay.
// Was is what it had, zero when that is not known.
type EditDestination struct {
	Service          ServiceKey
	Was, Destination Destination
}

// DeleteDestination deletes a destination from a service. Replaced says that no
// destination of the service stays but those that the same plan adds: it is
// deleted only when one of them has been added (see [Settle]).
type DeleteDestination struct {
	Service  ServiceKey
	Addr     netip.AddrPort
	Replaced bool
}

// Key is the service that is added.
func (o AddService) Key() ServiceKey { return o.Service }

// Key is the service that is edited.
func (o EditService) Key() ServiceKey { return o.Service }

// Key is the service that is deleted.
func (o DeleteService) Key() ServiceKey { return o.Service }

// Key is the service that gets the destination.
func (o AddDestination) Key() ServiceKey { return o.Service }

// Key is the service that has the destination.
func (o EditDestination) Key() ServiceKey { return o.Service }

// Key is the service that loses the destination.
func (o DeleteDestination) Key() ServiceKey { return o.Service }

func (AddService) deletes() bool        { return false }
func (EditService) deletes() bool       { return false }
func (DeleteService) deletes() bool     { return true }
func (AddDestination) deletes() bool    { return false }
func (EditDestination) deletes() bool   { return false }
func (DeleteDestination) deletes() bool { return true }

// String gives "add TCP 192.0.2.1:80: wlc persistent 360".
func (o AddService) String() string { return fmt.Sprintf("add %s: %s", o.Service, o.Settings) }

// String gives "edit TCP 192.0.2.1:80: rr → wlc".
func (o EditService) String() string {
	if o.Was == (Settings{}) {
		return fmt.Sprintf("edit %s: %s", o.Service, o.Settings)
	}
	return fmt.Sprintf("edit %s: %s → %s", o.Service, o.Was, o.Settings)
}

// String gives "delete TCP 192.0.2.1:80".
func (o DeleteService) String() string { return "delete " + o.Service.String() }

// String gives "add 10.0.0.1:80 to TCP 192.0.2.1:80: DR weight 1".
func (o AddDestination) String() string {
	return fmt.Sprintf("add %s to %s: %s", o.Destination.Addr, o.Service, o.Destination.attributes())
}

// String gives "edit 10.0.0.1:80 of TCP 192.0.2.1:80: weight 1 → 0".
func (o EditDestination) String() string {
	changes := o.Destination.attributes()
	if o.Was != (Destination{}) {
		changes = difference(o.Was, o.Destination)
	}
	return fmt.Sprintf("edit %s of %s: %s", o.Destination.Addr, o.Service, changes)
}

// String gives "delete 10.0.0.1:80 from TCP 192.0.2.1:80".
func (o DeleteDestination) String() string {
	return fmt.Sprintf("delete %s from %s", o.Addr, o.Service)
}

// difference names the attributes that are not the same.
func difference(was, is Destination) string {
	var parts []string
	if a, b := was.method(), is.method(); a != b {
		parts = append(parts, a+" → "+b)
	}
	if was.Weight != is.Weight {
		parts = append(parts, fmt.Sprintf("weight %d → %d", was.Weight, is.Weight))
	}
	if was.Upper != is.Upper || was.Lower != is.Lower {
		parts = append(parts, fmt.Sprintf("thresholds %d/%d → %d/%d", was.Lower, was.Upper, is.Lower, is.Upper))
	}
	return strings.Join(parts, ", ")
}
