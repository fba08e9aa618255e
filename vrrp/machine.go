package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// State is a virtual router's state, in keepalived's words.
type State uint8

// The states of RFC 3768 §6.4, and keepalived's FAULT.
const (
	Init State = iota + 1
	Backup
	Master
	Fault // takes no part until the next [Startup]
)

// String gives the state as keepalived writes it.
func (s State) String() string {
	switch s {
	case Init:
		return "INIT"
	case Backup:
		return "BACKUP"
	case Master:
		return "MASTER"
	case Fault:
		return "FAULT"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}

// GarpRepeatMax is the most often a burst repeats its gratuitous ARP.
const GarpRepeatMax = 255

// GarpSchedule says when a MASTER announces its VIPs by gratuitous ARP, with
// keepalived's garp_master_* keywords.
type GarpSchedule struct {
	Delay         time.Duration // from the first burst to the second; 0: no second
	Repeat        int           // how often a burst repeats; 0: no bursts
	Refresh       time.Duration // from one refresh to the next; 0: none
	RefreshRepeat int           // how often a refresh repeats
}

// DefaultGarp is keepalived's default schedule.
var DefaultGarp = GarpSchedule{Delay: 5 * time.Second, Repeat: 5, RefreshRepeat: 1}

// Config is the configuration of one virtual router's [Machine].
type Config struct {
	ID             ID
	Priority       Priority // effective priority, 1–255
	AdvertInterval time.Duration
	Version        Version
	Preempt        bool       // take over from a router of lower priority
	Source         netip.Addr // our primary IPv4 address, which breaks ties
	Plain          bool       // no lease: be MASTER whenever the RFC says so
	// StartupListen is, with a lease, how long after a Startup to listen for
	// strangers before a first claim. An owner does not wait.
	StartupListen time.Duration
	Garp          GarpSchedule
}

// Validate reports what makes a configuration unfit for a [Machine].
func (c Config) Validate() error {
	switch {
	case c.ID == 0:
		return ErrID
	case c.Version != Version2 && c.Version != Version3:
		return ErrVersion
	case c.Priority == PriorityStop:
		return errors.New("priority is not 1–255")
	case !intervalFits(c.Version, c.AdvertInterval):
		return ErrInterval
	case !c.Source.Is4():
		return errors.New("source is not an IPv4 address")
	case c.StartupListen < 0 || c.Garp.Delay < 0 || c.Garp.Refresh < 0:
		return errors.New("a delay is negative")
	case c.Garp.Repeat < 0 || c.Garp.RefreshRepeat < 0:
		return errors.New("a repeat count is negative")
	case c.Garp.Repeat > GarpRepeatMax || c.Garp.RefreshRepeat > GarpRepeatMax:
		return fmt.Errorf("a repeat count is above %d", GarpRepeatMax)
	}
	return nil
}

// lease is what the store last said.
type lease uint8

const (
	leaseUnknown lease = iota + 1 // nothing since the start, a refusal or a loss
	leaseHeld                     // by another node
	leaseFree
	leaseOurs
)

// Machine is the state machine of one virtual router: RFC 3768 §6.4 with a gate
// (DESIGN §4). It is pure, for one goroutine, and made by [NewMachine].
type Machine struct {
	config Config
	state  State
	since  boottime.Instant // of the state
	cause  string           // of the state
	out    []Action         // of the step under way

	lease    lease
	holder   string // of a lease that is held
	token    uint64 // of a lease that is ours
	claiming bool   // a Claim has no answer yet
	refusal  string // of the last claim, until the store speaks again

	// BACKUP. masterDown is the RFC's Master_Down_Timer. With a lease only
	// members restart it, and it decides nothing but Silent; it is off once it
	// has run out. strangerDown is the same for the routers that we must leave
	// to be MASTER: while it is on, one of them is alive.
	masterDown   boottime.Timer
	strangerDown boottime.Timer
	rival        rival          // whom strangerDown is about
	listen       boottime.Timer // no claim while it is on (StartupListen)
	claim        boottime.Timer // with a free lease: when our turn to claim has come
	silent       bool           // Silent has been reported

	// MASTER.
	advert   boottime.Timer // the RFC's Adver_Timer
	garp     boottime.Timer // the second burst
	refresh  boottime.Timer
	healing  boottime.Timer // on: the neighbours were told again a moment ago
	yielding bool           // Yield has been asked for; nothing more goes out
}

// rival is a router that the RFC lets be MASTER.
type rival struct {
	source   netip.Addr
	priority Priority      // PriorityStop: it has said that it stops
	interval time.Duration // the RFC's Master_Adver_Interval under it
}

// NewMachine makes a machine in INIT. It panics on a configuration that
// [Config.Validate] refuses.
func NewMachine(config Config) *Machine {
	m := &Machine{state: Init, cause: "not started", lease: leaseUnknown}
	m.configure(config)
	return m
}

func (m *Machine) configure(config Config) {
	if err := config.Validate(); err != nil {
		panic("vrrp: machine configured without validation: " + err.Error())
	}
	m.config = config
}

// Step takes one event and returns what is to be done about it, in order.
func (m *Machine) Step(now boottime.Instant, ev Event) []Action {
	switch ev := ev.(type) {
	case Startup:
		m.startup(now)
	case Failed:
		m.leave(now, Fault, ev.Cause)
	case Stopped:
		m.leave(now, Init, ev.Cause)
	case Received:
		m.received(now, ev)
	case LeaseFree:
		m.leaseFreed(now, ev.Delay)
	case LeaseHeld:
		m.leaseTaken(now, ev.By)
	case Granted:
		m.granted(now, ev.Token)
	case Refused:
		m.refused(now, ev.Cause)
	case Lost:
		m.lost(now, ev.Cause)
	case Tick:
	case Reconfigured:
		m.reconfigured(now, ev.Config)
	default:
		panic(fmt.Sprintf("vrrp: unknown event %T", ev))
	}
	m.runTimers(now)
	out := m.out
	m.out = nil
	return out
}

// Deadline is when the next [Tick] is due, and whether one is. Right after a
// step it is later than that step's instant.
func (m *Machine) Deadline() (boottime.Instant, bool) {
	switch {
	case m.state == Backup && m.strangerDown.On:
		return boottime.Earliest(m.masterDown, m.listen, m.strangerDown) // a claim has to wait for them
	case m.state == Backup && m.listen.On:
		return boottime.Earliest(m.masterDown, m.listen)
	case m.state == Backup:
		return boottime.Earliest(m.masterDown, m.claim)
	case m.state == Master:
		return boottime.Earliest(m.advert, m.garp, m.refresh)
	default:
		return 0, false
	}
}

// State is the state the machine is in.
func (m *Machine) State() State { return m.state }

// Since is when the machine entered its state; zero before its first step.
func (m *Machine) Since() boottime.Instant { return m.since }

// Claiming reports whether a [Claim] waits for its answer. On the wire, the
// machine is BACKUP.
func (m *Machine) Claiming() bool { return m.claiming }

// Config is the configuration in force.
func (m *Machine) Config() Config { return m.config }

// startup is RFC 3768 §6.4.1, but for an owner's way to MASTER, which is a
// claim, too.
func (m *Machine) startup(now boottime.Instant) {
	if m.state != Init && m.state != Fault {
		return
	}
	owner := m.config.Priority == PriorityOwner
	m.masterDown.Set(now.Add(m.downInterval(m.config.AdvertInterval)))
	if owner && m.config.Plain {
		m.masterDown.Set(now)
	}
	if !owner && !m.config.Plain && m.config.StartupListen > 0 {
		m.listen.Set(now.Add(m.config.StartupListen))
	}
	m.change(now, Backup, "started")
}

// leave takes the machine to INIT or FAULT. What the store said stays true.
func (m *Machine) leave(now boottime.Instant, to State, cause string) {
	m.setSilent(false)
	if m.state == Master && !m.yielding {
		m.do(SendAdvert{PriorityStop})
	}
	m.forgetLease(now)
	m.stopTimers()
	m.change(now, to, cause)
}

// forgetLease drops a claim and a lease that was ours, both of which end with
// the state they belong to.
func (m *Machine) forgetLease(now boottime.Instant) {
	if m.claiming && m.lease == leaseFree {
		m.claim.Set(now) // it is still our turn, should we be back in BACKUP
	}
	m.claiming = false
	if m.lease == leaseOurs {
		m.lease = leaseUnknown
	}
}

func (m *Machine) stopTimers() {
	m.masterDown.Stop()
	m.strangerDown.Stop()
	m.listen.Stop()
	m.advert.Stop()
	m.garp.Stop()
	m.refresh.Stop()
	m.healing.Stop()
	m.yielding = false
}

func (m *Machine) received(now boottime.Instant, ev Received) {
	switch m.state {
	case Backup:
		m.receivedInBackup(now, ev)
	case Master:
		m.receivedInMaster(now, ev)
	case Init, Fault: // takes no part
	}
}

func (m *Machine) granted(now boottime.Instant, token uint64) {
	switch m.state {
	case Backup:
		m.becomeMaster(now, token)
	case Master:
		m.lease, m.token = leaseOurs, token
		m.claim.Stop()
	case Init, Fault:
		m.do(Yield{fmt.Sprintf("granted while in %s", m.state)})
	}
}

func (m *Machine) reconfigured(now boottime.Instant, config Config) {
	old := m.config
	m.configure(config)
	if config.Plain != old.Plain {
		m.lease, m.claiming = leaseUnknown, false
		m.claim.Stop()
		m.setSilent(false)
	}
	switch m.state {
	case Backup:
		if config.AdvertInterval != old.AdvertInterval || config.Plain != old.Plain {
			m.masterDown.Set(now.Add(m.downInterval(config.AdvertInterval)))
		}
	case Master:
		m.reconfiguredAsMaster(now, old)
	case Init, Fault:
	}
}

func (m *Machine) runTimers(now boottime.Instant) {
	switch m.state {
	case Backup:
		m.runBackupTimers(now)
	case Master:
		m.runMasterTimers(now)
	case Init, Fault:
	}
}

func (m *Machine) do(action Action) { m.out = append(m.out, action) }

// change enters a state and reports it, unless it is the state already.
func (m *Machine) change(now boottime.Instant, to State, cause string) {
	from := m.state
	m.cause = cause
	if from == to {
		return
	}
	m.state, m.since = to, now
	m.do(Changed{From: from, To: to, Cause: cause})
}

// skew and downInterval count with our priority and the interval of the router
// that is MASTER, which only version 3 may change (RFC 9568 §6.4.2).
func (m *Machine) skew(interval time.Duration) time.Duration {
	return SkewTime(m.config.Version, m.config.Priority, interval)
}

func (m *Machine) downInterval(interval time.Duration) time.Duration {
	return MasterDownInterval(m.config.Version, m.config.Priority, interval)
}

// masterInterval is the RFC's Master_Adver_Interval after an advertisement.
func (m *Machine) masterInterval(advert Advertisement) time.Duration {
	if m.config.Version == Version3 && advert.Interval > 0 {
		return advert.Interval
	}
	return m.config.AdvertInterval
}
