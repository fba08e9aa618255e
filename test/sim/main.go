package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"time"
)

const (
	exitFine   = 0
	exitBroken = 1
	exitUsage  = 2
)

func main() { os.Exit(command()) }

func command() int {
	seed := flag.Uint64("seed", 1, "the seed to run, or the first of several")
	seeds := flag.Uint64("seeds", 1, "how many seeds to run, one after another")
	hours := flag.Float64("hours", 0, "virtual hours for each seed; at least one cycle is run")
	name := flag.String("variant", "none", "what is broken on purpose; \"list\" lists the variants")
	trace := flag.Bool("trace", false, "print what happens")
	flag.Parse()
	if *name == "list" {
		for _, v := range variants {
			fmt.Printf("%-20s %s\n", v.Name, v.Rule)
		}
		return exitFine
	}
	v, ok := variantNamed(*name)
	if !ok || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "sim: unknown variant or argument")
		fmt.Fprintln(os.Stderr, "hint: go run ./test/sim -variant list")
		return exitUsage
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for s := *seed; s < *seed+*seeds; s++ {
		began := time.Now()
		var o outcome
		if *trace {
			o = run(s, v, *hours, out)
		} else {
			o = run(s, v, *hours, nil)
		}
		took := time.Since(began)
		fmt.Fprintf(out, "seed %d: %.2f virtual hours, %d events, %.1f virtual hours/s, digest %016x, %+v\n",
			s, o.Virtual.Hours(), o.Events, o.Virtual.Hours()/took.Seconds(), o.Digest, o.Stats)
		if o.Broken != nil {
			fmt.Fprintf(out, "seed %d: %v\nreplay: go run ./test/sim -seed %d -hours %g -variant %s -trace\n", s, o.Broken, s, *hours, v.Name)
			return exitBroken
		}
		_ = out.Flush()
	}
	return exitFine
}
