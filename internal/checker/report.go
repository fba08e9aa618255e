package checker

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/lvs"
)

// report is what this process has to say, for status. What takes long is read here;
// the loop adds what it alone knows.
func (c *Checker) report(ctx context.Context) (*status.Servers, error) {
	answerC := make(chan *status.Servers, 1)
	told := reading{counts: c.counter.read(), checks: c.checkStates(boottime.Now()), load: c.runner.Load()}
	select {
	case c.askC <- func() { answerC <- c.account(boottime.Now(), told) }:
		return <-answerC, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the checker is busy or not started yet: %w", ctx.Err())
	}
}

// reading is what was read before the loop was asked.
type reading struct {
	counts map[lvs.ServiceKey]lvs.ServiceStatistics
	checks map[string]map[netip.AddrPort][]status.Check // by virtual server and real server
	load   health.Load
}

// checkStates are the checks as the runner knows them.
func (c *Checker) checkStates(now boottime.Instant) map[string]map[netip.AddrPort][]status.Check {
	checks := map[string]map[netip.AddrPort][]status.Check{}
	for _, one := range c.runner.Status() {
		of := checks[one.ID.Service]
		if of == nil {
			of = map[netip.AddrPort][]status.Check{}
			checks[one.ID.Service] = of
		}
		of[one.ID.Server] = append(of[one.ID.Server], checkStatus(one, now))
	}
	return checks
}

func (c *Checker) account(now boottime.Instant, told reading) *status.Servers {
	load := told.load
	s := &status.Servers{
		Version: c.options.Version, Uptime: now.Sub(c.started).Seconds(), Trouble: c.ipvs.trouble, Repaired: c.ipvs.repaired(),
		Lateness:       status.Lateness{P99: load.Lateness.Quantile(0.99).Seconds(), Max: load.Lateness.Worst.Seconds()},
		VirtualServers: []status.VirtualServer{}, Warnings: []string{},
	}
	if c.refused != "" {
		s.Warnings = append(s.Warnings, "the last reload was refused: "+c.refused)
	}
	s.Warnings = append(s.Warnings, c.warnings...)
	for _, v := range c.site.virtuals {
		s.VirtualServers = append(s.VirtualServers, c.virtualStatus(v, told, now))
	}
	return s
}

func (c *Checker) virtualStatus(v *virtual, told reading, now boottime.Instant) status.VirtualServer {
	pool := c.pools[v.Name]
	known := pool.Status()
	one := status.VirtualServer{
		Name: v.Name, Scheduler: v.Scheduler, Quorum: known.Quorum, Needed: int64(v.Quorum), Weight: known.Weight,
		Sorry: known.Sorry, Suspended: c.suspended[v.Name],
	}
	wanted := map[netip.AddrPort]health.Destination{}
	for _, d := range pool.Destinations() {
		if !d.Sorry {
			wanted[d.Addr] = d
		}
	}
	open := map[netip.AddrPort]status.Connections{}
	for _, service := range v.services {
		one.Services = append(one.Services, service.ServiceKey.String())
		of := told.counts[service.ServiceKey]
		one.Connections = sum(one.Connections, connections(of.Total, 0, 0))
		for _, d := range of.Destinations {
			here := connections(d.Total, d.Active, d.Inactive)
			open[d.Addr] = sum(open[d.Addr], here)
			one.Connections.Active += here.Active
			one.Connections.Inactive += here.Inactive
		}
	}
	for _, server := range known.Servers {
		destination, inIPVS := wanted[server.Addr]
		r := status.RealServer{
			Name: v.label(server.Addr), Up: server.Up, InIPVS: inIPVS, Weight: int(destination.Weight),
			Since: now.Sub(max(server.Since, c.started)).Seconds(), Reason: server.Reason, Checks: told.checks[v.Name][server.Addr],
			Connections: open[server.Addr],
		}
		if r.Reason == "" {
			r.Reason = "as at the start"
		}
		one.RealServers = append(one.RealServers, r)
	}
	return one
}

func checkStatus(s health.CheckStatus, now boottime.Instant) status.Check {
	one := status.Check{Name: s.ID.Name, Up: s.State.Up, Ran: s.State.Ran, Failures: s.Retries}
	for i := len(s.History) - 1; i >= 0; i-- {
		past := s.History[i]
		one.History = append(one.History, status.Try{
			Ago: now.Sub(past.At).Seconds(), Up: past.Up, Took: past.Took.Seconds(), Reason: past.Reason,
		})
	}
	return one
}

func connections(c lvs.Counters, active, inactive uint32) status.Connections {
	return status.Connections{Total: c.Connections, InBytes: c.BytesIn, OutBytes: c.BytesOut, Active: uint64(active), Inactive: uint64(inactive)}
}

func sum(a, b status.Connections) status.Connections {
	a.Total += b.Total
	a.InBytes += b.InBytes
	a.OutBytes += b.OutBytes
	a.Active += b.Active
	a.Inactive += b.Inactive
	return a
}

// repaired counts what was put right, by kind.
func (i *ipvs) repaired() map[string]uint64 {
	counts := map[string]uint64{}
	for kind, n := range map[string]int{
		"services_deleted": i.drift.ServicesDeleted, "services_edited": i.drift.ServicesEdited,
		"destinations_added": i.drift.DestinationsAdded, "destinations_deleted": i.drift.DestinationsDeleted,
		"destinations_edited": i.drift.DestinationsEdited,
	} {
		if n > 0 {
			counts[kind] = uint64(n)
		}
	}
	return counts
}

// countsFor is how long the kernel's statistics are good for another question.
const countsFor = time.Second

// counter reads the kernel's statistics on a socket of its own, so that a large table
// holds nobody up but who asks.
type counter struct {
	load func() (kernel, error)

	mu     sync.Mutex
	kernel kernel // nil: not open
	at     boottime.Instant
	counts map[lvs.ServiceKey]lvs.ServiceStatistics
}

// read gives the statistics by service; none where there is no IPVS.
func (c *counter) read() map[lvs.ServiceKey]lvs.ServiceStatistics {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := boottime.Now(); c.at == 0 || now.Sub(c.at) > countsFor {
		c.counts = c.ask()
		c.at = boottime.Now()
	}
	return c.counts
}

func (c *counter) ask() map[lvs.ServiceKey]lvs.ServiceStatistics {
	all := map[lvs.ServiceKey]lvs.ServiceStatistics{}
	if c.kernel == nil {
		opened, err := c.load()
		if err != nil {
			return all // the repair says what is wrong
		}
		c.kernel = opened
	}
	statistics, err := c.kernel.Statistics()
	if err != nil {
		c.kernel.Close()
		c.kernel = nil
	}
	for _, s := range statistics {
		all[s.ServiceKey] = s
	}
	return all
}

func (c *counter) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kernel != nil {
		c.kernel.Close()
		c.kernel = nil
	}
}
