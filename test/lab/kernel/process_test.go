package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A program's output, status and errors arrive as they are: what a test says
// about a machine is what happened there. Method: one machine, many programs.
func TestProgramsAreReportedExactly(t *testing.T) { onEach(t, programsAreReportedExactly) }

func programsAreReportedExactly(t *testing.T, backend Backend) {
	machine := start(t, backend, Options{Name: "exec"})[0]
	for _, test := range []struct {
		script string
		want   Output
	}{
		{"echo out; echo err >&2", Output{"out\n", "err\n", 0}},
		{"exit 7", Output{"", "", 7}},
		{"kill -9 $$", Output{"", "", 137}},
		{`printf '\000\377\r\n\021\023\003\004'`, Output{"\x00\xff\r\n\x11\x13\x03\x04", "", 0}},
	} {
		got, err := machine.Exec(soon(t), "sh", "-c", test.script)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.script, diff)
		}
	}
	if _, err := machine.Exec(soon(t), "no-such-program"); err == nil {
		t.Error("a program that isn't there runs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	if _, err := machine.Exec(ctx, "sleep", "1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that takes too long: %v", err)
	}
	began := time.Now()
	must(t, machine, "true")
	t.Logf("a program takes %v", time.Since(began).Round(time.Millisecond))
	for end := time.Now().Add(patience); strings.Contains(must(t, machine, "ps", "ax"), "sleep 1000"); {
		if time.Now().After(end) {
			t.Fatal("it still runs")
		}
	}
	t.Run("large output", func(t *testing.T) { largeOutput(t, machine) })
	t.Run("large input", func(t *testing.T) { largeInput(t, machine) })
	t.Run("background", func(t *testing.T) { background(t, machine) })
}

func largeOutput(t *testing.T, machine *Machine) {
	sum := must(t, machine, "sh", "-c", "head -c 1000000 /dev/urandom > /large; sha256sum < /large")
	out := must(t, machine, "cat", "/large")
	if got := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(out))); len(out) != 1000000 || got != sum {
		t.Errorf("%d bytes, %s, want %s", len(out), got, sum)
	}
}

// User-mode Linux goes deaf when its serial line was held back once, so this
// runs another program afterwards. Method: more input than all buffers hold, for
// a program that begins to read late.
func largeInput(t *testing.T, machine *Machine) {
	input := bytes.Repeat([]byte("0123456789abcde\n"), 10_000)
	var out bytes.Buffer
	p, err := machine.Go(Command{Args: []string{"sh", "-c", "sleep 0.3; sha256sum"}, Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(input); err != nil {
		t.Fatal(err)
	}
	if err := p.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(soon(t)); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	if want := fmt.Sprintf("%x  -\n", sha256.Sum256(input)); out.String() != want {
		t.Errorf("it read %s, want %s", out.String(), want)
	}
	must(t, machine, "true")
}

func background(t *testing.T, machine *Machine) {
	var out bytes.Buffer
	p, err := machine.Go(Command{
		Args: []string{"sh", "-c", `trap "echo $WORD $PWD; exit 3" TERM; echo up; while :; do sleep 0.01; done`},
		Env:  []string{"WORD=bye"}, Dir: "/usr", Stdout: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	must(t, machine, "sh", "-c", fmt.Sprintf("sleep 0.2; kill -0 %d", p.PID()))
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Output{Stdout: "up\nbye /usr\n", Code: 3}, Output{Stdout: out.String(), Code: code}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
