// Command hafence-guard starts the controller, holds the virtual IP addresses
// for it, and takes them away when it dies. Users start it with `hafence run`.
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

Starts PROGRAM, the controller, and holds the virtual IP addresses for it.
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
	code, err := guard.Run(guard.Options{
		Command: flags.Args(),
		RunDir:  *runDir,
		Log:     hclog.New(&hclog.LoggerOptions{Name: "guard", Output: stderr}),
	})
	if err != nil {
		fmt.Fprintf(stderr, "hafence-guard: %v\n", err)
		return max(code, exitFailed)
	}
	return code
}
