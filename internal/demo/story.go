package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
)

// How long is waited. None of these is a promise; the promises are in [Faults].
const (
	convergePatience = 45 * time.Second // for the cluster to be as it was
	outcomePatience  = 15 * time.Second // for another node to answer
	lookInterval     = 50 * time.Millisecond
	aftermath        = 500 * time.Millisecond // what comes after a fault is healed is looked at for so long, too
)

// errNotConverged ends a story that can't go on.
var errNotConverged = errors.New("the cluster does not come back to rest")

// Run tells the story once: the start, then every fault, each from a cluster at
// rest with the preferred node as MASTER. It reports each step as it ends. An
// error says that the story could not be told to its end; the report is what
// there is of it.
func Run(ctx context.Context, c *Cluster, told func(Step)) (*Report, error) {
	h := &stageHand{cluster: c, told: told, report: &Report{OK: true, Steps: []Step{}, LeaseTTL: c.TTL().Seconds()}}
	err := h.begin(ctx)
	for _, f := range Faults {
		if err != nil {
			break
		}
		err = h.perform(ctx, f)
	}
	if err != nil {
		h.report.OK = false
		h.report.Problems = append(h.report.Problems, err.Error())
	}
	return h.report, err
}

// stageHand tells one story.
type stageHand struct {
	cluster *Cluster
	told    func(Step)
	report  *Report
}

func (h *stageHand) preferred() *Node { return h.cluster.Nodes[0] }

// begin starts the cluster from nothing.
func (h *stageHand) begin(ctx context.Context) error {
	f := Fault{Name: startName, promise: starting}
	m := measured{from: -1, began: boottime.Now()}
	if err := h.cluster.Start(); err != nil {
		return err
	}
	err := h.await(ctx, f.limit(h.cluster.TTL())+outcomePatience, func(r *Record, now boottime.Instant) bool {
		p, ok := r.firstAnswer(window{from: m.began, to: now})
		m.to, m.outage = p.Node, p.Answered.Sub(m.began)
		return ok
	})
	if err != nil {
		return fmt.Errorf("%s: no node answers: %w", f.Name, err)
	}
	m.tokenAfter = h.token(ctx)
	return h.conclude(ctx, f, m)
}

// perform performs one fault.
func (h *stageHand) perform(ctx context.Context, f Fault) error {
	if f.prepare != nil {
		if err := f.prepare(h, ctx); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	m := measured{from: h.answering(), tokenBefore: h.token(ctx)}
	struck := h.preferred()
	m.began = boottime.Now()
	if err := f.inject(h.cluster, struck); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	fault := boottime.Now()
	if err := h.awaitOutcome(ctx, f, m.from, fault); err != nil && ctx.Err() != nil {
		return err
	}
	m.ended = boottime.Now()
	m.to, m.tokenAfter = h.answering(), h.token(ctx)
	// The gap that the fault tears begins with the last answer before it.
	r := h.cluster.Observer.Record()
	m.outage = r.outage(window{from: m.began.Add(-2 * Round), to: m.ended})
	if f.strike {
		after := window{from: fault, to: m.ended}
		m.stale, m.takeover = r.stale(struck.Index, after), r.takeover(struck.Index, after)
	}
	return h.conclude(ctx, f, m)
}

// awaitOutcome waits until the fault has lasted and had its effect.
func (h *stageHand) awaitOutcome(ctx context.Context, f Fault, from int, fault boottime.Instant) error {
	return h.await(ctx, f.lasts+outcomePatience, func(r *Record, now boottime.Instant) bool {
		to := r.answering(lately(now))
		if now.Sub(fault) < max(f.lasts, settleTime) || to < 0 {
			return false
		}
		return f.keeps || to != from
	})
}

// conclude heals the cluster, measures what is measured to the very end, and
// reports the step.
func (h *stageHand) conclude(ctx context.Context, f Fault, m measured) error {
	healed := h.cluster.Heal(ctx)
	if healed == nil {
		healed = sleep(ctx, aftermath)
	}
	if healed == nil {
		healed = h.awaitRest(ctx)
	}
	r := h.cluster.Observer.Record()
	w := window{from: m.began, to: boottime.Now()}
	m.dualAnswer, m.dualAddress = r.dualAnswer(w), r.dualAddress(w)
	h.cluster.Observer.Forget(w.to.Add(-time.Second))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	broken := f.verdict(m, h.cluster.TTL())
	if healed != nil {
		healed = fmt.Errorf("%s: %w", f.Name, healed)
	}
	for _, text := range broken {
		h.report.Problems = append(h.report.Problems, f.Name+": "+text)
	}
	s := Step{
		Name: f.Name, Outage: milliseconds(m.outage), DualAnswer: milliseconds(m.dualAnswer), DualAddress: milliseconds(m.dualAddress),
		Stale: milliseconds(m.stale), From: h.name(m.from), To: h.name(m.to), TokenBefore: m.tokenBefore, TokenAfter: m.tokenAfter,
		OK: len(broken) == 0 && healed == nil,
	}
	h.report.Steps = append(h.report.Steps, s)
	h.report.OK = h.report.OK && s.OK
	if h.told != nil {
		h.told(s)
	}
	return healed
}

// takePreferredAway stops the preferred node, and waits until another is MASTER.
func (h *stageHand) takePreferredAway(ctx context.Context) error {
	n := h.preferred()
	if err := n.Stop(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := n.AwaitStopped(within); err != nil {
		return err
	}
	return h.await(ctx, outcomePatience, func(r *Record, now boottime.Instant) bool {
		to := r.answering(lately(now))
		return to >= 0 && to != n.Index
	})
}

// await looks again and again until done says so.
func (h *stageHand) await(ctx context.Context, patience time.Duration, done func(*Record, boottime.Instant) bool) error {
	for end := boottime.Now().Add(patience); ; {
		now := boottime.Now()
		if done(h.cluster.Observer.Record(), now) {
			return nil
		}
		if now.After(end) {
			return fmt.Errorf("waited %v in vain", patience)
		}
		if err := sleep(ctx, lookInterval); err != nil {
			return err
		}
	}
}

// awaitRest waits until the preferred node alone answers, every node has a
// session, all agree on the holder, and the Raft leader is another node.
func (h *stageHand) awaitRest(ctx context.Context) error {
	why := ""
	for end := boottime.Now().Add(convergePatience); boottime.Now().Before(end); {
		if why = h.unrest(ctx); why == "" {
			return nil
		}
		if err := sleep(ctx, lookInterval); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w within %v: %s", errNotConverged, convergePatience, why)
}

// unrest says what is not yet as it should be.
func (h *stageHand) unrest(ctx context.Context) string {
	preferred := h.preferred()
	if to := h.answering(); to != preferred.Index {
		return fmt.Sprintf("the preferred node, %s, does not answer alone (but %s)", preferred.Name, h.name(to))
	}
	for _, n := range h.cluster.Nodes {
		seen, err := n.Status(ctx)
		if err != nil {
			return n.Name + ": " + err.Error()
		}
		if why := restless(seen, preferred.Name); why != "" {
			return n.Name + " says: " + why
		}
	}
	return ""
}

func restless(seen *status.Cluster, preferred string) string {
	switch {
	case !seen.Quorum:
		return "no quorum"
	case seen.Leader == "":
		return "no leader"
	case seen.Leader == preferred:
		return "the leader is the node that holds the lease"
	case len(seen.Groups) != 1 || seen.Groups[0].Holder != preferred || seen.Groups[0].WantedBy != "":
		return "the lease is not at rest with " + preferred
	}
	for _, n := range seen.Nodes {
		if !n.Reachable || n.Session == "" || n.TimeLeft <= 0 || len(n.Groups) != 1 || !n.Groups[0].Eligible {
			return n.Name + " is not ready"
		}
	}
	return ""
}

// answering is who alone answers; -1 for nobody.
func (h *stageHand) answering() int {
	return h.cluster.Observer.Record().answering(lately(boottime.Now()))
}

func (h *stageHand) name(node int) string {
	if node < 0 {
		return ""
	}
	return h.cluster.Nodes[node].Name
}

// token is the lease's newest, as far as any node with a quorum knows.
func (h *stageHand) token(ctx context.Context) uint64 {
	var newest uint64
	for _, n := range h.cluster.Nodes {
		if !n.Running() {
			continue
		}
		seen, err := n.Status(ctx)
		if err != nil || !seen.Quorum || len(seen.Groups) != 1 {
			continue
		}
		newest = max(newest, seen.Groups[0].Token)
	}
	return newest
}
