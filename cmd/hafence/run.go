package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/checker"
	"github.com/hafence/hafence/internal/node"
)

const guardProgram = "hafence-guard"

// loadFlags are the flags of every command that reads a configuration.
type loadFlags struct{ node, id string }

func (f *loadFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.node, "node", "", "this node's name (default: \"node\" in the consensus block, or the short host name)")
	cmd.Flags().StringVarP(&f.id, "config-id", "i", "", "what @id lines are compared with (default: the short host name)")
}

func (f *loadFlags) options() config.Options { return config.Options{ID: f.id, Node: f.node} }

func (f *loadFlags) arguments() []string {
	var args []string
	if f.node != "" {
		args = append(args, "--node", f.node)
	}
	if f.id != "" {
		args = append(args, "--config-id", f.id)
	}
	return args
}

func fileArgument(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return config.DefaultPath
}

func newRun() *cobra.Command {
	var load loadFlags
	var runDir string
	cmd := &cobra.Command{
		Use: "run [FILE]", Short: "Run this node in the foreground", Args: cobra.MaximumNArgs(1),
		Long: `Runs this node in the foreground, for a service manager. The process becomes
hafence-guard, which starts the controller and holds the virtual IP addresses
for it. SIGTERM hands everything over and ends; SIGHUP reads FILE again.`,
		Example: "  hafence run /etc/hafence/hafence.conf",
		RunE: func(cmd *cobra.Command, args []string) error {
			return becomeGuard(cmd.ErrOrStderr(), fileArgument(args), load, runDir)
		},
	}
	load.register(cmd)
	cmd.Flags().StringVar(&runDir, "run-dir", "/run/hafence", "where the lock of this network namespace is kept")
	return cmd
}

// becomeGuard checks the configuration, so that a mistake is said here and not by
// a child, and replaces this process.
func becomeGuard(stderr io.Writer, file string, load loadFlags, runDir string) error {
	if os.Geteuid() != 0 {
		return failed(errors.New("run: not root; VRRP, addresses and nftables need CAP_NET_ADMIN and CAP_NET_RAW"), "sudo hafence run "+file)
	}
	loaded, problems := config.Load(file, load.options())
	if loaded == nil {
		for _, p := range problems {
			fmt.Fprintln(stderr, p.WithHint())
		}
		return &exitError{code: exitUsage, err: fmt.Errorf("run: %s cannot be used", file), hint: "hafence check " + file}
	}
	self, err := os.Executable()
	if err != nil {
		return failed(fmt.Errorf("run: find this program: %w", err), "")
	}
	program := filepath.Join(filepath.Dir(self), guardProgram)
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath(guardProgram); err != nil {
			return failed(fmt.Errorf("run: %s is neither beside %s nor in PATH", guardProgram, self), "install both programs into one directory")
		}
	}
	args := append([]string{program, "-run-dir", runDir, "--", self}, load.arguments()...)
	err = syscall.Exec(program, append(args, file), os.Environ())
	return failed(fmt.Errorf("run: start %s: %w", program, err), "")
}

// newController is the guard's child. Users don't call it.
func newController() *cobra.Command {
	var load loadFlags
	cmd := &cobra.Command{
		Use: "controller [FILE]", Hidden: true, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return control(cmd.ErrOrStderr(), fileArgument(args), load)
		},
	}
	load.register(cmd)
	return cmd
}

// newChecker is the guard's other child, where there are virtual servers. Users don't
// call it.
func newChecker() *cobra.Command {
	var load loadFlags
	cmd := &cobra.Command{
		Use: "checker [FILE]", Hidden: true, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runChecker(cmd.ErrOrStderr(), fileArgument(args), load)
		},
	}
	load.register(cmd)
	return cmd
}

func runChecker(stderr io.Writer, file string, load loadFlags) error {
	// One processor does ten thousand checks, and leaves the others to the guard and the
	// controller whatever happens here. It also costs a fifth less than two.
	runtime.GOMAXPROCS(1)
	logger := hclog.New(&hclog.LoggerOptions{Name: "checker", Output: stderr, Level: hclog.Info})
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	c, err := checker.Open(checker.Options{ConfigFile: file, Load: load.options(), GuardFD: guard.FD, Version: version, Logger: logger, DropRights: true})
	if err != nil {
		return failed(err, "")
	}
	go obey(signals, c)
	if err := c.Run(context.Background()); err != nil {
		return failed(err, "")
	}
	return nil
}

func control(stderr io.Writer, file string, load loadFlags) error {
	logger := hclog.New(&hclog.LoggerOptions{Name: "hafence", Output: stderr, Level: hclog.Info})
	// A terminal sends SIGINT to the guard, too, which then asks us to stop.
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	controller, err := node.Open(node.Options{ConfigFile: file, Load: load.options(), GuardFD: guard.FD, Version: version, Logger: logger})
	var bad *node.ConfigError
	if errors.As(err, &bad) {
		return &exitError{code: guard.ExitConfiguration, err: err}
	}
	if err != nil {
		return failed(err, "")
	}
	go obey(signals, controller)
	if err := controller.Run(context.Background()); err != nil {
		return failed(err, "")
	}
	return nil
}

// obey does what the guard asks for by signals.
func obey(signals <-chan os.Signal, child interface {
	Reload()
	Stop(cause string)
}) {
	for s := range signals {
		if s == syscall.SIGHUP {
			child.Reload()
		} else {
			child.Stop("stopped by SIGTERM")
		}
	}
}
