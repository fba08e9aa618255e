package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/consensus/localstore"
	"github.com/hafence/hafence/consensus/raftstore"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/internal/track"
)

// Limits and times of the shell.
const (
	eventsBuffer       = 256 // answers and outcomes that the loop may be behind
	heartbeatInterval  = 500 * time.Millisecond
	heartbeatTimeout   = 3 * time.Second  // silence after which the guard kills a controller
	farewellTimeout    = time.Second      // to close the session when the guard is gone
	latenessShare      = 4                // a wake-up later than ttl / 4 is worth a word
	latenessMemory     = 10 * time.Minute // for so long it is in the status
	interfacesInterval = 5 * time.Second  // the interfaces are looked at even without news
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
	config  *config.Config // the loop's alone, as it changes
	logger  hclog.Logger
	core    *Core
	guard   *guard.Client
	store   store
	raft    *raftstore.Store // nil with "consensus off"
	local   *localstore.Cluster
	watch   *track.Interfaces
	sync    *connSync
	status  *status.Server
	routers map[string]*router // by instance
	started boottime.Instant

	consensus config.Consensus // does not change while the node runs; for every goroutine

	eventC  chan Event
	packetC chan packet
	guardC  chan guard.Message
	askC    chan func()   // questions that only the loop can answer
	reloadC chan struct{} // capacity 1
	stopC   chan string   // capacity 1

	credentials raftstore.Credentials
	layers      guard.Layers
	rights      guard.Rights     // this process's own, against a host in distress
	announced   bool             // the service manager knows that we are ready
	refused     string           // why the last reload was refused, for status
	late        time.Duration    // by how much this process was woken late, at worst, of late
	lateAt      boottime.Instant // when that was
	own         map[netip.Addr]bool
	broken      error // why the loop had to end
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
	c.config, c.consensus = loaded, loaded.Consensus
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
	c.rights = guard.Harden(c.config.Fence.LockMemory, c.config.Fence.RealtimePriority)
	if c.watch, err = track.OpenInterfaces(); err != nil {
		return err
	}
	if err := c.openStore(); err != nil {
		return err
	}
	c.rebuildRouters()
	c.sync = newConnSync(c.logger)
	c.sync.configure(syncConfig(c.config))
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
	tasks.Go(func() { c.sync.run(ctx) })
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
