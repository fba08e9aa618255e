package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
)

const (
	drawInterval   = 250 * time.Millisecond
	statusInterval = 500 * time.Millisecond
	liveHistory    = time.Minute // of observations
	incidentLasts  = liveHistory / 2
	timelineMax    = 12   // incidents that are kept
	interruptKey   = 0x03 // Ctrl-C on a raw terminal
)

// Live shows the cluster on a terminal and does what keys say, until q or the
// end of ctx. The terminal is as before when it returns.
func Live(ctx context.Context, c *Cluster, in, out *os.File) error {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("use the terminal: %w", err)
	}
	fmt.Fprint(out, screenOpen)
	defer func() {
		fmt.Fprint(out, screenClose)
		_ = term.Restore(int(in.Fd()), before)
	}()
	began := boottime.Now()
	if err := c.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &live{cluster: c, out: out, statuses: make([]*status.Cluster, len(c.Nodes)), statusC: make(chan nodeStatus)}
	l.timeline = []incident{{title: "three nodes were started from nothing", at: began, node: -1}}
	for _, n := range c.Nodes {
		go l.followStatus(ctx, n)
	}
	return l.run(ctx, readKeys(ctx, in))
}

// readKeys passes keys on. The goroutine ends with the first key after ctx has
// ended, or with the process: a read of a terminal can't be called off.
func readKeys(ctx context.Context, in io.Reader) <-chan byte {
	keyC := make(chan byte)
	go func() {
		key := make([]byte, 1)
		for {
			if _, err := in.Read(key); err != nil {
				key[0] = 'q'
			}
			select {
			case keyC <- key[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return keyC
}

// live is the view. Its goroutine is the only one that touches the cluster.
type live struct {
	cluster  *Cluster
	out      *os.File
	statuses []*status.Cluster // by node; nil: no answer
	statusC  chan nodeStatus
	undo     func() error // ends the fault that lasts; nil: there is none
	undoC    <-chan time.Time
	timeline []incident
	trouble  string
}

// nodeStatus is what a node said; nil: nothing.
type nodeStatus struct {
	node   int
	status *status.Cluster
}

// incident is a line of the timeline.
type incident struct {
	title               string
	at                  boottime.Instant
	node                int // that it struck; -1: none
	outage, dual, stale time.Duration
}

func (l *live) run(ctx context.Context, keyC <-chan byte) error {
	ticker := time.NewTicker(drawInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-keyC:
			if key == 'q' || key == interruptKey {
				return nil
			}
			l.pressed(ctx, key)
		case <-l.undoC:
			l.do(l.undo)
			l.undo, l.undoC = nil, nil
		case seen := <-l.statusC:
			l.statuses[seen.node] = seen.status
		case <-ticker.C:
		}
		l.draw()
	}
}

// pressed does what a key says, one thing at a time.
func (l *live) pressed(ctx context.Context, key byte) {
	l.trouble = ""
	i := int(key) - '1'
	switch {
	case key == 'h':
		l.undo, l.undoC = nil, nil
		l.say("healed: cables, filters, processes", -1)
		l.do(func() error { return l.cluster.Heal(ctx) })
	case l.undo != nil:
		l.trouble = "one thing at a time"
	case i >= 0 && i < len(Faults):
		l.fault(Faults[i])
	}
}

// fault injects a fault into the node that answers; the last one brings back the
// preferred node.
func (l *live) fault(f Fault) {
	node := l.master()
	if f.brings {
		node = l.cluster.Nodes[0]
	}
	if node == nil {
		l.trouble = "nobody is MASTER; h heals everything"
		return
	}
	if f.brings && node.Running() {
		l.trouble = node.Name + " has not been taken away: 1 stops it"
		return
	}
	struck := node.Index
	if !f.strike {
		struck = -1
	}
	l.say(f.Title+" ("+node.Name+")", struck)
	l.do(func() error { return f.inject(l.cluster, node) })
	if f.undo != nil {
		l.undo = func() error { return f.undo(node) }
		l.undoC = time.After(f.lasts)
	}
}

// do does something short.
func (l *live) do(what func() error) {
	if err := what(); err != nil {
		l.trouble = err.Error()
	}
}

func (l *live) say(title string, node int) {
	l.timeline = append(l.timeline, incident{title: title, at: boottime.Now(), node: node})
	if extra := len(l.timeline) - timelineMax; extra > 0 {
		l.timeline = slices.Delete(l.timeline, 0, extra)
	}
}

// master is the node that answered the client last, lately.
func (l *live) master() *Node {
	r, now := l.cluster.Observer.Record(), boottime.Now()
	for i := len(r.Probes) - 1; i >= 0; i-- {
		if p := r.Probes[i]; p.Answered != 0 && now.Sub(p.Answered) < answerPatience {
			return l.cluster.Nodes[p.Node]
		}
	}
	return nil
}

// followStatus asks a node for its own account, again and again.
func (l *live) followStatus(ctx context.Context, n *Node) {
	for ctx.Err() == nil {
		seen, err := n.Status(ctx)
		if err != nil {
			seen = nil
		}
		select {
		case l.statusC <- nodeStatus{n.Index, seen}:
		case <-ctx.Done():
		}
		_ = sleep(ctx, statusInterval)
	}
}
