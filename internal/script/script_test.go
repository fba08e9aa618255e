package script

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/test/lab"
)

// soon is less than any program here takes by itself (a minute: what an interrupted test
// leaves is gone by then), and more than ending it should.
const soon = 20 * time.Second

// shell is a command that the shell reads; the tests need no other program.
func shell(text string) Command {
	return Command{Argv: []string{"/bin/sh", "-c", text}, Timeout: soon}
}

// run runs a command and fails the test if that takes too long.
func run(t *testing.T, ctx context.Context, c Command) Outcome {
	t.Helper()
	began := time.Now()
	o := Run(ctx, c)
	if took := time.Since(began); took > soon/2 {
		t.Errorf("it took %s", took)
	}
	return o
}

// gone fails the test unless a process ends; it is asked for by its number.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(soon); alive(pid); {
		if time.Now().After(deadline) {
			t.Errorf("process %d lives on", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
}

// alive is false for a zombie, which waits for whoever has inherited it.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(status), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

// Goal: the exit status, a signal and both outputs are told.
func TestRunTellsHowItEnded(t *testing.T) {
	for text, want := range map[string]Outcome{
		"exit 0":                          {Kind: Exited},
		"echo out; echo err >&2; exit 77": {Kind: Exited, Code: 77, Output: []byte("out\nerr\n")},
		"kill -QUIT $$":                   {Kind: Signalled, Signal: syscall.SIGQUIT},
	} {
		if diff := cmp.Diff(want, run(t, context.Background(), shell(text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// Goal: no shell reads the arguments, and there is no input.
func TestRunUsesNoShell(t *testing.T) {
	o := run(t, context.Background(), Command{Argv: []string{"echo", "$HOME", "|", "*"}, Timeout: soon})
	if got := string(o.Output); got != "$HOME | *\n" {
		t.Errorf("echo said %q", got)
	}
	if o := run(t, context.Background(), shell("read x; test $? = 1")); o.Code != 0 {
		t.Errorf("there was something to read: %s", o)
	}
}

// Goal: what can't be started is told apart from what fails, with its reason.
func TestRunSaysWhatCannotBeStarted(t *testing.T) {
	folder := t.TempDir()
	for _, argv := range [][]string{nil, {filepath.Join(folder, "missing")}, {folder}} {
		if o := run(t, context.Background(), Command{Argv: argv, Timeout: soon}); o.Kind != NotStarted || o.Err == nil {
			t.Errorf("%q: %v, want %v", argv, o.Kind, NotStarted)
		}
	}
}

// Goal: a script without an interpreter line is the shell's, as execvp has it.
func TestScriptWithoutInterpreterIsTheShells(t *testing.T) {
	path := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(path, []byte("exit $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if o := run(t, context.Background(), Command{Argv: []string{path, "5"}, Timeout: soon}); o.Code != 5 {
		t.Errorf("%s, want 5", o)
	}
}

// Goal: a program that takes too long gets SIGTERM and is done when it obeys.
func TestSlowProgramIsEnded(t *testing.T) {
	c := shell("trap 'echo bye; exit 3' TERM; sleep 60 & wait")
	c.Timeout = 500 * time.Millisecond
	began := time.Now()
	o := Run(context.Background(), c)
	if o.Kind != TimedOut || string(o.Output) != "bye\n" {
		t.Errorf("%v, output %q; want %v, and its last words", o.Kind, o.Output, TimedOut)
	}
	if took := time.Since(began); took < c.Timeout {
		t.Errorf("ended after %s, before its time", took)
	}
}

// Goal: a program that ignores SIGTERM is killed with all of its group, [KillDelay] later.
func TestStubbornGroupIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := shell("trap '' TERM; sleep 60 & echo $! >" + file + "; wait; while :; do sleep 60; done")
	c.Timeout = 200 * time.Millisecond
	began := time.Now()
	o := run(t, context.Background(), c)
	if took := time.Since(began); o.Kind != TimedOut || took < KillDelay {
		t.Errorf("%v after %s, want %v after %s or more", o.Kind, took, TimedOut, KillDelay)
	}
	gone(t, file)
}

// Goal: a child that ignores SIGTERM dies also when its parent obeys.
func TestStubbornChildOfAnObedientProgramIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := shell("(trap '' TERM; echo started; exec sleep 60) & echo $! >" + file + "; wait")
	c.Timeout = 500 * time.Millisecond
	if o := run(t, context.Background(), c); o.Kind != TimedOut {
		t.Errorf("%v, want %v", o.Kind, TimedOut)
	}
	gone(t, file)
}

// Goal: a flood of output neither blocks the program nor fills memory.
func TestFloodIsForgotten(t *testing.T) {
	o := run(t, context.Background(), shell("head -c 20000000 /dev/zero; exit 4"))
	if o.Code != 4 || len(o.Output) != OutputMax || !o.Truncated {
		t.Errorf("%s, %d bytes kept, truncated %v", o, len(o.Output), o.Truncated)
	}
	if cap(o.Output) > 4*OutputMax {
		t.Errorf("%d bytes of memory for the output", cap(o.Output))
	}
}

// Goal: what a program leaves in the background, with the output still open, doesn't hold
// up the caller, and lives on.
func TestBackgroundHoldsNobodyUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	o := run(t, context.Background(), shell("sleep 60 & echo $! >"+file+"; echo done"))
	if o.Kind != Exited || o.Code != 0 || string(o.Output) != "done\n" {
		t.Errorf("%v %s, output %q", o.Kind, o, o.Output)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Error("the program in the background was killed")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // ours: its parent was
}

// Goal: the end of the context ends the program.
func TestContextEndsTheProgram(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if o := run(t, ctx, shell("exec sleep 60")); o.Kind != Interrupted {
		t.Errorf("%v, want %v", o.Kind, Interrupted)
	}
}

// Goal: additional variables arrive, and those that would change how programs are loaded
// do not.
func TestEnvironment(t *testing.T) {
	t.Setenv("LD_PRELOAD", "")
	t.Setenv("NOTIFY_SOCKET", "@x")
	c := shell(`echo "$GIVEN ${LD_PRELOAD-none} ${NOTIFY_SOCKET-none}"`)
	c.Env = []string{"GIVEN=word"}
	if o := run(t, context.Background(), c); string(o.Output) != "word none none\n" {
		t.Errorf("the program saw %q", o.Output)
	}
}

// Goal: user, group and supplementary groups are those given.
func TestCredential(t *testing.T) {
	lab.Require(t, "id")
	c := Command{Argv: []string{"/bin/sh", "-c", "id -u; id -g; id -G"}, Timeout: soon}
	c.Credential = &syscall.Credential{Uid: 65534, Gid: 65533, Groups: []uint32{65532}}
	if o := run(t, context.Background(), c); string(o.Output) != "65534\n65533\n65533 65532\n" {
		t.Errorf("id says %q", o.Output)
	}
}
