package vrrp

import (
	"testing"
	"time"
)

// The rows of the table of DESIGN §4, one test each, in its order; then the
// rules about claims.

// "adverts stop, lease still held by another live session: stay BACKUP; say
// "MASTER is silent but holds the lease"".
func TestSilentMasterWithLeaseKeepsUsBackup(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(memberAdvert(lowerAddress, 100))
	p.deadline(down100)
	p.step(Tick{}, Silent{"n2", true})
	p.noDeadline()
	p.state(Backup)
	p.reason("BACKUP: n2 is silent but holds the lease")
	p.idle(time.Minute)
	p.step(LeaseHeld{"n2"})
	p.step(memberAdvert(lowerAddress, 50), Silent{"n2", false})
	p.reason("BACKUP: n2 holds the lease")
	p.deadline(down100)
	p.step(Tick{}, Silent{"n2", true})
}

// "adverts stop, lease free or expired: claim; the grant decides".
func TestSilentMasterWithoutLeaseIsSucceededOnlyByGrant(t *testing.T) {
	p := backup(t, leaseConfig())
	p.deadline(down100)
	p.step(Tick{}, Silent{"n2", true})
	p.step(LeaseFree{}, Silent{"n2", false}, claimFree)
	p.state(Backup)
	p.noDeadline()
	p.grant(8)
	p.state(Master)
}

// "lease freed or expired before the master-down timer: claim at once, in order
// of effective priority".
func TestFreeLeaseIsClaimedBeforeMasterDown(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(memberAdvert(lowerAddress, 100))
	p.step(LeaseFree{}, claimFree)
}

// The second half of that row: the delay is the rank among the candidates.
func TestFreeLeaseIsClaimedInOrderOfRank(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseFree{Delay: 100 * time.Millisecond})
	p.reason("BACKUP: the lease is free; better candidates go first")
	p.pass(20 * time.Millisecond)
	p.step(LeaseFree{Delay: 200 * time.Millisecond}) // later: a better candidate has come
	p.deadline(200 * time.Millisecond)
	p.step(Tick{}, claimFree)

	p = backup(t, leaseConfig())
	p.step(LeaseFree{Delay: 100 * time.Millisecond})
	p.step(LeaseFree{Delay: 30 * time.Millisecond}) // earlier: brought forward
	p.deadline(30 * time.Millisecond)
	p.step(Tick{}, claimFree)
}

// "priority 0 advert: same [wait the skew time], but the named successor already
// has the lease".
func TestPriorityZeroInBackupWaitsSkewTimeButDoesNotClaim(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseHeld{"n3"})
	p.step(memberAdvert(lowerAddress, PriorityStop))
	p.deadline(skew100)
	p.step(Tick{}, Silent{"n3", true})
	p.state(Backup)
}

// The other half of that row: the named successor becomes MASTER unasked.
func TestNamedSuccessorBecomesMasterWithoutAClaim(t *testing.T) {
	p := backup(t, leaseConfig())
	p.grant(9)
	p.reason("MASTER: lease granted with token 9")
}

// "higher priority advert while MASTER, from a member: a member without the
// lease cannot be MASTER: keep, count it, tell the operator".
func TestMasterIsKeptAgainstAMemberWithoutLease(t *testing.T) {
	p := master(t, leaseConfig())
	p.step(memberAdvert(higherAddress, 200), Stranger{higherAddress, 200, MemberWithoutLease}, Announce{1})
	for _, priority := range []Priority{50, 100, 200, PriorityOwner} {
		p.step(memberAdvert(higherAddress, priority), Stranger{higherAddress, priority, MemberWithoutLease})
		p.state(Master)
	}
}

// A member that advertises without the lease may have sent gratuitous ARP, too:
// the neighbours are told again, but not more often than once in an interval, and
// without an advertisement that a keepalived there would answer for ever.
func TestMasterHealsTheNeighboursOnceAnInterval(t *testing.T) {
	p := master(t, leaseConfig())
	stale := Stranger{higherAddress, 200, MemberWithoutLease}
	p.step(memberAdvert(higherAddress, 200), stale, Announce{1})
	p.step(memberAdvert(higherAddress, 200), stale)
	p.step(memberAdvert(higherAddress, 200), stale)
}

// "higher priority advert while MASTER, from a stranger: yield as the RFC says:
// withdraw, release, BACKUP; status names the stranger".
func TestMasterYieldsOnceToAHigherStranger(t *testing.T) {
	p := master(t, leaseConfig())
	p.step(advert(lowerAddress, 200), Stranger{lowerAddress, 200, StrangerHigher}, Yield{"10.9.0.2 advertises priority 200"})
	p.noDeadline()
	p.reason("MASTER: giving way: 10.9.0.2 advertises priority 200")
	p.step(advert(lowerAddress, 200), Stranger{lowerAddress, 200, StrangerHigher})
	p.step(advert(lowerAddress, 50), Stranger{lowerAddress, 50, StrangerLower})
	p.step(memberAdvert(higherAddress, PriorityStop))
	p.step(Tick{})
	p.step(LeaseFree{}) // we have released it; it is not for us to claim again
	p.step(Lost{"yielded"}, Changed{Master, Backup, "yielded"})
	p.reason("BACKUP: stranger 10.9.0.2 advertises priority 200")
	p.deadline(down100)
	p.step(Tick{}, claimFree)
}

// "lease lost while MASTER: VIP withdrawn, priority 0 sent, BACKUP".
func TestLostLeaseSendsPriorityZeroAndBacksUp(t *testing.T) {
	p := master(t, leaseConfig())
	p.step(Lost{"the session expired"}, SendAdvert{PriorityStop}, Changed{Master, Backup, "the session expired"})
	p.reason("BACKUP: the session expired; waiting for word from the store")
	p.idle(time.Minute)
	p.step(LeaseFree{}, claimFree)
}

// "we are the better priority and preemption is on: mark the group wanted; the
// holder hands over": the machine itself takes nothing from a live holder.
func TestBetterPriorityDoesNotPreemptAHolder(t *testing.T) {
	config := leaseConfig()
	config.Priority = 254
	p := backup(t, config)
	for range 10 {
		p.step(memberAdvert(lowerAddress, 50))
		p.pass(time.Second)
	}
	p.state(Backup)
	p.reason("BACKUP: n2 holds the lease")
}

// Goal: after Startup we listen for strangers before a first claim, and only
// before the first.
func TestFirstClaimWaitsForStartupListening(t *testing.T) {
	config := leaseConfig()
	config.StartupListen = 2 * time.Second
	p := newPlay(t, config)
	p.start()
	p.step(LeaseFree{})
	p.reason("BACKUP: the lease is free; listening for other routers before the first claim")
	p.deadline(2 * time.Second)
	p.step(Tick{}, claimFree)
	p.step(Refused{"lost the race"})
	p.reason("BACKUP: claim refused: lost the race; waiting for word from the store")
	p.step(LeaseFree{}, claimFree)
}

// Goal: an owner claims at once, without listening.
func TestOwnerClaimsWithoutListening(t *testing.T) {
	config := leaseConfig()
	config.Priority, config.StartupListen = PriorityOwner, 2*time.Second
	p := newPlay(t, config)
	p.start()
	p.step(LeaseFree{}, claimFree)
}

// Goal: a stranger that the RFC lets be MASTER holds a claim back for as long as
// it is heard, and its master-down interval longer: one of equal or higher
// priority, or any without preemption.
func TestStrangerThatMayBeMasterHoldsTheClaimBack(t *testing.T) {
	noPreempt := leaseConfig()
	noPreempt.Preempt = false
	tests := map[string]struct {
		config   Config
		priority Priority
		kind     StrangerKind
	}{
		"higher":             {leaseConfig(), 101, StrangerHigher},
		"equal":              {leaseConfig(), 100, StrangerHigher},
		"lower, not preempt": {noPreempt, 99, StrangerLower},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := backup(t, test.config)
			p.step(advert(lowerAddress, test.priority), Stranger{lowerAddress, test.priority, test.kind})
			p.step(LeaseFree{})
			p.pass(time.Second)
			p.step(advert(lowerAddress, test.priority), Stranger{lowerAddress, test.priority, test.kind})
			p.pass(down100 - 1)
			p.step(Tick{})
			p.deadline(1)
			p.step(Tick{}, claimFree)
		})
	}
}

// Goal: a stranger that stops holds the claim back for the skew time only.
func TestStrangersFarewellLeavesTheSkewTime(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(advert(lowerAddress, 200), Stranger{lowerAddress, 200, StrangerHigher})
	p.step(LeaseFree{})
	p.step(advert(lowerAddress, PriorityStop))
	p.reason("BACKUP: stranger 10.9.0.2 has said that it stops")
	p.deadline(skew100)
	p.step(Tick{}, claimFree)
}

// Goal: a stranger that would have to give way to us holds nothing back, nor
// does its farewell.
func TestLowerStrangerDoesNotHoldTheClaimBack(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(advert(lowerAddress, 99), Stranger{lowerAddress, 99, StrangerLower})
	p.step(advert(lowerAddress, PriorityStop))
	p.step(LeaseFree{}, claimFree)
}

// Goal: a member's adverts never hold a claim back once the store says free.
func TestMembersAdvertsDoNotHoldTheClaimBack(t *testing.T) {
	config := leaseConfig()
	config.Preempt = false
	p := backup(t, config)
	p.step(memberAdvert(higherAddress, PriorityOwner))
	p.step(LeaseFree{Delay: 50 * time.Millisecond})
	p.pass(40 * time.Millisecond)
	p.step(memberAdvert(higherAddress, PriorityOwner))
	p.deadline(10 * time.Millisecond)
	p.step(Tick{}, claimFree)
}

// Goal: a pending claim ends when another node has the lease.
func TestLeaseHeldDropsAPendingClaim(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseFree{Delay: 50 * time.Millisecond})
	p.step(LeaseHeld{"n3"})
	p.idle(time.Second)
	p.step(LeaseFree{}, claimFree)
	if !p.m.Claiming() {
		t.Error("not claiming after a Claim")
	}
	p.step(LeaseHeld{"n2"})
	if p.m.Claiming() {
		t.Error("still claiming what n2 holds")
	}
	p.step(Refused{"lost the race"}) // an answer that was on its way
	p.reason("BACKUP: n2 holds the lease")
}

// Goal: one claim at a time.
func TestClaimIsAskedOnceUntilAnswered(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseFree{}, claimFree)
	p.step(LeaseFree{})
	p.step(Tick{})
	p.idle(time.Minute)
	p.step(LeaseFree{Delay: time.Second})
	p.step(Refused{"the store is out of reach"})
	p.noDeadline()
	p.step(LeaseFree{}, claimFree)
}

// Goal: a higher stranger heard while the claim is under way gets the place:
// the grant has put the VIPs on, so they are withdrawn, without an advert.
func TestGrantAfterAHigherStrangerYieldsAtOnce(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseFree{}, claimFree)
	p.step(advert(lowerAddress, 200), Stranger{lowerAddress, 200, StrangerHigher})
	p.step(Granted{9}, Changed{Backup, Master, "lease granted with token 9"}, Yield{"10.9.0.2 advertises priority 200"})
	p.noDeadline()
	p.step(Lost{"yielded"}, Changed{Master, Backup, "yielded"})
	p.state(Backup)
}

// Goal: but one that has said farewell meanwhile doesn't.
func TestGrantAfterAStrangersFarewellStands(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseFree{}, claimFree)
	p.step(advert(lowerAddress, 200), Stranger{lowerAddress, 200, StrangerHigher})
	p.step(advert(lowerAddress, PriorityStop))
	p.grant(9)
}

// Goal: the rival that stops while we give way to it leaves the skew time only.
func TestRivalThatStopsWhileWeYieldLeavesTheSkewTime(t *testing.T) {
	p := master(t, leaseConfig())
	p.step(advert(lowerAddress, 200), Stranger{lowerAddress, 200, StrangerHigher}, Yield{"10.9.0.2 advertises priority 200"})
	p.step(advert(lowerAddress, PriorityStop))
	p.step(Lost{"yielded"}, Changed{Master, Backup, "yielded"})
	p.step(LeaseFree{}, claimFree)
}

// Goal: a change of holder gives the new one time to be heard.
func TestNewHolderHasAFullIntervalBeforeItIsSilent(t *testing.T) {
	p := backup(t, leaseConfig())
	p.deadline(down100)
	p.step(Tick{}, Silent{"n2", true})
	p.step(LeaseHeld{"n3"}, Silent{"n2", false})
	p.deadline(down100)
	p.step(Tick{}, Silent{"n3", true})
	p.step(Failed{"eth0 is down"}, Silent{"n3", false}, Changed{Backup, Fault, "eth0 is down"})
}

// Goal: FAULT ends being MASTER with a farewell, listens to nobody, claims
// nothing, and is left by Startup with full timers; what the store said in the
// meantime counts.
func TestFaultTakesNoPartUntilStartup(t *testing.T) {
	p := master(t, leaseConfig())
	p.step(Failed{"eth0 is down"}, SendAdvert{PriorityStop}, Changed{Master, Fault, "eth0 is down"})
	p.reason("FAULT: eth0 is down")
	p.step(advert(higherAddress, 200))
	p.step(LeaseFree{})
	p.step(Tick{})
	p.step(Granted{8}, Yield{"granted while in FAULT"})
	p.step(Lost{"yielded"})
	p.noDeadline()
	p.step(Failed{"script failed"})
	p.reason("FAULT: script failed")
	p.step(Startup{}, Changed{Fault, Backup, "started"}, claimFree)
}

// Goal: a fault in the middle of a claim leaves our turn to claim as it was.
func TestFaultDuringAClaimKeepsOurTurn(t *testing.T) {
	p := backup(t, leaseConfig())
	p.step(LeaseFree{}, claimFree)
	p.step(Failed{"eth0 is down"}, Changed{Backup, Fault, "eth0 is down"})
	p.step(Startup{}, Changed{Fault, Backup, "started"}, claimFree)
}

// Goal: a stranger of lower priority is answered by an advert and announcements,
// as by keepalived's MASTER, and reported.
func TestMasterAnswersALowerStranger(t *testing.T) {
	p := master(t, leaseConfig())
	p.pass(500 * time.Millisecond)
	p.step(advert(higherAddress, 99), Stranger{higherAddress, 99, StrangerLower}, SendAdvert{100}, Announce{5})
	p.deadline(time.Second)
}

// Goal: a reload keeps the state, and what changed is in the next packet.
func TestReconfigureKeepsTheState(t *testing.T) {
	p := master(t, leaseConfig())
	p.pass(100 * time.Millisecond)
	config := leaseConfig()
	config.Priority, config.AdvertInterval, config.Garp.Refresh = 150, 2*time.Second, 10*time.Second
	p.step(Reconfigured{config})
	p.deadline(900 * time.Millisecond)
	p.step(Tick{}, SendAdvert{150})
	p.deadline(2 * time.Second)
	p.step(Tick{}, SendAdvert{150})
	p.state(Master)
	q := backup(t, leaseConfig())
	q.step(Reconfigured{config})
	q.state(Backup)
	q.deadline(MasterDownInterval(Version2, 150, 2*time.Second))
}

// Goal: announcements are planned anew when their schedule changes, and end when
// they are turned off.
func TestReconfigureChangesTheAnnouncements(t *testing.T) {
	p := master(t, leaseConfig())
	config := leaseConfig()
	config.Garp = GarpSchedule{Refresh: 500 * time.Millisecond, RefreshRepeat: 1}
	p.step(Reconfigured{config})
	p.deadline(500 * time.Millisecond)
	p.step(Tick{}, Announce{1})
	config.Garp.Refresh = 0
	p.step(Reconfigured{config})
	for range 10 { // past the second burst that was planned before
		p.now, _ = p.m.Deadline()
		p.step(Tick{}, SendAdvert{100})
	}
}

// Goal: MASTER ends the report of a silent one.
func TestSuccessorOfASilentMasterEndsTheReport(t *testing.T) {
	p := backup(t, leaseConfig())
	p.deadline(down100)
	p.step(Tick{}, Silent{"n2", true})
	p.step(Granted{8}, Silent{"n2", false}, SendAdvert{100}, Announce{5}, Changed{Backup, Master, "lease granted with token 8"})
}

// Goal: a second grant only tells the token, a second Startup nothing.
func TestRepeatedGrantAndStartupChangeNothing(t *testing.T) {
	p := master(t, leaseConfig())
	p.pass(100 * time.Millisecond)
	p.step(Granted{8})
	p.reason("MASTER: lease granted with token 8")
	p.step(Startup{})
	p.deadline(900 * time.Millisecond)
	q := backup(t, leaseConfig())
	q.pass(time.Second)
	q.step(Startup{})
	q.deadline(down100 - time.Second)
}

// Goal: a stop says farewell from MASTER, and nothing from elsewhere.
func TestStoppedSaysFarewellOnlyFromMaster(t *testing.T) {
	p := master(t, leaseConfig())
	p.step(Stopped{"SIGTERM"}, SendAdvert{PriorityStop}, Changed{Master, Init, "SIGTERM"})
	p.noDeadline()
	p.reason("INIT: SIGTERM")
	p = backup(t, leaseConfig())
	p.step(Stopped{"SIGTERM"}, Changed{Backup, Init, "SIGTERM"})
	p.noDeadline()
}

// Goal: status can say since when.
func TestSinceIsTheBeginningOfTheState(t *testing.T) {
	p := newPlay(t, leaseConfig())
	p.reason("INIT: not started")
	p.start()
	p.pass(time.Second)
	p.step(LeaseHeld{"n2"})
	if got := p.m.Since(); got != start {
		t.Errorf("since %s, want %s", got, start)
	}
	p.grant(3)
	if got := p.m.Since(); got != p.now {
		t.Errorf("since %s, want %s", got, p.now)
	}
}
