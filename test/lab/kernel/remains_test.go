package kernel

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// doomed is a test that has a machine, paused, and waits to be killed.
func doomed(backend Backend) func() error {
	return func() error {
		sw, err := NewSwitch()
		if err != nil {
			return err
		}
		nic := NIC{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}
		machine, err := Start(Options{Name: "doomed", Backend: backend, Switch: sw, NICs: []NIC{nic}, Data: os.TempDir(), Restart: true})
		if err != nil {
			return err
		}
		if err := machine.Ready(context.Background()); err != nil {
			return err
		}
		if _, err := machine.Go(Command{Args: []string{"sleep", "1000"}}); err != nil {
			return err
		}
		if err := machine.Pause(); err != nil { // so that it can't end by itself
			return err
		}
		fmt.Println(machine.lives[0].cmd.Process.Pid)
		select {}
	}
}

// Nothing of a machine survives a test that is killed: no process, no mount, no
// tap, no file. Method: a child process with a machine gets SIGKILL; processes
// are told by the machine's PID namespace, and the tap by the process's network
// namespace, which lives as long as one of them.
func TestKilledTestLeavesNothing(t *testing.T) { onEach(t, killedTestLeavesNothing) }

func killedTestLeavesNothing(t *testing.T, backend Backend) {
	if _, err := keeperCommand(Options{Backend: backend}, nil, nil, nil); err != nil { // all that is cached, before files are counted
		t.Fatal(err)
	}
	before := remains(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	child := exec.Command(binary)
	child.Env = append(os.Environ(), roleVariable+"=doomed "+backend.String(), "TMPDIR="+temporary)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err, child.Wait())
	}
	keeper := strings.TrimSpace(line)
	pids := processesIn(t, "pid", namespace(t, keeper, "pid"))
	network := namespace(t, keeper, "net")
	if len(pids) < 3 { // keeper, kernel, programs
		t.Fatalf("the machine has processes %v only", pids)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for end := time.Now().Add(patience); ; time.Sleep(beat) {
		alive := slices.DeleteFunc(slices.Clone(pids), func(pid string) bool { return !exists("/proc/" + pid + "/status") })
		alive = append(alive, processesIn(t, "net", network)...)
		if len(alive) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("processes %v are left of %v", alive, pids)
		}
	}
	if diff := cmp.Diff(before, remains(t)); diff != "" {
		t.Errorf("left behind (-before +after)\n%s", diff)
	}
	if files, _ := os.ReadDir(temporary); len(files) > 0 {
		t.Errorf("%v is left in the temporary directory", files)
	}
}

// remains is what a machine might leave on the host: mounts, interfaces, and
// files where user-mode Linux usually puts some.
func remains(t *testing.T) []string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(string(mounts), "\n")
	home, _ := os.UserHomeDir()
	for _, pattern := range []string{"/sys/class/net/tap*", "/dev/shm/*", filepath.Join(home, ".uml", "*")} {
		found, _ := filepath.Glob(pattern)
		list = append(list, found...)
	}
	return list
}

// namespace identifies one of a process.
func namespace(t *testing.T, pid, kind string) string {
	t.Helper()
	name, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// processesIn lists the processes of a namespace.
func processesIn(t *testing.T, kind, namespace string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		if name, _ := os.Readlink("/proc/" + entry.Name() + "/ns/" + kind); name == namespace {
			list = append(list, entry.Name())
		}
	}
	return list
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
