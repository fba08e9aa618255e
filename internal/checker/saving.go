package checker

import (
	"slices"

	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/lvs"
)

// keepLedger writes down what is ours before the kernel gets it.
func (c *Checker) keepLedger(owned []lvs.ServiceKey) error {
	if slices.Equal(c.saved.Owned, owned) && c.savedAt != 0 {
		return nil
	}
	c.saved.Owned = owned
	return c.write()
}

// saveDue saves what is new, or has not been saved for long; a large state more
// seldom, for writing it takes its time.
func (c *Checker) saveDue() {
	now := boottime.Now()
	if since := now.Sub(c.savedAt); since > refreshInterval || c.unsaved && since > c.saving*saveShare {
		c.save()
		c.saving = boottime.Now().Sub(now)
	}
}

// save writes what the next life should know.
func (c *Checker) save() {
	c.saved.Owned = c.ipvs.owned()
	err := c.write()
	if err != nil && !c.saveFailed {
		c.logger.Warn("cannot keep what is known; after a crash real servers start as after a boot", "error", err)
	}
	c.saveFailed = err != nil
}

func (c *Checker) write() error {
	c.saved.At, c.saved.Pools = boottime.Now(), map[string]health.PoolState{}
	for name, pool := range c.pools {
		c.saved.Pools[name] = pool.State()
	}
	if err := c.saved.save(c.dir); err != nil {
		c.unsaved = true // to be tried again
		return err
	}
	c.savedAt, c.unsaved = c.saved.At, false
	return nil
}
