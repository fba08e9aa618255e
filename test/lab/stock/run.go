package stock

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hafence/hafence/test/lab"
	"github.com/hafence/hafence/test/lab/kernel"
)

const (
	qemu         = "qemu-system-x86_64"
	guestPackage = "github.com/hafence/hafence/test/lab/stock/guest"
	memory       = 1024             // MiB: the initramfs twice, and what runs
	testPatience = 10 * time.Minute // unless the test has a deadline of its own

	// programsVariable names a directory that the machine gets, too.
	programsVariable = "HAFENCE_TEST_PROGRAMS"
)

// ended is what the guest says last.
var ended = regexp.MustCompile(`^stock machine ended: (-?[0-9]+)$`)

// Require skips the test unless stock kernels can run here.
func Require(t lab.T) {
	t.Helper()
	lab.Require(t, qemu, "go", "apt-get", "dpkg", "depmod", "modprobe")
}

// Run makes the rest of the test run in a stock kernel that has the modules, and is
// its first statement; see the package's example. Modules may have parameters:
// "softdog soft_margin=2". On the host it returns false after it has taken over the
// test's output and verdict.
func Run(t *testing.T, modules ...string) bool {
	t.Helper()
	if kernel.Inside() {
		return true
	}
	Require(t)
	found, err := findKernel()
	if err != nil {
		lab.Skip(t, err.Error())
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "initramfs")
	if err := build(image, found, modules, t.Name()); err != nil {
		t.Fatal(err)
	}
	code, passed := boot(t, found, image)
	if code != 0 || !passed {
		t.Fatalf("failed inside the machine: exit status %d", code)
	}
	return false
}

// order is what the guest is to do.
type order struct {
	Modules []string
	Args    []string
	Env     []string
	Dir     string
}

// build makes the initramfs with this test binary.
func build(path string, k debianKernel, modules []string, test string) error {
	guest := filepath.Join(filepath.Dir(path), "guest")
	command := exec.Command("go", "build", "-trimpath", "-o", guest, guestPackage)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest: %w: %s", err, out)
	}
	files, err := k.moduleFiles(modules)
	if err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	a := newInitramfs(file)
	o := order{Args: []string{binary, "-test.v", "-test.run=" + pattern(test)}, Dir: "/", Env: environment()}
	for i, f := range files {
		source, parameters, _ := strings.Cut(f, " ")
		inside := fmt.Sprintf("/modules/%03d-%s", i, filepath.Base(source))
		a.copy(inside, source)
		o.Modules = append(o.Modules, strings.TrimSpace(inside+" "+parameters))
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	a.add("/order.json", 0o644, text)
	a.copy("/init", guest)
	a.program(binary)
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		a.copy(name, name)
	}
	if programs := os.Getenv(programsVariable); programs != "" {
		a.tree(programs)
	}
	for _, empty := range []string{"/tmp", "/proc", "/sys", "/dev", "/run", "/root"} {
		a.directory(empty)
	}
	return a.close()
}

// environment is that of the test inside.
func environment() []string {
	env := []string{"HAFENCE_INSIDE_KERNEL=1", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "HAFENCE_") {
			env = append(env, variable)
		}
	}
	return env
}

// boot runs the machine to its end, and returns the exit status and whether the test
// has said that it passed.
func boot(t *testing.T, k debianKernel, image string) (code int, passed bool) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), deadline(t))
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, "-M", "pc", "-accel", "tcg", "-cpu", "max", "-m", strconv.Itoa(memory),
		"-nographic", "-no-reboot", "-net", "none", "-kernel", k.image, "-initrd", image,
		"-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on")
	// It ends with the thread that starts it, and that with this function.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	code = -1
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if match := ended.FindStringSubmatch(line); match != nil {
			code, _ = strconv.Atoi(match[1])
			continue
		}
		passed = passed || strings.Contains(line, "--- PASS: "+t.Name()+" (")
		t.Log(line)
	}
	_ = cmd.Wait() // how the test ended was said
	return code, passed
}

// deadline leaves the test some time to say what happened.
func deadline(t *testing.T) time.Time {
	end, ok := t.Deadline()
	if !ok {
		return time.Now().Add(testPatience)
	}
	return end.Add(-time.Until(end) / 20)
}

// pattern matches this test alone.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
