package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hafence/hafence/internal/demo"
)

const (
	settleTime = 10 * time.Second // after the first MASTER: the leader moves, bursts end
	clockTicks = 100              // of /proc/PID/stat a second (USER_HZ)
)

// restNode is what one node costs while nothing happens.
type restNode struct {
	Name    string  `json:"name"`
	Leader  bool    `json:"leader"` // of Raft
	Master  bool    `json:"master"`
	CPU     float64 `json:"cpu"`     // % of one core, all processes
	RSS     float64 `json:"rss"`     // MB, all processes
	Written float64 `json:"written"` // kB, all processes
}

// atRest measures a cluster of its own while nothing happens.
func atRest(ctx context.Context, options demo.Options, d time.Duration) ([]restNode, error) {
	cluster, err := demo.Open(options)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	if err := cluster.Start(); err != nil {
		return nil, err
	}
	if err := wait(ctx, settleTime); err != nil {
		return nil, err
	}
	before, err := usages(cluster)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, d); err != nil {
		return nil, err
	}
	after, err := usages(cluster)
	if err != nil {
		return nil, err
	}
	seen, err := cluster.Nodes[0].Status(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []restNode
	for i, n := range cluster.Nodes {
		nodes = append(nodes, restNode{
			Name: n.Name, Leader: seen.Leader == n.Name, Master: len(seen.Groups) > 0 && seen.Groups[0].Holder == n.Name,
			CPU:     100 * float64(after[i].ticks-before[i].ticks) / clockTicks / d.Seconds(),
			RSS:     float64(after[i].rss) / 1e6,
			Written: float64(after[i].written-before[i].written) / 1e3,
		})
	}
	return nodes, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}

// usage is what a node's processes have used since they began.
type usage struct{ ticks, rss, written uint64 }

func usages(cluster *demo.Cluster) ([]usage, error) {
	var all []usage
	for _, n := range cluster.Nodes {
		pids, err := n.Processes()
		if err != nil {
			return nil, err
		}
		var sum usage
		for _, pid := range pids {
			u, err := usageOf(pid)
			if err != nil {
				return nil, fmt.Errorf("read what %s uses: %w", n.Name, err)
			}
			sum.ticks, sum.rss, sum.written = sum.ticks+u.ticks, sum.rss+u.rss, sum.written+u.written
		}
		all = append(all, sum)
	}
	return all, nil
}

// usageOf reads proc(5): utime and stime are fields 14 and 15 of stat, the
// resident pages field 2 of statm.
func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // field 3 first
	utime, err1 := strconv.ParseUint(fields[11], 10, 64)
	stime, err2 := strconv.ParseUint(fields[12], 10, 64)
	statm, err3 := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err := errors.Join(err1, err2, err3); err != nil {
		return usage{}, err
	}
	pages, err := strconv.ParseUint(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		return usage{}, err
	}
	written, err := writtenBy(pid)
	return usage{ticks: utime + stime, rss: pages * uint64(os.Getpagesize()), written: written}, err
}

// writtenBy is what a process has caused to be sent to the storage layer.
func writtenBy(pid int) (uint64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "write_bytes: "); ok {
			return strconv.ParseUint(value, 10, 64)
		}
	}
	return 0, fmt.Errorf("no write_bytes in %s", file.Name())
}
