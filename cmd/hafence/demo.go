package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hafence/hafence/internal/demo"
)

// demoFlags are the flags of `hafence demo`.
type demoFlags struct {
	script, asJSON bool
	ttl            float64
	repeat         int
	keepLogs       string
	service        string // method of forwarding
	ungated        bool
}

func newDemo() *cobra.Command {
	var flags demoFlags
	cmd := &cobra.Command{
		Use: "demo", Short: "Run three nodes here, break them, and watch one VIP", Args: cobra.NoArgs,
		Long: `Builds three nodes and a client out of network namespaces, with real VRRP, Raft,
addresses and nftables, and lets you take the MASTER away in every nasty way. It
touches nothing of this host's network and leaves nothing behind. Needs root.

With --script it tells the whole story by itself and judges it from outside: for
each step the client's outage, the time in which two nodes answered (never), for
how long a dead node went on answering, and the fencing token.
Exit codes: 0 every promise was kept, 1 not, or it could not be told, 2 wrong usage.`,
		Example: "  hafence demo\n  hafence demo --script",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			if err := flags.check(); err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			if flags.service != "" {
				return tellService(ctx, cmd.OutOrStdout(), flags)
			}
			if !flags.script {
				return watchDemo(ctx, flags)
			}
			return tellDemo(ctx, cmd.OutOrStdout(), flags)
		},
	}
	cmd.Flags().BoolVar(&flags.script, "script", false, "tell the story without a terminal")
	cmd.Flags().BoolVar(&flags.asJSON, "json", false, "with --script: print JSON")
	cmd.Flags().Float64Var(&flags.ttl, "ttl", demo.DefaultTTL.Seconds(), "lease_ttl in `SECONDS`")
	cmd.Flags().IntVar(&flags.repeat, "repeat", 1, "with --script: tell the story `N` times and print medians")
	cmd.Flags().StringVar(&flags.service, "service", "", "tell the story of a virtual server with two real ones instead, forwarded by `METHOD`: NAT, DR or TUN; needs IPVS (make demo-lvs brings a kernel along)")
	cmd.Flags().BoolVar(&flags.ungated, "ungated", false, "do without the packet gate, on a kernel that lacks nf_tables for ip and arp")
	cmd.Flags().StringVar(&flags.keepLogs, "keep-logs", "", "copy the nodes' logs to `DIR` at the end")
	return cmd
}

const (
	repeatMax = 1000
	ttlMin    = 0.75 // seconds, of lease_ttl
	ttlMax    = 60
)

func (f demoFlags) check() error {
	switch {
	case f.ttl < ttlMin || f.ttl > ttlMax:
		return fmt.Errorf("demo: --ttl %g is not within %g and %d seconds", f.ttl, ttlMin, ttlMax)
	case f.repeat < 1 || f.repeat > repeatMax:
		return fmt.Errorf("demo: --repeat %d is not within 1 and %d", f.repeat, repeatMax)
	case f.service != "" && !slices.Contains([]string{"NAT", "DR", "TUN"}, f.service):
		return fmt.Errorf("demo: --service %q is none of NAT, DR and TUN", f.service)
	case f.service != "" && f.repeat != 1:
		return errors.New("demo: --repeat and --service do not go together")
	case !f.script && f.service == "" && (f.asJSON || f.repeat != 1):
		return errors.New("demo: --json and --repeat are for --script")
	}
	return nil
}

func (f demoFlags) open(keepLogs string) (*demo.Cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, failed(fmt.Errorf("demo: find this program: %w", err), "")
	}
	cluster, err := demo.Open(demo.Options{Program: self, TTL: time.Duration(f.ttl * float64(time.Second)), KeepLog: keepLogs, Service: f.virtualServer(), Ungated: f.ungated})
	var missing *demo.Missing
	if errors.As(err, &missing) {
		return nil, failed(fmt.Errorf("demo: %w", err), missing.Hint)
	}
	if err != nil {
		return nil, failed(fmt.Errorf("demo: %w", err), "")
	}
	return cluster, nil
}

// virtualServer is what --service asks for.
func (f demoFlags) virtualServer() *demo.Service {
	if f.service == "" {
		return nil
	}
	return &demo.Service{Method: f.service}
}

// tellService tells the story of a virtual server.
func tellService(ctx context.Context, out io.Writer, flags demoFlags) (err error) {
	cluster, err := flags.open(flags.keepLogs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	told := func(s demo.ServiceStep) { demo.WriteServiceStep(out, s) }
	if flags.asJSON {
		told = nil
	} else {
		demo.WriteServiceHeader(out)
	}
	report, err := demo.RunService(ctx, cluster, told)
	if flags.asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = errors.Join(err, encoder.Encode(report))
	}
	if err != nil {
		return failed(fmt.Errorf("demo: %w", err), "hafence demo --keep-logs DIR keeps the nodes' logs")
	}
	if !report.OK {
		return failed(errors.New("demo: a promise was broken"), "hafence demo --keep-logs DIR keeps the nodes' logs")
	}
	return nil
}

func watchDemo(ctx context.Context, flags demoFlags) (err error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return &exitError{code: exitUsage, err: errors.New("demo: no terminal"), hint: "hafence demo --script tells the story without one"}
	}
	cluster, err := flags.open(flags.keepLogs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	return demo.Live(ctx, cluster, os.Stdin, os.Stdout)
}

func tellDemo(ctx context.Context, out io.Writer, flags demoFlags) error {
	var runs []*demo.Report
	var err error
	for i := range flags.repeat {
		var report *demo.Report
		if report, err = tellOnce(ctx, out, flags, i); report != nil {
			runs = append(runs, report)
		}
		if err != nil {
			break
		}
	}
	if len(runs) == 0 || ctx.Err() != nil {
		return err
	}
	sum := demo.Medians(runs)
	if writeErr := flags.write(out, sum); writeErr != nil {
		return failed(fmt.Errorf("demo: %w", writeErr), "")
	}
	if !sum.OK || err != nil {
		return &exitError{code: exitFailed, err: errors.Join(errors.New("demo: not every promise was kept"), err)}
	}
	return nil
}

func (f demoFlags) write(out io.Writer, sum *demo.Report) error {
	if f.asJSON {
		return demo.WriteJSON(out, sum)
	}
	if f.repeat > 1 {
		fmt.Fprintln(out)
		demo.WriteHeader(out)
		for _, s := range sum.Steps {
			demo.WriteStep(out, s)
		}
	}
	demo.WriteClosing(out, sum)
	return nil
}

// tellOnce builds a cluster, tells the story, and leaves nothing behind, but the
// logs when they are wanted or the story went wrong.
func tellOnce(ctx context.Context, out io.Writer, flags demoFlags, run int) (*demo.Report, error) {
	keep := flags.keepLogs
	if keep != "" && flags.repeat > 1 {
		keep = filepath.Join(keep, strconv.Itoa(run+1))
	}
	cluster, err := flags.open(keep)
	if err != nil {
		return nil, err
	}
	if !flags.asJSON {
		demo.WriteHeader(out)
	}
	// What went wrong is in the report as well.
	report, _ := demo.Run(ctx, cluster, func(s demo.Step) {
		if !flags.asJSON {
			demo.WriteStep(out, s)
		}
	})
	switch {
	case ctx.Err() != nil:
		err = failed(errors.New("demo: interrupted"), "")
	case !report.OK && keep == "":
		var dir string
		if dir, err = os.MkdirTemp("", "hafence-logs-"); err == nil {
			err = cluster.CopyLogs(dir)
		}
		report.Logs = dir
	default:
		report.Logs = keep
	}
	if closeErr := cluster.Close(); closeErr != nil {
		err = errors.Join(err, failed(fmt.Errorf("demo: clean up: %w", closeErr), ""))
	}
	return report, err
}
