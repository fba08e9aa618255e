package main

import (
	"slices"
	"time"

	"github.com/hafence/hafence/internal/demo"
)

// The goals, of medians with default settings.
const (
	goalGraceful   = 50  // ms: graceful stop, handover, preemption
	goalController = 150 // ms: SIGKILL of the controller
	goalSlack      = 200 // ms beyond the TTL: SIGKILL or SIGSTOP of everything, cable cut
	goalStart      = 2000
	goalRSS        = 60  // MB of a node, all processes together
	goalLeaderCPU  = 5   // % of one core
	goalOtherCPU   = 2.5 // % of one core
)

// outages turns the stories' steps into figures.
func outages(stories []*demo.Report, ttl time.Duration) []figure {
	var figures []figure
	failover := milliseconds(ttl) + goalSlack
	goals := map[string]float64{
		"converge": goalStart, "graceful stop": goalGraceful, "preferred node returns": goalGraceful,
		"controller killed": goalController, "everything killed": failover, "everything frozen": failover,
		"cable cut": failover, "partition": failover, "VRRP blocked": 0,
	}
	for i, step := range stories[0].Steps {
		values := pick(stories, i, func(s demo.Step) float64 { return s.Outage })
		name, note := step.Name+": client outage", ""
		if step.Name == "converge" {
			name, note = "start of three nodes to a MASTER that answers", ""
		}
		figures = append(figures, newFigure(name, values, goals[step.Name], "ms", note))
	}
	var dual, stale []float64
	for i, step := range stories[0].Steps {
		dual = append(dual, slices.Max(pick(stories, i, func(s demo.Step) float64 { return s.DualAnswer })))
		if step.Name == "everything killed" || step.Name == "everything frozen" {
			stale = append(stale, pick(stories, i, func(s demo.Step) float64 { return s.Stale })...)
		}
	}
	return append(figures,
		newFigure("two nodes answering, worst of any step", dual, 0, "ms", ""),
		newFigure("dead node still answering", stale, milliseconds(ttl)/2, "ms", "since its death; its last renewal was before"))
}

func pick(stories []*demo.Report, step int, value func(demo.Step) float64) []float64 {
	var values []float64
	for _, s := range stories {
		if step < len(s.Steps) {
			values = append(values, value(s.Steps[step]))
		}
	}
	return values
}

func newFigure(name string, values []float64, goal float64, unit, note string) figure {
	return figure{Name: name, Median: median(values), Worst: slices.Max(values), Goal: goal, Unit: unit, Note: note}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// restFigures are the costs of a cluster at rest: the leader's, and the worst of
// the others'.
func restFigures(nodes []restNode) []figure {
	var leaderCPU, otherCPU, rss, written []float64
	for _, n := range nodes {
		if n.Leader {
			leaderCPU = append(leaderCPU, n.CPU)
		} else {
			otherCPU = append(otherCPU, n.CPU)
		}
		rss, written = append(rss, n.RSS), append(written, n.Written)
	}
	figures := []figure{
		newFigure("at rest: RSS of a node, all processes", rss, goalRSS, "MB", ""),
		newFigure("at rest: written to disk by a node", written, 0, "kB", ""),
	}
	if len(leaderCPU) > 0 {
		figures = append(figures, newFigure("at rest: CPU of the Raft leader's node", leaderCPU, goalLeaderCPU, "%", "of one core"))
	}
	if len(otherCPU) > 0 {
		figures = append(figures, newFigure("at rest: CPU of another node", otherCPU, goalOtherCPU, "%", "of one core"))
	}
	return figures
}
