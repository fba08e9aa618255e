package fence

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Limits of a configuration. A gate transaction names every VIP of a host in
// one netlink attribute, whose length is 16 bits.
const (
	GroupsMax    = 255  // one per VRRP router ID and interface is the usual bound
	VIPsMax      = 1024 // of all groups of a host
	NameMax      = 128  // bytes of a group's name
	interfaceMax = 15   // IFNAMSIZ less the terminating zero
)

// Bounds of the lease's time to live.
const (
	TTLMin = 100 * time.Millisecond // below that ttl/2 is a handful of jiffies
	TTLMax = time.Hour
)

// VIP is a virtual IP address and where it belongs.
type VIP struct {
	Prefix    netip.Prefix // address with its prefix length, /32 as a rule; IPv4 only
	Interface string       // empty only in RemoveAddress: wherever the address is
	Label     string       // interface label as of ip-address(8), or ""
	Scope     uint8        // rtnetlink(7): 0 global, 200 site, 253 link, 254 host
	Broadcast netip.Addr   // the zero Addr: none
}

// String gives "192.0.2.7/32 on eth0".
func (v VIP) String() string {
	if v.Interface == "" {
		return v.Prefix.String()
	}
	return v.Prefix.String() + " on " + v.Interface
}

// Validate reports the first reason why the kernel can't be given this VIP.
func (v VIP) Validate() error {
	address := v.Prefix.Addr()
	switch {
	case !v.Prefix.IsValid():
		return errors.New("a VIP without an address")
	case !address.Is4():
		return fmt.Errorf("VIP %s: only IPv4 is implemented", v)
	case address.IsUnspecified() || address.IsMulticast() || address.IsLoopback():
		return fmt.Errorf("VIP %s: not an address that other hosts can reach", v)
	case v.Interface == "" || len(v.Interface) > interfaceMax:
		return fmt.Errorf("VIP %s: the interface's name has 1 to %d bytes, not %q", v.Prefix, interfaceMax, v.Interface)
	case len(v.Label) > interfaceMax:
		return fmt.Errorf("VIP %s: label %q is longer than %d bytes", v, v.Label, interfaceMax)
	case v.Broadcast.IsValid() && !v.Broadcast.Is4():
		return fmt.Errorf("VIP %s: broadcast address %s is not IPv4", v, v.Broadcast)
	}
	return nil
}

// Group is what is held and dropped as one.
type Group struct {
	Name string
	VIPs []VIP
}

func (g Group) equal(other Group) bool {
	return g.Name == other.Name && slices.Equal(g.VIPs, other.VIPs)
}

// validateGroups checks names, VIPs and that no address has two owners.
func validateGroups(groups []Group) error {
	if len(groups) > GroupsMax {
		return fmt.Errorf("%d groups: at most %d", len(groups), GroupsMax)
	}
	names := make(map[string]bool)
	owner := make(map[netip.Addr]string)
	for _, g := range groups {
		if g.Name == "" || len(g.Name) > NameMax {
			return fmt.Errorf("group %q: a name has 1 to %d bytes", g.Name, NameMax)
		}
		if names[g.Name] {
			return fmt.Errorf("group %s is named twice", g.Name)
		}
		names[g.Name] = true
		for _, v := range g.VIPs {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("group %s: %w", g.Name, err)
			}
			if other, taken := owner[v.Prefix.Addr()]; taken {
				return fmt.Errorf("VIP %s is in group %s and in group %s", v.Prefix.Addr(), other, g.Name)
			}
			owner[v.Prefix.Addr()] = g.Name
		}
	}
	if len(owner) > VIPsMax {
		return fmt.Errorf("%d VIPs: at most %d", len(owner), VIPsMax)
	}
	return nil
}

// addressesOf lists the addresses of vips, sorted, each once.
func addressesOf(vips []VIP) []netip.Addr {
	addresses := make([]netip.Addr, 0, len(vips))
	for _, v := range vips {
		addresses = append(addresses, v.Prefix.Addr())
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
