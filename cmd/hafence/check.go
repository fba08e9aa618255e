package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hafence/hafence/config"
)

func newCheck() *cobra.Command {
	var load loadFlags
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Check a configuration and say what it does", Args: cobra.MaximumNArgs(1),
		Long: `Checks a configuration and prints every problem as file:line:column: message.
Exit codes: 0 it can be used, 1 it cannot, 2 wrong usage or no such file.`,
		Example: "  hafence check /etc/keepalived/keepalived.conf",
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd, fileArgument(args), load, asJSON, strict)
		},
	}
	load.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as JSON")
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as errors")
	return cmd
}

func check(cmd *cobra.Command, file string, load loadFlags, asJSON, strict bool) error {
	loaded, problems := config.Load(file, load.options())
	if asJSON {
		if err := printProblems(cmd, problems); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprintln(cmd.OutOrStdout(), p.WithHint())
		}
		if loaded != nil {
			fmt.Fprintln(cmd.OutOrStdout(), file+": "+config.Summary(loaded))
		}
	}
	switch {
	case loaded == nil && len(problems) == 1 && problems[0].Line == 0: // the file itself
		return &exitError{code: exitUsage}
	case loaded == nil, strict && len(problems) > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// problemJSON is a problem in the stable JSON form.
type problemJSON struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

func printProblems(cmd *cobra.Command, problems []config.Problem) error {
	list := []problemJSON{}
	for _, p := range problems {
		list = append(list, problemJSON{p.File, p.Line, p.Column, p.Severity.String(), p.Msg, p.Hint})
	}
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Problems []problemJSON `json:"problems"`
	}{list})
}
