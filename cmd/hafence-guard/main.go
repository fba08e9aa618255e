// Command hafence-guard starts the controller, holds the virtual IP addresses
// for it, and takes them away when it dies; where there are virtual servers it
// starts the checker, too. Users start it with `hafence run`.
//
//	hafence-guard [-run-dir DIR] -- PROGRAM [ARGUMENT...]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/fence/guard"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: hafence-guard [-run-dir DIR] -- PROGRAM [ARGUMENT...]

Starts PROGRAM controller ARGUMENT..., and holds the virtual IP addresses for it;
where there are virtual servers also PROGRAM checker ARGUMENT...
Users don't need to call this: hafence run does.

  -run-dir DIR   where the lock of the network namespace is kept
                 (default /run/hafence)
`

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("hafence-guard", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	runDir := flags.String("run-dir", "/run/hafence", "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(stderr, "hafence-guard: no program to start\nhint: hafence run CONFIGURATION starts guard and controller together")
		return exitUsage
	}
	child := func(role string) []string { return append([]string{flags.Arg(0), role}, flags.Args()[1:]...) }
	code, err := guard.Run(guard.Options{
		Command: child("controller"),
		Checker: child("checker"),
		RunDir:  *runDir,
		Log:     hclog.New(&hclog.LoggerOptions{Name: "guard", Output: stderr}),
	})
	if err != nil {
		fmt.Fprintf(stderr, "hafence-guard: %v\n", err)
		return max(code, exitFailed)
	}
	return code
}
