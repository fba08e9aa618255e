package vrrp

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The sentences of RFC 3768 §6.4, one test each, on a machine without a lease:
// there a Claim stands for the transition to MASTER and Granted completes it. The
// reception checks of §7.1 are in receive_test.go. §6.4 also forbids and commands
// answers to ARP and IP for the VIPs; those are kept by whoever performs Claim
// and Yield, and by the packet gate, not by this package.

var noMaster = Claim{"no MASTER is heard"}

func plainBackup(t *testing.T, config Config) *play {
	t.Helper()
	p := newPlay(t, config)
	p.start()
	return p
}

func plainMaster(t *testing.T, config Config) *play {
	t.Helper()
	p := plainBackup(t, config)
	p.deadline(down100)
	p.step(Tick{}, noMaster)
	p.grant(0)
	return p
}

// §6.4.1: "If the Priority = 255 (i.e., the router owns the IP address(es)
// associated with the virtual router) [...] Send an ADVERTISEMENT, Broadcast a
// gratuitous ARP request [...], Set the Adver_Timer to Advertisement_Interval,
// Transition to the {Master} state".
func TestRFC3768OwnerBecomesMasterAtStartup(t *testing.T) {
	config := plainConfig()
	config.Priority = PriorityOwner
	p := newPlay(t, config)
	p.step(Startup{}, Changed{Init, Backup, "started"}, noMaster)
	p.step(Granted{}, SendAdvert{PriorityOwner}, Announce{5}, Changed{Backup, Master, "no other MASTER is heard"})
	p.deadline(time.Second)
	p.step(Tick{}, SendAdvert{PriorityOwner})
}

// §6.4.1: "else Set the Master_Down_Timer to Master_Down_Interval, Transition to
// the {Backup} state".
func TestRFC3768StartupEntersBackup(t *testing.T) {
	p := plainBackup(t, plainConfig())
	p.state(Backup)
	p.deadline(down100)
}

// §6.4.2: "If a Shutdown event is received, then: Cancel the Master_Down_Timer,
// Transition to the {Initialize} state".
func TestRFC3768ShutdownInBackup(t *testing.T) {
	p := plainBackup(t, plainConfig())
	p.step(Stopped{"stop"}, Changed{Backup, Init, "stop"})
	p.noDeadline()
}

// §6.4.2: "If the Master_Down_Timer fires, then: Send an ADVERTISEMENT, Broadcast
// a gratuitous ARP request [...], Set the Adver_Timer to Advertisement_Interval,
// Transition to the {Master} state".
func TestRFC3768MasterDownTimerMakesMaster(t *testing.T) {
	p := plainBackup(t, plainConfig())
	p.deadline(down100)
	p.step(Tick{}, noMaster)
	p.step(Granted{}, SendAdvert{100}, Announce{5}, Changed{Backup, Master, "no other MASTER is heard"})
	p.deadline(time.Second)
}

// §6.4.2: "If the Priority in the ADVERTISEMENT is Zero, then: Set the
// Master_Down_Timer to Skew_Time".
func TestRFC3768PriorityZeroInBackupSetsSkewTime(t *testing.T) {
	p := plainBackup(t, plainConfig())
	p.step(advert(higherAddress, 200))
	p.pass(100 * time.Millisecond)
	p.step(advert(higherAddress, PriorityStop))
	p.deadline(skew100)
	p.step(Tick{}, noMaster)
}

// §6.4.2: "If Preempt_Mode is False, or If the Priority in the ADVERTISEMENT is
// greater than or equal to the local Priority, then: Reset the Master_Down_Timer
// to Master_Down_Interval".
func TestRFC3768AdvertisementResetsMasterDownTimer(t *testing.T) {
	noPreempt := plainConfig()
	noPreempt.Preempt = false
	tests := map[string]struct {
		config   Config
		priority Priority
	}{
		"equal":              {plainConfig(), 100},
		"greater":            {plainConfig(), 101},
		"lower, not preempt": {noPreempt, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := plainBackup(t, test.config)
			p.pass(3 * time.Second)
			p.step(advert(lowerAddress, test.priority))
			p.deadline(down100)
			p.step(Tick{}, noMaster)
		})
	}
}

// §6.4.2: "else Discard the ADVERTISEMENT".
func TestRFC3768LowerAdvertisementInBackupIsDiscarded(t *testing.T) {
	p := plainBackup(t, plainConfig())
	p.pass(3 * time.Second)
	p.step(advert(higherAddress, 99))
	p.deadline(down100 - 3*time.Second)
	p.step(Tick{}, noMaster)
}

// §6.4.3: "If a Shutdown event is received, then: Cancel the Adver_Timer, Send an
// ADVERTISEMENT with Priority = 0, Transition to the {Initialize} state".
func TestRFC3768ShutdownInMaster(t *testing.T) {
	p := plainMaster(t, plainConfig())
	p.step(Stopped{"stop"}, SendAdvert{PriorityStop}, Changed{Master, Init, "stop"})
	p.noDeadline()
}

// §6.4.3: "If the Adver_Timer fires, then: Send an ADVERTISEMENT, Reset the
// Adver_Timer to Advertisement_Interval". A late timer is not made up for.
func TestRFC3768AdverTimerSendsAndResets(t *testing.T) {
	p := plainMaster(t, plainConfig())
	for range 3 {
		p.deadline(time.Second)
		p.step(Tick{}, SendAdvert{100})
	}
	p.pass(1700 * time.Millisecond)
	p.step(Tick{}, SendAdvert{100})
	p.deadline(300 * time.Millisecond) // the second burst of announcements
	p.step(Tick{}, Announce{5})
	p.deadline(700 * time.Millisecond)
	p.step(Tick{}, SendAdvert{100})
}

// §6.4.3: "If the Priority in the ADVERTISEMENT is Zero, then: Send an
// ADVERTISEMENT, Reset the Adver_Timer to Advertisement_Interval".
func TestRFC3768PriorityZeroInMasterIsAnsweredAtOnce(t *testing.T) {
	p := plainMaster(t, plainConfig())
	p.pass(500 * time.Millisecond)
	p.step(advert(higherAddress, PriorityStop), SendAdvert{100})
	p.deadline(time.Second)
}

// §6.4.3: "If the Priority in the ADVERTISEMENT is greater than the local
// Priority, or If the Priority in the ADVERTISEMENT is equal to the local
// Priority and the primary IP Address of the sender is greater than the local
// primary IP Address, then: Cancel Adver_Timer, Set Master_Down_Timer to
// Master_Down_Interval, Transition to the {Backup} state".
func TestRFC3768MasterGivesWay(t *testing.T) {
	tests := map[string]Received{
		"greater priority":                    advert(lowerAddress, 101),
		"equal priority and greater address":  advert(higherAddress, 100),
		"greater priority and lesser address": advert(lowerAddress, PriorityOwner),
	}
	for name, ev := range tests {
		t.Run(name, func(t *testing.T) {
			p := plainMaster(t, plainConfig())
			p.step(ev, Yield{rivalText(ev)})
			p.noDeadline()
			p.step(Lost{"withdrawn"}, Changed{Master, Backup, "withdrawn"})
			p.deadline(down100)
			p.step(Tick{}, noMaster)
		})
	}
}

func rivalText(ev Received) string {
	return rival{source: ev.Source, priority: ev.Advert.Priority}.String()
}

// §6.4.3: "else Discard ADVERTISEMENT". As keepalived, we stay MASTER and answer.
func TestRFC3768LowerAdvertisementInMasterChangesNothing(t *testing.T) {
	for name, ev := range map[string]Received{
		"lower priority":                   advert(higherAddress, 99),
		"equal priority and lower address": advert(lowerAddress, 100),
	} {
		t.Run(name, func(t *testing.T) {
			p := plainMaster(t, plainConfig())
			p.step(ev, SendAdvert{100}, Announce{5})
			p.state(Master)
		})
	}
}

// RFC 9568 §6.4.2: a backup's timers follow the interval that its MASTER
// advertises ("Set Active_Adver_Interval to Max Advertise Interval contained in
// the ADVERTISEMENT").
func TestRFC9568BackupAdoptsTheMastersInterval(t *testing.T) {
	config := plainConfig()
	config.Version = Version3
	p := plainBackup(t, config)
	ev := advert(lowerAddress, 200)
	ev.Advert.Version, ev.Advert.Interval = Version3, 100*time.Millisecond
	p.step(ev)
	p.deadline(MasterDownInterval(Version3, 100, 100*time.Millisecond))
	p.step(Tick{}, noMaster)
}

// RFC 9568 §6.4.3: and so do those of a MASTER that gives way.
func TestRFC9568MasterThatGivesWayAdoptsTheInterval(t *testing.T) {
	config := plainConfig()
	config.Version = Version3
	p := newPlay(t, config)
	p.start()
	p.grant(0)
	ev := advert(lowerAddress, 200)
	ev.Advert.Version, ev.Advert.Interval = Version3, 10*time.Second
	p.step(ev, Yield{rivalText(ev)})
	p.step(Lost{"withdrawn"}, Changed{Master, Backup, "withdrawn"})
	p.deadline(MasterDownInterval(Version3, 100, 10*time.Second))
}

// Goal: the RFC's formulas in keepalived's whole microseconds.
func TestTimersAreKeepalivedsToTheMicrosecond(t *testing.T) {
	tests := []struct {
		version  Version
		priority Priority
		interval time.Duration
		want     time.Duration
	}{
		{Version2, 100, time.Second, 609375 * time.Microsecond},
		{Version2, 100, 10 * time.Second, 609375 * time.Microsecond}, // not scaled
		{Version2, 255, time.Second, 3906 * time.Microsecond},        // 3906.25
		{Version2, 254, time.Second, 7812 * time.Microsecond},        // 7812.5
		{Version2, 1, time.Second, 996093 * time.Microsecond},        // 996093.75
		{Version3, 100, time.Second, 609375 * time.Microsecond},
		{Version3, 100, 100 * time.Millisecond, 60937 * time.Microsecond}, // 60937.5
		{Version3, 255, 10 * time.Millisecond, 39 * time.Microsecond},     // 39.0625
	}
	for _, test := range tests {
		if got := SkewTime(test.version, test.priority, test.interval); got != test.want {
			t.Errorf("%s, priority %d, %s: skew time %s, want %s", test.version, test.priority, test.interval, got, test.want)
		}
		down := MasterDownInterval(test.version, test.priority, test.interval)
		if want := 3*test.interval + test.want; down != want {
			t.Errorf("%s, priority %d, %s: master down %s, want %s", test.version, test.priority, test.interval, down, want)
		}
	}
}

// Goal: announcements come as keepalived's garp_master_delay, _repeat, _refresh
// and _refresh_repeat say. Method: twelve seconds of a MASTER, adverts left out.
func TestAnnouncementsFollowTheSchedule(t *testing.T) {
	config := plainConfig()
	config.Garp = GarpSchedule{Delay: 5 * time.Second, Repeat: 3, Refresh: 4 * time.Second, RefreshRepeat: 2}
	p := newPlay(t, config)
	p.start()
	type announcement struct {
		After  time.Duration
		Repeat int
	}
	var got []announcement
	granted := p.now
	note := func(actions []Action) {
		for _, action := range actions {
			if a, ok := action.(Announce); ok {
				got = append(got, announcement{p.now.Sub(granted), a.Repeat})
			}
		}
	}
	note(p.m.Step(p.now, Granted{}))
	for p.now.Sub(granted) < 12*time.Second {
		p.now, _ = p.m.Deadline()
		note(p.m.Step(p.now, Tick{}))
	}
	want := []announcement{{0, 3}, {4 * time.Second, 2}, {5 * time.Second, 3}, {8 * time.Second, 2}, {12 * time.Second, 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Goal: without a lease the store has no say.
func TestPlainMachineIgnoresTheStore(t *testing.T) {
	p := plainBackup(t, plainConfig())
	p.step(LeaseFree{})
	p.step(LeaseHeld{"n2"})
	p.reason("BACKUP: waiting to hear a MASTER")
	p.deadline(down100)
	p.step(Tick{}, noMaster)
	p.step(LeaseHeld{"n2"})
	p.reason("BACKUP: about to become MASTER")
	p.step(Refused{"no such interface"})
	p.reason("BACKUP: could not become MASTER: no such interface")
	p.deadline(down100)
	p.step(Tick{}, noMaster)
}
