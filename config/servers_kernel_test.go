package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problemsOf parses virtual servers and gives what is said of them, less what is
// the same for each short example.
func problemsOf(text string) (*Config, []string) {
	c, problems := Parse("keepalived.conf", []byte(text), Options{ID: "lb1", Node: "lb1"})
	var all []string
	for _, p := range problems {
		if !strings.Contains(p.Msg, "has no check") && !strings.Contains(p.Msg, "has no lvs_") &&
			!strings.Contains(p.Msg, "before its first check") && !strings.Contains(p.Msg, "lvs_sync_daemon without") {
			all = append(all, p.Error())
		}
	}
	return c, all
}

const (
	twoPorts    = "virtual_server_group g {\n192.0.2.1 80\n192.0.2.1 443\n}\nvirtual_server group g {\nprotocol TCP\n"
	twoFamilies = "virtual_server_group g {\n2001:db8::1 80\n192.0.2.1 80\n}\nvirtual_server group g {\nprotocol TCP\nlvs_method TUN\n"
	oneService  = "virtual_server 192.0.2.1 80 {\nprotocol TCP\n"
)

// Goal: what the kernel would refuse is an error of the file, with its place.
// Method: one row per reason; a row that wants "" is the nearest thing that is
// right.
func TestWhatTheKernelRefusesIsAnError(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{
			"lower threshold alone", oneService + "real_server 198.51.100.1 80 { lthreshold 3 }\n}",
			"3:13: real_server 198.51.100.1:80: lthreshold 3 is greater than uthreshold 0",
		},
		{
			"lower threshold above", oneService + "real_server 198.51.100.1 80 { lthreshold 3\nuthreshold 2 }\n}",
			"3:13: real_server 198.51.100.1:80: lthreshold 3 is greater than uthreshold 2",
		},
		{"equal thresholds", oneService + "real_server 198.51.100.1 80 { lthreshold 3\nuthreshold 3 }\n}", ""},
		{"gre remcsum", oneService + "lvs_method TUN type gre remcsum\nreal_server 198.51.100.1 80 { }\n}", "3:1: lvs_method: remcsum is for type gue only"},
		{"gre csum", oneService + "lvs_method TUN type gre csum\nreal_server 198.51.100.1 80 { }\n}", ""},
		{
			"two ports of one address behind DR", twoPorts + "lvs_method DR\nreal_server 198.51.100.1 81 { }\nreal_server 198.51.100.1 82 { }\n}",
			"5:16: virtual_server [g]:tcp: real_server 198.51.100.1:82 and real_server 198.51.100.1:81 are both 198.51.100.1:80 behind a service of port 80",
		},
		{"two ports of one address behind NAT", twoPorts + "real_server 198.51.100.1 81 { }\nreal_server 198.51.100.1 82 { }\n}", ""},
		{
			"no port beside one that a service has", twoPorts + "real_server 198.51.100.1 443 { }\nreal_server 198.51.100.1 { }\n}",
			"5:16: virtual_server [g]:tcp: real_server 198.51.100.1:0 and real_server 198.51.100.1:443 are both 198.51.100.1:443 behind a service of port 443",
		},
		{
			"two ports of one address behind a mark",
			"virtual_server_group g {\nfwmark 1\n}\nvirtual_server group g {\nprotocol TCP\nlvs_method DR\n" +
				"real_server 198.51.100.1 81 { }\nreal_server 198.51.100.1 82 { }\n}", "",
		},
		{
			"sorry server beside a real server", twoPorts + "lvs_method DR\nsorry_server 198.51.100.1 82\nreal_server 198.51.100.1 81 { }\n}",
			"5:16: virtual_server [g]:tcp: sorry_server 198.51.100.1:82 and real_server 198.51.100.1:81 are both 198.51.100.1:80 behind a service of port 80",
		},
		{
			"mask of the other family", twoFamilies + "persistence_timeout 9\npersistence_granularity 33\nreal_server 198.51.100.1 { }\n}",
			`9:25: persistence_granularity "33" is not a mask for every service of [g]:tcp`,
		},
		{"mask of both families", twoFamilies + "persistence_timeout 9\npersistence_granularity 32\nreal_server 198.51.100.1 { }\n}", ""},
		{
			"two families and synchronisation", "global_defs { lvs_sync_daemon eth1\n}\n" + twoFamilies + "real_server 198.51.100.1 { }\n}",
			"10:13: real_server 198.51.100.1 is of another family of addresses than [g]:tcp, which the kernel refuses together with lvs_sync_daemon",
		},
		{
			"sorry server of another family and synchronisation",
			"global_defs { lvs_sync_daemon eth1\n}\n" + oneService + "lvs_method TUN\nsorry_server 2001:db8::1 80\nreal_server 198.51.100.1 80 { }\n}",
			"6:14: sorry_server 2001:db8::1 is of another family of addresses than [192.0.2.1]:tcp:80, which the kernel refuses together with lvs_sync_daemon",
		},
		{
			"sorry server of one family of a group", twoFamilies + "sorry_server_lvs_method NAT\nsorry_server 2001:db8::9 80\nreal_server 198.51.100.1 { }\n}",
			"9:14: sorry_server 2001:db8::9 is of another family of addresses than [g]:tcp",
		},
		{"two families", twoFamilies + "real_server 198.51.100.1 { }\n}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, got := problemsOf(test.text)
			var want []string
			if test.want != "" {
				want = []string{"keepalived.conf:" + test.want}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if refused := c == nil; refused != (test.want != "") {
				t.Errorf("refused: %v", refused)
			}
		})
	}
}

// Goal: checks go to the port written in real_server, as keepalived's do, also
// where DR and TUN can't send connections there. Method: destination and target of
// a check, for a service with another port and one without.
func TestChecksGoToThePortThatIsWritten(t *testing.T) {
	for _, test := range []struct{ service, method, real, address, target string }{
		{"192.0.2.1 80", "DR", "198.51.100.1 8080", "198.51.100.1:80", "198.51.100.1:8080"},
		{"192.0.2.1 80", "TUN", "198.51.100.1 8080", "198.51.100.1:80", "198.51.100.1:8080"},
		{"192.0.2.1 80", "NAT", "198.51.100.1 8080", "198.51.100.1:8080", "198.51.100.1:8080"},
		{"192.0.2.1", "DR", "198.51.100.1 80", "198.51.100.1:0", "198.51.100.1:80"},
		{"192.0.2.1 80", "DR", "198.51.100.1", "198.51.100.1:80", "198.51.100.1:80"},
	} {
		c := servers(t, "virtual_server "+test.service+" {\nprotocol TCP\nlvs_method "+test.method+"\nreal_server "+test.real+" { TCP_CHECK { } }\n}")
		r := c.VirtualServers[0].RealServers[0]
		if got := r.Address.String(); got != test.address {
			t.Errorf("%s, %s, %s: destination %s, want %s", test.service, test.method, test.real, got, test.address)
		}
		if got := r.Checks[0].Target.String(); got != test.target {
			t.Errorf("%s, %s, %s: check of %s, want %s", test.service, test.method, test.real, got, test.target)
		}
	}
}

// Goal: a sorry server may be one of the real servers, as in keepalived; a warning
// says so. Method: alike as written, and only once the port is filled in.
func TestSorryServerMayBeARealServer(t *testing.T) {
	for _, sorry := range []string{"198.51.100.1 80", "198.51.100.1"} {
		c, got := problemsOf(oneService + "sorry_server " + sorry + "\nreal_server 198.51.100.1 80 { }\n}")
		want := []string{"keepalived.conf:3:14: warning: sorry_server 198.51.100.1:80 is also a real_server of [192.0.2.1]:tcp:80: " +
			"when the quorum is lost it stands in whatever its checks say"}
		if diff := cmp.Diff(want, got); diff != "" || c == nil {
			t.Errorf("sorry_server %s: refused: %v; problems (-want +got):\n%s", sorry, c == nil, diff)
		}
	}
	if _, got := problemsOf(oneService + "sorry_server 198.51.100.2\nreal_server 198.51.100.1 80 { }\n}"); got != nil {
		t.Errorf("another sorry server: %q", got)
	}
}

// Goal: ha_suspend never stops the checks of a marked service, which has no address
// to wait for; a warning says so.
func TestMarkedServiceIsNeverSuspended(t *testing.T) {
	c, got := problemsOf("virtual_server fwmark 3 {\nprotocol TCP\nha_suspend\nreal_server 198.51.100.1 80 { }\n}")
	want := []string{"keepalived.conf:3:1: warning: ha_suspend does nothing: virtual_server [FWM 3] has marks and no address, so it is never suspended"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if c == nil || c.VirtualServers[0].HASuspend {
		t.Error("refused, or suspended")
	}
}
