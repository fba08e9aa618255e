package demo

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/term"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
)

// What terminals understand (ECMA-48, and DEC's private modes): another screen,
// no cursor, no wrapped lines; home; clear to the end of the line and of the
// screen; bold, red, green, plain.
const (
	screenOpen  = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	screenClose = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	screenHome  = "\x1b[H"
	clearLine   = "\x1b[K"
	lineEnd     = clearLine + "\r\n"
	screenRest  = "\x1b[J"
	bold        = "\x1b[1m"
	red         = "\x1b[31m"
	green       = "\x1b[32m"
	plain       = "\x1b[0m"
)

// rowsDefault is the height of a terminal that doesn't tell.
const rowsDefault = 24

// stripLength is how many rounds the client's strip shows.
const stripLength = 100

// draw draws the screen in one write, so that it doesn't flicker.
func (l *live) draw() {
	now := boottime.Now()
	l.cluster.Observer.Forget(now.Add(-liveHistory))
	r := l.cluster.Observer.Record()
	l.measure(r, now)
	var b bytes.Buffer
	b.WriteString(screenHome)
	_, rows, err := term.GetSize(int(l.out.Fd()))
	if err != nil {
		rows = rowsDefault
	}
	b.WriteString(strings.Join(l.lines(r, now, rows), lineEnd) + clearLine)
	b.WriteString(screenRest)
	_, _ = l.out.Write(b.Bytes()) // a terminal that is gone will end us by a signal
}

// measure brings the figures of incidents up to date, until the next one or
// incidentLasts ends them.
func (l *live) measure(r *Record, now boottime.Instant) {
	for i := range l.timeline {
		in := &l.timeline[i]
		until := min(now, in.at.Add(incidentLasts))
		if i+1 < len(l.timeline) {
			until = min(until, l.timeline[i+1].at)
		}
		if now.Sub(in.at) > liveHistory {
			continue // the record begins later
		}
		w := window{from: in.at, to: until}
		in.outage, in.dual = r.outage(w), r.dualAnswer(w)
		if in.node >= 0 {
			in.stale = r.untilSilent(in.node, w)
		}
	}
}

// lines are what is shown on so many rows. Where they are too few, the oldest
// incidents are left out.
func (l *live) lines(r *Record, now boottime.Instant, rows int) []string {
	lines := []string{
		bold + "hafence demo" + plain + fmt.Sprintf("   three nodes, one VIP %v, lease_ttl %v", vip, l.cluster.TTL()),
		fmt.Sprintf("%-5s %-13s %-10s %-9s %-6s %-8s %s", "NODE", "ADDRESS", "STATE", "ANSWERS", "VIP", "SESSION", "WHY"),
	}
	for _, n := range l.cluster.Nodes {
		lines = append(lines, l.nodeLine(n, r, now))
	}
	lines = append(lines, l.leaseLine(), "client  "+strip(r, now), "",
		fmt.Sprintf("%10s %12s %10s   %s", "OUTAGE", "TWO ANSWER", "STALE VIP", "WHAT HAPPENED"))
	keys := l.keys()
	shown := l.timeline
	if room := max(rows-len(lines)-len(keys), 1); len(shown) > room {
		shown = shown[len(shown)-room:]
	}
	for _, in := range shown {
		lines = append(lines, incidentLine(in, now))
	}
	return append(lines, keys...)
}

// keys are the last lines: what can be pressed, and what went wrong.
func (l *live) keys() []string {
	lines := []string{""}
	for i, f := range Faults {
		lines = append(lines, fmt.Sprintf("  %s%d%s  %s", bold, i+1, plain, f.Title))
	}
	state := ""
	switch {
	case l.trouble != "":
		state = red + l.trouble + plain
	case l.undo != nil:
		state = "this lasts a few seconds"
	}
	return append(lines, fmt.Sprintf("  %sh%s  heal everything   %sq%s  quit   %s", bold, plain, bold, plain, state))
}

func (l *live) nodeLine(n *Node, r *Record, now boottime.Instant) string {
	state, why, left := "-", "no answer on its status socket", "-"
	if !n.Running() {
		why = "hafence is not running"
	}
	if own := l.own(n); own != nil {
		left = fmt.Sprintf("%.1f s", own.TimeLeft)
		for _, g := range own.Groups {
			state, why = g.State, g.Reason
		}
	}
	answers, address := "no", "no"
	if n.AnswersAt(r, now) {
		answers = "yes"
	}
	if n.HasAddress(r) {
		address = "yes"
	}
	line := fmt.Sprintf("%-5s %-13v %-10s %-9s %-6s %-8s %s", n.Name, n.Address, state, answers, address, left, clip(why))
	if answers == "yes" {
		return green + line + plain
	}
	return line
}

// own is a node's account of itself.
func (l *live) own(n *Node) *status.Node {
	if l.statuses[n.Index] == nil {
		return nil
	}
	seen := l.statuses[n.Index]
	for i := range seen.Nodes {
		if seen.Nodes[i].Name == n.Name {
			return &seen.Nodes[i]
		}
	}
	return nil
}

// leaseLine is what the majority says.
func (l *live) leaseLine() string {
	for _, seen := range l.statuses {
		if seen == nil || !seen.Quorum || len(seen.Groups) != 1 {
			continue
		}
		g := seen.Groups[0]
		holder := g.Holder
		if holder == "" {
			holder = "nobody"
		}
		return fmt.Sprintf("lease   %s%s%s holds it, token %s%d%s; Raft leader %s, term %d", bold, holder, plain, bold, g.Token, plain, seen.Leader, seen.Term)
	}
	return red + "lease   no quorum" + plain
}

// strip is the client's last second, one character a probe: the number of the
// node that answered, or a dot.
func strip(r *Record, now boottime.Instant) string {
	var b strings.Builder
	probes := r.Probes
	if len(probes) > stripLength {
		probes = probes[len(probes)-stripLength:]
	}
	for _, p := range probes {
		switch {
		case p.Answered != 0:
			fmt.Fprint(&b, p.Node+1)
		case now.Sub(p.Sent) < 5*Round:
			b.WriteByte(' ') // may still be answered
		default:
			b.WriteByte('.')
		}
	}
	return b.String()
}

func incidentLine(in incident, now boottime.Instant) string {
	dual := fmt.Sprintf("%12s", ms(milliseconds(in.dual)))
	if in.dual > 0 {
		dual = red + dual + plain
	}
	return fmt.Sprintf("%10s %s %10s   %.0f s ago: %s", ms(milliseconds(in.outage)), dual, ms(milliseconds(in.stale)), now.Sub(in.at).Seconds(), in.title)
}

// whyMax keeps a line on one line of most terminals.
const whyMax = 60

func clip(text string) string {
	if runes := []rune(text); len(runes) > whyMax {
		return string(runes[:whyMax-1]) + "…"
	}
	return text
}
