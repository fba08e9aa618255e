package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/test/lab"
)

// Goal: one file serves both programs: keepalived passes over our blocks, says
// so, and would run with the rest. Method: keepalived -t, in a namespace with
// the interface, on a file with every keyword of ours; nothing but "unknown
// keyword" and the braces may be said of our lines, and nothing of the others.
func TestKeepalivedPassesOverOurBlocks(t *testing.T) {
	lab.Require(t, "keepalived")
	host, err := lab.NewHost("keepalived")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	sw, err := lab.NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	defer sw.Close()
	if _, err := sw.Plug(host, "eth0", netip.MustParsePrefix("192.0.2.11/24")); err != nil {
		t.Fatal(err)
	}

	const ours = `consensus {
    node lb1
    member lb1 192.0.2.11:7946
    member lb2 192.0.2.12
    member w1 192.0.2.13 witness
    tls {
        ca /etc/hafence/ca.pem
        certificate /etc/hafence/lb1.pem
        key /etc/hafence/lb1.key
    }
    data_dir /var/lib/hafence
    lease_ttl 1.5
    clock_drift 1
}
fence {
    gate on
    lifetime on
    watchdog /dev/watchdog timeout 5
    watchdog_timeout 5
    realtime_priority 5
    lock_memory on
}
status {
    socket /run/hafence/hafence.sock
}
`
	const theirs = `global_defs {
    router_id lb1
}
vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    virtual_ipaddress {
        192.0.2.100/24
    }
}
`
	for _, test := range []struct {
		name, text string
		code       int
	}{
		{"without ours", theirs, 0},
		{"ours first", ours + theirs, 5},
		{"ours last", theirs + strings.Replace(ours, "    tls {\n        ca /etc/hafence/ca.pem\n        certificate /etc/hafence/lb1.pem\n        key /etc/hafence/lb1.key\n    }\n", "    key_file /k\n", 1), 5},
		{"off", "consensus off\n" + theirs, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keepalived.conf")
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if test.code != 0 {
				if c, problems := Load(path, Options{ID: "lb1"}); c == nil {
					t.Errorf("hafence refuses the file: %q", messages(problems))
				}
			}
			got := keepalivedTest(t, host, path)
			if got.code != test.code {
				t.Errorf("keepalived -t: exit code %d, want %d\n%s", got.code, test.code, got.log)
			}
			var odd []string
			for text := range strings.Lines(got.log) {
				if !expected.MatchString(text) {
					odd = append(odd, text)
				}
			}
			if diff := cmp.Diff([]string(nil), odd); diff != "" {
				t.Errorf("keepalived says more than that it does not know our keywords (-want +got):\n%s", diff)
			}
		})
	}
}

// expected is what keepalived says of lines it passes over.
var expected = regexp.MustCompile(`\(.*Line \d+\) (Unknown keyword '(` + ownNames() + `|\})'|Unexpected '\{' - ignoring)\n$|^\s*$`)

// ownNames returns our keywords, for a pattern.
func ownNames() string {
	var names []string
	for _, k := range Keywords() {
		if k.Own {
			names = append(names, regexp.QuoteMeta(k.Name))
		}
	}
	return strings.Join(names, "|")
}
