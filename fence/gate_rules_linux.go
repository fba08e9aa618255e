package fence

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// gateTableName is the name of our tables, in the families ip and arp.
const gateTableName = "hafence"

// Priorities of the chains. Before conntrack (−200), raw (−300) and IPVS, which
// sits in input; the last one after source NAT (100), so that it sees what goes
// onto the wire.
const (
	gatePriorityEarly = -310
	gatePriorityLate  = 310
)

// Hooks of the family arp (linux/netfilter_arp.h).
const (
	hookARPIn  nftables.ChainHook = 0
	hookARPOut nftables.ChainHook = 1
)

// Where the addresses are. IPv4: RFC 791 §3.1. ARP over Ethernet: RFC 826; on
// other hardware the offsets differ, but there VRRP doesn't run either.
const (
	offsetIPSource      = 12
	offsetIPDestination = 16
	offsetARPSender     = 14
	offsetARPTarget     = 24
	addressLength       = 4
)

// TCP's flags. RFC 9293 §3.1.
const (
	offsetTCPFlags = 13
	tcpSYN         = 0x02
	tcpACK         = 0x10
)

// gateTable is our table of one family: which addresses are behind the gate,
// which are open, and which may be opened.
//
//	table ip hafence {
//	  chain prerouting  { filter hook prerouting -310;  ip daddr @managed ip daddr != @leased drop }
//	  chain output      { filter hook output -310;      ip saddr @managed ip saddr != @leased drop }
//	  chain postrouting { filter hook postrouting 310;  ip saddr @managed ip saddr != @leased drop }
//	}
//	table arp hafence {
//	  chain input  { filter hook input -310;  arp saddr ip != @managed arp daddr ip @managed arp daddr ip != @leased drop }
//	  chain output { filter hook output -310; arp saddr ip @managed arp saddr ip != @leased drop }
//	}
//
// Of a director that is a real server, too, the VIPs stand on lo, and what the MASTER
// sends it is its own business: nothing of IP is dropped. But its IPVS must not direct
// it a second time, for two directors would play ping-pong; not even while nobody here
// is alive. So what begins while the VIP is not leased goes to the host's own address,
// where no virtual server is, and its answers come from the VIP again; connections that
// go on from the time when it was leased are left to IPVS, which knows them:
//
//	table ip hafence {
//	  chain prerouting {
//	    nat hook prerouting -100
//	    ip daddr @managed ip daddr != @leased tcp flags syn / syn,ack redirect
//	    ip daddr @managed ip daddr != @leased meta l4proto != tcp redirect
//	  }
//	}
//
// A BACKUP still talks to a VIP that another node holds: that is IP to a
// managed address in output and from one in prerouting, which no rule matches.
// The first match in the ARP input chain lets it learn from the holder's
// gratuitous ARP, whose sender and target are both the VIP.
type gateTable struct {
	table                  *nftables.Table
	managed, leased, armed *nftables.Set
}

func newGateTable(family nftables.TableFamily) gateTable {
	table := &nftables.Table{Name: gateTableName, Family: family}
	set := func(name string, timed bool) *nftables.Set {
		return &nftables.Set{
			Table: table, Name: name, HasTimeout: timed,
			KeyType: nftables.TypeIPAddr, KeyByteOrder: binaryutil.BigEndian,
		}
	}
	return gateTable{table: table, managed: set("managed", false), leased: set("leased", true), armed: set("armed", true)}
}

// remove queues the removal of the table, whether it exists or not.
func (t gateTable) remove(conn *nftables.Conn) {
	conn.AddTable(t.table)
	conn.DelTable(t.table)
}

// build queues the making of the table, in which nothing is leased. With arpOnly the
// addresses stand on lo as well: the family ip drops nothing, and keeps IPVS quiet.
func (t gateTable) build(conn *nftables.Conn, managed []netip.Addr, arpOnly bool) error {
	conn.AddTable(t.table)
	if err := conn.AddSet(t.managed, elementsOf(managed, 0)); err != nil {
		return err
	}
	for _, set := range []*nftables.Set{t.leased, t.armed} {
		if err := conn.AddSet(set, nil); err != nil {
			return err
		}
	}
	if t.table.Family == nftables.TableFamilyARP {
		t.chain(conn, "input", hookARPIn, gatePriorityEarly,
			t.load(offsetARPSender), t.lookup(t.managed, false),
			t.load(offsetARPTarget), t.lookup(t.managed, true), t.lookup(t.leased, false))
		t.chain(conn, "output", hookARPOut, gatePriorityEarly, t.unleased(offsetARPSender)...)
		return nil
	}
	if arpOnly {
		t.ownBusiness(conn)
		return nil
	}
	t.chain(conn, "prerouting", *nftables.ChainHookPrerouting, gatePriorityEarly, t.unleased(offsetIPDestination)...)
	t.chain(conn, "output", *nftables.ChainHookOutput, gatePriorityEarly, t.unleased(offsetIPSource)...)
	t.chain(conn, "postrouting", *nftables.ChainHookPostrouting, gatePriorityLate, t.unleased(offsetIPSource)...)
	return nil
}

// chain queues a base chain with one rule that counts and drops what matches.
func (t gateTable) chain(conn *nftables.Conn, name string, hook nftables.ChainHook, priority nftables.ChainPriority, match ...expr.Any) {
	chain := conn.AddChain(&nftables.Chain{
		Name: name, Table: t.table, Type: nftables.ChainTypeFilter,
		Hooknum: &hook, Priority: &priority,
	})
	conn.AddRule(&nftables.Rule{
		Table: t.table, Chain: chain,
		Exprs: append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}),
	})
}

// ownBusiness queues the chain that keeps IPVS from directing what is not leased.
func (t gateTable) ownBusiness(conn *nftables.Conn) {
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: t.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	for _, begins := range [][]expr.Any{
		{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offsetTCPFlags, Len: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{tcpSYN | tcpACK}, Xor: []byte{0}},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{tcpSYN}},
		},
		{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		},
	} {
		expressions := slices.Concat(t.unleased(offsetIPDestination), begins, []expr.Any{&expr.Redir{}})
		conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: expressions})
	}
}

// unleased matches where the address at offset is managed and not leased.
func (t gateTable) unleased(offset uint32) []expr.Any {
	return []expr.Any{t.load(offset), t.lookup(t.managed, true), t.lookup(t.leased, false)}
}

func (t gateTable) load(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: addressLength}
}

func (t gateTable) lookup(set *nftables.Set, member bool) expr.Any {
	return &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID, Invert: !member}
}
