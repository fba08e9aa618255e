package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/vrrp"
)

// peerTimeout bounds how long a node that does not answer delays the status.
const peerTimeout = 400 * time.Millisecond

// report is the whole cluster as this node sees it: the table it knows, and every
// node's own account.
func (c *Controller) report(ctx context.Context) (*status.Cluster, error) {
	own, err := c.ownNode(ctx)
	if err != nil {
		return nil, err
	}
	cluster := &status.Cluster{
		Version: c.options.Version, SeenFrom: own.Name, Mode: "lease", Quorum: own.Quorum, Trouble: own.Trouble,
		LeaseTTL: c.consensus.LeaseTTL.Seconds(), Nodes: []status.Node{own}, Warnings: []string{},
	}
	if c.raft == nil {
		cluster.Mode = "plain"
	} else {
		state := c.raft.State()
		cluster.Leader, cluster.Term = state.Leader, state.Term
		cluster.Nodes = append(cluster.Nodes, c.peers(ctx)...)
	}
	cluster.Groups = groupsOf(c.store.Table(), cluster.Nodes)
	for _, n := range cluster.Nodes {
		for _, text := range n.Warnings {
			cluster.Warnings = append(cluster.Warnings, n.Name+": "+text)
		}
	}
	cluster.Sort()
	slices.Sort(cluster.Warnings)
	return cluster, nil
}

// peers asks every other node at one time.
func (c *Controller) peers(ctx context.Context) []status.Node {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	var nodes []status.Node
	for _, m := range c.consensus.Members {
		if m.Name != c.consensus.Node {
			nodes = append(nodes, status.Node{Name: m.Name, Witness: m.Witness})
		}
	}
	var wait sync.WaitGroup
	for n := range nodes {
		wait.Go(func() { nodes[n] = c.peer(ctx, nodes[n]) })
	}
	wait.Wait()
	return nodes
}

func (c *Controller) peer(ctx context.Context, n status.Node) status.Node {
	answer, err := c.raft.Query(ctx, n.Name, []byte(`"node"`))
	if err == nil {
		var told status.Node
		if err = json.Unmarshal(answer, &told); err == nil {
			told.Reachable = true
			return told
		}
	}
	n.Error = err.Error()
	return n
}

// query answers another node's question for this node's account.
func (c *Controller) query(ctx context.Context, _ []byte) ([]byte, error) {
	n, err := c.ownNode(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(n)
}

// groupsOf joins what the table says with what the nodes say.
func groupsOf(table *consensus.Table, nodes []status.Node) []status.Group {
	groups := []status.Group{}
	for _, name := range table.Groups() {
		lease := table.Lease(name)
		g := status.Group{Name: name, Holder: lease.Holder.Node, Token: uint64(lease.Token), WantedBy: lease.WantedBy.Node, VIPs: []string{}}
		for _, n := range nodes {
			i := slices.IndexFunc(n.Groups, func(l status.Local) bool { return l.Group == name })
			if i < 0 {
				continue
			}
			if len(g.VIPs) == 0 {
				g.VIPs = n.Groups[i].VIPs
			}
			if n.Name == g.Holder {
				g.TimeLeft = n.TimeLeft
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// ownNode asks the loop for this node's account.
func (c *Controller) ownNode(ctx context.Context) (status.Node, error) {
	answerC := make(chan status.Node, 1)
	select {
	case c.askC <- func() { answerC <- c.account(boottime.Now()) }:
		return <-answerC, nil
	case <-ctx.Done():
		return status.Node{}, fmt.Errorf("this node's controller is busy or not started yet: %w", ctx.Err())
	}
}

// account is this node's account of itself. Only the loop calls it.
func (c *Controller) account(now boottime.Instant) status.Node {
	n := c.core.account(now)
	n.Reachable, n.Version, n.Uptime = true, c.options.Version, now.Sub(c.started).Seconds()
	n.Witness = isWitness(c.config)
	if !n.Witness {
		n.VirtualServers = len(c.config.VirtualServers)
	}
	for _, m := range c.consensus.Members {
		if m.Name == n.Name {
			n.Address = m.Address.String()
		}
	}
	n.Layers = status.Layers{
		Guard: true, Gate: c.layers.Gate, Lifetime: c.layers.Lifetime, Watchdog: c.layers.Watchdog, MemoryLocked: c.layers.MemoryLocked,
		OOMProtected: c.layers.OOMProtected, RealtimePriority: c.layers.RealtimePriority, Missing: c.layers.Missing,
	}
	for _, l := range n.Groups {
		for i := range l.Instances {
			c.addCounts(&l.Instances[i])
		}
	}
	n.Warnings = append(n.Warnings, c.warnings()...)
	return n
}

func (c *Controller) addCounts(i *status.Instance) {
	r, ok := c.routers[i.Name]
	if !ok {
		return
	}
	i.Interface, i.Sent, i.Received = r.look.Name, r.sent, r.received
	for _, reason := range vrrp.DropReasons() {
		if n := r.filter.Drops(reason); n > 0 {
			if i.Dropped == nil {
				i.Dropped = map[string]uint64{}
			}
			i.Dropped[reason.String()] = n
		}
	}
}

// warnings are the node's own, beside its groups'.
func (c *Controller) warnings() []string {
	var texts []string
	for _, missing := range c.layers.Missing {
		texts = append(texts, "fencing layer missing: "+missing)
	}
	for _, caution := range c.layers.Cautions {
		texts = append(texts, "fencing: "+caution)
	}
	for _, missing := range c.rights.Missing {
		if !slices.Contains(c.layers.Missing, missing) {
			texts = append(texts, "the controller lacks "+missing)
		}
	}
	if problem := c.sync.problem(); problem != "" {
		texts = append(texts, "connections are not synchronised: "+problem)
	}
	if c.refused != "" {
		texts = append(texts, "the last reload was refused: "+c.refused)
	}
	if ago := boottime.Now().Sub(c.lateAt); c.late > 0 && ago < latenessMemory {
		texts = append(texts, fmt.Sprintf("this process was woken %v late %v ago: a paused or overloaded host", c.late.Round(time.Millisecond), ago.Round(time.Second)))
	}
	if c.raft == nil {
		return texts
	}
	state := c.raft.State()
	if state.DiskError != "" {
		texts = append(texts, "the data directory cannot be written: "+state.DiskError)
	}
	if state.DiskStalled != "" {
		texts = append(texts, "the data directory has not finished a write for "+state.DiskStalled)
	}
	texts = append(texts, state.Clocks...)
	if state.Refusal != "" {
		texts = append(texts, "a connection was refused: "+state.Refusal)
	}
	if members := c.memberNames(); !slices.Equal(slices.Sorted(slices.Values(state.Voters)), members) && len(state.Voters) > 0 {
		texts = append(texts, fmt.Sprintf("the cluster's voters are %s, the configuration's members are %s; the cluster's count",
			strings.Join(state.Voters, ", "), strings.Join(members, ", ")))
	}
	return texts
}

func (c *Controller) memberNames() []string {
	var names []string
	for _, m := range c.consensus.Members {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

// account is the core's part of this node's account.
func (c *Core) account(now boottime.Instant) status.Node {
	deadline, alive := c.holder.Alive(now)
	n := status.Node{Name: c.config.Node, Quorum: alive, Trouble: c.trouble}
	if session := c.holder.Session(); !session.IsZero() {
		n.Session = session.String()
	}
	switch {
	case alive:
		n.TimeLeft = deadline.Sub(now).Seconds()
	case c.refusal != "":
		n.Trouble = "the guard does not take the configuration: " + c.refusal
	case n.Trouble == "":
		n.Trouble = "no majority of the voters answers"
	}
	for _, g := range c.groups {
		if g.leaving {
			continue
		}
		n.Groups = append(n.Groups, g.account(now))
		for _, text := range g.warnings.texts() {
			n.Warnings = append(n.Warnings, g.config.Name+": "+text)
		}
	}
	return n
}

func (g *Group) account(now boottime.Instant) status.Local {
	l := status.Local{
		Group: g.config.Name, Phase: g.phase.String(), Priority: int(g.config.priority()), Eligible: g.fit(now) == "", VIPs: []string{},
	}
	if g.mine() {
		l.Token = uint64(g.lease.Token)
	}
	for _, v := range g.config.VIPs {
		l.VIPs = append(l.VIPs, v.Prefix.String())
	}
	for _, i := range g.instances {
		s := status.Instance{Name: i.config.Name, RouterID: int(i.config.VRRP.ID), State: vrrp.Fault.String(), Reason: "FAULT: " + i.cause}
		if i.machine != nil {
			s.State, s.Reason, s.Since = i.machine.State().String(), i.machine.Reason(), now.Sub(i.machine.Since()).Seconds()
		}
		l.Instances = append(l.Instances, s)
	}
	first := l.Instances[0]
	l.State, l.Since = first.State, first.Since
	l.Reason = strings.TrimPrefix(first.Reason, first.State+": ")
	if why := g.why(now); why != "" {
		l.Reason = why
	}
	return l
}

// why says what the machines cannot know: what stands between this node and MASTER
// beside VRRP.
func (g *Group) why(now boottime.Instant) string {
	fit := g.fit(now)
	switch {
	case g.phase == dropping && g.problem != "":
		return "cannot withdraw the VIPs: " + g.problem
	case g.phase == dropping:
		return "withdrawing: " + g.drop.cause
	case g.phase == holding:
		return ""
	case fit != "":
		return fit
	case !g.core.ready:
		return "waiting for the guard"
	case !g.core.alive(now):
		return "no quorum: this node has no live session with the store"
	}
	return ""
}
