package fence

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Gate is the packet gate: nftables rules that drop IP and ARP for every
// managed address that is not an element of the set "leased", whose elements
// time out (DESIGN §5). Each method that changes something is one netlink
// transaction over both tables: the kernel does all of it or nothing.
type Gate struct {
	conn   *nftables.Conn
	socket *netlink.Conn // conn's own, for deadlines
	tables [2]gateTable
}

// NewGate opens a netlink socket in the calling thread's network namespace.
// It changes nothing yet. An error says that the kernel has no nf_tables.
func NewGate() (*Gate, error) {
	g := &Gate{tables: [2]gateTable{
		newGateTable(nftables.TableFamilyIPv4),
		newGateTable(nftables.TableFamilyARP),
	}}
	if err := g.dial(); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Gate) dial() error {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		g.socket = c
		return nil
	}))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	g.conn = conn
	return nil
}

// Close closes the socket. The gate stays as it is.
func (g *Gate) Close() {
	if g.conn != nil {
		_ = g.conn.CloseLasting() // nothing is pending
		g.conn = nil
	}
}

// SetUp builds the gate, shut, in place of one that a previous life may have
// left. Addresses that one had managed stay managed and are returned.
func (g *Gate) SetUp(a SetUpGate) (leftover []netip.Addr, err error) {
	leftover, err = g.Managed()
	if err != nil {
		return nil, err
	}
	err = g.transact("set up", func() error {
		for i := range g.tables {
			t := &g.tables[i]
			t.remove(g.conn)
			if err := t.build(g.conn, union(a.Managed, leftover), a.ARPOnly); err != nil {
				return err
			}
		}
		return nil
	})
	return leftover, err
}

// Managed lists the addresses behind the gate; none where there is no gate.
func (g *Gate) Managed() ([]netip.Addr, error) {
	var all []netip.Addr
	for i := range g.tables {
		elements, err := g.elements(g.tables[i].managed)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the packet gate: %w", err)
		}
		all = append(all, elements...)
	}
	return union(all, nil), nil
}

// Manage makes exactly these addresses managed. Those which are leased stay so.
func (g *Gate) Manage(managed []netip.Addr) error {
	return g.transact("change", func() error {
		for i := range g.tables {
			g.conn.FlushSet(g.tables[i].managed)
			if err := g.add(g.tables[i].managed, managed, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// Remove removes the gate. Idempotent.
func (g *Gate) Remove() error {
	return g.transact("remove", func() error {
		for i := range g.tables {
			g.tables[i].remove(g.conn)
		}
		return nil
	})
}

// Arm puts the VIPs into "armed" for timeout, or renews them there: that opens
// nothing, so it is unconditional.
func (g *Gate) Arm(vips []VIP, timeout time.Duration) error {
	return g.withTimeout("arm", vips, timeout, func(t gateTable, addresses []netip.Addr) error {
		// The first addition makes the deletion succeed, the second sets the time.
		return errors.Join(
			g.add(t.armed, addresses, timeout),
			g.remove(t.armed, addresses),
			g.add(t.armed, addresses, timeout))
	})
}

// Open moves the VIPs from "armed" to "leased" for timeout (rule c).
// [ErrExpired]: one of them was not armed any more, and nothing was changed.
func (g *Gate) Open(vips []VIP, timeout time.Duration) error {
	return g.withTimeout("open", vips, timeout, func(t gateTable, addresses []netip.Addr) error {
		return errors.Join(
			g.remove(t.armed, addresses),
			g.add(t.leased, addresses, timeout), // so that what is still leased can be deleted
			g.remove(t.leased, addresses),
			g.add(t.leased, addresses, timeout))
	})
}

// Refresh lets the VIPs' elements of "leased" live for timeout from now (rule
// b). [ErrExpired]: one of them had timed out, and nothing was changed.
func (g *Gate) Refresh(vips []VIP, timeout time.Duration) error {
	return g.withTimeout("refresh", vips, timeout, func(t gateTable, addresses []netip.Addr) error {
		return errors.Join(
			g.remove(t.leased, addresses),
			g.add(t.leased, addresses, timeout))
	})
}

// Shut takes the VIPs out of "armed" and "leased". Idempotent.
func (g *Gate) Shut(vips []VIP) error {
	addresses := addressesOf(vips)
	if len(addresses) == 0 {
		return nil
	}
	err := g.transact("shut", func() error {
		for _, t := range g.tables {
			for _, set := range []*nftables.Set{t.armed, t.leased} {
				// An addition first, so that there is something to delete: both are
				// one transaction, no packet sees what is between.
				if err := errors.Join(g.add(set, addresses, GateTimeoutMin), g.remove(set, addresses)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return g.classify(err)
}

// withTimeout runs one transaction with the same changes to both tables.
func (g *Gate) withTimeout(verb string, vips []VIP, timeout time.Duration, change func(gateTable, []netip.Addr) error) error {
	if timeout < GateTimeoutMin {
		// Rounded to nothing it would mean for ever.
		return fmt.Errorf("%s the packet gate for %v: %w", verb, timeout, ErrExpired)
	}
	addresses := addressesOf(vips)
	if len(addresses) == 0 {
		return nil
	}
	err := g.transact(verb, func() error {
		for _, t := range g.tables {
			if err := change(t, addresses); err != nil {
				return err
			}
		}
		return nil
	})
	return g.classify(err)
}

// classify tells an element that has timed out from a table that is gone: the
// kernel says ENOENT for both.
func (g *Gate) classify(err error) error {
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return err
	}
	for _, t := range g.tables {
		if _, lookupErr := g.elements(t.managed); errors.Is(lookupErr, unix.ENOENT) {
			return fmt.Errorf("%w (%w)", ErrGateGone, err)
		}
	}
	return fmt.Errorf("%w (%w)", ErrExpired, err)
}

// transact sends what fill has queued as one batch and waits for the kernel's
// word on each part of it. After anything but a plain refusal the socket is
// replaced: an answer may be missing or left over there.
func (g *Gate) transact(verb string, fill func() error) error {
	if g.conn == nil {
		if err := g.dial(); err != nil {
			return err
		}
	}
	err := fill()
	if err == nil {
		err = g.socket.SetDeadline(time.Now().Add(kernelTimeout))
	}
	if err == nil {
		err = g.conn.Flush()
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.ENOENT) {
		g.Close()
	}
	return fmt.Errorf("%s the packet gate: %w", verb, err)
}

func (g *Gate) add(set *nftables.Set, addresses []netip.Addr, timeout time.Duration) error {
	if len(addresses) == 0 {
		return nil
	}
	return g.conn.SetAddElements(set, elementsOf(addresses, timeout))
}

func (g *Gate) remove(set *nftables.Set, addresses []netip.Addr) error {
	return g.conn.SetDeleteElements(set, elementsOf(addresses, 0))
}

// elements lists a set. errors.Is ENOENT: there is no such table or set.
func (g *Gate) elements(set *nftables.Set) ([]netip.Addr, error) {
	if g.conn == nil {
		if err := g.dial(); err != nil {
			return nil, err
		}
	}
	if err := g.socket.SetDeadline(time.Now().Add(kernelTimeout)); err != nil {
		return nil, err
	}
	// The listing below hides the errno; this one question shows it.
	if _, err := g.conn.GetSetByName(set.Table, set.Name); err != nil {
		if !errors.Is(err, unix.ENOENT) {
			g.Close()
		}
		return nil, err
	}
	elements, err := g.conn.GetSetElements(set)
	if err != nil {
		g.Close()
		return nil, err
	}
	var addresses []netip.Addr
	for _, e := range elements {
		if address, ok := netip.AddrFromSlice(e.Key); ok {
			addresses = append(addresses, address)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses, nil
}

func elementsOf(addresses []netip.Addr, timeout time.Duration) []nftables.SetElement {
	elements := make([]nftables.SetElement, 0, len(addresses))
	for _, address := range addresses {
		elements = append(elements, nftables.SetElement{Key: address.AsSlice(), Timeout: timeout})
	}
	return elements
}
