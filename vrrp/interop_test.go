package vrrp

import (
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the captures of keepalived in testdata")

// captureConfigs are the configurations behind the captures.
var captureConfigs = map[string]string{
	"v2-pass.hex": keepalivedConfig("virtual_router_id 51", "priority 100", "advert_int 1",
		"authentication {", "auth_type PASS", "auth_pass secret12", "}", "virtual_ipaddress {", "10.9.0.100/24", "}"),
	"v2-none.hex": keepalivedConfig("virtual_router_id 52", "priority 150", "advert_int 2",
		"virtual_ipaddress {", "10.9.0.100/24", "10.9.0.101/24", "}"),
	"v3.hex": keepalivedConfig("version 3", "virtual_router_id 53", "priority 120", "advert_int 0.5",
		"virtual_ipaddress {", "10.9.0.100/24", "}"),
}

// Goal: the stored captures are what keepalived sends. Method: run it, listen
// with our socket, compare (or, with -update, store).
func TestKeepalivedCaptures(t *testing.T) {
	for name, config := range captureConfigs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSegment(t, "keepalived")
			socket := openOn(t, s.host(ourAddress), SocketConfig{Source: ourAddress, ID: captures[name].ID})
			startKeepalived(t, s.host(keepalivedAddress), config)
			got := await(t, socket, func(p Packet) bool { return true })
			if *update {
				file := filepath.Join("testdata", name)
				if err := os.WriteFile(file, []byte(hex.EncodeToString(got.Payload)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := Packet{Source: keepalivedAddress, Destination: DefaultGroup, TTL: TTL, Payload: readCapture(t, name)}
			if diff := cmp.Diff(want, got, cmpAddr); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// advertiseUntil sends an advertisement every interval until stopC is closed.
func advertiseUntil(t *testing.T, socket *Socket, advert Advertisement, every time.Duration, stopC <-chan struct{}) {
	message := encode(t, advert, Path{})
	for ticker := time.NewTicker(every); ; {
		if err := socket.Send(message); err != nil {
			t.Errorf("send: %v", err)
		}
		select {
		case <-ticker.C:
		case <-stopC:
			ticker.Stop()
			return
		}
	}
}

// Goal: keepalived takes us for a VRRP router, by multicast and by unicast: it
// gives way to our higher priority and finds no fault with our packets; takes
// over after our farewell; and our filter takes what it then sends. Method: the
// real keepalived as MASTER first; our socket and codec, no machine.
func TestKeepalivedGivesWayToUsAndTakesOverAfterUs(t *testing.T) {
	instance := []string{"virtual_router_id 51", "priority 100", "advert_int 1",
		"authentication {", "auth_type PASS", "auth_pass secret12", "}", "virtual_ipaddress {", "10.9.0.100/24", "}"}
	unicast := append([]string{"unicast_src_ip 10.9.0.2", "unicast_peer {", "10.9.0.1", "}"}, instance...)
	tests := map[string]struct {
		config []string
		peers  []netip.Addr
	}{
		"multicast": {instance, nil},
		"unicast":   {unicast, []netip.Addr{keepalivedAddress}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSegment(t, "keepalived")
			socket := openOn(t, s.host(ourAddress), SocketConfig{Source: ourAddress, Peers: test.peers, ID: 51})
			peer := startKeepalived(t, s.host(keepalivedAddress), keepalivedConfig(test.config...))
			config := testFilterConfig()
			config.Unicast = len(test.peers) > 0
			filter := NewFilter(config)
			accepted := func(p Packet) bool { return filter.Check(p).Drop == 0 }

			await(t, socket, accepted)
			peer.awaitLog("Entering MASTER STATE")

			ours := passAdvert()
			ours.Priority = 200
			stopC, doneC := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(doneC)
				advertiseUntil(t, socket, ours, time.Second, stopC)
			}()
			peer.awaitLog("Master received advert from 10.9.0.1 with higher priority 200")
			// Longer than its master-down interval: if it did not take our
			// adverts, it would be back.
			time.Sleep(down100 + time.Second)
			if n := strings.Count(peer.text(), "Entering MASTER STATE"); n != 1 {
				t.Errorf("keepalived became MASTER %d times while we advertised, want once before", n)
			}
			close(stopC)
			<-doneC

			ours.Priority = PriorityStop
			if err := socket.Send(encode(t, ours, Path{})); err != nil {
				t.Fatal(err)
			}
			await(t, socket, accepted)
			expectNoComplaints(t, peer, filter)
			if t.Failed() {
				t.Log(peer.text())
			}
		})
	}
}

// expectNoComplaints checks that neither side has found fault with the other.
func expectNoComplaints(t *testing.T, peer *keepalived, filter *Filter) {
	t.Helper()
	for _, complaint := range []string{"checksum", "authentication", "invalid", "mismatch", "Invalid", "incompatible", "ignoring received"} {
		if strings.Contains(peer.text(), complaint) {
			t.Errorf("keepalived complains of our packets (%q)", complaint)
		}
	}
	for _, reason := range DropReasons() {
		if n := filter.Drops(reason); n != 0 {
			t.Errorf("%d packets of keepalived dropped: %s", n, reason)
		}
	}
}
