package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/internal/status"
)

const (
	statusTimeout = 5 * time.Second
	watchInterval = time.Second
	clearScreen   = "\x1b[H\x1b[2J"
)

func newStatus() *cobra.Command {
	var socket string
	var asJSON, watch, servers bool
	cmd := &cobra.Command{
		Use: "status", Short: "Say who is MASTER, and why", Args: cobra.NoArgs,
		Long: `Asks this host's node for the whole cluster: whether there is a quorum, who holds
what and for how long, each node's state and why it is in it, and what is wrong;
and this host's virtual servers. With --servers these alone, one by one, with the
last results of what is down.
Exit codes: 0 there is a quorum, 1 the node could not be asked, 3 there is none.`,
		Example: "  hafence status --watch\n  hafence status --servers",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			for {
				show := showStatus
				if servers {
					show = showServers
				}
				err := show(ctx, cmd, view{socket: socket, asJSON: asJSON, clear: watch})
				if !watch || ctx.Err() != nil {
					return err
				}
				if err != nil && !errors.Is(err, errNoQuorum) {
					fmt.Fprintln(cmd.ErrOrStderr(), "hafence:", err)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(watchInterval):
				}
			}
		},
	}
	cmd.Flags().StringVar(&socket, "socket", config.DefaultSocket, "the node's status socket")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&servers, "servers", false, "show virtual servers, real servers and their checks")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second")
	return cmd
}

var errNoQuorum = errors.New("no quorum")

// summarise adds a line about this host's virtual servers, where it has any.
func summarise(ctx context.Context, out io.Writer, socket string, cluster *status.Cluster) error {
	own := slices.IndexFunc(cluster.Nodes, func(n status.Node) bool { return n.Name == cluster.SeenFrom })
	if own < 0 || cluster.Nodes[own].VirtualServers == 0 {
		return nil
	}
	servers, err := status.FetchServers(ctx, status.ServersSocket(socket))
	if err != nil {
		_, err = fmt.Fprintf(out, "\nvirtual servers: %d   THE CHECKER DOES NOT ANSWER: IPVS stays as it last was (%v)\n", cluster.Nodes[own].VirtualServers, err)
		return err
	}
	return status.RenderSummary(out, servers)
}

// view is what to show, and how.
type view struct {
	socket        string
	asJSON, clear bool
}

// show writes what was told: as JSON, or for people by means of render.
func (v view) show(out io.Writer, told any, render func() error) error {
	if v.asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(told)
	}
	if v.clear {
		fmt.Fprint(out, clearScreen)
	}
	return render()
}

func showServers(ctx context.Context, cmd *cobra.Command, v view) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	servers, err := status.FetchServers(ctx, status.ServersSocket(v.socket))
	if err != nil {
		return failed(err, "are there virtual servers in the configuration? IPVS stays as it is while the checker is away")
	}
	out := cmd.OutOrStdout()
	return v.show(out, servers, func() error { return status.RenderServers(out, servers) })
}

func showStatus(ctx context.Context, cmd *cobra.Command, v view) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	cluster, err := status.Fetch(ctx, v.socket)
	if err != nil {
		return failed(err, "is hafence running on this host? systemctl status hafence; another socket: hafence status --socket PATH")
	}
	out := cmd.OutOrStdout()
	err = v.show(out, cluster, func() error {
		if err := status.Render(out, cluster); err != nil {
			return err
		}
		return summarise(ctx, out, v.socket, cluster)
	})
	if err == nil && !cluster.Quorum {
		return &exitError{code: exitNotSo, err: errNoQuorum, hint: "a majority of the nodes must be up and reach each other"}
	}
	return err
}
