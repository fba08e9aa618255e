package checker

import (
	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/notify"
)

// tell logs what has become of a virtual server, and runs its scripts. before is what
// it was before a reload, for real servers that have left; nil otherwise.
func (c *Checker) tell(v, before *virtual, changes []health.Change) {
	for _, change := range changes {
		c.logChange(v, change)
		r := v.reals[change.Server]
		if r == nil && before != nil {
			r = before.reals[change.Server]
		}
		switch change.Kind {
		case health.ServerUp:
			if r != nil {
				c.post(v.Name+" "+r.Name, "notify_up of "+r.Name+" of "+v.Name, r.NotifyUp)
			}
		case health.ServerDown:
			if r != nil {
				c.post(v.Name+" "+r.Name, "notify_down of "+r.Name+" of "+v.Name, r.NotifyDown)
			}
		case health.QuorumGained:
			c.post(v.Name, "quorum_up of "+v.Name, v.QuorumUp)
		case health.QuorumLost:
			c.post(v.Name, "quorum_down of "+v.Name, v.QuorumDown)
		case health.WeightChanged: // runs nothing
		}
	}
}

func (c *Checker) logChange(v *virtual, change health.Change) {
	switch change.Kind {
	case health.ServerUp:
		c.logger.Info("real server is up", "virtual_server", v.Name, "real_server", v.label(change.Server), "weight", int(change.Weight), "reason", change.Reason)
	case health.ServerDown:
		c.logger.Warn("real server is down", "virtual_server", v.Name, "real_server", v.label(change.Server), "reason", change.Reason)
	case health.WeightChanged:
		c.logger.Info("weight of a real server", "virtual_server", v.Name, "real_server", v.label(change.Server), "weight", int(change.Weight), "reason", change.Reason)
	case health.QuorumGained:
		c.logger.Info("quorum gained", "virtual_server", v.Name, "reason", change.Reason)
	case health.QuorumLost:
		c.logger.Error("quorum lost", "virtual_server", v.Name, "reason", change.Reason, "sorry_server", v.Sorry != nil)
	}
}

// post leaves a script for the queue, if there is one.
func (c *Checker) post(key, what string, s *config.Script) {
	if s == nil {
		return
	}
	owner, err := credential(c.site.config.Global, *s)
	if err != nil {
		c.logger.Error("cannot run a script", "script", what, "error", err)
		return
	}
	c.notify.Post(notify.Job{Key: key, What: what, Argv: s.Args, Credential: owner})
}
