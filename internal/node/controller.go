package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/consensus/localstore"
	"github.com/hafence/hafence/consensus/raftstore"
	"github.com/hafence/hafence/fence"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/internal/track"
)

// Limits and times of the shell.
const (
	eventsBuffer       = 256 // answers and outcomes that the loop may be behind
	heartbeatInterval  = 500 * time.Millisecond
	heartbeatTimeout   = 3 * time.Second // silence after which the guard kills a controller
	farewellTimeout    = time.Second     // to close the session when the guard is gone
	interfacesInterval = 5 * time.Second // the interfaces are looked at even without news
)

// Options are what [Open] needs.
type Options struct {
	ConfigFile string
	Load       config.Options
	GuardFD    int
	Version    string
	Logger     hclog.Logger
}

// store is what the core needs of a lease store.
type store interface {
	Propose(ctx context.Context, command consensus.Command) (consensus.Result, error)
	Ask(round uint64, session consensus.Session, answered func(consensus.Answer))
	Table() *consensus.Table
	Changed() <-chan struct{}
}

// Controller is the shell around a [Core].
type Controller struct {
	options Options
	config  *config.Config
	logger  hclog.Logger
	core    *Core
	guard   *guard.Client
	store   store
	raft    *raftstore.Store // nil with "consensus off"
	local   *localstore.Cluster
	watch   *track.Interfaces
	status  *status.Server
	routers map[string]*router // by instance
	started boottime.Instant

	eventC  chan Event
	packetC chan packet
	guardC  chan guard.Message
	askC    chan func()   // questions that only the loop can answer
	reloadC chan struct{} // capacity 1
	stopC   chan string   // capacity 1

	credentials raftstore.Credentials
	layers      guard.Layers
	announced   bool   // the service manager knows that we are ready
	refused     string // why the last reload was refused, for status
	own         map[netip.Addr]bool
}

// Open reads the configuration, joins the store and the guard. Nothing is up yet.
// Errors of the configuration are of type [ConfigError].
func Open(o Options) (*Controller, error) {
	c := &Controller{
		options: o, logger: o.Logger, started: boottime.Now(), routers: map[string]*router{},
		eventC: make(chan Event, eventsBuffer), packetC: make(chan packet), guardC: make(chan guard.Message),
		askC: make(chan func()), reloadC: make(chan struct{}, 1), stopC: make(chan string, 1),
	}
	loaded, problems := config.Load(o.ConfigFile, o.Load)
	c.logProblems(problems)
	if loaded == nil {
		return nil, &ConfigError{Problems: problems}
	}
	c.config = loaded
	client, err := guard.Dial(o.GuardFD)
	if err != nil {
		return nil, err
	}
	c.guard = client
	if err := c.openParts(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return c, nil
}

// ConfigError says that the configuration cannot be used.
type ConfigError struct{ Problems []config.Problem }

// Error implements error.
func (e *ConfigError) Error() string {
	errors := 0
	for _, p := range e.Problems {
		if p.Severity == config.Error {
			errors++
		}
	}
	return fmt.Sprintf("the configuration has %d errors; see them with: hafence check", errors)
}

func (c *Controller) logProblems(problems []config.Problem) {
	for _, p := range problems {
		level := hclog.Warn
		if p.Severity == config.Error {
			level = hclog.Error
		}
		c.logger.Log(level, p.Error(), "hint", p.Hint)
	}
}

func (c *Controller) openParts() error {
	host, err := hostID()
	if err != nil {
		return err
	}
	built := coreConfig(c.config)
	built.Host, built.Life = host, int64(c.started)
	c.core = NewCore(built)
	if c.watch, err = track.OpenInterfaces(); err != nil {
		return err
	}
	if err := c.openStore(); err != nil {
		return err
	}
	c.rebuildRouters()
	c.status, err = status.Listen(c.config.Status.Socket, c.report)
	return err
}

func (c *Controller) openStore() error {
	patience := consensus.Patience{Drift: c.config.Consensus.ClockDrift, Margin: consensus.DefaultMargin}
	if c.config.ConsensusOff {
		c.local = localstore.New(boottime.Now, patience)
		c.store = c.local.Node(c.config.Consensus.Node)
		return nil
	}
	var err error
	if c.credentials, err = credentials(c.config); err != nil {
		return err
	}
	c.raft, err = raftstore.Open(raftstore.Config{
		Node: c.config.Consensus.Node, Members: storeMembers(c.config), Credentials: c.credentials, Dir: c.config.Consensus.DataDir,
		TTL: c.config.Consensus.LeaseTTL, Patience: patience, Logger: c.logger.Named("store"), Query: c.query,
	})
	c.store = c.raft
	return err
}

// rebuildRouters makes the routers that the configuration names, keeping those that
// have not changed.
func (c *Controller) rebuildRouters() {
	routers := map[string]*router{}
	c.own = map[netip.Addr]bool{}
	if !isWitness(c.config) {
		for _, i := range c.config.Instances {
			routers[i.Name] = c.router(i)
			for _, v := range i.Addresses {
				c.own[v.Prefix.Addr()] = true
			}
		}
	}
	for name, r := range c.routers {
		if routers[name] != r {
			r.close()
		}
	}
	c.routers = routers
}

func (c *Controller) router(i config.Instance) *router {
	if old, ok := c.routers[i.Name]; ok && old.config.Interface == i.Interface && old.config.RouterID == i.RouterID {
		old.config = i
		old.look = track.Interface{} // open the socket anew: peers may have changed
		return old
	}
	return newRouter(i, c.config.Global.MulticastIPv4, c.packetC, c.logger)
}

// Reload asks for the configuration to be read again.
func (c *Controller) Reload() {
	select {
	case c.reloadC <- struct{}{}:
	default: // one is waiting already
	}
}

// Stop asks for a graceful end: everything is withdrawn and handed over.
func (c *Controller) Stop(cause string) {
	select {
	case c.stopC <- cause:
	default:
	}
}

// errGuardGone ends a controller whose guard has died: it has withdrawn everything
// itself by then.
var errGuardGone = errors.New("the guard is gone; everything is withdrawn, and the service manager starts anew")

// Run runs the node until [Controller.Stop] has been carried out or ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer func() {
		cancel()
		for _, r := range c.routers {
			r.close()
			r.reading.Wait()
		}
		_ = c.guard.Close()
		tasks.Wait()
	}()
	tasks.Go(func() { c.listenToGuard(ctx) })
	tasks.Go(func() { _ = c.status.Run(ctx) })
	tasks.Go(func() { _ = c.watch.Run(ctx) })
	if c.raft != nil {
		tasks.Go(func() {
			if err := c.raft.Run(ctx); err != nil {
				c.logger.Warn("the store did not close cleanly", "error", err)
			}
		})
	} else {
		defer c.local.Close()
	}
	return c.loop(ctx)
}

// loop is the one goroutine that owns the core, the routers and the clock.
func (c *Controller) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	heartbeat := time.NewTicker(heartbeatInterval)
	look := time.NewTicker(interfacesInterval)
	defer timer.Stop()
	defer heartbeat.Stop()
	defer look.Stop()
	c.followInterfaces(ctx)
	ended := c.step(ctx, Start{})
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
			ended = c.step(ctx, Tick{})
		case <-heartbeat.C:
			c.tell(guard.Heartbeat{})
		case <-look.C:
			c.followInterfaces(ctx)
		case <-c.watch.Changed():
			c.followInterfaces(ctx)
		case ask := <-c.askC:
			ask()
		case <-c.reloadC:
			c.reload(ctx)
		case cause := <-c.stopC:
			c.tell(guard.Stopping{})
			ended = c.step(ctx, Stop{Cause: cause})
		}
	}
	return nil
}

func (c *Controller) wind(timer *time.Timer) {
	at, ok := c.core.Deadline()
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(at.Sub(boottime.Now()), 0))
}

// step steps the core and performs what it says. It reports whether the node has
// ended.
func (c *Controller) step(ctx context.Context, event Event) (ended bool) {
	for _, action := range c.core.Step(boottime.Now(), event) {
		switch a := action.(type) {
		case ToGuard:
			c.tell(c.request(a.Request))
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
	within, cancel := context.WithTimeout(ctx, c.config.Consensus.LeaseTTL)
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
func (c *Controller) followInterfaces(ctx context.Context) {
	for _, i := range c.config.Instances {
		r, ok := c.routers[i.Name]
		if !ok {
			continue
		}
		look := c.look(i)
		if err := r.follow(ctx, look); err != nil {
			look.Fault = err.Error()
		}
		c.step(ctx, LinkChanged{Instance: i.Name, Up: look.Fault == "", Cause: look.Fault, Source: r.source(look)})
	}
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

// --- the guard ---

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
			Seq: r.Seq, TTL: r.TTL, Groups: r.Groups, Gate: r.Gate, Lifetime: r.Lifetime, LockMemory: f.LockMemory,
			RealtimePriority: f.RealtimePriority, Watchdog: f.Watchdog, WatchdogTimeout: f.WatchdogTimeout, HeartbeatTimeout: heartbeatTimeout,
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

// --- reload ---

// reload reads the configuration again. One that cannot be used changes nothing.
func (c *Controller) reload(ctx context.Context) {
	next, problems := config.Load(c.options.ConfigFile, c.options.Load)
	c.logProblems(problems)
	if next == nil {
		c.refuseReload("the new configuration has errors; nothing was changed (see: hafence check " + c.options.ConfigFile + ")")
		return
	}
	if what := fixed(c.config, next); what != "" {
		c.refuseReload(what + " can be changed by a restart only; nothing was changed")
		return
	}
	c.refused = ""
	c.tell(guard.Reloading{})
	c.config = next
	c.rebuildRouters()
	c.step(ctx, Reload{Config: coreConfig(next)})
	c.followInterfaces(ctx)
	c.tell(guard.Ready{Status: "running"})
	c.logger.Info("configuration reloaded", "file", c.options.ConfigFile)
}

func (c *Controller) refuseReload(why string) {
	c.refused = why
	c.logger.Error("reload refused", "reason", why)
	c.tell(guard.Ready{Status: "running; reload refused: " + why})
}
