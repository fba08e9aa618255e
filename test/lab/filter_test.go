package lab

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

const (
	protocolUDP = 17
	patience    = 5 * time.Second        // for what must arrive
	impatience  = 300 * time.Millisecond // for what must not
)

// newTrio is three hosts on a switch, each with a UDP and a TCP echo on port 7.
func newTrio(t *testing.T) (*Switch, []*Port) {
	t.Helper()
	Require(t)
	sw, err := NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	var ports []*Port
	for _, address := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		h, err := NewHost(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		port, err := sw.Plug(h, "eth0", netip.MustParsePrefix(address+"/24"))
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
		serve(t, h)
	}
	return sw, ports
}

func serve(t *testing.T, h *Host) {
	t.Helper()
	err := h.Do(func() error {
		datagrams, err := net.ListenPacket("udp4", ":7")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = datagrams.Close() })
		streams, err := net.Listen("tcp4", ":7")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = streams.Close() })
		go func() {
			for buffer := make([]byte, 16); ; {
				n, from, err := datagrams.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = datagrams.WriteTo(buffer[:n], from)
			}
		}()
		go func() {
			for {
				conn, err := streams.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reaches reports whether one host hears another's echo.
func reaches(t *testing.T, from, to *Port, network string, within time.Duration) bool {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		answered := false
		err := from.Host.Do(func() error {
			conn, err := net.DialTimeout(network, net.JoinHostPort(to.Host.Name, "7"), impatience/3)
			if err != nil {
				return nil // not reached
			}
			defer conn.Close()
			if network == "tcp4" {
				answered = true
				return nil
			}
			_, _ = conn.Write([]byte("ping"))
			_ = conn.SetReadDeadline(time.Now().Add(impatience / 3))
			_, err = conn.Read(make([]byte, 16))
			answered = err == nil
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if answered {
			return true
		}
	}
	return false
}

// hears reports whether a datagram arrives, one way. The sender must know the
// receiver's hardware address already.
func hears(t *testing.T, to, from *Port) bool {
	t.Helper()
	var inbox, outbox net.PacketConn
	listen := func(p *Port, conn *net.PacketConn) {
		err := p.Host.Do(func() (err error) {
			*conn, err = net.ListenPacket("udp4", ":0")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	listen(to, &inbox)
	defer inbox.Close()
	listen(from, &outbox)
	defer outbox.Close()
	address := &net.UDPAddr{IP: net.ParseIP(to.Host.Name), Port: inbox.LocalAddr().(*net.UDPAddr).Port}
	if _, err := outbox.WriteTo([]byte("one way"), address); err != nil {
		t.Fatal(err)
	}
	_ = inbox.SetReadDeadline(time.Now().Add(impatience))
	_, _, err := inbox.ReadFrom(make([]byte, 16))
	return err == nil
}

// Two hosts that are parted don't reach each other, but both reach the third;
// joined, they do. Method: UDP, echoed and one way.
func TestPartedHostsStillReachTheThird(t *testing.T) {
	sw, p := newTrio(t)
	if !reaches(t, p[0], p[1], "udp4", patience) {
		t.Fatal("not reached before")
	}
	if err := sw.Part(p[0], p[1]); err != nil {
		t.Fatal(err)
	}
	if hears(t, p[0], p[1]) || hears(t, p[1], p[0]) {
		t.Error("parted hosts hear each other")
	}
	for _, pair := range [][2]*Port{{p[0], p[2]}, {p[2], p[0]}, {p[1], p[2]}} {
		if !reaches(t, pair[0], pair[1], "udp4", patience) {
			t.Errorf("%s does not reach %s", pair[0].Host.Name, pair[1].Host.Name)
		}
	}
	for range 2 {
		if err := sw.Join(); err != nil {
			t.Fatal(err)
		}
	}
	if !reaches(t, p[0], p[1], "udp4", patience) {
		t.Error("joined hosts don't reach each other")
	}
}

// A blocked protocol doesn't pass between the two, in either direction; another
// one does, and the third host has both. Method: UDP is blocked, TCP is not.
func TestBlockedProtocolAloneIsLost(t *testing.T) {
	sw, p := newTrio(t)
	if !reaches(t, p[0], p[1], "udp4", patience) {
		t.Fatal("not reached before")
	}
	if err := sw.Block(p[0], p[1], protocolUDP); err != nil {
		t.Fatal(err)
	}
	if hears(t, p[0], p[1]) || hears(t, p[1], p[0]) {
		t.Error("the blocked protocol passes")
	}
	if !reaches(t, p[0], p[1], "tcp4", patience) || !reaches(t, p[0], p[2], "udp4", patience) {
		t.Error("more than the blocked protocol is lost")
	}
}
