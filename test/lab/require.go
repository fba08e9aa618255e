package lab

import (
	"os"
	"os/exec"
)

// T is the part of testing.TB that this package needs; the demo links it, and
// package testing has no place in a shipped binary.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Required reports whether a missing lab is a failure (HAFENCE_REQUIRE_LAB=1),
// as it is in continuous integration, and not a reason to skip.
func Required() bool { return os.Getenv("HAFENCE_REQUIRE_LAB") == "1" }

// Skip skips the test and says what is missing; with [Required] it fails it.
func Skip(t T, missing string) {
	t.Helper()
	if Required() {
		t.Fatalf("the lab is required (HAFENCE_REQUIRE_LAB=1), but: %s", missing)
	}
	t.Skipf("not run: %s", missing)
}

// Require skips the test unless this process may build networks, and unless
// every named program is installed.
func Require(t T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "network namespaces need root")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Skip(t, "the program "+program+" is not installed")
		}
	}
}
