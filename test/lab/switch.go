package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/vishvananda/netlink"
)

// bridgeName is the only bridge of a switch's namespace.
const bridgeName = "br0"

// Switch is an Ethernet segment: a bridge in a namespace of its own.
type Switch struct {
	*Host
	ports atomic.Int64
}

// Port is a cable from a switch to an interface of a host.
type Port struct {
	Name      string // the cable's end at the switch, in the switch's namespace
	Host      *Host
	Interface string // the cable's end at the host
	sw        *Switch
}

// NewSwitch makes an anonymous switch.
func NewSwitch() (*Switch, error) {
	h, err := NewHost("switch")
	if err != nil {
		return nil, err
	}
	return powerOn(h)
}

func powerOn(h *Host) (*Switch, error) {
	err := h.Do(func() error {
		snooping := false // VRRP's group must reach every port at once
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}, MulticastSnooping: &snooping}
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("add bridge: %w", err)
		}
		return netlink.LinkSetUp(bridge)
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &Switch{Host: h}, nil
}

// Plug connects interface ifname of host h, made by this call, to the switch
// and gives it the addresses.
func (s *Switch) Plug(h *Host, ifname string, addresses ...netip.Prefix) (*Port, error) {
	port := &Port{Name: fmt.Sprintf("port%d", s.ports.Add(1)), Host: h, Interface: ifname, sw: s}
	err := s.Do(func() error { return s.wire(port) })
	if err != nil {
		return nil, fmt.Errorf("plug %s into %s: %w", h.Name, s.Name, err)
	}
	return port, h.Do(func() error { return bringUp(ifname, addresses) })
}

func (s *Switch) wire(port *Port) error {
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: port.Name, MasterIndex: bridge.Attrs().Index},
		PeerName:  port.Interface,
		// The kernel makes the far end in the host's namespace at once, so that
		// equal interface names of several hosts never meet.
		PeerNamespace: netlink.NsFd(int(port.Host.Handle())),
	}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("add veth %s: %w", port.Name, err)
	}
	return setLink(port.Name, true)
}

func bringUp(ifname string, addresses []netip.Prefix) error {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find %s: %w", ifname, err)
	}
	for _, prefix := range addresses {
		addr, err := netlink.ParseAddr(prefix.String())
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s on %s: %w", prefix, ifname, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// Cut pulls the cable: both ends lose the carrier.
func (p *Port) Cut() error { return p.set(false) }

// Heal puts the cable back.
func (p *Port) Heal() error { return p.set(true) }

func (p *Port) set(up bool) error {
	return p.sw.Do(func() error { return setLink(p.Name, up) })
}

func setLink(name string, up bool) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if up {
		return netlink.LinkSetUp(link)
	}
	return netlink.LinkSetDown(link)
}

// Unplug takes a cable away for good, and the host's interface with it.
func (s *Switch) Unplug(p *Port) error {
	return s.Do(func() error {
		link, err := netlink.LinkByName(p.Name)
		if err != nil {
			return fmt.Errorf("find %s: %w", p.Name, err)
		}
		return netlink.LinkDel(link)
	})
}
