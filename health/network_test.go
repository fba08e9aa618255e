package health

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab"
)

// Goal: on a network, PING_CHECK uses a datagram socket where ping_group_range allows it,
// and servers that are not there are down: by ICMP errors that are this host's own, which
// UDP_CHECK must hear as well. Method: two hosts on a switch.
func TestChecksOnANetwork(t *testing.T) {
	lab.Require(t)
	sw, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	defer sw.Close()
	var hosts [2]*lab.Host
	for i, address := range []string{"10.0.0.1/24", "10.0.0.2/24"} {
		if hosts[i], err = lab.NewHost(address); err != nil {
			t.Fatal(err)
		}
		defer hosts[i].Close()
		if _, err = sw.Plug(hosts[i], "eth0", netip.MustParsePrefix(address)); err != nil {
			t.Fatal(err)
		}
	}
	there := Connect{To: netip.MustParseAddrPort("10.0.0.2:9"), Timeout: patient}
	nobody := Connect{To: netip.MustParseAddrPort("10.0.0.3:9"), Timeout: patient}
	err = hosts[0].Do(func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
			return err
		}
		conn, err := Ping{there}.openPing(t.Context())
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.file.SyscallConn()
		if err != nil {
			return err
		}
		_ = raw.Control(func(fd uintptr) {
			if kind, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); kind != unix.SOCK_DGRAM {
				t.Errorf("the ping socket is of type %d, %v", kind, err)
			}
		})
		wantUp(t, Ping{there})
		wantDown(t, TCP{there}, "refused")
		wantDown(t, UDP{Connect: there}, "refused")
		wantDown(t, UDP{Connect: nobody}, "no route to host")
		nobody.Timeout = hasty
		wantDown(t, Ping{nobody}, "timed out")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
