package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/*.want anew")

// Goal: what hafence check says is clear and stays as it is. Method: every
// problem, with its hint, of each file in testdata against the .want beside it.
func TestProblemsReadAsWritten(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("testdata/*.conf: %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".conf"), func(t *testing.T) {
			c, problems := Load(path, Options{ID: "lb1", Node: "lb1"})
			var b strings.Builder
			for _, p := range problems {
				b.WriteString(strings.ReplaceAll(p.WithHint(), "testdata/", "") + "\n")
			}
			if c == nil {
				b.WriteString("refused\n")
			} else {
				b.WriteString(Summary(c) + "\n")
			}
			want := strings.TrimSuffix(path, ".conf") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(text), b.String()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
