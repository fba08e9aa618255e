package fence

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernelTimeout bounds the wait for a netlink answer. The kernel answers within
// the system call; the bound only keeps a bug from hanging the guard.
const kernelTimeout = 2 * time.Second

// Addresses adds and removes VIPs by rtnetlink, on one socket that stays open.
type Addresses struct{ handle *netlink.Handle }

// OpenAddresses opens a socket in the calling thread's network namespace.
func OpenAddresses() (*Addresses, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	if err := handle.SetSocketTimeout(kernelTimeout); err != nil {
		handle.Close()
		return nil, fmt.Errorf("set rtnetlink timeout: %w", err)
	}
	return &Addresses{handle: handle}, nil
}

// Close closes the socket.
func (a *Addresses) Close() { a.handle.Close() }

// Add puts the VIP on its interface, or renews it there. lifetime is valid_lft
// and preferred_lft in whole seconds, rounded up; 0 is for ever. Idempotent.
func (a *Addresses) Add(v VIP, lifetime time.Duration) error {
	link, err := a.handle.LinkByName(v.Interface)
	if err != nil {
		return fmt.Errorf("add %s: %w", v, err)
	}
	seconds := int((lifetime + time.Second - 1) / time.Second)
	address := &netlink.Addr{
		IPNet:       ipNet(v.Prefix),
		Label:       v.Label,
		Scope:       int(v.Scope),
		Broadcast:   net.IPv4zero, // which means none
		ValidLft:    seconds,
		PreferedLft: seconds,
		LinkIndex:   link.Attrs().Index,
	}
	if v.Broadcast.IsValid() {
		address.Broadcast = v.Broadcast.AsSlice()
	}
	if err := a.handle.AddrReplace(link, address); err != nil {
		return fmt.Errorf("add %s: %w", v, err)
	}
	return nil
}

// Remove takes the VIP off its interface, or, where v names none, off every
// interface but loopback ones, whatever prefix length it has there. It reports
// whether the address was there; that it wasn't, or that the interface is gone,
// is no error.
func (a *Addresses) Remove(v VIP) (found bool, err error) {
	if v.Interface == "" {
		return a.removeAnywhere(v.Prefix.Addr())
	}
	link, err := a.handle.LinkByName(v.Interface)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", v, err)
	}
	return a.remove(link.Attrs().Index, ipNet(v.Prefix))
}

func (a *Addresses) remove(index int, prefix *net.IPNet) (found bool, err error) {
	// The link is named by its index, as it could be renamed meanwhile.
	err = a.handle.AddrDel(nil, &netlink.Addr{IPNet: prefix, Broadcast: net.IPv4zero, LinkIndex: index})
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("remove %s from interface %d: %w", prefix, index, err)
	}
	return true, nil
}

func (a *Addresses) removeAnywhere(address netip.Addr) (found bool, err error) {
	loopback, err := a.loopbacks()
	if err != nil {
		return false, fmt.Errorf("remove %s: list interfaces: %w", address, err)
	}
	present, err := a.list()
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", address, err)
	}
	for _, p := range present {
		if p.prefix.Addr() != address || loopback[p.index] {
			continue
		}
		removed, err := a.remove(p.index, ipNet(p.prefix))
		if err != nil {
			return found, err
		}
		found = found || removed
	}
	return found, nil
}

// loopbacks gives the indices of the loopback interfaces: an address there was
// put by the operator (a director that is a real server too), never by us.
func (a *Addresses) loopbacks() (map[int]bool, error) {
	links, err := a.handle.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	indices := make(map[int]bool)
	for _, link := range links {
		if link.Attrs().Flags&net.FlagLoopback != 0 {
			indices[link.Attrs().Index] = true
		}
	}
	return indices, nil
}

type placed struct {
	prefix netip.Prefix
	index  int // of the interface
}

// list gives every IPv4 address of the namespace. A dump that was disturbed by
// a change is taken again.
func (a *Addresses) list() ([]placed, error) {
	var addresses []netlink.Addr
	var err error
	for range listAttemptsMax {
		if addresses, err = a.handle.AddrList(nil, netlink.FAMILY_V4); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var list []placed
	for _, address := range addresses {
		ip, ok := netip.AddrFromSlice(address.IP.To4())
		if !ok {
			continue
		}
		bits, _ := address.Mask.Size()
		list = append(list, placed{netip.PrefixFrom(ip, bits), address.LinkIndex})
	}
	return list, nil
}

// listAttemptsMax bounds how often a disturbed dump is repeated.
const listAttemptsMax = 5

// Missing checks that the VIPs are where they belong. It returns those which
// are not, and the names of interfaces that don't exist.
func (a *Addresses) Missing(vips []VIP) (lost []VIP, interfaces []string, err error) {
	present, err := a.list()
	if err != nil {
		return nil, nil, err
	}
	there := make(map[placed]bool)
	for _, p := range present {
		there[p] = true
	}
	indices := make(map[string]int)
	for _, v := range vips {
		index, known := indices[v.Interface]
		if !known {
			link, err := a.handle.LinkByName(v.Interface)
			var missing netlink.LinkNotFoundError
			switch {
			case errors.As(err, &missing):
				interfaces = append(interfaces, v.Interface)
			case err != nil:
				return nil, nil, fmt.Errorf("find interface %s: %w", v.Interface, err)
			default:
				index = link.Attrs().Index
			}
			indices[v.Interface] = index
		}
		if index != 0 && !there[placed{v.Prefix, index}] {
			lost = append(lost, v)
		}
	}
	return lost, interfaces, nil
}

// Watch sends on the returned channel, of capacity 1, after an IPv4 address or
// an interface has been removed, and after notifications may have been lost:
// then look with [Addresses.Missing]. The first message comes at once. The
// goroutine that Watch starts ends, and the channel is closed, when done is.
// The socket belongs to the calling thread's network namespace.
func Watch(done <-chan struct{}) (<-chan struct{}, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribe to address changes: %w", err)
	}
	changedC := make(chan struct{}, 1) // one unread message says all there is to say
	changedC <- struct{}{}
	go func() { <-done; socket.Close() }()
	go watch(socket, done, changedC)
	return changedC, nil
}

func watch(socket *nl.NetlinkSocket, done <-chan struct{}, changedC chan<- struct{}) {
	defer close(changedC)
	for {
		messages, _, err := socket.Receive()
		removal := errors.Is(err, unix.ENOBUFS) // overflow: anything may have happened
		if err != nil && !removal {
			select {
			case <-done:
				return
			case <-time.After(watchRetryInterval): // never a busy loop, whatever the error
				removal = true
			}
		}
		for _, m := range messages {
			removal = removal || m.Header.Type == unix.RTM_DELADDR || m.Header.Type == unix.RTM_DELLINK
		}
		if !removal {
			continue
		}
		select {
		case changedC <- struct{}{}:
		default:
		}
	}
}

// watchRetryInterval is between attempts to read from a socket that fails.
const watchRetryInterval = time.Second

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
