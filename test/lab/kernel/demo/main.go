// Command demo tells the story of a virtual server in a machine of the kernel lab,
// which has IPVS: hafence demo --service, for hosts whose kernel has none.
//
//	go run ./test/lab/kernel/demo DR
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hafence/hafence/test/lab/kernel"
)

// modules are what directors, real servers and their network need.
var modules = []string{"ip_vs", "ip_vs_rr", "nf_tables", "bridge", "veth", "ipip"}

const memory = 512 // MiB

func main() {
	program := flag.String("program", "bin/hafence", "the hafence program; hafence-guard is beside it")
	flag.Parse()
	method := "DR"
	if flag.NArg() > 0 {
		method = flag.Arg(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code, err := run(ctx, *program, method)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		code = 1
	}
	os.Exit(code)
}

// run boots a machine and tells the story in it; the exit code is the story's.
func run(ctx context.Context, program, method string) (code int, err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return 1, err
	}
	fmt.Println("a kernel with IPVS boots; it has no packet gate, and everything in it takes longer than on a machine")
	machine, err := kernel.Start(kernel.Options{Name: "demo", Memory: memory, Modules: modules})
	if err != nil {
		return 1, err
	}
	defer machine.Close()
	if err := machine.Ready(ctx); err != nil {
		return 1, err
	}
	story, err := machine.Go(kernel.Command{
		Args:   []string{program, "demo", "--service", method, "--ungated", "--ttl", "4"},
		Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return 1, err
	}
	return story.Wait(ctx)
}
