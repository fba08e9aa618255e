package checker

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/lvs"
)

// Times of repairing.
const (
	repairInterval = 10 * time.Second
	repairShare    = 100 // reading the kernel's table takes at most one part in so many of our time
	refusalsLogged = 10  // of one plan

	surpriseInterval = time.Second // to the next reading, when somebody else writes, too
)

// ipvs keeps the kernel's table as it is wanted. A kernel without IPVS is asked
// again with every repair; everything else goes on.
type ipvs struct {
	logger   hclog.Logger
	load     func() (kernel, error)
	table    *lvs.Table
	kernel   kernel // nil: there is none yet
	timeouts config.IPVSTimeouts
	trouble  string        // for status; "" when the kernel has what is wanted
	drift    lvs.Drift     // repaired since the start
	reading  time.Duration // the last one
	seen     bool          // it has been read at least once
	invalid  error         // why what is wanted can't be: then nothing is done (I7)
	surprise bool          // somebody else writes, too: read soon
}

// kernel is a network namespace's IPVS: [lvs.Kernel], or a fake of it.
type kernel interface {
	Services() ([]lvs.Service, error)
	Statistics() ([]lvs.ServiceStatistics, error)
	Apply([]lvs.Op) lvs.Outcome
	SetTimeouts(lvs.Timeouts) error
	Close()
}

// openKernel opens the IPVS of this network namespace.
func openKernel() (kernel, error) {
	k, err := lvs.Open()
	if err != nil {
		return nil, err
	}
	return k, nil
}

func newIPVS(owned []lvs.ServiceKey, load func() (kernel, error), logger hclog.Logger) *ipvs {
	return &ipvs{logger: logger, load: load, table: lvs.NewTable(owned)}
}

// want takes all services that are to be there. ledger is called with all that is
// ours before the kernel gets anything.
func (i *ipvs) want(services []lvs.Service, ledger func([]lvs.ServiceKey) error) error {
	if i.invalid = lvs.ValidateAll(services); i.invalid != nil {
		return i.invalid
	}
	i.table.Want(services)
	if err := ledger(i.table.Owned()); err != nil {
		i.logger.Warn("what is ours could not be written down: after a crash, services that leave the configuration would stay in IPVS", "error", err)
	}
	return nil
}

// wantSome takes services whose real servers have changed.
func (i *ipvs) wantSome(services []lvs.Service) {
	for _, s := range services {
		i.table.WantService(s)
	}
}

func (i *ipvs) owned() []lvs.ServiceKey { return i.table.Owned() }

// open opens the kernel's IPVS where that has not been done yet.
func (i *ipvs) open() bool {
	if i.kernel != nil {
		return true
	}
	opened, err := i.load()
	if err != nil {
		i.fail("open IPVS", err)
		return false
	}
	i.kernel = opened
	i.applyTimeouts()
	return true
}

// repair reads the kernel's table and puts right what differs.
func (i *ipvs) repair() {
	if !i.open() {
		return
	}
	began := boottime.Now()
	have, err := i.kernel.Services()
	i.reading = boottime.Now().Sub(began)
	if err != nil {
		i.fail("read IPVS", err)
		if errors.Is(err, lvs.ErrNoIPVS) {
			i.close()
		}
		return
	}
	i.seen = true
	if drift := i.table.Saw(have); drift.Total() > 0 {
		i.drift = add(i.drift, drift)
		i.logger.Warn("somebody else has changed our virtual servers in IPVS; it is put right", "changes", fmt.Sprintf("%+v", drift))
	}
	i.perform()
}

// repairAfter is when the table should be read again.
func (i *ipvs) repairAfter() time.Duration {
	return max(repairInterval, i.reading*repairShare)
}

// apply makes the kernel's table what is wanted, by what is known of it.
func (i *ipvs) apply() {
	if !i.seen {
		i.repair()
	} else if i.open() {
		i.perform()
	}
}

// surprised reports once that the table was not what was known of it.
func (i *ipvs) surprised() bool {
	surprise := i.surprise
	i.surprise = false
	return surprise
}

func (i *ipvs) perform() {
	if i.invalid != nil { // what is wanted is not known: nothing may be deleted for it
		i.fail("IPVS stays as it is", i.invalid)
		return
	}
	ops := i.table.Plan()
	if len(ops) == 0 {
		i.recover()
		return
	}
	outcome := i.kernel.Apply(ops)
	i.table.Settled(ops, outcome)
	i.surprise = i.surprise || outcome.Surprises > 0
	if len(outcome.Refused) == 0 {
		i.recover()
		return
	}
	for n, refusal := range outcome.Refused {
		if n == refusalsLogged {
			i.logger.Error("IPVS refused more", "operations", len(outcome.Refused)-n)
			break
		}
		i.logger.Error("IPVS refused", "error", refusal.Error())
	}
	i.trouble = fmt.Sprintf("%d of %d operations refused, tried again every %v; the first: %v", len(outcome.Refused), len(ops), repairInterval, outcome.Refused[0])
}

func (i *ipvs) fail(what string, err error) {
	text := what + ": " + err.Error()
	if text != i.trouble {
		i.logger.Error("virtual servers are not what they should be; VRRP goes on, and it is tried again", "error", text)
	}
	i.trouble = text
}

func (i *ipvs) recover() {
	if i.trouble != "" {
		i.logger.Info("IPVS is as it should be again")
	}
	i.trouble = ""
}

func (i *ipvs) setTimeouts(t config.IPVSTimeouts) {
	if t == i.timeouts {
		return
	}
	i.timeouts = t
	if i.open() {
		i.applyTimeouts()
	}
}

func (i *ipvs) applyTimeouts() {
	if i.timeouts == (config.IPVSTimeouts{}) {
		return
	}
	if err := i.kernel.SetTimeouts(lvs.Timeouts(i.timeouts)); err != nil {
		i.logger.Error("lvs_timeouts", "error", err)
	}
}

func (i *ipvs) close() {
	if i.kernel != nil {
		i.kernel.Close()
		i.kernel = nil
	}
}

func add(a, b lvs.Drift) lvs.Drift {
	a.ServicesDeleted += b.ServicesDeleted
	a.ServicesEdited += b.ServicesEdited
	a.DestinationsAdded += b.DestinationsAdded
	a.DestinationsDeleted += b.DestinationsDeleted
	a.DestinationsEdited += b.DestinationsEdited
	return a
}
