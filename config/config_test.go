package config

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plain lets cmp look into addresses.
var plain = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

// options are those of most tests.
var options = Options{ID: "lb1", Node: "lb1", ReadFile: files{}.read}

// accept parses a file without errors.
func accept(t *testing.T, text string) (*Config, []Problem) {
	t.Helper()
	c, problems := Parse("main", []byte(text), options)
	if c == nil {
		t.Fatalf("refused: %q", messages(problems))
	}
	return c, problems
}

// Goal: every value of a file arrives, and defaults where it says nothing.
// Method: testdata/good.conf against the whole Config.
func TestValuesArrive(t *testing.T) {
	text, err := os.ReadFile("testdata/good.conf")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := accept(t, string(text))
	want := &Config{
		Global: Global{
			RouterID: "lb", VRRPVersion: 2, MulticastIPv4: netip.MustParseAddr("224.0.0.18"),
			GARP: GARP{Delay: 3 * time.Second, Repeat: 5, Refresh: time.Minute, RefreshRepeat: 1},
		},
		Consensus: Consensus{
			Node: "lb1",
			Members: []Member{
				{Name: "lb1", Address: netip.MustParseAddrPort("192.0.2.11:7946")},
				{Name: "lb2", Address: netip.MustParseAddrPort("192.0.2.12:7947")},
				{Name: "w1", Address: netip.MustParseAddrPort("192.0.2.13:7946"), Witness: true},
			},
			KeyFile: "/etc/hafence/cluster key", DataDir: "/var/lib/hafence",
			LeaseTTL: 2 * time.Second, ClockDrift: 0.005,
		},
		Fence: Fence{
			Gate: true, Lifetime: true, Watchdog: "/dev/watchdog", WatchdogTimeout: 10 * time.Second,
			RealtimePriority: 5, LockMemory: true,
		},
		Status: Status{Socket: "/run/hafence/h.sock"},
		Instances: []Instance{
			{
				Name: "web", Interface: "eth0", RouterID: 51, Version: 2, Priority: 150, AdvertInterval: time.Second,
				AuthPass: "s3cr", // the comment begins at the '!', as in keepalived
				Addresses: []VIP{
					{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.100/24"), Label: "eth0:web", Scope: "global", Broadcast: netip.MustParseAddr("192.0.2.255")},
					{Prefix: netip.MustParsePrefix("198.51.100.7/32"), Interface: "eth1", Scope: "link"},
				},
				GARP: GARP{Delay: 3 * time.Second, Repeat: 2, Refresh: time.Minute, RefreshRepeat: 1},
			},
			{
				Name: "inside", Interface: "eth2", RouterID: 52, Version: 2, Priority: 100, AdvertInterval: time.Second,
				PreemptDelay:  2500 * time.Millisecond,
				Addresses:     []VIP{{Interface: "eth2", Prefix: netip.MustParsePrefix("10.0.0.1/24"), Scope: "global"}},
				UnicastSource: netip.MustParseAddr("10.0.0.2"), UnicastPeers: []netip.Addr{netip.MustParseAddr("10.0.0.3")},
				GARP: GARP{Delay: 3 * time.Second, Repeat: 5, Refresh: time.Minute, RefreshRepeat: 1},
			},
		},
		SyncGroups: []SyncGroup{{Name: "both", Members: []string{"web", "inside"}}},
	}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// instance wraps lines in the smallest vrrp_instance.
func instance(lines string) string {
	return "consensus off\nvrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n" + lines + "\n}\n"
}

// Goal: keywords that don't go together end as they do in keepalived 2.2.7,
// measured with keepalived -d.
func TestInstanceFollowsKeepalived(t *testing.T) {
	for _, test := range []struct {
		lines string
		want  func(*Instance) any
		value any
	}{
		{"", func(i *Instance) any { return i.Priority }, 100},
		{"state MASTER", func(i *Instance) any { return i.Priority }, 255},
		{"state MASTER", func(i *Instance) any { return i.StateMaster }, true},
		{"state SLAVE", func(i *Instance) any { return i.StateMaster }, false},
		{"priority 255", func(i *Instance) any { return i.StateMaster }, true},
		{"priority 255\nstate BACKUP", func(i *Instance) any { return i.StateMaster }, false},
		{"priority 90 foo", func(i *Instance) any { return i.Priority }, 90},
		{"advert_int 1.5", func(i *Instance) any { return i.AdvertInterval }, 2 * time.Second},
		{"advert_int 2.4", func(i *Instance) any { return i.AdvertInterval }, 2 * time.Second},
		{"advert_int 0.4", func(i *Instance) any { return i.AdvertInterval }, time.Second},
		{"advert_int 255", func(i *Instance) any { return i.AdvertInterval }, 255 * time.Second},
		{"nopreempt", func(i *Instance) any { return i.NoPreempt }, true},
		{"nopreempt\npreempt", func(i *Instance) any { return i.NoPreempt }, false},
		{"nopreempt\nstate MASTER\npriority 100", func(i *Instance) any { return i.NoPreempt }, false},
		{"nopreempt\npriority 255\nstate BACKUP", func(i *Instance) any { return i.NoPreempt }, false},
		{"nopreempt\npreempt_delay 5", func(i *Instance) any { return i.PreemptDelay }, time.Duration(0)},
		{"preempt_delay 0.5", func(i *Instance) any { return i.PreemptDelay }, 500 * time.Millisecond},
		{"garp_master_repeat 0", func(i *Instance) any { return i.GARP.Repeat }, 1},
		{"garp_master_delay 1.5", func(i *Instance) any { return i.GARP.Delay }, time.Second},
		{"garp_master_delay 0", func(i *Instance) any { return i.GARP.Delay }, time.Duration(0)},
		{"authentication {\nauth_type PASS\nauth_pass 0123456789\n}", func(i *Instance) any { return i.AuthPass }, "01234567"},
		{"authentication {\nauth_type PASS\nauth_pass \"a b\\n'c\"\n}", func(i *Instance) any { return i.AuthPass }, `a b\n'c`},
		{"authentication {\nauth_pass x\n}", func(i *Instance) any { return i.AuthPass }, ""},
		{"authentication {\nauth_type PASS\n}", func(i *Instance) any { return i.AuthPass }, ""},
		{"unicast_src_ip 10.0.0.8\nunicast_peer {\n10.0.0.8\n10.0.0.9\n}", func(i *Instance) any { return fmt.Sprint(i.UnicastPeers) }, "[10.0.0.9]"},
		{"virtual_ipaddress { 10.1.2.3/20 brd - }", func(i *Instance) any { return i.Addresses[1].Broadcast.String() }, "10.1.0.0"},
		{"virtual_ipaddress { 10.1.2.3/20 broadcast + }", func(i *Instance) any { return i.Addresses[1].Broadcast.String() }, "10.1.15.255"},
		{"virtual_ipaddress { 10.1.2.3 scope 7 }", func(i *Instance) any { return i.Addresses[1].Scope }, "7"},
	} {
		c, _ := accept(t, instance(test.lines))
		if diff := cmp.Diff(test.value, test.want(&c.Instances[0])); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.lines, diff)
		}
	}
}

// cluster wraps lines in a consensus block without instances.
func cluster(members int, lines string) string {
	var b strings.Builder
	b.WriteString("consensus {\n")
	for i := range members {
		fmt.Fprintf(&b, "member lb%d 127.0.0.%d\n", i+1, i+1)
	}
	return b.String() + lines + "\n}\n"
}

// Goal: only numbers of members that make sense are accepted, 1, 3 and 5, and
// without a key only those that talk on loopback addresses.
func TestClustersThatMakeSense(t *testing.T) {
	for members, ok := range []bool{0: false, 1: true, 2: false, 3: true, 4: false, 5: true, 6: false, 7: false} {
		if c, problems := Parse("main", []byte(cluster(members, "")), options); (c != nil) != ok {
			t.Errorf("%d members: accepted %v, want %v: %q", members, c != nil, ok, messages(problems))
		}
	}
	for lines, ok := range map[string]bool{
		"member lb4 10.0.0.4\nmember lb5 127.0.0.5":                                          false,
		"member lb4 10.0.0.4\nmember lb5 127.0.0.5\nkey_file /k":                             true,
		"member lb4 [fd00::4]:7000\nmember lb5 fd00::5\nkey_file /k":                         true,
		"member lb4 fe80::4%eth0\nmember lb5 fd00::5\nkey_file /k":                           false,
		"member lb4 10.0.0.4\nmember lb5 127.0.0.5\ntls {\nca /a\ncertificate /c\nkey /k\n}": true,
		"member lb4 10.0.0.4\nmember lb5 127.0.0.5\ntls {\nca /a\ncertificate /c\n}":         false,
		"node lb2":       true, // Options.Node counts
		"lease_ttl 0.75": true, "lease_ttl 0.749": false, "lease_ttl 749ms": false, "lease_ttl 60s": true, "lease_ttl 61": false,
		"clock_drift 0.1": true, "clock_drift 10%": true, "clock_drift 0": false, "clock_drift 11": false,
	} {
		if c, problems := Parse("main", []byte(cluster(3, lines)), options); (c != nil) != ok {
			t.Errorf("%q: accepted %v, want %v: %q", lines, c != nil, ok, messages(problems))
		}
	}
}

// Goal: the node's name is the option's, else the file's, else the host's, and
// one of the members.
func TestNodeIsAMember(t *testing.T) {
	for _, test := range []struct {
		lines, option, want string
	}{
		{"node lb2", "", "lb2"},
		{"node lb2", "lb3", "lb3"},
		{"node lb9", "lb3", "lb3"},
		{"node lb9", "", ""},
		{"", "lb9", ""},
	} {
		c, problems := Parse("main", []byte(cluster(3, test.lines)), Options{ID: "x", Node: test.option})
		switch {
		case test.want == "" && c == nil:
			if !slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Hint, "lb1, lb2, lb3") }) {
				t.Errorf("%q with %q: the members are not named: %v", test.lines, test.option, problems)
			}
		case c == nil || c.Consensus.Node != test.want:
			t.Errorf("%q with %q: %q, want node %q", test.lines, test.option, messages(problems), test.want)
		}
	}
}

// Goal: a password is in no problem, wherever a slip has put it.
func TestPasswordsStayOutOfProblems(t *testing.T) {
	const secret = "hunter2xyz"
	for _, lines := range []string{
		"authentication {\nauth_type PASS\nauth_pass " + secret + "\n}",
		"authentication {\nauth_type PASS\nauth_pass x " + secret + "\n}",
		"authentication {\nauth_type PASS " + secret + "\n}",
		"authentication {\nauth_type " + secret + "\n}",
		"authentication {\nauth_type PASS auth_pass " + secret + "\n}",
		"authentication {\nauth_pass\n" + secret + "\n}",
		"authentication {\n" + secret + "\n}",
		"authentication " + secret + " {\n}",
		"authentication " + secret,
		"authentication {\nauth_pass { " + secret + " }\n}",
		"authentication {\nauth_pass a{" + secret + "\n}",
		"authentication {\nauth_pass \"" + secret + "\n}",
		"authentication {\nauth_pass ${" + secret + "}\n}",
		"authentication {\nauth_pass x\"" + secret + "\"\n}",
		"authentication {\nauth_pass = " + secret + "\n}",
		"authentication {\nauth_pass x#" + secret + "\n}",
		"auth_pass " + secret,
		"auth_pas " + secret,
		"$PW = " + secret,
		"$PW=" + secret + "\nauthentication {\nauth_type PASS\nauth_pass $PW $PW\n}",
		"auth_hmac {\nkey 1 " + secret + "\n}",
	} {
		_, problems := Parse("main", []byte(instance(lines)), options)
		for _, p := range problems {
			if text := p.WithHint(); strings.Contains(text, "hunter2") {
				t.Errorf("%q: %s", lines, text)
			}
		}
	}
}

// Goal: of very many problems the errors are kept, and it is said how many are
// not shown. Method: more warnings than ProblemsMax before one error.
func TestErrorsAreNotLostAmongWarnings(t *testing.T) {
	text := instance(strings.Repeat("priority 90 foo\n", 2*ProblemsMax) + "quux")
	c, problems := Parse("main", []byte(text), options)
	if c != nil {
		t.Errorf("accepted in spite of an error")
	}
	if len(problems) != ProblemsMax+1 {
		t.Errorf("%d problems, want %d", len(problems), ProblemsMax+1)
	}
	all := strings.Join(messages(problems), "\n")
	if !strings.Contains(all, `unknown keyword "quux"`) || !strings.Contains(all, "more problems are not shown") {
		t.Errorf("error or count lost:\n%s", all)
	}
}

// Goal: a file that can't be read says so with its name.
func TestUnreadableFileIsNamed(t *testing.T) {
	c, problems := Load("/no/such/file", Options{})
	want := []string{"/no/such/file: read configuration: no such file or directory"}
	if diff := cmp.Diff(want, messages(problems)); diff != "" || c != nil {
		t.Errorf("config %v, problems (-want +got):\n%s", c, diff)
	}
}
