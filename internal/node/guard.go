package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/checker"
)

// errGuardGone ends a controller whose guard has died: it has withdrawn everything
// itself by then.
var errGuardGone = errors.New("the guard is gone; everything is withdrawn, and the service manager starts anew")

func (c *Controller) listenToGuard(ctx context.Context) {
	defer close(c.guardC)
	for {
		message, err := c.guard.Receive()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			c.logger.Error("cannot read a message of the guard", "error", err)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		select {
		case c.guardC <- message:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Controller) tell(m guard.Message) {
	if err := c.guard.Send(m); err != nil {
		// Without an answer nothing is prolonged: what is held lapses by itself.
		c.logger.Error("cannot reach the guard", "error", err)
	}
}

// request translates the core's request into the guard's message.
func (c *Controller) request(r fence.Event) guard.Message {
	switch r := r.(type) {
	case fence.Configure:
		f := c.config.Fence
		return guard.Configure{
			Seq: r.Seq, TTL: r.TTL, Groups: r.Groups, Gate: r.Gate, GateARPOnly: r.ARPOnly, Lifetime: r.Lifetime, LockMemory: f.LockMemory,
			RealtimePriority: f.RealtimePriority, Watchdog: f.Watchdog, WatchdogTimeout: f.WatchdogTimeout, HeartbeatTimeout: heartbeatTimeout,
			Checker: !isWitness(c.config) && (len(c.config.VirtualServers) > 0 || checker.Owns(c.config.Status.Socket)),
		}
	case fence.Arm:
		return guard.Arm(r)
	case fence.Open:
		return guard.Open(r)
	case fence.Refresh:
		return guard.Refresh(r)
	case fence.Drop:
		return guard.Drop(r)
	}
	panic(fmt.Sprintf("node: unknown request %T", r))
}

func (c *Controller) fromGuard(ctx context.Context, message guard.Message) bool {
	switch m := message.(type) {
	case guard.Configured:
		c.layers = m.Layers
		ended := c.step(ctx, FromGuard{fence.Configured{Seq: m.Seq, Gate: m.Layers.Gate, Removed: parseAll(m.Removed), Error: m.Error}})
		c.announceReady()
		return ended
	case guard.Armed:
		return c.step(ctx, FromGuard{fence.Armed(m)})
	case guard.Opened:
		return c.step(ctx, FromGuard{fence.Opened(m)})
	case guard.Refreshed:
		return c.step(ctx, FromGuard{fence.Refreshed(m)})
	case guard.Dropped:
		return c.step(ctx, FromGuard{fence.Dropped(m)})
	case guard.Lapsed:
		return c.step(ctx, FromGuard{fence.Lapsed(m)})
	case guard.Repaired:
		return c.step(ctx, FromGuard{fence.Repaired(m)})
	case guard.LayersChanged:
		before := c.layers
		c.layers = m.Layers
		if before.Gate != m.Layers.Gate {
			return c.step(ctx, FromGuard{fence.GateChanged{Gate: m.Layers.Gate, Reason: fmt.Sprint(m.Layers.Missing)}})
		}
	default:
		c.logger.Warn("the guard sent something that a controller does not expect", "message", fmt.Sprintf("%T", message))
	}
	return false
}

func parseAll(texts []string) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil {
			addresses = append(addresses, p.Addr())
		} else if a, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

func (c *Controller) announceReady() {
	if !c.announced {
		c.announced = true
		c.tell(guard.Ready{Status: "running"})
		for _, missing := range c.layers.Missing {
			c.logger.Warn("a layer of fencing is missing", "layer", missing)
		}
	}
}

// handFarewell gives the guard what it needs to close the session when this
// process is dead.
func (c *Controller) handFarewell(session consensus.Session) {
	if c.raft == nil {
		return
	}
	f, err := c.raft.Farewell(session)
	if err != nil {
		c.logger.Error("cannot prepare the guard's farewell; after a crash the others wait for the session to expire", "error", err)
		return
	}
	c.tell(guard.Farewell{
		Peers: f.Peers, ServerNames: f.ServerNames, ALPN: f.Protocol, Frame: f.Frame,
		CertPEM: c.credentials.CertPEM, KeyPEM: c.credentials.KeyPEM, CAPEM: c.credentials.CAPEM,
	})
}

// afterGuard does the guard's work once: withdraw, then let the others know.
func (c *Controller) afterGuard() error {
	var vips []fence.VIP
	for _, g := range c.core.config.Groups {
		vips = append(vips, g.VIPs...)
	}
	if err := fence.Withdraw(vips); err != nil {
		return errors.Join(errGuardGone, err) // the session must outlast what is still up
	}
	if session := c.core.holder.Session(); !session.IsZero() {
		ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
		defer cancel()
		if _, err := c.store.Propose(ctx, consensus.CloseSession{Session: session}); err != nil {
			return errors.Join(errGuardGone, err)
		}
	}
	return errGuardGone
}
