package lvs_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hafence/hafence/lvs"
)

var (
	syncBackup = lvs.SyncDaemon{Role: lvs.SyncBackup, Interface: "eth0", ID: 7}
	syncMaster = lvs.SyncDaemon{Role: lvs.SyncMaster, Interface: "eth0", ID: 7}
)

// asKernel gives a daemon as the kernel shows it: with its defaults.
func asKernel(d lvs.SyncDaemon, length uint16) lvs.SyncDaemon {
	d.Group, d.Port, d.TTL, d.MaxLength = netip.MustParseAddr("224.0.0.81"), 8848, 1, length
	return d
}

// Goal: a plan has exactly the ops that it needs, backup first. Method: a table of
// what runs, what is wanted and what is ours.
func TestPlanSync(t *testing.T) {
	longer := syncBackup
	longer.MaxLength = 8000
	elsewhere := asKernel(syncBackup, 1472)
	elsewhere.Interface = "eth9"
	both := []lvs.SyncDaemon{syncBackup, syncMaster}
	running := []lvs.SyncDaemon{asKernel(syncMaster, 1472), asKernel(syncBackup, 1472)}
	for _, test := range []struct {
		name       string
		have       []lvs.SyncDaemon
		want, ours []lvs.SyncDaemon
		ops        []string
	}{
		{"from nothing", nil, both, nil, []string{"start backup sync daemon on eth0 id 7", "start master sync daemon on eth0 id 7"}},
		{"as it is", running, both, both, nil},
		{"adoption", running, both, nil, nil},
		{"no longer MASTER", running, both[:1], both, []string{"stop master sync daemon on eth0 id 7 maxlen 1472 group 224.0.0.81 port 8848 ttl 1"}},
		{"a previous life was MASTER", running[:1], both[:1], both, []string{
			"start backup sync daemon on eth0 id 7",
			"stop master sync daemon on eth0 id 7 maxlen 1472 group 224.0.0.81 port 8848 ttl 1",
		}},
		{"a jumbo link's backup", []lvs.SyncDaemon{asKernel(syncBackup, 8972)}, both[:1], nil, nil},
		{"another length", running[1:], []lvs.SyncDaemon{longer}, both, []string{
			"stop backup sync daemon on eth0 id 7 maxlen 1472 group 224.0.0.81 port 8848 ttl 1",
			"start backup sync daemon on eth0 id 7 maxlen 8000",
		}},
		{"a foreign one in the way", []lvs.SyncDaemon{elsewhere}, both[:1], nil, []string{
			"stop the foreign backup sync daemon on eth9 id 7 maxlen 1472 group 224.0.0.81 port 8848 ttl 1",
			"start backup sync daemon on eth0 id 7",
		}},
		{"a foreign one elsewhere", running, nil, nil, nil},
	} {
		var got []string
		for _, op := range lvs.PlanSync(test.have, lvs.SyncWant{Daemons: test.want, Ours: test.ours}) {
			got = append(got, op.String())
		}
		if diff := cmp.Diff(test.ops, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.name, diff)
		}
	}
}

// Goal: every parameter counts. Method: each changed by itself makes a restart.
func TestPlanSyncSeesEachParameter(t *testing.T) {
	want := lvs.SyncDaemon{
		Role: lvs.SyncMaster, Interface: "eth0", ID: 1, MaxLength: 1000, Group: netip.MustParseAddr("239.1.1.1"), Port: 9000, TTL: 3,
	}
	for i, change := range []func(*lvs.SyncDaemon){
		func(d *lvs.SyncDaemon) { d.Interface = "eth1" },
		func(d *lvs.SyncDaemon) { d.ID = 2 },
		func(d *lvs.SyncDaemon) { d.MaxLength = 1001 },
		func(d *lvs.SyncDaemon) { d.Group = netip.MustParseAddr("ff02::81") },
		func(d *lvs.SyncDaemon) { d.Port = 9001 },
		func(d *lvs.SyncDaemon) { d.TTL = 4 },
	} {
		have := want
		change(&have)
		ops := lvs.PlanSync([]lvs.SyncDaemon{have}, lvs.SyncWant{Daemons: []lvs.SyncDaemon{want}})
		if len(ops) != 2 || !ops[0].Stop || !ops[0].Foreign || ops[1].Stop {
			t.Errorf("change %d: %v", i, ops)
		}
	}
}

// Goal: what the kernel would refuse or cut is found before. Method: one fault each.
func TestSyncDaemonValidate(t *testing.T) {
	if err := syncBackup.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*lvs.SyncDaemon){
		func(d *lvs.SyncDaemon) { d.Role = 0 },
		func(d *lvs.SyncDaemon) { d.Interface = "" },
		func(d *lvs.SyncDaemon) { d.Interface = "a-name-that-is-too-long" },
		func(d *lvs.SyncDaemon) { d.Group = netip.MustParseAddr("10.0.0.1") },
		func(d *lvs.SyncDaemon) { d.MaxLength = 65508 },
	} {
		d := syncBackup
		change(&d)
		if d.Validate() == nil {
			t.Errorf("%s (role %d) is accepted", d, d.Role)
		}
	}
}

// Goal: two roles have two names, and no other has one.
func TestSyncRolesPrint(t *testing.T) {
	got := []string{lvs.SyncMaster.String(), lvs.SyncBackup.String(), lvs.SyncRole(9).String()}
	if !slices.Equal(got, []string{"master", "backup", "SyncRole(9)"}) {
		t.Error(got)
	}
}
