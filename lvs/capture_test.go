package lvs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// datagram is one of testdata/linux-6.1.hex.
type datagram struct {
	command command
	bytes   []byte
}

func captured(t testing.TB) []datagram {
	t.Helper()
	text, err := os.ReadFile("testdata/linux-6.1.hex")
	if err != nil {
		t.Fatal(err)
	}
	var all []datagram
	for line := range bytes.Lines(text) {
		number, digits, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		c, err := strconv.ParseUint(number, 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, datagram{command(c), b})
	}
	return all
}

// Goal: the real kernel's answers are read. Method: what Linux 6.1 said of a table
// that ipvsadm wrote (testdata/README).
func TestAnswersOfLinuxAreRead(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Log("nothing to read: the capture is a little-endian host's")
		return
	}
	type all struct {
		Services     []Service
		Destinations []Destination
		Daemons      []SyncDaemon
		Timeouts     []Timeouts
		Ends         []syscall.Errno
	}
	var got all
	for _, d := range captured(t) {
		err := eachAnswer(d.bytes, func(a answer) error {
			var err error
			switch {
			case a.end:
				got.Ends = append(got.Ends, a.reason)
			case d.command == getService:
				var s Service
				s, err = decodeService(a.body, &ServiceStatistics{})
				got.Services = append(got.Services, s)
			case d.command == getDestination:
				var r Destination
				r, err = decodeDestination(a.body, IPv4, &DestinationStatistics{})
				got.Destinations = append(got.Destinations, r)
			case d.command == getDaemon:
				var s SyncDaemon
				s, err = decodeDaemon(a.body)
				got.Daemons = append(got.Daemons, s)
			case d.command == getConfig:
				var c Timeouts
				c, err = decodeTimeouts(a.body)
				got.Timeouts = append(got.Timeouts, c)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	want := all{
		Services: []Service{
			{
				ServiceKey: AddressKey(UDP, netip.MustParseAddrPort("192.0.2.1:5060")),
				Settings:   Settings{Scheduler: "rr", Flags: OnePacket, Persistence: time.Minute, PersistenceEngine: "sip"},
			},
			{
				ServiceKey: AddressKey(TCP, netip.MustParseAddrPort("[2001:db8::1]:443")),
				Settings:   Settings{Scheduler: "mh", Flags: MHPort, Persistence: time.Hour, PersistenceMask: 64},
			},
			{ServiceKey: MarkKey(IPv4, 7), Settings: Settings{Scheduler: "wlc"}},
		},
		Destinations: []Destination{
			{Addr: netip.MustParseAddrPort("10.0.0.5:80"), Method: Masquerade, Weight: 1},
			{
				Addr: netip.MustParseAddrPort("10.0.0.4:80"), Method: Tunnel, Weight: 70000, Upper: 9, Lower: 5,
				Encapsulation: Encapsulation{Type: GUE, Port: 6080, Checksum: Checksum},
			},
		},
		Daemons: []SyncDaemon{{
			Role: SyncMaster, Interface: "lo", ID: 7, MaxLength: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 9000, TTL: 3,
		}},
		Timeouts: []Timeouts{{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}},
		Ends:     []syscall.Errno{0, 0, 0, 0, syscall.ESRCH},
	}
	if diff := cmp.Diff(want, got, sameAddr); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
