package lvs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Kernel is the IPVS of one network namespace. When reading fails, it is worth
// opening another: the module may have been loaded anew.
type Kernel struct {
	socket *socket
	batch  batcher
}

// Open opens the IPVS of the calling thread's network namespace; later calls may
// come from any thread. It has the kernel load the module where it can.
// [ErrNoIPVS]: there is none.
func Open() (*Kernel, error) {
	s, err := openSocket()
	if err != nil {
		return nil, err
	}
	return &Kernel{socket: s, batch: batcher{wire: s, family: s.family}}, nil
}

// Close closes the socket. Services and daemons stay.
func (k *Kernel) Close() { k.socket.close() }

// Services reads the whole table: for the start and for repairs. Reading takes
// time, and the kernel does not say whether the table was changed meanwhile: a
// service or destination that another program adds or deletes just then may be
// in it or not. A plan made of that is harmless ([Resolve]).
func (k *Kernel) Services() ([]Service, error) {
	services, err := dump(k.socket, getService, nothing, func(entry []byte) (Service, error) { return decodeService(entry, nil) })
	if err != nil {
		return nil, fmt.Errorf("read the virtual services: %w", err)
	}
	for i := range services {
		s := &services[i]
		s.Destinations, err = readDestinations(k.socket, s.ServiceKey, func(entry []byte) (Destination, error) {
			return decodeDestination(entry, s.Family, nil)
		})
		if err != nil {
			return nil, err
		}
	}
	return services, nil
}

// Statistics reads the counters of all services and destinations.
func (k *Kernel) Statistics() ([]ServiceStatistics, error) {
	all, err := dump(k.socket, getService, nothing, func(entry []byte) (s ServiceStatistics, err error) {
		_, err = decodeService(entry, &s)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the virtual services: %w", err)
	}
	for i := range all {
		s := &all[i]
		s.Destinations, err = readDestinations(k.socket, s.ServiceKey, func(entry []byte) (d DestinationStatistics, err error) {
			_, err = decodeDestination(entry, s.Family, &d)
			return d, err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readDestinations reads those of one service; none when it is gone.
func readDestinations[Entry any](s *socket, key ServiceKey, decode func([]byte) (Entry, error)) ([]Entry, error) {
	fill := func(b []byte) []byte { return appendService(b, key, nil) }
	destinations, err := dump(s, getDestination, fill, decode)
	if err != nil {
		return nil, fmt.Errorf("read the real servers of %s: %w", key, err)
	}
	return destinations, nil
}

// Apply performs a plan with as few system calls as it can, and follows refusals
// up as [Settle] says.
func (k *Kernel) Apply(ops []Op) Outcome { return Settle(ops, k.batch.execute) }

// SyncDaemons reads the sync daemons that run, at most one of each role.
func (k *Kernel) SyncDaemons() ([]SyncDaemon, error) {
	daemons, err := dump(k.socket, getDaemon, nothing, decodeDaemon)
	if err != nil {
		return nil, fmt.Errorf("read the sync daemons: %w", err)
	}
	return daemons, nil
}

// ApplySync performs a plan of [PlanSync] up to the first op that fails. To stop
// a daemon that does not run is no failure.
func (k *Kernel) ApplySync(ops []SyncOp) error {
	for _, op := range ops {
		var err error
		if op.Stop {
			err = k.stopDaemon(op.Daemon.Role)
		} else {
			err = k.socket.set(newDaemon, func(b []byte) []byte { return appendDaemon(b, op.Daemon) })
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// stopDaemon stops a sync daemon. The kernel does not answer when the daemon was
// started so lately that its thread has not run yet; asked again it says that
// there is none.
func (k *Kernel) stopDaemon(role SyncRole) error {
	fill := func(b []byte) []byte { return appendDaemonRole(b, role) }
	err := k.socket.set(deleteDaemon, fill)
	if errors.Is(err, unix.EINTR) {
		err = k.socket.set(deleteDaemon, fill)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Timeouts reads the connection timeouts of the network namespace.
func (k *Kernel) Timeouts() (Timeouts, error) {
	var t Timeouts
	err := k.socket.get(getConfig, func(body []byte) (err error) {
		t, err = decodeTimeouts(body)
		return err
	})
	if err != nil {
		return Timeouts{}, fmt.Errorf("read the connection timeouts: %w", err)
	}
	return t, nil
}

// SetTimeouts sets the connection timeouts that are not zero.
func (k *Kernel) SetTimeouts(t Timeouts) error {
	if err := t.Validate(); err != nil {
		return err
	}
	err := k.socket.set(setConfig, func(b []byte) []byte { return appendTimeouts(b, t) })
	if err != nil {
		return fmt.Errorf("set the connection timeouts: %w", err)
	}
	return nil
}
