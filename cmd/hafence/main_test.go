package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodConfig = `consensus {
    node n1
    member n1 127.0.0.1
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 150
    virtual_ipaddress {
        192.0.2.100
    }
}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hafence.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func try(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// hafence check: 0 it can be used, 1 it cannot, 2 no such file; every problem with
// its place and a hint.
func TestCheckExitCodesAndPlaces(t *testing.T) {
	good := write(t, goodConfig)
	if code, out, _ := try("check", good); code != 0 || !strings.Contains(out, "1 instance") {
		t.Errorf("a good file: %d\n%s", code, out)
	}
	bad := write(t, strings.Replace(goodConfig, "priority", "prioritty", 1))
	code, out, _ := try("check", bad)
	if code != 1 || !strings.Contains(out, bad+":8:5: ") || !strings.Contains(out, `"priority"`) && !strings.Contains(out, "priority") {
		t.Errorf("a bad file: %d\n%s", code, out)
	}
	if code, _, _ := try("check", filepath.Join(t.TempDir(), "none")); code != 2 {
		t.Errorf("no file: %d", code)
	}
	if code, _, stderr := try("check", "--nonsense"); code != 2 || !strings.Contains(stderr, "hint: ") {
		t.Errorf("wrong usage: %d\n%s", code, stderr)
	}
	warned := write(t, strings.Replace(goodConfig, "    priority 150\n", "    priority 150\n    state SLAVE\n", 1))
	if code, _, _ := try("check", warned); code != 0 {
		t.Errorf("a warning: %d", code)
	}
	if code, _, _ := try("check", "--strict", warned); code != 1 {
		t.Errorf("a warning, strictly: %d", code)
	}
}

func TestCheckPrintsJSON(t *testing.T) {
	bad := write(t, strings.Replace(goodConfig, "priority", "prioritty", 1))
	_, out, _ := try("check", "--json", bad)
	var answer struct {
		Problems []struct {
			File, Severity, Message, Hint string
			Line, Column                  int
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	// A cluster of one is warned of; the misspelt keyword is the error.
	if len(answer.Problems) != 2 || answer.Problems[1].Line != 8 || answer.Problems[1].Severity != "error" || answer.Problems[1].Hint == "" {
		t.Fatalf("%+v", answer)
	}
}

// A key file is made once, for its owner only, and never overwritten.
func TestKeygenMakesAKeyOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.key")
	if code, out, stderr := try("keygen", path); code != 0 || out != "" {
		t.Fatalf("%d %q %q", code, out, stderr)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	first, _ := os.ReadFile(path)
	code, _, stderr := try("keygen", path)
	if code != 1 || !strings.Contains(stderr, "hint: ") {
		t.Errorf("again: %d %q", code, stderr)
	}
	if second, _ := os.ReadFile(path); !bytes.Equal(first, second) {
		t.Error("the key was overwritten")
	}
}

func TestStatusWithoutANodeSaysWhatToDo(t *testing.T) {
	code, _, stderr := try("status", "--socket", filepath.Join(t.TempDir(), "none"))
	if code != 1 || !strings.Contains(stderr, "no hafence answers there") || !strings.Contains(stderr, "hint: ") {
		t.Fatalf("%d %q", code, stderr)
	}
}

func TestUnknownCommandIsWrongUsage(t *testing.T) {
	if code, _, _ := try("statsu"); code != 2 {
		t.Fatalf("exit code %d", code)
	}
}

func TestVersionIsPrinted(t *testing.T) {
	if code, out, _ := try("version"); code != 0 || out != "hafence "+version+"\n" {
		t.Fatalf("%d %q", code, out)
	}
}
