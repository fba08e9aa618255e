package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// servers parses virtual servers that must be free of errors.
func servers(t *testing.T, text string) *Config {
	t.Helper()
	c, problems := Parse("keepalived.conf", []byte(text), Options{ID: "lb1", Node: "lb1"})
	if c == nil {
		t.Fatalf("refused: %v", problems)
	}
	return c
}

var comparable = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.IgnoreFields(Check{}, "Place"),
}

// Goal: what is not said has keepalived's default (keepalived.conf(5)).
func TestDefaultsOfServersAreThoseOfKeepalived(t *testing.T) {
	c := servers(t, `virtual_server 192.0.2.1 80 {
  real_server 198.51.100.1 80 { TCP_CHECK { } HTTP_GET { url { path / } } DNS_CHECK { } MISC_CHECK { misc_path /bin/true } }
}`)
	target := netip.MustParseAddrPort("198.51.100.1:80")
	check := func(kind string) Check {
		return Check{
			Kind: kind, Connection: Connection{Target: target}, Timeout: 5 * time.Second, Interval: time.Minute,
			Retry: 1, RetryDelay: time.Second, Warmup: time.Minute,
		}
	}
	web, dns, misc := check("HTTP_GET"), check("DNS_CHECK"), check("MISC_CHECK")
	web.RetryDelay = 3 * time.Second
	web.HTTP = &HTTPCheck{Version: "1.0", URLs: []URL{{Path: "/", Codes: []CodeRange{{200, 299}}}}}
	dns.Retry, dns.RetryDelay, dns.DNS = 3, time.Minute, &DNSCheck{Type: "SOA", Name: "."}
	misc.Retry, misc.Target, misc.Misc = 0, netip.AddrPort{}, &MiscCheck{Script: Script{Args: []string{"/bin/true"}}, Timeout: time.Minute}
	want := []VirtualServer{{
		Name: "[192.0.2.1]:udp:80", Services: []VirtualService{{Address: netip.MustParseAddrPort("192.0.2.1:80")}},
		Protocol: "UDP", Scheduler: "wlc", Quorum: 1,
		RealServers: []RealServer{{
			Name: "[198.51.100.1]:udp:80", Address: target, Weight: 1, Method: Method{Kind: "NAT"},
			Checks: []Check{check("TCP_CHECK"), web, dns, misc},
		}},
	}}
	if diff := cmp.Diff(want, c.VirtualServers, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !c.ConsensusOff {
		t.Error("virtual servers alone need no consensus")
	}
}

// Goal: the innermost block that says something counts: virtual server, real
// server, check.
func TestInnermostBlockCounts(t *testing.T) {
	c := servers(t, `virtual_server 192.0.2.1 80 {
  protocol TCP
  delay_loop 9
  retry 5
  alpha
  weight 7
  inhibit_on_failure
  virtualhost outer
  connect_timeout 0.5
  real_server 198.51.100.1 81 {
    delay_loop 8
    lvs_method NAT
    virtualhost inner
    TCP_CHECK { delay_loop 7
                connect_port 99
                connect_ip 198.51.100.9 }
    SSL_GET { url { } url { path /x
                           virtualhost innermost } }
  }
  real_server 198.51.100.2 {
    weight 0
    SMTP_CHECK { host { connect_ip 198.51.100.3 } host { connect_port 26 } }
  }
}`)
	v := c.VirtualServers[0]
	if len(v.RealServers) != 2 {
		t.Fatalf("real servers: %+v", v.RealServers)
	}
	first := v.RealServers[0]
	got := []any{
		first.Weight, first.Inhibit, first.Alpha, first.Address.Port(), first.Checks[0].Interval, first.Checks[1].Interval,
		first.Checks[0].Retry, first.Checks[0].Target.String(), first.Checks[0].Timeout, first.Checks[1].RetryDelay,
		first.Checks[1].HTTP.URLs[0].VirtualHost, first.Checks[1].HTTP.URLs[1].VirtualHost,
	}
	want := []any{
		7, true, true, uint16(81), 7 * time.Second, 8 * time.Second,
		5, "198.51.100.9:99", 500 * time.Millisecond, 3 * time.Second, "inner", "innermost",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("first real server (-want +got):\n%s", diff)
	}
}

// Goal: a group stands for each of its addresses, in every form of a range.
func TestGroupsAreExpanded(t *testing.T) {
	for _, test := range []struct{ entry, want string }{
		{"192.0.2.1 80", "192.0.2.1:80"},
		{"192.0.2.1-3 80", "192.0.2.1:80 192.0.2.2:80 192.0.2.3:80"},
		{"192.0.2.254-192.0.3.1 80", "192.0.2.254:80 192.0.2.255:80 192.0.3.0:80 192.0.3.1:80"},
		{"192.0.2.4/31 80", "192.0.2.4:80 192.0.2.5:80"},
		{"fwmark 9", "mark 9 false"},
		{"fwmark 0x10 inet", "mark 16 false"},
	} {
		c := servers(t, "virtual_server_group g {\n"+test.entry+"\n}\nvirtual_server group g {\nprotocol TCP\nreal_server 198.51.100.1 80 { }\n}")
		if got := said(c.VirtualServers[0].Services); got != test.want {
			t.Errorf("%s: %s, want %s", test.entry, got, test.want)
		}
	}
	c := servers(t, "virtual_server_group g {\n2001:db8::fffe-ffff 80\nfwmark 1 inet6\n}\nvirtual_server group g {\nprotocol TCP\nreal_server 2001:db8::1 80 { }\n}")
	if got, want := said(c.VirtualServers[0].Services), "[2001:db8::fffe]:80 [2001:db8::ffff]:80 mark 1 true"; got != want {
		t.Errorf("IPv6: %s, want %s", got, want)
	}
}

func said(services []VirtualService) string {
	var all []string
	for _, s := range services {
		if s.Mark != 0 {
			all = append(all, fmt.Sprintf("mark %d %v", s.Mark, s.IPv6))
			continue
		}
		all = append(all, s.Address.String())
	}
	return strings.Join(all, " ")
}

// Goal: every option of virtual servers and global_defs reaches its value.
func TestOptionsOfServersReachTheirValues(t *testing.T) {
	c := servers(t, `global_defs {
  lvs_sync_daemon eth1 VI_1 id 7 maxlen 1400 port 8849 ttl 2 group 224.0.0.99
  lvs_timeouts tcp 900 udp 60
  lvs_flush_on_stop
  script_user nobody nogroup
}
consensus off
vrrp_instance VI_1 { interface eth0
 virtual_router_id 51
 virtual_ipaddress { 192.0.2.1 } }
track_file drain { file /run/drain
 weight 3 }
bfd_instance peer { neighbor_ip 198.51.100.1
 min_rx 50
 multihop }
virtual_server 192.0.2.1 443 {
  protocol SCTP
  lvs_sched mh
  mh-port
  mh-fallback
  ops
  lvs_method TUN type gue port 6080 remcsum
  persistence_timeout
  persistence_granularity 255.255.255.0
  persistence_engine sip
  quorum 2
  hysteresis 1
  quorum_up "/bin/up 'a b' c" nobody
  omega
  ha_suspend
  sorry_server 198.51.100.9 444
  sorry_server_inhibit
  sorry_server_lvs_method NAT
  real_server 198.51.100.1 443 { uthreshold 9
   lthreshold 3
   weight 2
   FILE_CHECK { track_file drain
     weight -2 }
   BFD_CHECK { name peer }
   MISC_CHECK { misc_path "/bin/check -x"
     misc_dynamic
     misc_timeout 2
     user nobody }
   UDP_CHECK { payload 00ff
     require_reply 0x
     bindto 198.51.100.77 }
  }
}`)
	v := c.VirtualServers[0]
	got := []any{
		*c.LVS.Sync, c.LVS.Timeouts, c.LVS.FlushOnStop, c.Global.ScriptUser, c.Global.ScriptGroup,
		v.Flags, v.Persistence, v.Quorum, v.Hysteresis, *v.QuorumUp, v.Omega, v.HASuspend, *v.Sorry,
		v.RealServers[0].Method, v.RealServers[0].Upper, v.RealServers[0].Lower, *v.RealServers[0].Checks[0].File,
		v.RealServers[0].Checks[1].BFD, *v.RealServers[0].Checks[2].Misc, *v.RealServers[0].Checks[3].UDP,
		v.RealServers[0].Checks[3].Source, c.BFDInstances[0].MinRx,
	}
	want := []any{
		SyncDaemon{"eth1", "VI_1", 7, 1400, 8849, 2, netip.MustParseAddr("224.0.0.99")},
		IPVSTimeouts{TCP: 900 * time.Second, UDP: 60 * time.Second}, true, "nobody", "nogroup",
		SchedulerFlags{OnePacket: true, Flag1: true, Flag2: true},
		Persistence{360 * time.Second, 24, "sip"}, 2, 1, Script{[]string{"/bin/up", "a b", "c"}, "nobody", ""}, true, true,
		SorryServer{netip.MustParseAddrPort("198.51.100.9:444"), Method{Kind: "NAT"}, true},
		Method{"TUN", Tunnel{"gue", 6080, "remcsum"}}, 9, 3, FileCheck{"drain", "/run/drain", -2, false},
		"peer", MiscCheck{Script{[]string{"/bin/check", "-x"}, "nobody", ""}, 2 * time.Second, true},
		UDPCheck{Payload: []byte{0, 255}, RequireReply: true, Reply: []byte{0}, Mask: []byte{0xf0}, MaxLen: 255},
		netip.AddrPortFrom(netip.MustParseAddr("198.51.100.77"), 0), 50 * time.Millisecond,
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Goal: a large site loads in time: 2,284 virtual servers with 37,298 real
// servers (keepalived #2318) within the second that a reload may take.
func TestLargeSiteLoadsInTime(t *testing.T) {
	var b strings.Builder
	for i := range 2284 {
		fmt.Fprintf(&b, "virtual_server 10.%d.%d.1 80 {\n lvs_sched rr\n lvs_method TUN\n protocol TCP\n", i/250, i%250)
		for j := range 37298/2284 + 1 {
			fmt.Fprintf(&b, "  real_server 172.16.%d.%d 80 {\n    weight 10\n    TCP_CHECK {\n      connect_timeout 3\n    }\n  }\n", i%250, j+1)
		}
		b.WriteString("}\n")
	}
	start := time.Now()
	c := servers(t, b.String())
	took := time.Since(start)
	t.Logf("%s: %v", Summary(c), took)
	if took > 3*time.Second { // the promise is 1 s; machines are shared
		t.Errorf("it took %v", took)
	}
}
