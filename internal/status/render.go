package status

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Render writes the cluster for people: first whether all is well, then who holds
// what, then each node and why it is in its state.
func Render(w io.Writer, c *Cluster) error {
	if _, err := fmt.Fprintln(w, headline(c)); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nGROUP\tMASTER\tTOKEN\tLEASE LEFT\tVIPS")
	for _, g := range c.Groups {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", g.Name, master(c, g), g.Token, left(g.TimeLeft), strings.Join(g.VIPs, " "))
	}
	fmt.Fprintln(t, "\nNODE\tSESSION\tLEFT\tFENCING\tGROUP\tSTATE\tSINCE\tWHY")
	for _, n := range c.Nodes {
		renderNode(t, n)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(c.Warnings) > 0 {
		fmt.Fprintln(w, "\nWARNINGS")
		for _, text := range c.Warnings {
			fmt.Fprintln(w, "  "+text)
		}
	}
	return nil
}

func headline(c *Cluster) string {
	up := 0
	for _, n := range c.Nodes {
		if n.Reachable {
			up++
		}
	}
	switch {
	case c.Mode == "plain":
		return fmt.Sprintf("%s: plain VRRP, no lease (consensus off): a partition can make two nodes MASTER", c.SeenFrom)
	case !c.Quorum:
		return fmt.Sprintf("NO QUORUM, as seen from %s: %s. Nothing can become MASTER here, and what is below may be out of date. %d of %d nodes answer.",
			c.SeenFrom, cmp.Or(c.Trouble, "no majority of the voters answers"), up, len(c.Nodes))
	}
	return fmt.Sprintf("quorum: yes   leader: %s (term %d)   nodes: %d of %d answer   seen from: %s",
		cmp.Or(c.Leader, "being elected"), c.Term, up, len(c.Nodes), c.SeenFrom)
}

// master names the holder, and says so when it holds without being MASTER.
func master(c *Cluster, g Group) string {
	if g.Holder == "" {
		return "nobody"
	}
	name := g.Holder
	for _, n := range c.Nodes {
		for _, l := range n.Groups {
			if n.Name == g.Holder && l.Group == g.Name && l.State != "MASTER" {
				name += " (holds the lease, is " + l.State + ")"
			}
		}
		if n.Name == g.Holder && !n.Reachable {
			name += " (not reached)"
		}
	}
	if g.WantedBy != "" {
		name += ", wanted by " + g.WantedBy
	}
	return name
}

func renderNode(w io.Writer, n Node) {
	name := n.Name
	if n.Witness {
		name += " (witness)"
	}
	if !n.Reachable {
		fmt.Fprintf(w, "%s\t-\t-\t-\t-\tUNREACHABLE\t-\t%s\n", name, n.Error)
		return
	}
	session, remains := cmp.Or(n.Session, "none"), left(n.TimeLeft)
	if len(n.Groups) == 0 {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t-\t-\t-\t%s\n", name, session, remains, n.Layers, n.Trouble)
	}
	for i, l := range n.Groups {
		if i > 0 {
			fmt.Fprintf(w, "\t\t\t\t%s\t%s\t%s\t%s\n", l.Group, l.State, since(l.Since), l.Reason)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, session, remains, n.Layers, l.Group, l.State, since(l.Since), l.Reason)
	}
}

// String names the armed layers.
func (l Layers) String() string {
	var armed []string
	for _, layer := range []struct {
		name string
		on   bool
	}{{"guard", l.Guard}, {"gate", l.Gate}, {"lifetime", l.Lifetime}, {"watchdog", l.Watchdog}} {
		if layer.on {
			armed = append(armed, layer.name)
		}
	}
	if len(armed) == 0 {
		return "none"
	}
	return strings.Join(armed, "+")
}

func left(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", seconds)
}

func since(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", seconds)
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

// Sort puts groups and nodes in the order of their names.
func (c *Cluster) Sort() {
	slices.SortFunc(c.Groups, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
}
