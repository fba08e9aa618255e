package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/test/lab"
)

// On a host with AMX the shim lets a program with a small buffer read and write
// registers, and leaves those beyond it alone; and it has the guest's processes
// die with their tracer. Method: a made-up ptrace() behind the shim, and a
// program in front of it that does what user-mode Linux does.
func TestShimHidesTheRegistersOfAMX(t *testing.T) {
	lab.Require(t, "cc")
	dir := t.TempDir()
	probe, fake := filepath.Join(dir, "probe"), filepath.Join(dir, "fake.so")
	for _, build := range [][]string{{"-o", probe, "shim/probe.c"}, {"-shared", "-fPIC", "-o", fake, "shim/fake.c"}} {
		if err := run("cc", build...); err != nil {
			t.Fatal(err)
		}
	}
	library, err := shim()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(preload string) string {
		cmd := exec.Command(probe)
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+preload)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	want := `fill 0
get 0 2696 bytes, the first 7
set 0
set 2696 of 11008 bytes, the next 7
options 0x100001
`
	if diff := cmp.Diff(want, ask(library+" "+fake)); diff != "" {
		t.Errorf("with the shim (-want +got)\n%s", diff)
	}
	without := `fill 0
get 0 2696 bytes, the first 7
set -1
set 0 of 11008 bytes, the next 7
options 0x1
`
	if diff := cmp.Diff(without, ask(fake)); diff != "" {
		t.Errorf("without it, which is why it is there (-want +got)\n%s", diff)
	}
}
