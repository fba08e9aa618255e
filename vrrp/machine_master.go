package vrrp

import "github.com/hafence/hafence/internal/boottime"

// receivedInMaster is RFC 3768 §6.4.3. A member is not obeyed: it can't be
// MASTER without the lease, which is ours.
func (m *Machine) receivedInMaster(now boottime.Instant, ev Received) {
	heard := m.rivalOf(ev)
	if heard.priority == PriorityStop {
		if m.yielding && heard.source == m.rival.source {
			m.rival = heard // it is gone before we have given way
		}
		m.advertise(now)
		return
	}
	if ev.Member && !m.config.Plain {
		m.do(Stranger{Source: ev.Source, Priority: heard.priority, Kind: MemberWithoutLease})
		m.heal(now)
		return
	}
	higher := m.beats(heard)
	if !m.config.Plain {
		m.do(Stranger{Source: ev.Source, Priority: heard.priority, Kind: kindInMaster(higher)})
	}
	switch {
	case higher:
		m.rival = heard
		m.yield(heard.String())
	case !m.yielding:
		// The RFC discards it. keepalived answers, and announces again: the
		// sender thought itself MASTER and may have moved the switches' and
		// the neighbours' tables (lower_prio).
		m.advertise(now)
		m.announce(now)
	}
}

// heal announces once more: whoever advertised without the lease, a node that was
// paused as a rule, may have sent gratuitous ARP as well. It sends no
// advertisement: a keepalived there would answer it at once, and so on for ever.
func (m *Machine) heal(now boottime.Instant) {
	if m.yielding || m.config.Garp.Repeat == 0 || m.healing.On && !m.healing.Due(now) {
		return
	}
	m.healing.Set(now.Add(m.config.AdvertInterval))
	m.do(Announce{1})
}

// beats is the RFC's order of two that are MASTER.
func (m *Machine) beats(r rival) bool {
	if r.priority != m.config.Priority {
		return r.priority > m.config.Priority
	}
	return m.config.Source.Less(r.source)
}

func kindInMaster(higher bool) StrangerKind {
	if higher {
		return StrangerHigher
	}
	return StrangerLower
}

func (m *Machine) yield(cause string) {
	if m.yielding {
		return
	}
	m.yielding = true
	m.advert.Stop()
	m.garp.Stop()
	m.refresh.Stop()
	m.do(Yield{cause})
}

// lost ends being MASTER, or a claim. After a Yield there is no advertisement of
// priority 0: it would send a third router for the VIPs, before the one that we
// have given way to is heard again.
func (m *Machine) lost(now boottime.Instant, cause string) {
	if m.state != Master {
		m.refused(now, cause)
		return
	}
	yielded := m.yielding
	if !yielded {
		m.do(SendAdvert{PriorityStop})
	}
	m.forgetLease(now)
	m.stopTimers()
	switch {
	case !yielded:
		m.masterDown.Set(now.Add(m.downInterval(m.config.AdvertInterval)))
	case m.rival.priority == PriorityStop:
		m.masterDown.Set(now.Add(m.skew(m.rival.interval)))
	default:
		m.masterDown.Set(now.Add(m.downInterval(m.rival.interval)))
		m.strangerDown = m.masterDown
	}
	m.change(now, Backup, cause)
}

// advertise sends an advertisement and starts the interval anew. A late one is
// not made up for.
func (m *Machine) advertise(now boottime.Instant) {
	if m.yielding {
		return
	}
	m.do(SendAdvert{m.config.Priority})
	m.advert.Set(now.Add(m.config.AdvertInterval))
}

// announce sends a burst, and plans the second one.
func (m *Machine) announce(now boottime.Instant) {
	if m.config.Garp.Repeat == 0 {
		return
	}
	m.do(Announce{m.config.Garp.Repeat})
	if m.config.Garp.Delay > 0 {
		m.garp.Set(now.Add(m.config.Garp.Delay))
	}
}

func (m *Machine) runMasterTimers(now boottime.Instant) {
	if m.advert.Due(now) {
		m.advertise(now)
	}
	if m.garp.Due(now) {
		m.garp.Stop()
		m.do(Announce{m.config.Garp.Repeat})
	}
	if m.refresh.Due(now) {
		m.refresh.Set(now.Add(m.config.Garp.Refresh))
		if m.config.Garp.RefreshRepeat > 0 {
			m.do(Announce{m.config.Garp.RefreshRepeat})
		}
	}
}

// reconfiguredAsMaster brings the timers in line with the new configuration; a
// new priority is in the next advertisement.
func (m *Machine) reconfiguredAsMaster(now boottime.Instant, old Config) {
	if m.yielding {
		return
	}
	if next := now.Add(m.config.AdvertInterval); next.Before(m.advert.At) {
		m.advert.Set(next)
	}
	if m.config.Garp.Repeat == 0 {
		m.garp.Stop()
	}
	switch refresh := m.config.Garp.Refresh; {
	case refresh == 0:
		m.refresh.Stop()
	case refresh != old.Garp.Refresh:
		m.refresh.Set(now.Add(refresh))
	}
}
