package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/test/lab"
)

// storyPatience is how long a whole story may take on a loaded machine.
const storyPatience = 5 * time.Minute

// programDir is where programs has built; "" before.
var programDir string

// programs builds both programs once, and returns hafence's path.
var programs = sync.OnceValues(func() (string, error) {
	var err error
	if programDir, err = os.MkdirTemp("", "hafence-programs-"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", programDir+"/", "github.com/hafence/hafence/cmd/...").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	// Whoever runs it as somebody else must be able to read it.
	return filepath.Join(programDir, "hafence"), os.Chmod(programDir, 0o755)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// command is `hafence demo` with a directory of its own for temporary files,
// which also marks every process that comes of it.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	lab.Require(t, "go")
	if testing.Short() {
		t.Skip("not run: -short, and it takes most of a minute")
	}
	program, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	cmd = exec.Command(program, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	return cmd, dir
}

// The story is told to its end, every promise is kept, and the JSON has the
// promised form. Method: the real programs, in a lab of their own.
func TestStoryKeepsEveryPromise(t *testing.T) {
	cmd, dir := command(t, "--script", "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := runWithin(cmd, storyPatience)
	if err != nil {
		t.Errorf("hafence demo: %v\n%s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	var report Report
	decoder := json.NewDecoder(bytes.NewReader(stdout.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		t.Fatalf("read the JSON: %v\n%s", err, stdout.Bytes())
	}
	want := []string{startName}
	for _, f := range Faults {
		want = append(want, f.Name)
	}
	var got []string
	for _, s := range report.Steps {
		got = append(got, s.Name)
		if !s.OK || s.DualAnswer != 0 {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if !report.OK {
		t.Errorf("not ok: %v", report.Problems)
	}
	nothingLeft(t, dir, true)
}

// A demo that is interrupted leaves no process, namespace or file behind, even
// with frozen processes in the midst. Method: a signal while some are frozen.
// After SIGKILL files stay, and what cleans up is the kernel.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		cleans bool
	}{{syscall.SIGINT, true}, {syscall.SIGTERM, true}, {syscall.SIGKILL, false}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			cmd, dir := command(t, "--script")
			var output bytes.Buffer
			cmd.Stdout, cmd.Stderr = &output, &output
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			endedC := make(chan error, 1)
			go func() { endedC <- cmd.Wait() }()
			awaitFrozen(t, dir, endedC)
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-endedC:
				if err == nil {
					t.Error("an interrupted demo ends with 0")
				}
			case <-time.After(testPatience):
				_ = cmd.Process.Kill()
				t.Fatalf("the demo does not end:\n%s", output.Bytes())
			}
			if c.cleans && !strings.Contains(output.String(), "interrupted") {
				t.Errorf("it does not say that it was interrupted:\n%s", output.Bytes())
			}
			nothingLeft(t, dir, c.cleans)
		})
	}
}

// awaitFrozen waits until the story has frozen a node.
func awaitFrozen(t *testing.T, dir string, endedC chan error) {
	t.Helper()
	for end := time.Now().Add(storyPatience); time.Now().Before(end); {
		select {
		case err := <-endedC:
			t.Fatalf("the demo has ended: %v", err)
		case <-time.After(lookInterval):
		}
		frozen := 0
		for _, pid := range marked(dir) {
			if _, state, ok := parentOf(pid); ok && state == "T" {
				frozen++
			}
		}
		if frozen >= 2 { // guard and controller
			return
		}
	}
	t.Fatal("no node was ever frozen")
}

// marked are the processes whose environment names the directory.
func marked(dir string) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err == nil && bytes.Contains(environment, []byte("TMPDIR="+dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// nothingLeft finds processes, and with them the anonymous namespaces, that a
// demo has left, and files when there may be none.
func nothingLeft(t *testing.T, dir string, files bool) {
	t.Helper()
	for end := time.Now().Add(testPatience); len(marked(dir)) > 0; time.Sleep(lookInterval) {
		if time.Now().After(end) {
			for _, pid := range marked(dir) {
				line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
				t.Errorf("process %d is left: %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			break
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if files && len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func runWithin(cmd *exec.Cmd, patience time.Duration) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()
	return cmd.Wait()
}

// Without root, or without its guard, the demo says so at once, and what to do.
// Method: run it as nobody, and open a cluster with a program that stands alone.
func TestWhatIsMissingIsSaidAtOnce(t *testing.T) {
	cmd, _ := command(t, "--script")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "demo: not root") || !strings.Contains(string(out), "hint: run it with sudo") {
		t.Errorf("as nobody: %v: %s", err, out)
	}
	var missing *Missing
	if _, err := Open(Options{Program: filepath.Join(t.TempDir(), "hafence")}); !errors.As(err, &missing) || !strings.Contains(err.Error(), guardProgram) {
		t.Errorf("without a guard: %v", err)
	}
}

// Without --script the demo needs a terminal, and says what to do without.
// Method: run it with a pipe.
func TestNoTerminalIsToldAboutScript(t *testing.T) {
	cmd, _ := command(t)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "--script") {
		t.Errorf("%v: %s", err, out)
	}
}
