package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// roleVariable makes this binary something else than a test: a program that a
// machine runs, or a test that is killed.
const roleVariable = "HAFENCE_KERNEL_ROLE"

const (
	patience   = 30 * time.Second       // for what must happen
	impatience = 500 * time.Millisecond // for what must not
	beat       = 50 * time.Millisecond  // between two multicasts
	groupPort  = "224.0.0.18:1112"
)

func TestMain(m *testing.M) {
	roles := map[string]func() error{"sing": sing, "listen": listen, "doomed": doomed}
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

// start powers machines on and waits until all of them are ready.
func start(t *testing.T, options ...Options) []*Machine {
	t.Helper()
	Require(t)
	var machines []*Machine
	for _, o := range options {
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
