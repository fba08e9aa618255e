package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// filterTable is the only nftables table of a switch's namespace.
const filterTable = "lab"

// ifnameLength is how nftables compares an interface's name: padded with zeros.
const ifnameLength = unix.IFNAMSIZ

// Where the type and the protocol are. Ethernet II; IPv4: RFC 791 §3.1.
const (
	offsetEtherType  = 12
	offsetIPProtocol = 9
)

// Part drops every frame between two ports, both ways. Both still reach the
// other ports. [Switch.Join] undoes it.
func (s *Switch) Part(a, b *Port) error {
	return s.filter(fmt.Sprintf("part %s from %s", a.Name, b.Name), pair(a, b, nil), pair(b, a, nil))
}

// Block drops the packets of one IPv4 protocol between two ports, both ways,
// and lets everything else through. [Switch.Join] undoes it.
func (s *Switch) Block(a, b *Port, protocol uint8) error {
	match := []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: offsetEtherType, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offsetIPProtocol, Len: 1},
		equal([]byte{protocol}),
	}
	return s.filter(fmt.Sprintf("block protocol %d between %s and %s", protocol, a.Name, b.Name), pair(a, b, match), pair(b, a, match))
}

// Join undoes every [Switch.Part] and [Switch.Block]. Idempotent. It also shows
// whether the kernel can filter on a bridge at all.
func (s *Switch) Join() error {
	return s.transact("join all ports", func(conn *nftables.Conn) {
		table := conn.AddTable(&nftables.Table{Name: filterTable, Family: nftables.TableFamilyBridge})
		conn.DelTable(table)
	})
}

func (s *Switch) filter(what string, rules ...[]expr.Any) error {
	return s.transact(what, func(conn *nftables.Conn) {
		table := conn.AddTable(&nftables.Table{Name: filterTable, Family: nftables.TableFamilyBridge})
		chain := conn.AddChain(&nftables.Chain{
			Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
		})
		for _, match := range rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match, &expr.Verdict{Kind: expr.VerdictDrop})})
		}
	})
}

// transact runs one nftables transaction in the switch's namespace.
func (s *Switch) transact(what string, queue func(*nftables.Conn)) error {
	return s.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("%s: open nftables: %w", what, err)
		}
		queue(conn)
		if err := conn.Flush(); err != nil {
			return fmt.Errorf("%s: nftables, family bridge: %w", what, err)
		}
		return nil
	})
}

// pair matches what goes from one port to another, and match besides.
func pair(from, to *Port, match []expr.Any) []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, equal(ifname(from.Name)),
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, equal(ifname(to.Name)),
	}, match...)
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func ifname(name string) []byte {
	return append([]byte(name), bytes.Repeat([]byte{0}, ifnameLength-len(name))...)
}
