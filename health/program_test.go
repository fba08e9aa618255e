package health

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/internal/script"
)

func misc(text string) Misc {
	return Misc{Command: script.Command{Argv: []string{"/bin/sh", "-c", text}, Timeout: patient}}
}

// Goal (§2.8 MISC_CHECK): exit 0 is up, everything else down, with what the program said.
func TestMiscExitStatus(t *testing.T) {
	wantUp(t, misc("exit 0"))
	wantDown(t, misc("echo; echo too hot; echo more; exit 1"), "exit status 1: too hot")
	wantDown(t, misc("exit 2"), "exit status 2")
	wantDown(t, misc("kill -KILL $$"), "killed")
	slow := misc("exec sleep 60")
	slow.Command.Timeout = hasty
	wantDown(t, slow, "timed out")
	wantNothing(t, Misc{Command: script.Command{Argv: []string{"/no/such/program"}, Timeout: patient}}, "no such file")
}

// Goal (misc_dynamic): 0 leaves the weight, 1 is down, 2 to 255 are weights 0 to 253; and
// what is interrupted says nothing.
func TestMiscDynamic(t *testing.T) {
	m := Misc{Dynamic: true}
	for code, want := range map[int]Result{
		0:   {Up: true, Reason: "exit status 0"},
		1:   {Reason: "exit status 1"},
		2:   {Up: true, Reason: "exit status 2", Weight: WeightChange{WeightSet, 0}},
		255: {Up: true, Reason: "exit status 255", Weight: WeightChange{WeightSet, 253}},
	} {
		if diff := cmp.Diff(want, m.judge(script.Outcome{Kind: script.Exited, Code: code})); diff != "" {
			t.Errorf("exit %d (-want +got):\n%s", code, diff)
		}
	}
	if r := m.judge(script.Outcome{Kind: script.Interrupted}); r.Up || !r.Inconclusive {
		t.Errorf("interrupted: %+v", r)
	}
}

// Goal (FILE_CHECK): number × weight is added to the weight; with weight 0 any number but
// 0 is down; reverse turns both around; the least product is down.
func TestFileJudgement(t *testing.T) {
	add := func(n int64) WeightChange { return WeightChange{WeightAdd, n} }
	for _, c := range []struct {
		file   File
		number int64
		up     bool
		weight WeightChange
	}{
		{File{Weight: 3}, 5, true, add(15)},
		{File{Weight: -3}, 5, true, add(-15)},
		{File{Weight: 3, Reverse: true}, 5, true, add(-15)},
		{File{Weight: 3}, 0, true, add(0)},
		{File{}, 0, true, WeightChange{}},
		{File{}, -1, false, WeightChange{}},
		{File{Reverse: true}, 0, false, WeightChange{}},
		{File{Reverse: true}, 4, true, WeightChange{}},
		{File{Weight: 1}, -2147483648, false, add(0)},
		{File{Weight: 1}, -2147483647, true, add(-2147483647)},
		{File{Weight: 1 << 40}, 1 << 60, true, add(2147483647)},
		{File{Weight: 1 << 40}, -1 << 60, false, add(0)},
	} {
		r := c.file.Judge(c.number)
		if r.Up != c.up || r.Weight != c.weight {
			t.Errorf("%+v says %d: %+v, want up %v, weight %+v", c.file, c.number, r, c.up, c.weight)
		}
	}
}

// Goal: a number is read as strtol would.
func TestLeadingNumber(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "x": 0, "12": 12, "-7 because": -7, "+3": 3, "5-3": 5, "-": 0, "99999999999999999999": 1<<63 - 1,
	} {
		if got := leadingNumber(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

// Goal: a file is followed while it is written, replaced, removed and made again; files of
// others in the directory are not looked at. Method: what is observed, in order.
func TestFilesAreFollowed(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "weight")
	observed := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	endC := make(chan error, 1)
	go func() {
		files := []WatchedFile{
			{ID: testID("F"), Path: path, File: File{Weight: 1}},
			{ID: testID("barrier"), Path: filepath.Join(folder, "barrier"), File: File{Weight: 1}},
		}
		endC <- WatchFiles(ctx, files, func(id CheckID, r Result) { observed <- id.Name + " " + r.Reason })
	}()
	wantOf := func(name, number string) {
		t.Helper()
		select {
		case got := <-observed:
			if got != name+" the file says "+number {
				t.Errorf("%s, want %s of %s", got, number, name)
			}
		case <-time.After(patient):
			t.Fatalf("nothing was observed, want %s of %s", number, name)
		}
	}
	want := func(number string) { t.Helper(); wantOf("F", number) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want("0")
	wantOf("barrier", "0")
	write("weight", "3\n")
	want("3")
	write("other", "9\n")
	write("weight", "  4 because\n")
	want("4")
	// What is truncated and not yet written says nothing new.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	write("barrier", "1")
	wantOf("barrier", "1")
	if _, err := file.WriteString("6"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	want("6")
	write("next", "5")
	if err := os.Rename(filepath.Join(folder, "next"), path); err != nil {
		t.Fatal(err)
	}
	want("5")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("0")
	cancel()
	if err := <-endC; err != nil {
		t.Error(err)
	}
	if len(observed) > 0 {
		t.Errorf("observed besides: %s", <-observed)
	}
}
