package node

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/lvs"
)

func rolesOf(want lvs.SyncWant) []lvs.SyncRole {
	var roles []lvs.SyncRole
	for _, d := range want.Daemons {
		roles = append(roles, d.Role)
	}
	return roles
}

// Goal: no connection is lost at a handover: the backup always listens, and the
// master sends until what it had is out. Method: MASTER comes and goes.
func TestSyncDaemonsFollowTheGroup(t *testing.T) {
	var r syncRoles
	now := boottime.Instant(time.Hour)
	r.configure(&config.SyncDaemon{Interface: "eth1", Instance: "VI_1", ID: 51})
	both, backup := []lvs.SyncRole{lvs.SyncBackup, lvs.SyncMaster}, []lvs.SyncRole{lvs.SyncBackup}
	for _, step := range []struct {
		name   string
		after  time.Duration
		master bool
		want   []lvs.SyncRole
	}{
		{"at the start", 0, false, backup},
		{"MASTER", time.Second, true, both},
		{"BACKUP again, with messages unsent", time.Second, false, both},
		{"just before they are out", lvs.SyncFlushDelay - 1, false, both},
		{"when they are", 1, false, backup},
		{"MASTER again", time.Second, true, both},
	} {
		now = now.Add(step.after)
		r.follow(now, step.master)
		if got := rolesOf(r.want(now)); !cmp.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

// Goal: a reload stops what it no longer wants, and only that: what it wanted
// before is recognised as its own. Method: another interface, then nothing.
func TestSyncDaemonsOfAnEarlierConfigurationAreOurs(t *testing.T) {
	var r syncRoles
	now := boottime.Instant(time.Hour)
	r.configure(&config.SyncDaemon{Interface: "eth1", ID: 51})
	first := r.want(now).Daemons
	r.configure(&config.SyncDaemon{Interface: "eth2", ID: 51})
	ops := lvs.PlanSync(first, r.want(now))
	compare := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for _, op := range ops {
		if op.Foreign {
			t.Errorf("%v: it was ours", op)
		}
	}
	r.configure(nil)
	want := []lvs.SyncOp{{Stop: true, Daemon: lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "eth2", ID: 51}}}
	got := lvs.PlanSync([]lvs.SyncDaemon{{Role: lvs.SyncBackup, Interface: "eth2", ID: 51}}, r.want(now))
	if diff := cmp.Diff(want, got, compare, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Goal: two reloads in a row forget no daemon that the first one left running. Method:
// two changes of the interface before anything is reconciled.
func TestDaemonsOfTwoReloadsAreOurs(t *testing.T) {
	var r syncRoles
	for _, name := range []string{"eth1", "eth2", "eth3"} {
		r.configure(&config.SyncDaemon{Interface: name, ID: 51})
	}
	ops := lvs.PlanSync([]lvs.SyncDaemon{{Role: lvs.SyncBackup, Interface: "eth1", ID: 51}}, r.want(boottime.Instant(time.Hour)))
	if len(ops) == 0 || !ops[0].Stop || ops[0].Foreign {
		t.Errorf("got %v, want the first daemon stopped as our own", ops)
	}
}
