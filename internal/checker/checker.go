package checker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/fence/guard"
	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/notify"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/internal/track"
	"github.com/hafence/hafence/lvs"
)

// Times and limits of the shell.
const (
	heartbeatInterval = time.Second
	hungAfter         = 10 * time.Second // a try beyond its bound by so much means that this process is not well
	saveInterval      = time.Second      // between two writes of the state, at least
	refreshInterval   = time.Minute      // and at most
	saveShare         = 50               // writing takes at most one part in so many of our time
	stopTimeout       = 5 * time.Second  // for scripts and checks at the end
	directoryMode     = 0o755
	descriptorsWanted = 1 << 17 // open files, where the system lets us
)

// Options are what [Open] needs.
type Options struct {
	ConfigFile string
	Load       config.Options
	GuardFD    int
	Version    string
	Logger     hclog.Logger
	DropRights bool // become the user hafence where there is one: this program is started anew

	openKernel func() (kernel, error) // nil: openKernel
}

// Checker is the shell around the pools, the table and the checks: one goroutine
// owns them, and others only bring news.
type Checker struct {
	options Options
	logger  hclog.Logger
	guard   *guard.Client
	dir     string // of state and socket
	started boottime.Instant

	site    *site
	pools   map[string]*health.Pool // by virtual server
	runner  *health.Runner
	feeds   *feeds
	ipvs    *ipvs
	counter *counter // for status
	watch   *track.Interfaces
	status  *status.Server
	notify  *notify.Queue

	suspended  map[string]bool // virtual servers, by ha_suspend
	refused    string          // why the last reload was refused, for status
	warnings   []string        // checks that can't be made
	saved      saved
	unsaved    bool
	savedAt    boottime.Instant
	saving     time.Duration // how long the last write took
	saveFailed bool          // the last one did

	inboxMu sync.Mutex
	inbox   []health.Report // not applied yet; at most a few per check
	newsC   chan struct{}   // capacity 1: there is something in inbox
	askC    chan func()     // questions that only the loop can answer
	reloadC chan struct{}   // capacity 1
	stopC   chan string     // capacity 1
}

// Open reads the configuration and what a previous life has left. Nothing is
// changed yet.
func Open(o Options) (*Checker, error) {
	loaded, _ := config.Load(o.ConfigFile, o.Load) // the controller says the problems
	if loaded == nil {
		return nil, fmt.Errorf("the configuration has errors; see them with: hafence check %s", o.ConfigFile)
	}
	c := &Checker{
		options: o, logger: o.Logger, started: boottime.Now(),
		pools: map[string]*health.Pool{}, suspended: map[string]bool{},
		newsC: make(chan struct{}, 1), askC: make(chan func()), reloadC: make(chan struct{}, 1), stopC: make(chan string, 1),
	}
	var err error
	if c.site, err = newSite(loaded); err != nil {
		return nil, fmt.Errorf("IPVS cannot have what the configuration asks for, and stays as it is: %w", err)
	}
	if err := c.openParts(); err != nil {
		return nil, err
	}
	c.guard, err = guard.Dial(o.GuardFD)
	return c, err
}

func (c *Checker) openParts() error {
	socket := status.ServersSocket(c.site.config.Status.Socket)
	c.dir = filepath.Dir(socket)
	if err := os.MkdirAll(c.dir, directoryMode); err != nil {
		return fmt.Errorf("make the checker's directory: %w", err)
	}
	if os.Geteuid() == 0 { // it may be the user hafence's, of an earlier life
		if err := os.Lchown(c.dir, 0, 0); err != nil {
			return fmt.Errorf("take the checker's directory back: %w", err)
		}
	}
	descriptors := raiseDescriptors()
	if c.options.DropRights {
		if err := dropRights(c.site.config, c.dir); err != nil {
			c.logger.Warn("the checker stays root", "error", err)
		}
	}
	var err error
	if c.saved, err = load(c.dir, c.started); err != nil {
		c.logger.Warn("what the last checker knew is lost; real servers start as after a boot", "error", err)
	}
	load := c.options.openKernel
	if load == nil {
		load = openKernel
	}
	c.ipvs = newIPVS(c.saved.Owned, load, c.logger)
	c.counter = &counter{load: load}
	if c.watch, err = track.OpenInterfaces(); err != nil {
		return err
	}
	c.runner = health.NewRunner(health.RunnerOptions{
		Limits: health.LimitsFor(descriptors), Now: boottime.Now, Random: rand.N[time.Duration], Reports: c.take,
	})
	c.feeds = newFeeds(c.runner, c.logger)
	c.notify = notify.NewQueue(c.logger)
	c.status, err = status.ListenServers(socket, c.report)
	return err
}

// raiseDescriptors raises the limit of open files as far as it goes, and returns it.
func raiseDescriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	wanted := limit
	wanted.Cur = max(limit.Cur, min(limit.Max, descriptorsWanted))
	if wanted.Cur < descriptorsWanted { // root may raise the hard limit, too
		raised := unix.Rlimit{Cur: descriptorsWanted, Max: max(limit.Max, descriptorsWanted)}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			return raised.Cur
		}
	}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &wanted) == nil {
		return wanted.Cur
	}
	return limit.Cur
}

// Reload asks for the configuration to be read again.
func (c *Checker) Reload() {
	select {
	case c.reloadC <- struct{}{}:
	default: // one is waiting already
	}
}

// Stop asks for an orderly end.
func (c *Checker) Stop(cause string) {
	select {
	case c.stopC <- cause:
	default:
	}
}

// Run checks until [Checker.Stop], the guard's end or ctx. IPVS stays as it is,
// unless lvs_flush_on_stop asks for something else.
func (c *Checker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	guardC := make(chan struct{})
	tasks.Go(func() { _ = c.status.Run(ctx) })
	tasks.Go(func() { _ = c.watch.Run(ctx) })
	tasks.Go(func() { c.feeds.run(ctx) })
	tasks.Go(func() { c.notify.Run(ctx) })
	tasks.Go(func() {
		if err := c.runner.Run(ctx); err != nil {
			c.logger.Warn("some checks did not end", "error", err)
		}
	})
	go func() { // ends with the socket, which Run closes
		defer close(guardC)
		for {
			if _, err := c.guard.Receive(); err != nil {
				return
			}
		}
	}()
	err := c.loop(ctx, guardC)
	cancel()
	_ = c.guard.Close()
	tasks.Wait()
	c.ipvs.close()
	c.counter.close()
	return err
}

// loop is the one goroutine that owns pools, table and site.
func (c *Checker) loop(ctx context.Context, guardC <-chan struct{}) error {
	heartbeat, repair, saving := time.NewTicker(heartbeatInterval), time.NewTimer(0), time.NewTicker(saveInterval)
	defer heartbeat.Stop()
	defer repair.Stop()
	defer saving.Stop()
	c.begin()
	c.beat() // not before: from now on silence counts
	for {
		if c.ipvs.surprised() {
			repair.Reset(surpriseInterval)
		}
		select {
		case <-guardC: // nothing is done any more for a guard that is gone
			c.save()
			return errGuardGone
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-guardC:
			c.save()
			return errGuardGone
		case <-c.newsC:
			c.applyNews()
		case <-c.watch.Changed():
			c.followAddresses()
		case <-repair.C:
			c.ipvs.repair()
			repair.Reset(c.ipvs.repairAfter())
		case <-heartbeat.C:
			c.beat()
		case <-saving.C:
			c.saveDue()
		case ask := <-c.askC:
			ask()
		case <-c.reloadC:
			if err := c.reload(); err != nil {
				c.save()
				return err
			}
		case cause := <-c.stopC:
			return c.stop(ctx, cause)
		}
	}
}

// errGuardGone ends a checker whose guard has died.
var errGuardGone = errors.New("the guard is gone; IPVS stays as it is, and the service manager starts anew")

// beat tells the guard that this process is well; it says nothing while a check
// hangs far beyond its bound, so that the guard starts a new process.
func (c *Checker) beat() {
	if oldest, running := c.runner.Oldest(); running && oldest.Overrun() > hungAfter {
		c.logger.Error("a check hangs; the guard will start this process anew", "check", oldest.ID.String(), "age", oldest.Age)
		return
	}
	if err := c.guard.Send(guard.Heartbeat{}); err != nil {
		c.logger.Warn("cannot reach the guard", "error", err)
	}
}

// begin makes the pools of what was known, adopts what is in IPVS, and starts the
// checks.
func (c *Checker) begin() {
	now := boottime.Now()
	initFiles(c.site.config.TrackFiles, c.saved.Pools != nil, c.logger)
	for _, v := range c.site.virtuals {
		var last *health.PoolState
		if state, ok := c.saved.Pools[v.Name]; ok {
			last = &state
		}
		pool, changes := health.NewPool(now, v.pool, last)
		c.pools[v.Name] = pool
		c.tell(v, nil, changes)
	}
	c.wantAll()
	c.ipvs.setTimeouts(c.site.config.LVS.Timeouts)
	c.ipvs.repair()
	took := boottime.Now().Sub(now)
	c.configureChecks(c.saved.Pools)
	c.followAddresses()
	c.logger.Info("checking", "virtual_servers", len(c.site.virtuals), "ipvs_took", took.Round(time.Millisecond))
}

// configureChecks gives the runner the checks of the site. known is how they were
// in a previous life.
func (c *Checker) configureChecks(known map[string]health.PoolState) {
	p := c.site.plan(known)
	for _, warning := range p.warnings {
		c.logger.Error(warning)
	}
	c.warnings = p.warnings
	c.runner.Configure(p.checks)
	if err := c.feeds.configure(p, c.site.config); err != nil {
		c.logger.Error("BFD sessions stay as they were", "error", err)
		c.warnings = append(c.warnings, err.Error())
	}
}

// wantAll tells the table what the whole site should be in IPVS.
func (c *Checker) wantAll() {
	var all []lvs.Service
	for _, v := range c.site.virtuals {
		all = append(all, v.with(c.pools[v.Name].Destinations())...)
	}
	if err := c.ipvs.want(all, c.keepLedger); err != nil {
		c.logger.Error("IPVS cannot have what the configuration asks for", "error", err)
	}
}

// take is called by the runner: it leaves reports for the loop and holds nothing up.
func (c *Checker) take(reports []health.Report) {
	c.inboxMu.Lock()
	c.inbox = append(c.inbox, reports...)
	c.inboxMu.Unlock()
	select {
	case c.newsC <- struct{}{}:
	default:
	}
}

// applyNews takes what the checks have found: first IPVS, then everybody else.
func (c *Checker) applyNews() {
	c.inboxMu.Lock()
	reports := c.inbox
	c.inbox = nil
	c.inboxMu.Unlock()
	type news struct {
		v       *virtual
		changes []health.Change
	}
	var all []news
	touched := map[string]bool{}
	for _, r := range reports {
		c.logReport(r)
		pool, v := c.pools[r.ID.Service], c.site.byName[r.ID.Service]
		if pool == nil {
			continue // of a configuration that is gone
		}
		if changes := pool.Apply(r); len(changes) > 0 {
			all = append(all, news{v, changes})
			touched[v.Name] = true
		}
		c.unsaved = true
	}
	for name := range touched {
		c.ipvs.wantSome(c.site.byName[name].with(c.pools[name].Destinations()))
	}
	c.ipvs.apply()
	for _, n := range all {
		c.tell(n.v, nil, n.changes)
	}
}

// logReport logs what changes nothing in the pool, but was asked for.
func (c *Checker) logReport(r health.Report) {
	switch r.Kind {
	case health.ReportFailure, health.ReportNothing:
		c.logger.Warn("check failed", "virtual_server", r.ID.Service, "real_server", r.ID.Server.String(), "check", r.ID.Name, "reason", r.Result.Reason)
	case health.ReportFirst, health.ReportChanged, health.ReportWeight: // the pool's changes tell
	}
}

// followAddresses suspends the checks of virtual servers with ha_suspend whose
// addresses are all elsewhere.
func (c *Checker) followAddresses() {
	suspended := map[string]bool{}
	var names []string
	for _, v := range c.site.virtuals {
		if !v.HASuspend {
			continue
		}
		here := false
		for _, address := range v.addresses() {
			here = here || c.watch.Owner(address) != ""
		}
		if !here {
			suspended[v.Name] = true
			names = append(names, v.Name)
		}
		if suspended[v.Name] != c.suspended[v.Name] {
			c.logger.Info("ha_suspend", "virtual_server", v.Name, "suspended", suspended[v.Name])
		}
	}
	c.suspended = suspended
	c.runner.Suspend(names)
}

// reload reads the configuration again. One that can't be used changes nothing. The
// error says that this process has to start anew, which touches nothing either.
func (c *Checker) reload() error {
	began := boottime.Now()
	next, problems := config.Load(c.options.ConfigFile, c.options.Load)
	if next == nil {
		c.refused = fmt.Sprintf("the new configuration has %d problems; nothing was changed (see: hafence check %s)", len(problems), c.options.ConfigFile)
		c.logger.Error("reload refused", "reason", c.refused)
		return nil
	}
	site, err := newSite(next)
	if err != nil {
		c.refused = "IPVS cannot have what it asks for; nothing was changed: " + err.Error()
		c.logger.Error("reload refused", "reason", c.refused)
		return nil
	}
	if err := enoughRights(next, lacking()); err != nil {
		return fmt.Errorf("start anew, with all rights: %w", err)
	}
	c.refused = ""
	initFiles(next.TrackFiles, true, c.logger)
	before := c.site
	c.site = site
	now := boottime.Now()
	for _, v := range before.virtuals {
		if c.site.byName[v.Name] == nil {
			c.tell(v, nil, c.pools[v.Name].Remove(now))
			delete(c.pools, v.Name)
		}
	}
	for _, v := range c.site.virtuals {
		if pool := c.pools[v.Name]; pool != nil {
			c.tell(v, before.byName[v.Name], pool.Reconfigure(now, v.pool))
			continue
		}
		pool, changes := health.NewPool(now, v.pool, nil)
		c.pools[v.Name] = pool
		c.tell(v, nil, changes)
	}
	started := boottime.Now()
	c.wantAll()
	c.ipvs.setTimeouts(next.LVS.Timeouts)
	c.ipvs.apply()
	applied := boottime.Now().Sub(started)
	c.configureChecks(nil)
	c.followAddresses()
	c.unsaved = true
	c.logger.Info("configuration reloaded", "virtual_servers", len(c.site.virtuals),
		"ipvs_took", applied.Round(time.Millisecond), "took", boottime.Now().Sub(began).Round(time.Millisecond))
	return nil
}

// stop is an orderly end: omega's scripts run, and IPVS stays unless
// lvs_flush_on_stop or vip_on_lo say otherwise.
func (c *Checker) stop(ctx context.Context, cause string) error {
	select {
	case <-c.reloadC: // it came first, as when a reload leaves no virtual server
		if err := c.reload(); err != nil {
			c.logger.Warn("the new configuration is for the next start", "error", err)
		}
	default:
	}
	c.logger.Info("stopping", "cause", cause)
	now := boottime.Now()
	for _, v := range c.site.virtuals {
		c.tell(v, nil, c.pools[v.Name].Stop(now))
	}
	// Once the packet gate is gone, too, IPVS would direct what the new MASTER sends to
	// a director that is a real server.
	if c.site.config.LVS.FlushOnStop || c.site.config.Fence.VIPOnLo {
		if err := c.ipvs.want(nil, c.keepLedger); err != nil {
			c.logger.Error("cannot remove the virtual servers", "error", err)
		}
		c.ipvs.apply()
	}
	c.save()
	within, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	c.notify.Drain(within)
	return nil
}
