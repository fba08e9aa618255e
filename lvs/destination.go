package lvs

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Weight is a destination's share of new connections: 0 gets none and keeps
// those it has.
type Weight int32

// WeightMax is the highest weight that may be wanted, as in keepalived. The
// kernel itself takes up to 2³¹−1.
const WeightMax Weight = 65535

// Method is how packets reach a destination.
type Method uint8

// The forwarding methods. [Method.String] gives keepalived's words.
const (
	Masquerade Method = iota + 1 // NAT
	Direct                       // DR: by the destination's link-layer address
	Tunnel                       // TUN
)

// String gives "NAT", "DR" or "TUN".
func (m Method) String() string {
	switch m {
	case Masquerade:
		return "NAT"
	case Direct:
		return "DR"
	case Tunnel:
		return "TUN"
	}
	return "Method(" + strconv.Itoa(int(m)) + ")"
}

// TunnelType is the encapsulation of [Tunnel].
type TunnelType uint8

// The encapsulations; GUE and GRE need Linux 5.3 or newer.
const (
	IPIP TunnelType = iota + 1
	GUE
	GRE
)

// String gives keepalived's word.
func (t TunnelType) String() string {
	switch t {
	case IPIP:
		return "ipip"
	case GUE:
		return "gue"
	case GRE:
		return "gre"
	}
	return "TunnelType(" + strconv.Itoa(int(t)) + ")"
}

// TunnelChecksum says which checksum a GUE or GRE header carries.
type TunnelChecksum uint8

// The checksums. Remote checksum offload is for GUE only.
const (
	NoChecksum TunnelChecksum = iota + 1 // the kernel's default
	Checksum
	RemoteChecksum
)

// String gives keepalived's word.
func (c TunnelChecksum) String() string {
	switch c {
	case NoChecksum:
		return "nocsum"
	case Checksum:
		return "csum"
	case RemoteChecksum:
		return "remcsum"
	}
	return "TunnelChecksum(" + strconv.Itoa(int(c)) + ")"
}

// Encapsulation is how [Tunnel] wraps packets. The zero value means [IPIP].
type Encapsulation struct {
	Type     TunnelType
	Port     uint16         // UDP port of GUE
	Checksum TunnelChecksum // of GUE and GRE; 0 means [NoChecksum]
}

// normal leaves in what the type uses, and puts defaults in.
func (e Encapsulation) normal() Encapsulation {
	if e.Type == 0 {
		e.Type = IPIP
	}
	if e.Type != GUE {
		e.Port = 0
	}
	if e.Type == IPIP {
		e.Checksum = 0
	} else if e.Checksum == 0 {
		e.Checksum = NoChecksum
	}
	return e
}

// String gives keepalived's words: "ipip", "gue port 6080 csum".
func (e Encapsulation) String() string {
	e = e.normal()
	text := e.Type.String()
	if e.Port != 0 {
		text += fmt.Sprintf(" port %d", e.Port)
	}
	if e.Checksum != 0 {
		text += " " + e.Checksum.String()
	}
	return text
}

// Destination is a real server of a virtual service. All but Addr can be edited
// without losing a connection.
type Destination struct {
	Addr          netip.AddrPort
	Method        Method
	Weight        Weight
	Upper, Lower  uint32        // thresholds of connections: full at Upper, open again below Lower; 0: none
	Encapsulation Encapsulation // of [Tunnel]
}

// String gives "10.0.0.1:80 DR weight 1".
func (d Destination) String() string { return d.Addr.String() + " " + d.attributes() }

func (d Destination) attributes() string {
	text := fmt.Sprintf("%s weight %d", d.method(), d.Weight)
	if d.Upper != 0 || d.Lower != 0 {
		text += fmt.Sprintf(" thresholds %d/%d", d.Lower, d.Upper)
	}
	return text
}

func (d Destination) method() string {
	if d.Method == Tunnel {
		return "TUN " + d.Encapsulation.String()
	}
	return d.Method.String()
}

// normal makes destinations that mean the same equal.
func (d Destination) normal() Destination {
	d.Addr = plain(d.Addr)
	if d.Method == Tunnel {
		d.Encapsulation = d.Encapsulation.normal()
	} else {
		d.Encapsulation = Encapsulation{}
	}
	return d
}

func (d Destination) validate(service Family) error {
	addr := d.Addr.Addr()
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast():
		return errors.New("not an address that packets can be sent to")
	case FamilyOf(addr) != service && d.Method != Tunnel:
		return fmt.Errorf("an %s address behind %s needs lb_kind TUN, not %s", FamilyOf(addr), service, d.Method)
	case d.Method < Masquerade || d.Method > Tunnel:
		return fmt.Errorf("%s: want NAT, DR or TUN", d.Method)
	case d.Weight < 0 || d.Weight > WeightMax:
		return fmt.Errorf("weight %d: want 0 to %d", d.Weight, WeightMax)
	case d.Lower > d.Upper:
		return fmt.Errorf("the lower threshold %d is above the upper threshold %d", d.Lower, d.Upper)
	case d.Method == Tunnel:
		return d.Encapsulation.validate()
	}
	return nil
}

func (e Encapsulation) validate() error {
	switch {
	case e.Type > GRE || e.Checksum > RemoteChecksum:
		return fmt.Errorf("tunnel %s: want ipip, gue or gre with nocsum, csum or remcsum", e)
	case e.Type == GUE && e.Port == 0:
		return errors.New("a gue tunnel needs a port")
	case e.Type == GRE && e.Checksum == RemoteChecksum:
		return errors.New("remcsum is for gue tunnels only")
	}
	return nil
}

func compareDestinations(a, b Destination) int { return a.Addr.Compare(b.Addr) }
