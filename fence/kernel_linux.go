package fence

import (
	"errors"
	"fmt"
	"net/netip"
)

// Kernel performs the actions of an [Owner] on the kernel of the network
// namespace in which its parts were opened.
type Kernel struct {
	Gate      *Gate // nil, with GateErr set, where it could not be opened
	GateErr   error
	Addresses *Addresses
}

// OpenKernel opens both parts in the calling thread's network namespace. A
// kernel without nf_tables is no error here: the gate's actions will fail.
func OpenKernel() (*Kernel, error) {
	addresses, err := OpenAddresses()
	if err != nil {
		return nil, err
	}
	gate, err := NewGate()
	return &Kernel{Gate: gate, GateErr: err, Addresses: addresses}, nil
}

// Close closes the sockets; nothing changes in the kernel.
func (k *Kernel) Close() {
	if k.Gate != nil {
		k.Gate.Close()
	}
	k.Addresses.Close()
}

// Perform performs a kernel action and returns its outcome; false for a report.
func (k *Kernel) Perform(action Action) (Done, bool) {
	done := Done{Action: action}
	switch a := action.(type) {
	case AddAddress:
		done.Err = k.Addresses.Add(a.VIP, a.Lifetime)
	case RemoveAddress:
		done.Found, done.Err = k.Addresses.Remove(a.VIP)
	case SetUpGate, InspectGate, ManageGate, RemoveGate, ArmGate, OpenGate, RefreshGate, ShutGate:
		done.Leftover, done.Err = k.gate(action)
	default:
		return Done{}, false
	}
	return done, true
}

func (k *Kernel) gate(action Action) (leftover []netip.Addr, err error) {
	if k.Gate == nil {
		return nil, k.GateErr
	}
	switch a := action.(type) {
	case SetUpGate:
		return k.Gate.SetUp(a)
	case InspectGate:
		return k.Gate.Managed()
	case ManageGate:
		err = k.Gate.Manage(a.Managed)
	case RemoveGate:
		err = k.Gate.Remove()
	case ArmGate:
		err = k.Gate.Arm(a.VIPs, a.Timeout)
	case OpenGate:
		err = k.Gate.Open(a.VIPs, a.Timeout)
	case RefreshGate:
		err = k.Gate.Refresh(a.VIPs, a.Timeout)
	case ShutGate:
		err = k.Gate.Shut(a.VIPs)
	default:
		panic(fmt.Sprintf("fence: %T is no action of the gate", action))
	}
	return nil, err
}

// Withdraw takes the VIPs down with sockets of its own: each address is removed
// and the gate, if there is one, is shut. For a process that has lost its
// guard. It tries everything and joins the errors; nil means that the VIPs are
// silent.
func Withdraw(vips []VIP) error {
	kernel, err := OpenKernel()
	if err != nil {
		return err
	}
	defer kernel.Close()
	var failed []error
	for _, v := range vips {
		if _, err := kernel.Addresses.Remove(v); err != nil {
			failed = append(failed, err)
		}
	}
	_, shutErr := kernel.gate(ShutGate{VIPs: vips})
	if len(failed) == 0 || shutErr == nil {
		return nil
	}
	return errors.Join(append(failed, shutErr)...)
}
