package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/hafence/hafence/consensus/raftstore"
)

const keyFileMode = 0o600

func newKeygen() *cobra.Command {
	return &cobra.Command{
		Use: "keygen [FILE]", Short: "Make a cluster key", Args: cobra.MaximumNArgs(1),
		Long: `Makes the secret that the nodes of a cluster share, and writes it to FILE, which
must not exist, or to standard output. Copy it to every node; whoever has it can
join the cluster.`,
		Example: "  hafence keygen /etc/hafence/cluster.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			text := raftstore.NewClusterKey().Encode() + "\n"
			if len(args) == 0 {
				_, err := fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			return writeKey(args[0], text)
		},
	}
}

func writeKey(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFileMode)
	if errors.Is(err, fs.ErrExist) {
		return failed(fmt.Errorf("keygen: %s exists; a new key would lock this node out of its cluster", path), "remove the file first if that is what you want")
	}
	if err != nil {
		return failed(fmt.Errorf("keygen: %w", err), "")
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return failed(errors.Join(fmt.Errorf("keygen: write %s: %w", path, err), os.Remove(path)), "")
	}
	return nil
}
