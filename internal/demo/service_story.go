package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// Times of the service's story.
const (
	// syncedAfter is how long a connection must have lasted for the other directors to
	// know of it: the kernel sends what is not full after 2 s.
	syncedAfter = 4 * time.Second
	watchedFor  = 1500 * time.Millisecond // what a step looks at once it has had its effect
	removedIn   = 3 * time.Second         // a failed real server's way out of IPVS, noise included
)

// ServiceStep is one step of the service's story as the client saw it. Times are
// milliseconds.
type ServiceStep struct {
	Name       string         `json:"name"`
	Served     map[string]int `json:"served"`               // visits by real server
	Failed     int            `json:"failed"`               // visits that nobody answered
	Gap        float64        `json:"gap_ms"`               // the longest time without an answer
	Connection string         `json:"connection,omitempty"` // "lives" or "cut": one that was open before
	From       string         `json:"from"`                 // MASTER before
	To         string         `json:"to"`
	Problems   []string       `json:"problems,omitempty"`
}

// ServiceReport is what the service's story came to.
type ServiceReport struct {
	Method string        `json:"method"`
	Steps  []ServiceStep `json:"steps"`
	OK     bool          `json:"ok"`
}

// RunService tells the story of a virtual server: two real servers share the visits,
// one fails and returns, and the MASTER goes twice, by a stop and by the death of all
// its processes, with a connection open. told gets each step as it ends.
func RunService(ctx context.Context, c *Cluster, told func(ServiceStep)) (*ServiceReport, error) {
	s := &serviceStory{cluster: c, told: told, report: &ServiceReport{Method: c.options.Service.Method, OK: true}}
	if err := c.Start(); err != nil {
		return s.report, err
	}
	s.visitor = NewVisitor(c)
	defer s.visitor.Close()
	first, second := c.Servers[0], c.Servers[1]
	for _, act := range []func(context.Context) error{
		func(ctx context.Context) error {
			return s.step(ctx, "both serve", func() error { return nil }, s.served(first, second))
		},
		func(ctx context.Context) error {
			return s.step(ctx, "s1 fails", first.Down, s.served(second))
		},
		func(ctx context.Context) error {
			return s.step(ctx, "s1 returns", first.Up, s.served(first, second))
		},
		func(ctx context.Context) error { return s.failover(ctx, "MASTER is stopped", (*Node).Stop) },
		func(ctx context.Context) error { return s.failover(ctx, "everything is killed", (*Node).Kill) },
	} {
		if err := act(ctx); err != nil {
			s.report.OK = false
			return s.report, err
		}
	}
	return s.report, nil
}

type serviceStory struct {
	cluster *Cluster
	visitor *Visitor
	told    func(ServiceStep)
	report  *ServiceReport
}

// step does something and waits until the visits are as they should be for a while.
func (s *serviceStory) step(ctx context.Context, name string, do func() error, settled func([]Visit) bool) error {
	one := ServiceStep{Name: name, From: s.master()}
	began := boottime.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := s.await(ctx, name, settled); err != nil {
		return err
	}
	effect := boottime.Now().Sub(began) - watchedFor
	if effect > removedIn && one.From != "" {
		one.Problems = append(one.Problems, fmt.Sprintf("it took %v to take effect", effect.Round(time.Millisecond)))
	}
	s.conclude(one, s.visitor.Visits(began))
	return nil
}

// failover takes the MASTER away while a connection is open, and gives it back.
func (s *serviceStory) failover(ctx context.Context, name string, strike func(*Node) error) error {
	c := s.cluster
	if err := c.awaitPreferred(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	talk := NewTalk(c.Client)
	defer talk.Close()
	if err := sleep(ctx, syncedAfter); err != nil {
		return err
	}
	_, before, _, err := talk.Said()
	if err != nil || before == 0 {
		return fmt.Errorf("%s: the connection ends before anything happens: %w", name, cmp.Or(err, errors.New("no answer")))
	}
	one := ServiceStep{Name: name, From: s.master()}
	began := boottime.Now()
	if err := strike(c.Nodes[0]); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	err = s.await(ctx, name, func(visits []Visit) bool {
		other := s.master()
		return other != "" && other != c.Nodes[0].Name && s.served(c.Servers...)(visits)
	})
	if err != nil {
		return err
	}
	// TCP repeats after up to twice as long as the outage was.
	if err := sleep(ctx, 2*watchedFor); err != nil {
		return err
	}
	_, after, _, err := talk.Said()
	one.Connection = "lives"
	if err != nil || after <= before {
		one.Connection = "cut"
	}
	// A director that stops or dies may have been the real server itself.
	if one.Connection == "cut" && !c.options.Service.Local {
		one.Problems = append(one.Problems, fmt.Sprintf("the open connection did not live on: %v", cmp.Or(err, errors.New("no answer any more"))))
	}
	s.conclude(one, s.visitor.Visits(began))
	return c.Heal(ctx)
}

// served is true when all of the last visits were answered, by just these servers.
func (s *serviceStory) served(servers ...*Server) func([]Visit) bool {
	return func(visits []Visit) bool {
		by := map[string]bool{}
		for _, v := range visits {
			by[v.Server] = true
		}
		for _, server := range servers {
			if !by[server.Name] {
				return false
			}
		}
		return len(by) == len(servers)
	}
}

func (s *serviceStory) await(ctx context.Context, what string, settled func([]Visit) bool) error {
	began := boottime.Now()
	for end := began.Add(convergePatience); ; {
		if err := sleep(ctx, lookInterval); err != nil {
			return err
		}
		now := boottime.Now()
		if now.Sub(began) >= watchedFor && settled(s.visitor.Visits(now.Add(-watchedFor))) {
			return nil
		}
		if now.After(end) {
			return fmt.Errorf("%s: the service is not as it should be after %v", what, convergePatience)
		}
	}
}

// conclude sums the visits up.
func (s *serviceStory) conclude(one ServiceStep, visits []Visit) {
	one.To, one.Served = s.master(), map[string]int{}
	last := boottime.Instant(0)
	var gap time.Duration
	for _, v := range visits {
		if v.Server == "" {
			one.Failed++
			continue
		}
		one.Served[v.Server]++
		if last != 0 {
			gap = max(gap, v.Ended.Sub(last))
		}
		last = v.Ended
	}
	one.Gap = milliseconds(gap)
	s.report.Steps = append(s.report.Steps, one)
	s.report.OK = s.report.OK && len(one.Problems) == 0
	if s.told != nil {
		s.told(one)
	}
}

// master names the node that answers for the VIP at present.
func (s *serviceStory) master() string {
	if i := s.cluster.master(); i >= 0 {
		return s.cluster.Nodes[i].Name
	}
	return ""
}

// master is the node that answers for the VIP at present, −1 for none. A director that
// is a real server answers what is sent to it in any case: there the nodes say
// themselves who it is.
func (c *Cluster) master() int {
	if !c.options.Service.Local {
		return c.Observer.Record().answering(lately(boottime.Now()))
	}
	for _, n := range c.Nodes {
		if n.Running() && n.saysMaster() {
			return n.Index
		}
	}
	return -1
}

// saysMaster reports whether the node says of itself that it is MASTER.
func (n *Node) saysMaster() bool {
	told, err := n.Status(context.Background())
	if err != nil {
		return false
	}
	for _, node := range told.Nodes {
		for _, group := range node.Groups {
			if node.Name == told.SeenFrom && group.State == "MASTER" {
				return true
			}
		}
	}
	return false
}

// awaitPreferred waits until the preferred node is MASTER.
func (c *Cluster) awaitPreferred(ctx context.Context) error {
	for end := boottime.Now().Add(convergePatience); ; {
		if c.master() == 0 {
			return nil
		}
		if boottime.Now().After(end) {
			return errNotConverged
		}
		if err := sleep(ctx, lookInterval); err != nil {
			return err
		}
	}
}

const serviceRow = "%-21s %-16s %7s %11s %-11s %-9s %s\n"

// WriteServiceHeader writes the table's first line.
func WriteServiceHeader(w io.Writer) {
	fmt.Fprintf(w, serviceRow, "STEP", "SERVED", "FAILED", "LONGEST GAP", "CONNECTION", "MASTER", "")
}

// WriteServiceStep writes one line of the table.
func WriteServiceStep(w io.Writer, s ServiceStep) {
	var served []string
	for name, n := range s.Served {
		served = append(served, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(served)
	verdict := "ok"
	if len(s.Problems) > 0 {
		verdict = strings.Join(s.Problems, "; ")
	}
	fmt.Fprintf(w, serviceRow, s.Name, strings.Join(served, ", "), fmt.Sprint(s.Failed), ms(s.Gap), cmp.Or(s.Connection, "-"),
		cmp.Or(s.From, "-")+" > "+cmp.Or(s.To, "-"), verdict)
}
