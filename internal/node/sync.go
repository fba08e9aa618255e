package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/lvs"
)

// syncRetry is how long a kernel that refused a sync daemon is left alone.
const syncRetry = 10 * time.Second

// syncRoles decides which of the kernel's sync daemons run. It is pure.
//
// The backup runs at all times, so that it hears the master's last messages before a
// handover; the master runs besides while the group is MASTER, and a little longer,
// for what it has not sent is lost when it is stopped.
type syncRoles struct {
	config *config.SyncDaemon // nil: none are wanted
	before []lvs.SyncDaemon   // wanted by earlier configurations
	master bool               // the group is MASTER
	until  boottime.Instant   // the master daemon's end after that; 0: it has ended
}

// configure takes a configuration, nil for none.
func (r *syncRoles) configure(c *config.SyncDaemon) {
	if r.config != nil {
		for _, d := range r.daemons(r.config, true) {
			if !slices.Contains(r.before, d) {
				r.before = append(r.before, d)
			}
		}
	}
	r.config = c
	if c == nil {
		r.master, r.until = false, 0
	}
}

// follow takes the group's state. It reports whether that changes what is wanted.
func (r *syncRoles) follow(now boottime.Instant, master bool) (changed bool) {
	if r.master == master {
		return false
	}
	r.master, r.until = master, 0
	if !master {
		r.until = now.Add(lvs.SyncFlushDelay)
	}
	return true
}

// want is what should run now.
func (r *syncRoles) want(now boottime.Instant) lvs.SyncWant {
	if r.config == nil {
		return lvs.SyncWant{Ours: r.before}
	}
	sending := r.master || r.config.Instance == "" || now.Before(r.until)
	return lvs.SyncWant{
		Daemons: r.daemons(r.config, sending),
		Ours:    slices.Concat(r.before, r.daemons(r.config, true)),
	}
}

// deadline is when want changes by itself.
func (r *syncRoles) deadline(now boottime.Instant) (boottime.Instant, bool) {
	return r.until, r.config != nil && now.Before(r.until)
}

func (r *syncRoles) daemons(c *config.SyncDaemon, sending bool) []lvs.SyncDaemon {
	backup := lvs.SyncDaemon{
		Role: lvs.SyncBackup, Interface: c.Interface, ID: uint8(c.ID), MaxLength: uint16(c.MaxLength),
		Group: c.Group, Port: uint16(c.Port), TTL: uint8(c.TTL),
	}
	if !sending {
		return []lvs.SyncDaemon{backup}
	}
	master := backup
	master.Role = lvs.SyncMaster
	return []lvs.SyncDaemon{backup, master}
}

// connSync makes the kernel's sync daemons what syncRoles wants. It has a goroutine
// of its own, for stopping one can take a second.
type connSync struct {
	logger hclog.Logger
	wakeC  chan struct{} // capacity 1

	mu      sync.Mutex
	roles   syncRoles
	trouble string
}

func newConnSync(logger hclog.Logger) *connSync {
	return &connSync{logger: logger, wakeC: make(chan struct{}, 1)}
}

func (s *connSync) configure(c *config.SyncDaemon) {
	s.mu.Lock()
	s.roles.configure(c)
	s.mu.Unlock()
	s.wake()
}

func (s *connSync) follow(master bool) {
	s.mu.Lock()
	changed := s.roles.follow(boottime.Now(), master)
	s.mu.Unlock()
	if changed {
		s.wake()
	}
}

func (s *connSync) wake() {
	select {
	case s.wakeC <- struct{}{}:
	default:
	}
}

// problem says why connections are not synchronised, "" when they are.
func (s *connSync) problem() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// run keeps the daemons until ctx ends. They stay then, as IPVS does.
func (s *connSync) run(ctx context.Context) {
	timer := time.NewTimer(syncRetry)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakeC:
		case <-timer.C:
		}
		s.mu.Lock()
		now := boottime.Now()
		want := s.roles.want(now)
		at, again := s.roles.deadline(now)
		s.mu.Unlock()
		s.note(s.reconcile(want))
		wait := syncRetry
		if again {
			wait = min(wait, at.Sub(now))
		}
		timer.Reset(wait)
	}
}

func (s *connSync) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	before := s.trouble
	s.trouble = text
	s.mu.Unlock()
	switch {
	case text != "" && text != before:
		s.logger.Error("connections are not synchronised; it is tried again", "error", text)
	case text == "" && before != "":
		s.logger.Info("connections are synchronised again")
	}
}

// reconcile makes the daemons what is wanted; nothing is opened where nothing is.
func (s *connSync) reconcile(want lvs.SyncWant) error {
	if len(want.Daemons) == 0 && len(want.Ours) == 0 {
		return nil
	}
	kernel, err := lvs.Open()
	if err != nil {
		return err
	}
	defer kernel.Close()
	have, err := kernel.SyncDaemons()
	if err != nil {
		return err
	}
	ops := lvs.PlanSync(have, want)
	for _, op := range ops {
		s.logger.Info("connection synchronisation", "operation", op.String())
	}
	if err := kernel.ApplySync(ops); err != nil {
		return fmt.Errorf("synchronise connections: %w", err)
	}
	return nil
}

// followSync tells connection synchronisation whether its instance is MASTER.
func (c *Controller) followSync() {
	if d := c.config.LVS.Sync; d != nil && d.Instance != "" {
		c.sync.follow(c.core.master(d.Instance))
	}
}

// syncConfig is what this node is to synchronise: nothing on a witness.
func syncConfig(c *config.Config) *config.SyncDaemon {
	if isWitness(c) {
		return nil
	}
	return c.LVS.Sync
}
