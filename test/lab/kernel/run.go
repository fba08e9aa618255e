package kernel

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hafence/hafence/test/lab"
)

// insideVariable is set for a test binary that runs in a machine.
const insideVariable = "HAFENCE_INSIDE_KERNEL"

// passedOn is how the names of the host's variables begin that a test finds in
// its machine too, HAFENCE_REQUIRE_LAB among them.
const passedOn = "HAFENCE_"

// Limits of [Run].
const (
	runMemory    = 512              // MiB
	bootPatience = 60 * time.Second // a boot takes 1.3 s, or 5 in QEMU
	testPatience = 10 * time.Minute // unless the test has a deadline of its own
	lastPatience = 5 * time.Second  // for a test that hangs to show where
	lineMax      = 64 << 10         // of a test's output
)

// programs are what every machine needs, on the host and inside.
var programs = []string{"go", "modprobe", "ip", "unshare"}

// runner has the machines that all tests of one binary share. They end with it.
var runner struct {
	mu       sync.Mutex
	machines [QEMU + 1]*Machine // by backend
}

// Inside reports whether this process runs in a machine of the lab.
func Inside() bool { return os.Getenv(insideVariable) == "1" }

// Require skips the test unless machines with these modules can run here.
func Require(t lab.T, modules ...string) {
	t.Helper()
	require(t, modules)
}

// RequireInside skips the test unless machines with these modules can run here,
// and this test binary in them.
func RequireInside(t lab.T, modules ...string) {
	t.Helper()
	requireInside(t, modules)
}

// require returns the backend, and why it is not user-mode Linux.
func require(t lab.T, modules []string) (Backend, error) {
	t.Helper()
	lab.Require(t, programs...)
	backend, why := choose(modules)
	if err := backend.missing(); err != nil {
		lab.Skip(t, errors.Join(why, err).Error())
	}
	return backend, why
}

func requireInside(t lab.T, modules []string) (Backend, error) {
	t.Helper()
	backend, why := require(t, modules)
	if err := noRoom(backend); err != nil {
		lab.Skip(t, err.Error())
	}
	return backend, why
}

// noRoom is why this binary can't run in a machine.
func noRoom(backend Backend) error {
	build, ok := debug.ReadBuildInfo()
	if !ok || backend != UML || !slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return nil
	}
	return errors.New("user-mode Linux has no room for the race detector (512 GiB of addresses): test without -race")
}

// Run makes the rest of the test run in a machine that has the modules, and is
// its first statement:
//
//	if !kernel.Run(t, "ip_vs", "dummy") {
//		return
//	}
//
// On the host it returns false after it has run this test of this binary there,
// in a network namespace of its own, and has taken over its output and its
// verdict. In the machine it returns true. The machine sees the host's files,
// what it writes is its own. The modules decide on the backend, see [Options]; the
// test's log says when it is QEMU, and why. All tests of a binary share one machine
// of each backend, one after another; the first of them boots it.
func Run(t *testing.T, modules ...string) bool {
	t.Helper()
	if Inside() {
		return true
	}
	backend, why := requireInside(t, modules)
	if why != nil {
		t.Logf("in QEMU: %v", why)
	}
	runner.mu.Lock()
	defer runner.mu.Unlock()
	machine, err := prepare(backend, modules)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline(t))
	defer cancel()
	verdict := &verdict{t: t}
	code := execute(ctx, t, machine, verdict)
	verdict.flush()
	switch {
	case code == 0 && verdict.passed:
	case code == 0 && verdict.skipped:
		t.Skip("not run inside either: see above")
	default:
		t.Fatalf("failed inside the machine: exit status %d", code)
	}
	return false
}

// prepare returns the backend's machine, booted and with the modules.
func prepare(backend Backend, modules []string) (*Machine, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bootPatience)
	defer cancel()
	if machine := runner.machines[backend]; machine != nil {
		if _, err := machine.current(); err == nil {
			return machine, machine.Load(modules...)
		}
		_ = machine.Close() // a test has killed it
	}
	machine, err := Start(Options{Name: "inside", Backend: backend, Memory: runMemory, Modules: modules})
	if err != nil {
		return nil, err
	}
	runner.machines[backend] = machine
	return machine, machine.Ready(ctx)
}

// execute runs the test in the machine and returns the exit status.
func execute(ctx context.Context, t *testing.T, machine *Machine, output *verdict) int {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	// Namespaces of its own, so that no test meets another's IPVS services.
	args := []string{
		"unshare", "--net", "--mount", "sh", "-c", `mount -t sysfs none /sys && ip link set lo up && exec "$@"`, "sh",
		binary, "-test.v", "-test.run=" + pattern(t.Name()),
	}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	env := []string{insideVariable + "=1"}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, passedOn) {
			env = append(env, variable)
		}
	}
	p, err := machine.Go(Command{Args: args, Env: env, Dir: dir, Stdout: output, Stderr: output})
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(ctx)
	if err != nil {
		_ = p.Signal(syscall.SIGQUIT) // Go shows where it hangs
		last, cancel := context.WithTimeout(context.Background(), lastPatience)
		defer cancel()
		_, _ = p.Wait(last)
		_ = machine.Close() // the next test gets another
		output.flush()
		t.Fatalf("%v; the console ends:\n%s", err, tail(machine.Console(), consoleTail))
	}
	return code
}

// deadline leaves the test some time to say what happened.
func deadline(t *testing.T) time.Time {
	end, ok := t.Deadline()
	if !ok {
		return time.Now().Add(testPatience)
	}
	return end.Add(-time.Until(end) / 20)
}

// pattern matches this test alone, which may be a subtest.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// verdict passes a test's output on, line by line, and reads its result.
type verdict struct {
	t               *testing.T
	line            []byte
	passed, skipped bool
}

// Write implements io.Writer; it is called by one goroutine.
func (v *verdict) Write(text []byte) (int, error) {
	v.line = append(v.line, text...)
	for {
		end := bytes.IndexByte(v.line, '\n')
		if end < 0 && len(v.line) < lineMax {
			return len(text), nil
		}
		if end < 0 {
			end = len(v.line) - 1
		}
		v.take(string(v.line[:end]))
		v.line = v.line[end+1:]
	}
}

func (v *verdict) flush() {
	if len(v.line) > 0 {
		v.take(string(v.line))
		v.line = nil
	}
}

func (v *verdict) take(line string) {
	v.passed = v.passed || strings.Contains(line, "--- PASS: "+v.t.Name()+" (")
	v.skipped = v.skipped || strings.Contains(line, "--- SKIP: "+v.t.Name()+" (")
	v.t.Log(line)
}
