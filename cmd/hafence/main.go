// Command hafence is keepalived whose MASTER must hold a lease.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitFailed = 1
	exitUsage  = 2
	exitNotSo  = 3 // the question was answered with no
)

// version is set when a release is built (-ldflags -X).
var version = "0.1.0-dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main for tests: it takes arguments and streams and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) { // cobra's own: an unknown command or flag
		exit = &exitError{code: exitUsage, err: err, hint: "hafence --help"}
	}
	if exit.err != nil {
		fmt.Fprintf(stderr, "hafence: %v\n", exit.err)
	}
	if exit.hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", exit.hint)
	}
	return exit.code
}

// exitError carries an exit code, and a hint for the user.
type exitError struct {
	code int
	err  error // nil: everything has been said
	hint string
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

func failed(err error, hint string) error { return &exitError{code: exitFailed, err: err, hint: hint} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hafence",
		Short: "keepalived whose MASTER must hold a lease",
		Long: `hafence reads keepalived.conf, speaks standard VRRP, and lets a node be MASTER
only while it holds a lease from a majority of its cluster. When the lease
lapses, the virtual IP addresses die on that node, even if every process of
hafence there is dead.`,
		SilenceErrors: true, SilenceUsage: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(newRun(), newController(), newChecker(), newCheck(), newStatus(), newKeygen(), newDemo(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "hafence", version)
			return err
		},
	}
}
