package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
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
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Say who is MASTER, and why", Args: cobra.NoArgs,
		Long: `Asks this host's node for the whole cluster: whether there is a quorum, who holds
what and for how long, each node's state and why it is in it, and what is wrong.
Exit codes: 0 there is a quorum, 1 the node could not be asked, 3 there is none.`,
		Example: "  hafence status --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			for {
				err := showStatus(ctx, cmd, socket, asJSON, watch)
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
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second")
	return cmd
}

var errNoQuorum = errors.New("no quorum")

func showStatus(ctx context.Context, cmd *cobra.Command, socket string, asJSON, clear bool) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	cluster, err := status.Fetch(ctx, socket)
	if err != nil {
		return failed(err, "is hafence running on this host? systemctl status hafence; another socket: hafence status --socket PATH")
	}
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(cluster)
	default:
		if clear {
			fmt.Fprint(out, clearScreen)
		}
		err = status.Render(out, cluster)
	}
	if err == nil && !cluster.Quorum {
		return &exitError{code: exitNotSo, err: errNoQuorum, hint: "a majority of the nodes must be up and reach each other"}
	}
	return err
}
