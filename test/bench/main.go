package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hafence/hafence/internal/demo"
)

// report is everything measured, and under which circumstances.
type report struct {
	Machine machine    `json:"machine"`
	TTL     float64    `json:"lease_ttl"` // seconds
	Runs    int        `json:"runs"`
	Rest    float64    `json:"rest"` // seconds at rest
	Figures []figure   `json:"figures"`
	Nodes   []restNode `json:"nodes"`
	Servers []figure   `json:"servers"` // of the checker
	OK      bool       `json:"ok"`      // no promise was broken in any run
}

// figure is one measured quantity.
type figure struct {
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
	Goal   float64 `json:"goal"` // of the median
	Unit   string  `json:"unit"`
	Note   string  `json:"note,omitempty"`
}

func main() {
	runs := flag.Int("runs", 20, "stories to tell")
	rest := flag.Duration("rest", 30*time.Second, "how long to watch a cluster at rest")
	ttl := flag.Duration("ttl", demo.DefaultTTL, "lease_ttl")
	part := flag.String("part", "all", "what to measure: all, servers or stories")
	program := flag.String("program", "bin/hafence", "the hafence program; hafence-guard is beside it")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := measure(ctx, *part, *program, *ttl, *runs, *rest)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if *asJSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(r)
	} else {
		err = r.print(os.Stdout)
	}
	if err != nil || !r.OK {
		os.Exit(1)
	}
}

func measure(ctx context.Context, part, program string, ttl time.Duration, runs int, rest time.Duration) (*report, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	r := &report{Machine: thisMachine(), TTL: ttl.Seconds(), Runs: runs, Rest: rest.Seconds(), OK: true}
	options := demo.Options{Program: program, TTL: ttl}
	if part != "stories" {
		if r.Servers, err = serverFigures(ctx, options, rest); err != nil {
			return nil, err
		}
	}
	if part == "servers" {
		return r, nil
	}
	if r.Nodes, err = atRest(ctx, options, rest); err != nil {
		return nil, err
	}
	var stories []*demo.Report
	for n := range runs {
		story, err := tell(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("story %d of %d: %w", n+1, runs, err)
		}
		if !story.OK {
			r.OK = false
			fmt.Fprintf(os.Stderr, "bench: story %d of %d: %v\n", n+1, runs, story.Problems)
		}
		fmt.Fprintf(os.Stderr, "bench: story %d of %d told\n", n+1, runs)
		stories = append(stories, story)
	}
	r.Figures = append(outages(stories, ttl), restFigures(r.Nodes)...)
	return r, nil
}

// tell tells one story on a cluster of its own.
func tell(ctx context.Context, options demo.Options) (*demo.Report, error) {
	cluster, err := demo.Open(options)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	return demo.Run(ctx, cluster, func(demo.Step) {})
}

func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\nlease_ttl %g s, default settings otherwise; %d stories, %g s at rest\n\n", r.Machine, r.TTL, r.Runs, r.Rest)
	fmt.Fprintf(w, "%-44s %10s %10s %10s\n", "", "MEDIAN", "WORST", "GOAL")
	for _, f := range append(r.Servers, r.Figures...) {
		mark := "reached"
		if f.Median > f.Goal {
			mark = "missed"
		}
		if _, err := fmt.Fprintf(w, "%-44s %10.1f %10.1f %10.1f %-5s %s  %s\n", f.Name, f.Median, f.Worst, f.Goal, f.Unit, mark, f.Note); err != nil {
			return err
		}
	}
	return nil
}
