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

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interfaces watches the links and addresses of a network namespace.
type Interfaces struct {
	handle   *netlink.Handle
	linkC    chan netlink.LinkUpdate
	addrC    chan netlink.AddrUpdate
	doneC    chan struct{}
	changedC chan struct{} // capacity 1
}

// OpenInterfaces subscribes to changes.
func OpenInterfaces() (*Interfaces, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	w := &Interfaces{
		handle: handle, doneC: make(chan struct{}), changedC: make(chan struct{}, 1),
		linkC: make(chan netlink.LinkUpdate, 64), addrC: make(chan netlink.AddrUpdate, 64),
	}
	if err := w.subscribe(); err != nil {
		close(w.doneC)
		handle.Close()
		return nil, err
	}
	return w, nil
}

func (w *Interfaces) subscribe() error {
	// A lost notification is as good as one: whoever is told looks at everything.
	ignore := func(error) { w.wake() }
	if err := netlink.LinkSubscribeWithOptions(w.linkC, w.doneC, netlink.LinkSubscribeOptions{ErrorCallback: ignore}); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	if err := netlink.AddrSubscribeWithOptions(w.addrC, w.doneC, netlink.AddrSubscribeOptions{ErrorCallback: ignore}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	return nil
}

// Changed receives after something may have changed.
func (w *Interfaces) Changed() <-chan struct{} { return w.changedC }

// Run passes changes on until ctx ends, and closes the watcher.
func (w *Interfaces) Run(ctx context.Context) error {
	defer w.handle.Close()
	defer close(w.doneC)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.linkC:
			if !ok {
				return errors.New("watch links: the subscription ended")
			}
		case update, ok := <-w.addrC:
			if !ok {
				return errors.New("watch addresses: the subscription ended")
			}
			if update.LinkAddress.IP.To4() == nil {
				continue
			}
		}
		w.wake()
	}
}

func (w *Interfaces) wake() {
	select {
	case w.changedC <- struct{}{}:
	default:
	}
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
	addrs, err := w.handle.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		look.Fault = fmt.Sprintf("addresses of %s: %v", name, err)
		return look
	}
	for _, a := range addrs {
		if address, ok := netip.AddrFromSlice(a.IP.To4()); ok && !own(address) {
			look.Address = address
			return look
		}
	}
	look.Fault = fmt.Sprintf("interface %s has no IPv4 address of its own", name)
	return look
}

// Owner names the interface that has an address, "" when none has.
func (w *Interfaces) Owner(address netip.Addr) string {
	addrs, err := w.handle.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if have, ok := netip.AddrFromSlice(a.IP.To4()); ok && have == address {
			if link, err := w.handle.LinkByIndex(a.LinkIndex); err == nil {
				return link.Attrs().Name
			}
		}
	}
	return ""
}
