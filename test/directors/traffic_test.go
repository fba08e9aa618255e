package directors

import (
	"testing"

	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/test/lab/kernel"
)

// Goal: with each forwarding method a client is served by both real servers; one that
// fails is left out and comes back; a MASTER that stops or dies loses no connection
// that the others knew of. Method: the demo's story of a service, with a client that
// connects all the time and one that stays connected. The kernel has no packet gate.

func TestDirectRouting(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	tell(t, demo.Options{Service: &demo.Service{Method: "DR"}, Ungated: true})
}

func TestMasquerading(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	tell(t, demo.Options{Service: &demo.Service{Method: "NAT"}, Ungated: true})
}

func TestTunneling(t *testing.T) {
	if !kernel.Run(t, modules...) {
		return
	}
	tell(t, demo.Options{Service: &demo.Service{Method: "TUN"}, Ungated: true})
}

// Goal: directors may be the real servers, too (vip_on_lo): a BACKUP serves what the
// MASTER sends it and directs nothing itself. Method: the same story, with n1 and n2 as
// real servers and the VIP on their lo.
func TestDirectorsThatAreRealServers(t *testing.T) {
	if !kernel.Run(t, gated...) {
		return
	}
	tell(t, demo.Options{Service: &demo.Service{Method: "DR", Local: true, Patience: slow}, Plain: true})
}
