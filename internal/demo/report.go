package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Step is one step of the story as it was measured. Times are milliseconds.
type Step struct {
	Name        string  `json:"name"`
	Outage      float64 `json:"outage_ms"`
	DualAnswer  float64 `json:"dual_answer_ms"`
	DualAddress float64 `json:"dual_address_ms"`
	Stale       float64 `json:"stale_ms"`
	From        string  `json:"from"` // who answered before, "" for nobody
	To          string  `json:"to"`
	TokenBefore uint64  `json:"token_before"`
	TokenAfter  uint64  `json:"token_after"`
	OK          bool    `json:"ok"`
}

// Report is what the story came to. The JSON form is stable: fields are added,
// never renamed or given another meaning.
type Report struct {
	Steps    []Step   `json:"steps"`
	OK       bool     `json:"ok"`
	LeaseTTL float64  `json:"lease_ttl"`          // seconds
	Problems []string `json:"problems,omitempty"` // what was broken, each with its step
	Logs     string   `json:"logs,omitempty"`     // where the nodes' logs are
	Runs     [][]Step `json:"runs,omitempty"`     // of several runs, each one's steps; Steps are then medians
}

// Medians sums several runs up: each figure is the median of its step's, but for
// dual_answer_ms, which is the worst; a step is ok when all were.
func Medians(runs []*Report) *Report {
	if len(runs) == 1 {
		return runs[0]
	}
	sum := &Report{OK: true}
	for i, r := range runs {
		sum.OK = sum.OK && r.OK
		sum.LeaseTTL, sum.Logs = r.LeaseTTL, cmp.Or(sum.Logs, r.Logs)
		sum.Runs = append(sum.Runs, r.Steps)
		for _, p := range r.Problems {
			sum.Problems = append(sum.Problems, fmt.Sprintf("run %d: %s", i+1, p))
		}
		for _, s := range r.Steps {
			if !slices.ContainsFunc(sum.Steps, func(t Step) bool { return t.Name == s.Name }) {
				sum.Steps = append(sum.Steps, s)
			}
		}
	}
	for i := range sum.Steps {
		sum.Steps[i] = medianStep(sum.Steps[i].Name, runs)
	}
	return sum
}

func medianStep(name string, runs []*Report) Step {
	var same []Step
	for _, r := range runs {
		for _, s := range r.Steps {
			if s.Name == name {
				same = append(same, s)
			}
		}
	}
	of := func(figure func(Step) float64) float64 {
		var all []float64
		for _, s := range same {
			all = append(all, figure(s))
		}
		slices.Sort(all)
		return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	}
	sum := same[len(same)-1]
	sum.Outage = of(func(s Step) float64 { return s.Outage })
	sum.DualAddress = of(func(s Step) float64 { return s.DualAddress })
	sum.Stale = of(func(s Step) float64 { return s.Stale })
	for _, s := range same {
		sum.DualAnswer = max(sum.DualAnswer, s.DualAnswer)
		sum.OK = sum.OK && s.OK
	}
	return sum
}

// row is the shape of the table's lines.
const row = "%-23s %10s %12s %13s %10s   %-9s %-9s %s\n"

// WriteHeader writes the table's first line.
func WriteHeader(w io.Writer) {
	fmt.Fprintf(w, row, "STEP", "OUTAGE", "TWO ANSWER", "TWO ADDRESSES", "STALE VIP", "MASTER", "TOKEN", "")
}

// WriteStep writes one line of the table.
func WriteStep(w io.Writer, s Step) {
	verdict := "ok"
	if !s.OK {
		verdict = "BROKEN"
	}
	fmt.Fprintf(w, row, s.Name, ms(s.Outage), ms(s.DualAnswer), ms(s.DualAddress), ms(s.Stale),
		fmt.Sprintf("%s > %s", cmp.Or(s.From, "-"), cmp.Or(s.To, "-")), fmt.Sprintf("%d > %d", s.TokenBefore, s.TokenAfter), verdict)
}

func ms(f float64) string { return fmt.Sprintf("%.1f ms", f) }

// WriteClosing writes what it came to.
func WriteClosing(w io.Writer, r *Report) {
	for _, p := range r.Problems {
		fmt.Fprintln(w, p)
	}
	if r.Logs != "" {
		fmt.Fprintln(w, "the nodes' logs:", r.Logs)
	}
	if len(r.Runs) > 0 {
		fmt.Fprintf(w, "medians of %d runs; TWO ANSWER is the worst\n", len(r.Runs))
	}
	if r.OK {
		fmt.Fprintf(w, "every promise was kept: never two answers, tokens rose, no stale VIP (lease_ttl %g s)\n", r.LeaseTTL)
		return
	}
	fmt.Fprintln(w, strings.ToUpper("a promise was broken"))
}

// WriteJSON writes the report in its stable form.
func WriteJSON(w io.Writer, r *Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
