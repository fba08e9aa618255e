package lvs_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/lvs"
)

// Goal: a ledger is read as it was written, and prints as ipvsadm does. Method:
// each sort of key there and back.
func TestServiceKeysAreReadAsWritten(t *testing.T) {
	for text, key := range map[string]lvs.ServiceKey{
		"TCP 192.0.2.1:80":     web,
		"UDP [2001:db8::1]:53": lvs.AddressKey(lvs.UDP, netip.MustParseAddrPort("[2001:db8::1]:53")),
		"SCTP 192.0.2.1:0":     lvs.AddressKey(lvs.SCTP, netip.MustParseAddrPort("[::ffff:192.0.2.1]:0")),
		"FWM 7":                lvs.MarkKey(lvs.IPv4, 7),
		"FWM 4294967295 IPv6":  lvs.MarkKey(lvs.IPv6, 1<<32-1),
	} {
		if key.String() != text {
			t.Errorf("%q prints as %q", text, key)
		}
		var read lvs.ServiceKey
		if err := read.UnmarshalText([]byte(text)); err != nil || read != key {
			t.Errorf("%q is read as %q: %v", text, read, err)
		}
	}
}

// Goal: what is no key is refused with its text. Method: one fault each.
func TestServiceKeysRefuseOtherText(t *testing.T) {
	for _, text := range []string{
		"", "TCP", "ICMP 192.0.2.1:1", "TCP 192.0.2.1", "TCP 192.0.2.1:80 x", "FWM 0", "FWM x", "FWM 4294967296", "FWM 1 IPv4", "FWM 1 IPv6 x",
	} {
		var key lvs.ServiceKey
		if err := key.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, key)
		}
	}
}

// FuzzServiceKey: whatever text is read as a key is written and read as the same.
func FuzzServiceKey(f *testing.F) {
	f.Add("TCP 192.0.2.1:80")
	f.Add("FWM 7 IPv6")
	f.Fuzz(func(t *testing.T, text string) {
		var first, second lvs.ServiceKey
		if first.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := second.UnmarshalText([]byte(first.String())); err != nil || first != second {
			t.Errorf("%q: %s, then %s: %v", text, first, second, err)
		}
	})
}

// Goal: what the kernel would refuse is found before, with the name of the
// service and, where it is about one, of the real server. Method: one fault each.
func TestValidateFindsEachFault(t *testing.T) {
	fine := service(web, real(1, 1), lvs.Destination{
		Addr: netip.MustParseAddrPort("[2001:db8::9]:80"), Method: lvs.Tunnel, Encapsulation: lvs.Encapsulation{Type: lvs.GUE, Port: 1, Checksum: lvs.RemoteChecksum},
	})
	if err := fine.Validate(); err != nil {
		t.Fatal(err)
	}
	ofService := map[string]func(*lvs.Service){
		"no address family": func(s *lvs.Service) { s.ServiceKey = lvs.ServiceKey{} },
		"no plain address":  func(s *lvs.Service) { s.Addr = netip.MustParseAddrPort("[::ffff:1.2.3.4]:80") },
		"no protocol":       func(s *lvs.Service) { s.Protocol, s.FirewallMark = 0, 7 },
		"knows TCP":         func(s *lvs.Service) { s.Protocol = 1 },
		"a scheduler's":     func(s *lvs.Service) { s.Scheduler = "" },
		"an ill scheduler":  func(s *lvs.Service) { s.Scheduler = "a-name-of-16-chr" },
		"engine's name":     func(s *lvs.Service) { s.PersistenceEngine = "a-name-of-16-chr" },
		"not a choice":      func(s *lvs.Service) { s.Flags = 1 },
		"whole seconds":     func(s *lvs.Service) { s.Persistence = time.Millisecond },
		"up to 744h":        func(s *lvs.Service) { s.Persistence = lvs.PersistenceMax + time.Second },
		"mask":              func(s *lvs.Service) { s.PersistenceMask = 33 },
		"needs persistence": func(s *lvs.Service) { s.ServiceKey = lvs.AddressKey(lvs.TCP, netip.MustParseAddrPort("192.0.2.1:0")) },
		"named twice":       func(s *lvs.Service) { s.Destinations = append(slices.Clone(s.Destinations), real(1, 2)) },
	}
	for words, change := range ofService {
		s := fine
		change(&s)
		err := s.Validate()
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(words, "an ill ")) {
			t.Errorf("%s: %v", words, err)
		}
	}
	ofReal := map[string]func(*lvs.Destination){
		"packets can be sent": func(d *lvs.Destination) { d.Addr = netip.MustParseAddrPort("224.0.0.1:80") },
		"needs lb_kind TUN":   func(d *lvs.Destination) { d.Addr = netip.MustParseAddrPort("[2001:db8::1]:80") },
		"want NAT, DR or TUN": func(d *lvs.Destination) { d.Method = 0 },
		"weight -1":           func(d *lvs.Destination) { d.Weight = -1 },
		"weight 65536":        func(d *lvs.Destination) { d.Weight = lvs.WeightMax + 1 },
		"lower threshold":     func(d *lvs.Destination) { d.Lower = 1 },
		"gue tunnel needs":    func(d *lvs.Destination) { d.Method, d.Encapsulation.Type = lvs.Tunnel, lvs.GUE },
		"remcsum is for gue": func(d *lvs.Destination) {
			d.Method, d.Encapsulation = lvs.Tunnel, lvs.Encapsulation{Type: lvs.GRE, Checksum: lvs.RemoteChecksum}
		},
		"ipip, gue or gre": func(d *lvs.Destination) { d.Method, d.Encapsulation.Type = lvs.Tunnel, 9 },
	}
	for words, change := range ofReal {
		d := real(1, 1)
		change(&d)
		err := service(web, d).Validate()
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "TCP 192.0.2.1:80: real server "+d.Addr.String()) {
			t.Errorf("%s: %v", words, err)
		}
	}
	if err := lvs.ValidateAll([]lvs.Service{fine, fine}); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("the same service twice: %v", err)
	}
}
