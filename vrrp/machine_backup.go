package vrrp

import (
	"fmt"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// receivedInBackup is RFC 3768 §6.4.2. With a lease, it asks the same questions
// of members and of strangers, but to two timers.
func (m *Machine) receivedInBackup(now boottime.Instant, ev Received) {
	if m.config.Plain {
		m.restart(now, &m.masterDown, ev)
		m.heardStranger(now, ev)
		return
	}
	if ev.Member {
		m.heardMember(now, ev.Advert)
		return
	}
	if ev.Advert.Priority != PriorityStop {
		m.do(Stranger{Source: ev.Source, Priority: ev.Advert.Priority, Kind: m.kindInBackup(ev.Advert.Priority)})
	}
	m.heardStranger(now, ev)
}

// restart is the RFC's rule for the Master_Down_Timer. It reports whether the
// sender is, or was, one to be left MASTER.
func (m *Machine) restart(now boottime.Instant, t *boottime.Timer, ev Received) bool {
	interval := m.masterInterval(ev.Advert)
	switch {
	case ev.Advert.Priority == PriorityStop:
		t.Set(now.Add(m.skew(interval)))
	case !m.config.Preempt || ev.Advert.Priority >= m.config.Priority:
		t.Set(now.Add(m.downInterval(interval)))
	default:
		return false
	}
	return true
}

// heardMember notes that a member is MASTER. Its priority does not matter: the
// lease has decided, and preemption is the store's business.
func (m *Machine) heardMember(now boottime.Instant, advert Advertisement) {
	interval := m.masterInterval(advert)
	if advert.Priority == PriorityStop {
		m.masterDown.Set(now.Add(m.skew(interval)))
		return
	}
	m.masterDown.Set(now.Add(m.downInterval(interval)))
	m.setSilent(false)
}

// heardStranger keeps the timer of the router that we must leave MASTER.
func (m *Machine) heardStranger(now boottime.Instant, ev Received) {
	if ev.Advert.Priority == PriorityStop && !m.strangerDown.On {
		return // the farewell of a router that held nothing back
	}
	if m.restart(now, &m.strangerDown, ev) {
		m.rival = m.rivalOf(ev)
	}
}

func (m *Machine) rivalOf(ev Received) rival {
	return rival{source: ev.Source, priority: ev.Advert.Priority, interval: m.masterInterval(ev.Advert)}
}

func (m *Machine) kindInBackup(priority Priority) StrangerKind {
	if priority >= m.config.Priority {
		return StrangerHigher
	}
	return StrangerLower
}

// leaseFreed notes that we may claim, and when. The last word counts: a better
// candidate may have come.
func (m *Machine) leaseFreed(now boottime.Instant, delay time.Duration) {
	if m.config.Plain || m.claiming {
		return
	}
	if delay < 0 {
		delay = 0
	}
	m.lease, m.refusal = leaseFree, ""
	m.claim.Set(now.Add(delay))
	m.setSilent(false)
}

// leaseTaken notes who is MASTER now. A new holder has a full master-down
// interval to be heard before we call it silent.
func (m *Machine) leaseTaken(now boottime.Instant, by string) {
	if m.config.Plain {
		return
	}
	m.claiming, m.refusal = false, ""
	m.claim.Stop()
	if m.lease == leaseHeld && m.holder == by {
		return
	}
	m.setSilent(false)
	m.lease, m.holder = leaseHeld, by
	if m.state == Backup {
		m.masterDown.Set(now.Add(m.downInterval(m.config.AdvertInterval)))
	}
}

func (m *Machine) refused(now boottime.Instant, cause string) {
	if !m.claiming {
		return
	}
	m.claiming, m.refusal = false, cause
	if m.config.Plain {
		m.masterDown.Set(now.Add(m.downInterval(m.config.AdvertInterval)))
		return
	}
	m.lease = leaseUnknown
}

// runBackupTimers claims, where the RFC would become MASTER, and where the lease
// lets us be faster than the RFC.
func (m *Machine) runBackupTimers(now boottime.Instant) {
	if m.strangerDown.Due(now) {
		m.strangerDown.Stop()
	}
	if m.listen.Due(now) {
		m.listen.Stop()
	}
	if m.masterDown.Due(now) {
		m.masterDown.Stop()
		m.masterIsDown()
	}
	if m.claim.Due(now) && !m.listen.On && !m.strangerDown.On {
		m.claim.Stop()
		m.ask("the lease is free")
	}
}

// masterIsDown is the RFC's transition to MASTER. With a lease it is none: while
// another node holds the lease that node may be alive and merely unheard, and
// once the lease is free the claim has its own time.
func (m *Machine) masterIsDown() {
	switch {
	case m.config.Plain:
		m.ask("no MASTER is heard")
	case m.lease == leaseHeld:
		m.setSilent(true)
	}
}

func (m *Machine) ask(cause string) {
	if m.claiming {
		return
	}
	m.claiming = true
	m.do(Claim{cause})
}

func (m *Machine) setSilent(silent bool) {
	if m.silent == silent {
		return
	}
	m.silent = silent
	m.do(Silent{Master: m.holder, Silent: silent})
}

// becomeMaster is RFC 3768 §6.4.2 after "If the Master_Down_Timer fires".
func (m *Machine) becomeMaster(now boottime.Instant, token uint64) {
	m.setSilent(false)
	rivalAlive := m.strangerDown.On && m.strangerDown.At.After(now) && m.beats(m.rival)
	m.stopTimers()
	m.claim.Stop()
	m.claiming, m.refusal = false, ""
	m.lease, m.token = leaseOurs, token
	cause := m.grantCause()
	if rivalAlive {
		// It was heard while the claim was under way, and as MASTER we would
		// have given way to it. The VIPs are on, so it takes a Yield to say so.
		m.change(now, Master, cause)
		m.yield(m.rival.String())
		return
	}
	m.do(SendAdvert{m.config.Priority})
	m.advert.Set(now.Add(m.config.AdvertInterval))
	m.announce(now)
	if m.config.Garp.Refresh > 0 {
		m.refresh.Set(now.Add(m.config.Garp.Refresh))
	}
	m.change(now, Master, cause)
}

func (m *Machine) grantCause() string {
	if m.config.Plain {
		return "no other MASTER is heard"
	}
	return fmt.Sprintf("lease granted with token %d", m.token)
}
