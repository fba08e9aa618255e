package lab

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// Two hosts on one switch reach each other until the cable is cut, and again
// after it is healed. Method: UDP from one namespace to the other.
func TestHostsMeetOnTheSwitch(t *testing.T) {
	Require(t)
	sw, err := NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	defer sw.Close()
	var hosts [2]*Host
	var ports [2]*Port
	for i, address := range []string{"10.0.0.1/24", "10.0.0.2/24"} {
		if hosts[i], err = NewHost(address); err != nil {
			t.Fatal(err)
		}
		defer hosts[i].Close()
		if ports[i], err = sw.Plug(hosts[i], "eth0", netip.MustParsePrefix(address)); err != nil {
			t.Fatal(err)
		}
	}
	var server, client net.PacketConn
	listen := func(h *Host, address string) (conn net.PacketConn) {
		if err := h.Do(func() (err error) { conn, err = net.ListenPacket("udp4", address); return err }); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	server, client = listen(hosts[0], "10.0.0.1:7"), listen(hosts[1], "10.0.0.2:0")
	defer server.Close()
	defer client.Close()
	reaches := func(word string, within time.Duration) bool {
		buf := make([]byte, 16)
		for end := time.Now().Add(within); time.Now().Before(end); {
			_, _ = client.WriteTo([]byte(word), server.LocalAddr())
			_ = server.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			// Another word is one that has waited since before.
			if n, _, err := server.ReadFrom(buf); err == nil && string(buf[:n]) == word {
				return true
			}
		}
		return false
	}
	if !reaches("whole", 5*time.Second) {
		t.Fatal("no packet arrives over a whole cable")
	}
	if err := ports[0].Cut(); err != nil {
		t.Fatal(err)
	}
	if reaches("cut", 300*time.Millisecond) {
		t.Fatal("packets arrive over a cut cable")
	}
	if err := ports[0].Heal(); err != nil {
		t.Fatal(err)
	}
	if !reaches("healed", 5*time.Second) {
		t.Fatal("no packet arrives over a healed cable")
	}
}
