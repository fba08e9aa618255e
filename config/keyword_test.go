package config

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shared returns a directory of reference material. It isn't shipped, so that
// its absence is a reason to skip even where the lab is required.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("HAFENCE_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there; HAFENCE_SHARED names the directory of reference material", path)
	}
	return path
}

// Goal: every keyword of keepalived is known: none is "unknown" to its users.
func TestEveryKeywordOfKeepalivedIsKnown(t *testing.T) {
	f, err := os.Open(shared(t, "reference/keepalived-keywords.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	known := map[string]bool{}
	for _, k := range Keywords() {
		known[k.Name] = true
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name := strings.TrimSpace(lines.Text()); name != "" && !known[name] {
			t.Errorf("%s is in no row of the table", name)
		}
	}
}

// Goal: the table and the code agree on what is done.
func TestTableAndSettersAgree(t *testing.T) {
	setters := map[string][]string{
		"":                slices.Sorted(maps.Keys(topSetters)),
		"global_defs":     slices.Sorted(maps.Keys(globalSetters)),
		"vrrp_instance":   slices.Sorted(maps.Keys(instanceSetters)),
		"authentication":  slices.Sorted(maps.Keys(authenticationSetters)),
		"vrrp_sync_group": slices.Sorted(maps.Keys(groupSetters)),
		"consensus":       slices.Sorted(maps.Keys(consensusSetters)),
		"tls":             slices.Sorted(maps.Keys(tlsSetters)),
		"fence":           slices.Sorted(maps.Keys(fenceSetters)),
		"status":          slices.Sorted(maps.Keys(statusSetters)),
		"virtual_server":  slices.Sorted(maps.Keys(serverSetters)),
		"real_server":     slices.Sorted(maps.Keys(realSetters)),
		"url":             slices.Sorted(maps.Keys(urlSetters)),
		"host":            slices.Sorted(maps.Keys(connectionSetters)),
		"SSL":             slices.Sorted(maps.Keys(sslSetters)),
		"track_file":      slices.Sorted(maps.Keys(trackFileSetters)),
		"vrrp_track_file": slices.Sorted(maps.Keys(trackFileSetters)),
		"bfd_instance":    slices.Sorted(maps.Keys(bfdSetters)),
	}
	for kind, keywords := range checkSetters {
		setters[kind] = slices.Sorted(maps.Keys(keywords))
	}
	done := map[string][]string{}
	for block, keywords := range index() {
		for _, name := range slices.Sorted(maps.Keys(keywords)) {
			if keywords[name].Use == Done && block != "*" {
				done[block] = append(done[block], name)
			}
		}
	}
	if diff := cmp.Diff(done, setters); diff != "" {
		t.Errorf("rows that are Done and setters (-table +setters):\n%s", diff)
	}
}

// Goal: the table is whole: what manual pages and messages need is in each row,
// and no keyword stands twice in a block.
func TestTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keywords() {
		if k.Name == "" || k.Doc == "" || len(k.In) == 0 || k.Shape == 0 || k.Use == 0 || (k.Use != Done) != (k.Reason != "") {
			t.Errorf("row is not whole: %+v", k)
		}
		if strings.HasSuffix(k.Doc, ".") || len(k.Name) > distanceBytesMax {
			t.Errorf("row %s: a full stop in its text, or a name too long to compare", k.Name)
		}
		for _, block := range k.In {
			if key := block + "/" + k.Name; seen[key] {
				t.Errorf("%s stands twice", key)
			} else {
				seen[key] = true
			}
		}
	}
	for block := range index() {
		if block != "" && block != "*" && !slices.ContainsFunc(Keywords(), func(k Keyword) bool { return k.Name == block }) {
			t.Errorf("no keyword opens the block %s", block)
		}
	}
}

// Goal: keepalived can't take a keyword of our blocks for one of its own top
// level, at which it reads them. Method: names, here; keepalived_test.go asks
// keepalived itself.
func TestOurKeywordsAreNoneOfKeepalivedsTopLevel(t *testing.T) {
	for _, k := range Keywords() {
		if !k.Own {
			continue
		}
		if other := lookup("", k.Name); other != nil && !other.Own {
			t.Errorf("%s is a top-level keyword of keepalived", k.Name)
		}
	}
}

// Goal: a slip is answered with what was meant.
func TestSuggestionsAreNear(t *testing.T) {
	for _, test := range []struct{ block, name, want, in string }{
		{"vrrp_instance", "priorty", "priority", "vrrp_instance"},
		{"vrrp_instance", "vritual_ipaddress", "virtual_ipaddress", "vrrp_instance"},
		{"vrrp_instance", "no_preempt", "nopreempt", "vrrp_instance"},
		{"real_server", "connetc_port", "connect_port", "TCP_CHECK"},
		{"", "vrrp_instnace", "vrrp_instance", ""},
		{"consensus", "leasettl", "lease_ttl", "consensus"},
	} {
		near, in := suggestion(test.block, test.name)
		if near == nil || near.Name != test.want || in != test.in {
			t.Errorf("%s in %q: %+v in %q, want %s in %q", test.name, test.block, near, in, test.want, test.in)
		}
	}
	if near, _ := suggestion("vrrp_instance", "xyzzy"); near != nil {
		t.Errorf("xyzzy is taken for %s", near.Name)
	}
}

// Goal: distance counts what a hand gets wrong.
func TestDistanceCountsSlips(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abcd", 1}, {"abc", "axc", 1}, {"ca", "abc", 3}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
