package kernel

import (
	"fmt"
	"net"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/test/lab"
)

// bridgeName is the bridge of a [lab.Switch].
const bridgeName = "br0"

// Switch is a [lab.Switch] that machines can be plugged into as well as hosts:
// an observer is a lab.Host and lab.Switch.Plug.
type Switch struct {
	*lab.Switch
	taps atomic.Int64
}

// Port is where a machine is plugged in. Its Host has only a name.
type Port struct {
	*lab.Port
	sw *Switch
}

// NewSwitch makes an anonymous switch. Close it after its machines.
func NewSwitch() (*Switch, error) {
	sw, err := lab.NewSwitch()
	if err != nil {
		return nil, err
	}
	return &Switch{Switch: sw}, nil
}

// plug makes the tap of a NIC and gives it its address, if it has none.
func (s *Switch) plug(nic *NIC, machine string) (*Port, error) {
	n := s.taps.Add(1)
	if nic.MAC == nil {
		nic.MAC = net.HardwareAddr{2, 0, 0, 0, byte(n >> 8), byte(n)}
	}
	port := &Port{Port: &lab.Port{Name: fmt.Sprintf("tap%d", n), Host: &lab.Host{Name: machine}}, sw: s}
	err := s.Do(func() error {
		tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: port.Name}, Mode: netlink.TUNTAP_MODE_TAP}
		if err := netlink.LinkAdd(tap); err != nil {
			return fmt.Errorf("add tap %s: %w", port.Name, err)
		}
		return netlink.LinkSetUp(tap)
	})
	if err != nil {
		return nil, fmt.Errorf("plug in %s: %w", machine, err)
	}
	return port, port.Heal()
}

// Cut pulls the cable at the switch. The machine still sees a carrier: setting
// its tap down instead would stop user-mode Linux's driver for good.
func (p *Port) Cut() error {
	return p.sw.Do(func() error {
		tap, err := netlink.LinkByName(p.Name)
		if err != nil {
			return fmt.Errorf("find %s: %w", p.Name, err)
		}
		return netlink.LinkSetNoMaster(tap)
	})
}

// Heal puts the cable back.
func (p *Port) Heal() error {
	return p.sw.Do(func() error {
		tap, err := netlink.LinkByName(p.Name)
		if err != nil {
			return fmt.Errorf("find %s: %w", p.Name, err)
		}
		bridge, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return fmt.Errorf("find %s: %w", bridgeName, err)
		}
		return netlink.LinkSetMaster(tap, bridge)
	})
}
