package config

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/test/lab"
)

// corpus calls fn for each configuration of the corpus; templates of other
// languages, which keepalived can't read either, are left out.
func corpus(t *testing.T, fn func(path string, text []byte)) {
	t.Helper()
	count := 0
	err := filepath.WalkDir(shared(t, "configs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "README.md" {
			return err
		}
		switch filepath.Ext(path) {
		case ".j2", ".tmpl", ".erb", ".sh", ".aug", ".tpl", ".go", ".py":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.Contains(text, []byte("{{")) || bytes.Contains(text, []byte("{%")) {
			return err
		}
		count++
		fn(path, text)
		return nil
	})
	if err != nil || count < 100 {
		t.Fatalf("%d configurations: %v", count, err)
	}
}

// Goal: real configurations never make the parser panic, and every problem has
// a place in a file.
func TestEveryProblemOfTheCorpusHasAPlace(t *testing.T) {
	corpus(t, func(path string, text []byte) {
		_, problems := Parse(path, text, Options{ID: "high", Node: "lb1"})
		for _, p := range problems {
			if p.File == "" || p.Line < 1 || p.Column < 1 || p.Msg == "" || p.Severity == 0 {
				t.Errorf("%s: a problem without a place: %+v", path, p)
			}
		}
	})
}

// structural is what keepalived says of braces and quotes.
var structural = regexp.MustCompile(`Unexpected '\{'|Extra '\}'|missing '\}'|Missing '\{'|[Uu]nterminated quote|[Uu]nmatched quote`)

// unlike are files in which we see broken structure and keepalived doesn't.
var unlike = map[string]string{}

// Goal: where keepalived's parser sees no broken structure, neither does ours.
// Method: each file of the corpus through keepalived -t, in a namespace, and
// through our reader and tree; files with ~SEQ, ~LST, undefined variables or
// unknown blocks (at whose braces keepalived stumbles, too) prove nothing.
func TestStructureOfTheCorpusIsSeenAsByKeepalived(t *testing.T) {
	lab.Require(t, "keepalived")
	host, err := lab.NewHost("corpus")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	agreed := 0
	corpus(t, func(path string, text []byte) {
		r := newReport()
		parseTree(r, path, text, Options{ID: "high"})
		var ours []string
		for _, p := range r.result() {
			if p.Severity == Error && !strings.Contains(p.Msg, "~SEQ") && !strings.Contains(p.Msg, "~LST") && !strings.Contains(p.Msg, "is not defined") {
				ours = append(ours, p.Error())
			}
		}
		if len(ours) == 0 {
			agreed++
			return
		}
		theirs := keepalivedTest(t, host, path, "-i", "high")
		if !structural.MatchString(theirs.log) && unlike[filepath.Base(path)] == "" {
			t.Errorf("keepalived sees no broken structure, but:\n%s", strings.Join(ours, "\n"))
		}
	})
	t.Logf("%d files without broken structure", agreed)
}

// verdict is what keepalived -t says.
type verdict struct {
	code int
	log  string
}

// keepalivedTest runs keepalived -t in a namespace.
func keepalivedTest(t *testing.T, host *lab.Host, path string, args ...string) verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.CommandContext(ctx, "keepalived", append([]string{"-t" + log, "-f", path}, args...)...)
	if err := host.Start(cmd); err != nil {
		t.Fatal(err)
	}
	// keepalived tells its verdict by the exit code; the error repeats it.
	_ = cmd.Wait()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("keepalived -t %s: %v", path, err)
	}
	return verdict{code: cmd.ProcessState.ExitCode(), log: string(text)}
}
