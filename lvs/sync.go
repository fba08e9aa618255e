package lvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Limits and defaults of connection synchronisation, ip_vs_sync.c and
// ip_vs_ctl.c of Linux.
const (
	interfaceMax        = 15 // bytes: IP_VS_IFNAME_MAXLEN less the terminating zero
	syncPortDefault     = 8848
	syncTTLDefault      = 1
	syncMTUMin          = 1500 // what the kernel counts with for a smaller link
	syncLengthMinBackup = 1024 // shorter ones are made this long
	udpOverIPv4         = 28   // bytes of headers
	udpOverIPv6         = 48
	datagramMax         = 65535
)

var syncGroupDefault = netip.AddrFrom4([4]byte{224, 0, 0, 81})

// SyncFlushDelay is how long the master daemon may keep what it has not sent: a
// message that is not full goes out after 2 s, looked for once a second. What
// it still has when it is stopped is lost. So a director that is no longer
// MASTER stops it no sooner than this after its VIPs are withdrawn.
const SyncFlushDelay = 3 * time.Second

// SyncRole is what a sync daemon does.
type SyncRole uint8

// The roles. The kernel runs one daemon of each at the same time.
const (
	SyncMaster SyncRole = iota + 1 // sends connections
	SyncBackup                     // receives them
)

// String gives "master" or "backup".
func (r SyncRole) String() string {
	switch r {
	case SyncMaster:
		return "master"
	case SyncBackup:
		return "backup"
	}
	return fmt.Sprintf("SyncRole(%d)", r)
}

// SyncDaemon is a connection synchronisation daemon of the kernel. Zero values
// of the last four mean the kernel's defaults.
type SyncDaemon struct {
	Role      SyncRole
	Interface string
	ID        uint8      // daemons with the same one talk to each other; 0 as backup: to all
	MaxLength uint16     // bytes of a message without headers; 0: what fits the link, at least 1500 with headers
	Group     netip.Addr // multicast, IPv4 or IPv6; zero: 224.0.0.81
	Port      uint16     // UDP; 0: 8848
	TTL       uint8      // 0: 1
}

// String gives "backup sync daemon on eth0 id 7".
func (d SyncDaemon) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s sync daemon on %s id %d", d.Role, d.Interface, d.ID)
	if d.MaxLength != 0 {
		fmt.Fprintf(&text, " maxlen %d", d.MaxLength)
	}
	if d.Group.IsValid() {
		fmt.Fprintf(&text, " group %s", d.Group)
	}
	if d.Port != 0 {
		fmt.Fprintf(&text, " port %d", d.Port)
	}
	if d.TTL != 0 {
		fmt.Fprintf(&text, " ttl %d", d.TTL)
	}
	return text.String()
}

// Validate reports the first reason why the kernel can't be given this daemon.
func (d SyncDaemon) Validate() error {
	switch {
	case d.Role != SyncMaster && d.Role != SyncBackup:
		return fmt.Errorf("%s: want master or backup", d)
	case d.Interface == "" || len(d.Interface) > interfaceMax || strings.ContainsRune(d.Interface, 0):
		return fmt.Errorf("%s: the interface's name has 1 to %d bytes, not %q", d, interfaceMax, d.Interface)
	case d.Group.IsValid() && !d.Group.Unmap().IsMulticast():
		return fmt.Errorf("%s: group %s is no multicast address", d, d.Group)
	case int(d.MaxLength) > datagramMax-d.headers():
		return errors.New(d.String() + ": the message does not fit a datagram")
	}
	return nil
}

func (d SyncDaemon) headers() int {
	if d.Group.IsValid() && FamilyOf(d.Group) == IPv6 {
		return udpOverIPv6
	}
	return udpOverIPv4
}

// normal puts in what the kernel puts in, but for a length that depends on the
// link.
func (d SyncDaemon) normal() SyncDaemon {
	if !d.Group.IsValid() {
		d.Group = syncGroupDefault
	}
	d.Group = d.Group.Unmap().WithZone("")
	if d.Port == 0 {
		d.Port = syncPortDefault
	}
	if d.TTL == 0 {
		d.TTL = syncTTLDefault
	}
	if d.Role == SyncBackup && d.MaxLength != 0 {
		d.MaxLength = max(d.MaxLength, syncLengthMinBackup)
	}
	return d
}

// runsAs reports whether a daemon in the kernel is the wanted one. The default
// length is that of the smallest link for a master, and of the link for a backup.
func (d SyncDaemon) runsAs(want SyncDaemon) bool {
	has, wanted := d.normal(), want.normal()
	if wanted.MaxLength == 0 {
		length := uint16(syncMTUMin - wanted.headers())
		if has.MaxLength == length || (has.Role == SyncBackup && has.MaxLength > length) {
			has.MaxLength = 0
		}
	}
	return has == wanted
}

// SyncOp starts or stops a sync daemon.
type SyncOp struct {
	Stop    bool
	Daemon  SyncDaemon
	Foreign bool // with Stop: it is none of SyncWant.Ours, so somebody else has started it
}

// String gives "start backup sync daemon on eth0 id 7".
func (o SyncOp) String() string {
	switch {
	case o.Stop && o.Foreign:
		return "stop the foreign " + o.Daemon.String()
	case o.Stop:
		return "stop " + o.Daemon.String()
	}
	return "start " + o.Daemon.String()
}

// SyncWant is what connection synchronisation should be.
type SyncWant struct {
	Daemons []SyncDaemon // at most one of each role
	// Ours are the daemons that are ours where they run: those of both roles that
	// this configuration and the one before it have. A previous life may have left
	// one that is not wanted now.
	Ours []SyncDaemon
}

// PlanSync lists what makes the kernel's sync daemons those that are wanted. A
// daemon whose parameters differ is stopped and started again: the kernel can't
// change one. One of a role that is not wanted is stopped only if it is ours;
// a foreign one in the way of a wanted one is replaced.
//
// A director wants its backup daemon at all times and the master one besides
// while it is MASTER: then no message of the next master is missed at a handover.
// The backup comes first, for the same reason.
func PlanSync(have []SyncDaemon, want SyncWant) []SyncOp {
	var ops []SyncOp
	for _, role := range []SyncRole{SyncBackup, SyncMaster} {
		ofRole := func(d SyncDaemon) bool { return d.Role == role }
		h, w := slices.IndexFunc(have, ofRole), slices.IndexFunc(want.Daemons, ofRole)
		if h >= 0 && w >= 0 && have[h].runsAs(want.Daemons[w]) {
			continue
		}
		if h >= 0 {
			ours := slices.ContainsFunc(want.Ours, have[h].runsAs)
			if w < 0 && !ours {
				continue
			}
			ops = append(ops, SyncOp{Stop: true, Daemon: have[h], Foreign: !ours})
		}
		if w >= 0 {
			ops = append(ops, SyncOp{Daemon: want.Daemons[w]})
		}
	}
	return ops
}
