package lvs

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrNoIPVS says that the kernel has no IPVS: neither built in nor a module that
// could be loaded by itself.
var ErrNoIPVS = errors.New("the kernel has no IPVS: load its module (modprobe ip_vs), and have it loaded at boot (/etc/modules-load.d)")

// OpError says that the kernel has refused an op for good.
type OpError struct {
	Index  int // of the op in what was to be done
	Op     Op
	Reason syscall.Errno
	Hint   string // what the reader can do; "" when there is nothing
}

// Error gives "add 10.0.0.1:80 to TCP 192.0.2.1:80: DR weight 1: invalid argument (hint)".
func (e OpError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Reason)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Op, e.Reason, e.Hint)
}

// Unwrap gives the kernel's errno.
func (e OpError) Unwrap() error { return e.Reason }

// Verdict is what follows from a refusal.
type Verdict uint8

// The verdicts. All but Refused mean that the kernel's table is not what the plan
// was made for: somebody else writes to it, or a reading was torn.
const (
	Refused Verdict = iota + 1 // an error: nothing was changed
	Already                    // the op's end is reached without it
	Instead                    // another op reaches the end
	Reread                     // the service is gone, or it is not known what was done: read the table and plan again
)

// Resolve says what follows when the kernel refuses op for reason; the second
// op is the one for [Instead], else nil. It is the only place that decides this.
// The kernel's reasons (net/netfilter/ipvs/ip_vs_ctl.c): EEXIST what is added is
// there; ENOENT the destination, the scheduler or the engine is not there; ESRCH
// the service is not there. EAGAIN, ENOBUFS and EIO come of a kernel that did not
// answer.
func Resolve(op Op, reason syscall.Errno) (Verdict, Op) {
	switch reason {
	case syscall.EAGAIN, syscall.ENOBUFS, syscall.EIO:
		return Reread, nil
	}
	switch op := op.(type) {
	case AddService:
		if reason == syscall.EEXIST {
			return Instead, EditService{Service: op.Service, Settings: op.Settings}
		}
	case EditService:
		if reason == syscall.ESRCH {
			return Instead, AddService{op.Service, op.Settings}
		}
	case AddDestination:
		switch reason {
		case syscall.EEXIST:
			return Instead, EditDestination{Service: op.Service, Destination: op.Destination}
		case syscall.ESRCH:
			return Reread, nil
		}
	case EditDestination:
		switch reason {
		case syscall.ENOENT:
			return Instead, AddDestination{op.Service, op.Destination}
		case syscall.ESRCH:
			return Reread, nil
		}
	case DeleteService:
		if reason == syscall.ESRCH {
			return Already, nil
		}
	case DeleteDestination:
		if reason == syscall.ENOENT || reason == syscall.ESRCH {
			return Already, nil
		}
	default:
		panic(fmt.Sprintf("lvs: unknown op %T", op))
	}
	return Refused, nil
}

// hint says what the reader of a refusal can do.
func hint(op Op, reason syscall.Errno) string {
	switch reason {
	case syscall.EPERM:
		return "it needs CAP_NET_ADMIN in the host's own user namespace"
	case syscall.ENOMEM:
		return "the kernel is short of memory"
	case syscall.EAGAIN, syscall.ENOBUFS, syscall.EIO:
		return "the kernel has not answered; whether it is done is not known"
	case errHeldBack:
		return "kept, for nothing that replaces it could be added"
	case syscall.ESRCH:
		return "somebody else has deleted the virtual service"
	}
	var settings Settings
	var destination Destination
	switch op := op.(type) {
	case AddService:
		settings = op.Settings
	case EditService:
		settings = op.Settings
	case AddDestination:
		destination = op.Destination
	case EditDestination:
		destination = op.Destination
	}
	switch {
	case reason == syscall.ENOENT && settings.PersistenceEngine != "":
		return fmt.Sprintf("the kernel lacks the scheduler or the persistence engine: modprobe ip_vs_%s ip_vs_pe_%s",
			settings.Scheduler, settings.PersistenceEngine)
	case reason == syscall.ENOENT && settings.Scheduler != "":
		return "the kernel lacks the scheduler: modprobe ip_vs_" + settings.Scheduler
	case reason == syscall.EINVAL && destination.Addr.IsValid() && FamilyOf(destination.Addr.Addr()) != op.Key().Family:
		return "IPv4 and IPv6 mix only with lb_kind TUN and without lvs_sync_daemon"
	case reason == syscall.EINVAL && destination.Addr.IsValid():
		return "the kernel takes unicast addresses only, no broadcast address"
	}
	return ""
}
