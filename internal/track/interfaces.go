// Package track watches what priority and fault depend on. So far: whether an
// interface can carry an instance, and with which address.
//
// A watcher reports facts; what follows from them is the node's business. Its
// sockets belong to the network namespace of the thread that opened it.
//
//	w, err := track.OpenInterfaces()
//	go w.Run(ctx)
//	for range w.Changed() { state := w.Look("eth0", own) … }
package track

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Limits of the watch.
const (
	receiveRetryInterval = time.Second // between attempts to read from a socket that fails
	listAttemptsMax      = 5           // takings of a dump that changes disturb
)

// errClosed is why nothing can be looked at after [Interfaces.Run] has ended.
var errClosed = errors.New("the watch has ended")

// Interfaces watches the links and addresses of a network namespace. Its
// methods may be called from any goroutine.
type Interfaces struct {
	socket   *nl.NetlinkSocket // receives notifications
	changedC chan struct{}     // capacity 1: one unread message says all there is to say

	mu     sync.Mutex
	handle *netlink.Handle // asks; nil when closed
}

// OpenInterfaces subscribes to changes. [Interfaces.Run] closes what it opens.
func OpenInterfaces() (*Interfaces, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("subscribe to interface changes: %w", err)
	}
	return &Interfaces{handle: handle, socket: socket, changedC: make(chan struct{}, 1)}, nil
}

// Changed receives after something may have changed, also when notifications
// were lost: whoever is told looks at everything.
func (w *Interfaces) Changed() <-chan struct{} { return w.changedC }

// Run passes changes on until ctx ends, and closes the watcher. It returns nil,
// and nothing else ends it: an error of the socket, such as the overflow of its
// buffer (ENOBUFS) after a pause of the process, leaves the subscription in
// place. It counts as a change, and is read on from after a second.
func (w *Interfaces) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.socket.Close) // ends Receive
	defer stop()
	defer w.close()
	for ctx.Err() == nil {
		if _, _, err := w.socket.Receive(); err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(receiveRetryInterval): // never a busy loop, whatever the error
			}
		}
		w.wake()
	}
	return nil
}

func (w *Interfaces) wake() {
	select {
	case w.changedC <- struct{}{}:
	default:
	}
}

// close waits for whoever is looking: the library's handle has no lock.
func (w *Interfaces) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handle.Close()
	w.handle = nil
}

// Interface is what an instance needs to know of its interface.
type Interface struct {
	Name    string
	Index   int
	Address netip.Addr // its first IPv4 address that is none of ours
	Fault   string     // why it cannot be used; "" when it can
}

// Look says how an interface is at present. Addresses for which own is true are
// passed over: a VIP is no source of advertisements.
func (w *Interfaces) Look(name string, own func(netip.Addr) bool) Interface {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handle == nil {
		return Interface{Fault: fmt.Sprintf("interface %s: %v", name, errClosed)}
	}
	link, err := w.handle.LinkByName(name)
	if err != nil {
		return Interface{Fault: fmt.Sprintf("interface %s: %v", name, err)}
	}
	attrs := link.Attrs()
	look := Interface{Name: name, Index: attrs.Index}
	switch {
	case attrs.Flags&net.FlagUp == 0:
		look.Fault = fmt.Sprintf("interface %s is down", name)
		return look
	case attrs.RawFlags&unix.IFF_RUNNING == 0:
		look.Fault = fmt.Sprintf("interface %s has no carrier", name)
		return look
	}
	found, err := search(
		func() ([]netlink.Addr, error) { return w.handle.AddrList(link, netlink.FAMILY_V4) },
		func(a netip.Addr) bool { return !own(a) })
	switch {
	case err != nil:
		look.Fault = fmt.Sprintf("addresses of %s: %v", name, err)
	case found == nil:
		look.Fault = fmt.Sprintf("interface %s has no IPv4 address of its own", name)
	default:
		look.Address = addressOf(found)
	}
	return look
}

// Owner names the interface that has an IPv4 or IPv6 address, "" when none has. A zone
// is not looked at: of interfaces with the same link-local address the first one is it.
func (w *Interfaces) Owner(address netip.Addr) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handle == nil {
		return ""
	}
	found, err := search(
		func() ([]netlink.Addr, error) { return w.handle.AddrList(nil, netlink.FAMILY_ALL) },
		func(a netip.Addr) bool { return a == address.Unmap().WithZone("") })
	if err != nil || found == nil {
		return ""
	}
	link, err := w.handle.LinkByIndex(found.LinkIndex)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}

// search gives the first wanted address of a dump, nil when there is none. The
// kernel marks a dump that a change anywhere disturbed, and the library returns
// it along with an error: it is taken again. If the last one is disturbed too,
// what it has is believed, and only what it has not is in doubt.
func search(dump func() ([]netlink.Addr, error), wanted func(netip.Addr) bool) (*netlink.Addr, error) {
	var list []netlink.Addr
	var err error
	for range listAttemptsMax {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	for i := range list {
		if a := addressOf(&list[i]); a.IsValid() && wanted(a) {
			return &list[i], nil
		}
	}
	return nil, err
}

// addressOf gives the zero Addr for what has no address.
func addressOf(a *netlink.Addr) netip.Addr {
	if a.IPNet == nil {
		return netip.Addr{}
	}
	address, _ := netip.AddrFromSlice(a.IP)
	return address.Unmap()
}
