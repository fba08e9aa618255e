package node

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/track"
)

// loop is the one goroutine that owns the core, the routers and the clock.
func (c *Controller) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	heartbeat := time.NewTicker(heartbeatInterval)
	look := time.NewTicker(interfacesInterval)
	defer timer.Stop()
	defer heartbeat.Stop()
	defer look.Stop()
	ended := c.followInterfaces(ctx) || c.step(ctx, Start{})
	for !ended {
		c.wind(timer)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-c.eventC:
			ended = c.step(ctx, event)
		case p := <-c.packetC:
			ended = c.receive(ctx, p)
		case message, ok := <-c.guardC:
			if !ok {
				return c.afterGuard()
			}
			ended = c.fromGuard(ctx, message)
		case <-c.store.Changed():
			ended = c.step(ctx, TableChanged{Table: c.store.Table()})
		case <-timer.C:
			c.noteLateness()
			ended = c.step(ctx, Tick{})
		case <-heartbeat.C:
			c.tell(guard.Heartbeat{})
		case <-look.C:
			ended = c.followInterfaces(ctx)
		case <-c.watch.Changed():
			ended = c.followInterfaces(ctx)
		case ask := <-c.askC:
			ask()
		case <-c.reloadC:
			ended = c.reload(ctx)
		case cause := <-c.stopC:
			c.tell(guard.Stopping{})
			ended = c.step(ctx, Stop{Cause: cause})
		}
	}
	return c.broken
}

func (c *Controller) wind(timer *time.Timer) {
	at, ok := c.core.Deadline()
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(at.Sub(boottime.Now()), 0))
}

// noteLateness keeps the longest time by which this process was woken late of late:
// a paused virtual machine, SIGSTOP, an overloaded host.
func (c *Controller) noteLateness() {
	due, ok := c.core.Deadline()
	if !ok {
		return
	}
	now := boottime.Now()
	if late := now.Sub(due); late > c.consensus.LeaseTTL/latenessShare && (late >= c.late || now.Sub(c.lateAt) > latenessMemory) {
		c.late, c.lateAt = late, now
		c.logger.Warn("woken late: was this host or this process paused, or is it overloaded?", "by", late.Round(time.Millisecond))
	}
}

// step steps the core and performs what it says. It reports whether the node has
// ended.
func (c *Controller) step(ctx context.Context, event Event) (ended bool) {
	actions := c.core.Step(boottime.Now(), event)
	c.followSync()
	for _, action := range actions {
		switch a := action.(type) {
		case ToGuard:
			// A request without an answer would be waited for in vain.
			if err := c.guard.Send(c.request(a.Request)); err != nil {
				c.broken = fmt.Errorf("a request did not reach the guard: %w", err)
				ended = true
			}
		case Propose:
			go c.propose(ctx, a)
		case Ask:
			c.store.Ask(a.Round, a.Session, func(answer consensus.Answer) { c.post(ctx, FromVoter{Answer: answer}) })
		case SessionOpened:
			c.handFarewell(a.Session)
		case SendAdvert:
			if r, ok := c.routers[a.Instance]; ok {
				r.send(a.Priority)
			}
		case Announce:
			if r, ok := c.routers[a.Instance]; ok {
				r.announce(a.Repeat)
			}
		case Note:
			c.log(a)
		case Adopted:
			c.rebuildRouters()
			ended = c.followInterfaces(ctx) || ended
		case Ended:
			ended = true
		}
	}
	return ended
}

func (c *Controller) post(ctx context.Context, event Event) {
	select {
	case c.eventC <- event:
	case <-ctx.Done():
	}
}

// propose commits a command within one TTL; after that the core decides anew.
func (c *Controller) propose(ctx context.Context, p Propose) {
	within, cancel := context.WithTimeout(ctx, c.consensus.LeaseTTL)
	defer cancel()
	result, err := c.store.Propose(within, p.Command)
	outcome := Proposed{ID: p.ID, Result: result}
	if err != nil {
		outcome.Failure = err.Error()
	}
	c.post(ctx, outcome)
}

func (c *Controller) receive(ctx context.Context, p packet) bool {
	heard, ok := p.router.hear(p.packet)
	if !ok {
		return false
	}
	return c.step(ctx, Received{Instance: p.router.config.Name, Source: p.packet.Source, Advert: heard.Advert})
}

// followInterfaces looks at every instance's interface and tells the core.
func (c *Controller) followInterfaces(ctx context.Context) (ended bool) {
	for _, i := range c.config.Instances {
		r, ok := c.routers[i.Name]
		if !ok {
			continue
		}
		look := c.look(i)
		if err := r.follow(ctx, look); err != nil {
			look.Fault = err.Error()
		}
		ended = c.step(ctx, LinkChanged{Instance: i.Name, Up: look.Fault == "", Cause: look.Fault, Source: r.source(look)}) || ended
	}
	return ended
}

// look says how an instance's interface is. Without one in the configuration it is
// the one that has unicast_src_ip.
func (c *Controller) look(i config.Instance) track.Interface {
	name := i.Interface
	if name == "" {
		if name = c.watch.Owner(i.UnicastSource); name == "" {
			return track.Interface{Fault: fmt.Sprintf("no interface has unicast_src_ip %s", i.UnicastSource)}
		}
	}
	return c.watch.Look(name, func(a netip.Addr) bool { return c.own[a] })
}

func (c *Controller) log(n Note) {
	args := []any{}
	for _, pair := range []struct {
		key   string
		value string
	}{{"group", n.Group}, {"instance", n.Instance}} {
		if pair.value != "" {
			args = append(args, pair.key, pair.value)
		}
	}
	if n.Token != 0 {
		args = append(args, "token", n.Token)
	}
	level := map[Level]hclog.Level{LevelInfo: hclog.Info, LevelWarn: hclog.Warn, LevelError: hclog.Error}[n.Level]
	c.logger.Log(level, n.Text, args...)
}
