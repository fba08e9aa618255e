package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hafence/hafence/test/lab"
)

// roleVariable makes this binary something else than a test: a program that a
// machine runs, or a test that is killed.
const roleVariable = "HAFENCE_KERNEL_ROLE"

const (
	patience   = 60 * time.Second       // for what must happen
	impatience = 500 * time.Millisecond // for what must not
	beat       = 50 * time.Millisecond  // between two multicasts
	groupPort  = "224.0.0.18:1112"
)

func TestMain(m *testing.M) {
	roles := map[string]func() error{"sing": sing, "listen": listen, "doomed uml": doomed(UML), "doomed qemu": doomed(QEMU)}
	if role, ok := roles[os.Getenv(roleVariable)]; ok {
		fmt.Fprintln(os.Stderr, role()) // it only returns with an error
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// sing sends a numbered multicast on eth0 every beat.
func sing() error {
	group, err := net.ResolveUDPAddr("udp4", groupPort)
	if err != nil {
		return err
	}
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	addresses, err := eth0.Addrs()
	if err != nil {
		return err
	}
	from := netip.MustParsePrefix(addresses[0].String()).Addr()
	conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), group)
	if err != nil {
		return err
	}
	for ; ; time.Sleep(beat) {
		if _, err := conn.Write([]byte("la")); err != nil {
			return err
		}
	}
}

// listen says whom it hears.
func listen() error {
	group, err := net.ResolveUDPAddr("udp4", groupPort)
	if err != nil {
		return err
	}
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	conn, err := net.ListenMulticastUDP("udp4", eth0, group)
	if err != nil {
		return err
	}
	for buffer := make([]byte, 16); ; {
		_, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		fmt.Println(from.Addr())
	}
}

// onEach runs a test's body once for each backend, beside other tests: most of
// their time is a machine's that boots or waits.
func onEach(t *testing.T, body func(*testing.T, Backend)) {
	t.Parallel()
	for _, backend := range []Backend{UML, QEMU} {
		t.Run(backend.String(), func(t *testing.T) {
			lab.Require(t, programs...)
			if err := errors.Join(backend.missing(), noRoom(backend)); err != nil {
				lab.Skip(t, err.Error())
			}
			t.Parallel()
			body(t, backend)
		})
	}
}

// start powers machines on and waits until all of them are ready.
func start(t *testing.T, backend Backend, options ...Options) []*Machine {
	t.Helper()
	began := time.Now()
	var machines []*Machine
	for _, o := range options {
		o.Backend = backend
		machine, err := Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = machine.Close() })
		machines = append(machines, machine)
	}
	for _, machine := range machines {
		if err := machine.Ready(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d ready after %v", len(machines), time.Since(began).Round(time.Millisecond))
	return machines
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// must is a program that has to succeed.
func must(t *testing.T, machine *Machine, args ...string) string {
	t.Helper()
	out, err := machine.Run(soon(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
