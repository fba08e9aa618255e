package machines

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// scratch is where the programs are, and the machines' data.
var scratch string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "hafence-machines-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	go removeAtInterrupt()
	build := exec.Command("go", "build", "-o", scratch, "github.com/hafence/hafence/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	if out, err := exec.Command(program("hafence"), "keygen", program("cluster.key")).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "make a cluster key: %v\n%s", err, out)
		return 1
	}
	defer closeShared()
	return m.Run()
}

// removeAtInterrupt leaves nothing behind. The machines end with this process.
func removeAtInterrupt() {
	signals := make(chan os.Signal, 1) // signal.Notify doesn't wait
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	_ = os.RemoveAll(scratch)
	os.Exit(1)
}

func program(name string) string { return filepath.Join(scratch, name) }
