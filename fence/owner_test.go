package fence

import (
	"testing"
	"time"
)

// The first configuration removes and shuts everything managed, also what only
// a previous life had managed, and lets go of the latter afterwards.
// Method: a host on which both a managed and a forgotten VIP are up.
func TestOwnerStartsByWithdrawingEverything(t *testing.T) {
	f := newFake(t)
	f.managed = addressesOf([]VIP{vipB})
	f.present[vipA], f.present[vipB] = true, true
	got := f.step(Configure{Seq: 1, TTL: testTTL, Gate: true, Groups: []Group{groupA}})
	f.want(got,
		SetUpGate{Managed: addressesOf([]VIP{vipA})},
		RemoveAddress{Withdrawal: 1, VIP: anywhere(addrA)},
		RemoveAddress{Withdrawal: 1, VIP: anywhere(addrB)},
		ShutGate{Withdrawal: 1, VIPs: []VIP{anywhere(addrA), anywhere(addrB)}},
		ManageGate{Managed: addressesOf([]VIP{vipA})},
		Configured{Seq: 1, Gate: true, Removed: addressesOf([]VIP{vipA, vipB})},
	)
	if len(f.present) != 0 {
		t.Errorf("still there: %v", f.present)
	}
}

// The gate is open before the address is added, and the address is gone before
// the gate is shut. Method: the whole life of a grant.
func TestOwnerOrdersGateAroundAddress(t *testing.T) {
	f := configuredFake(t)
	f.want(f.step(Arm{Seq: 2, Group: "web"}),
		ArmGate{Group: "web", VIPs: []VIP{vipA}, Timeout: full},
		Armed{Seq: 2, Group: "web"})
	f.want(f.step(Open{Seq: 3, Group: "web", Token: 7, Deadline: f.now.Add(testTTL)}),
		OpenGate{Group: "web", VIPs: []VIP{vipA}, Timeout: full},
		AddAddress{Group: "web", VIP: vipA, Lifetime: lifetime, Purpose: PurposeOpen},
		Opened{Seq: 3, Group: "web", Token: 7})
	f.want(f.step(Drop{Seq: 4, Groups: []string{"web"}, Cause: "stop"}),
		RemoveAddress{Withdrawal: 2, VIP: vipA},
		ShutGate{Withdrawal: 2, VIPs: []VIP{vipA}},
		Dropped{Seq: 4, Groups: []string{"web"}})
	if !f.owner.Withdrawn() || !f.owner.Clean() {
		t.Error("after Drop something is left")
	}
}

// Without a refresh the group is dropped by itself when the gate has shut, long
// before the deadline, and the controller is told. Method: time passes.
func TestOwnerDropsAddressBeforeDeadline(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	end := f.now.Add(testTTL)
	got := f.wait(full)
	f.want(got,
		RemoveAddress{Withdrawal: 2, VIP: vipA},
		ShutGate{Withdrawal: 2, VIPs: []VIP{vipA}},
		Lapsed{Group: "web", Token: 7, Cause: "no refresh came before the packet gate shut"})
	if f.now.After(end) {
		t.Error("that was after the deadline")
	}
}

// Where there is no gate, the deadline itself ends the grant, to the nanosecond.
// Method: nf_tables is missing; one nanosecond before and at the deadline.
func TestOwnerWithoutGateLapsesAtDeadline(t *testing.T) {
	f := newFake(t)
	f.failSetUp = errBusy
	got := f.step(Configure{Seq: 1, TTL: testTTL, Gate: true, Groups: []Group{groupA}})
	f.want(got[len(got)-1:], Configured{Seq: 1, GateReason: "no buffer space"})
	f.hold("web")
	f.wait(testTTL - 1)
	if !f.answers(vipA) {
		t.Error("dropped before the deadline")
	}
	f.want(f.wait(1),
		RemoveAddress{Withdrawal: 2, VIP: vipA},
		Lapsed{Group: "web", Token: 7, Cause: "the deadline has passed"})
}

// However late and in whatever order events come, nothing answers after the
// deadline: a refresh that comes after the gate's end is refused, an opening
// after the arming's end expired. Method: sleep past each end without a Tick,
// as a stopped process does.
func TestOwnerRefusesWhatComesTooLate(t *testing.T) {
	f := configuredFake(t)
	f.step(Arm{Group: "web"})
	f.now = f.now.Add(full)
	got := f.step(Open{Seq: 3, Group: "web", Token: 7, Deadline: f.now.Add(time.Second)})
	f.want(got, Opened{Seq: 3, Group: "web", Token: 7, Expired: true, Error: "open web: not armed, or no longer"})

	f.hold("web", "db")
	f.now = f.now.Add(full)
	f.step(Refresh{Seq: 4, Deadline: f.now.Add(testTTL), Groups: []string{"web", "db"}})
	f.want(f.reports[len(f.reports)-3:],
		Refreshed{Seq: 4, Refused: []string{"web", "db"}},
		Lapsed{Group: "web", Token: 7, Cause: "no refresh came before the packet gate shut"},
		Lapsed{Group: "db", Token: 7, Cause: "no refresh came before the packet gate shut"})
	if f.answers(vipA) || f.answers(vipB) {
		t.Error("a VIP answers after a refused refresh")
	}
}

// Rule (d): a deadline that counts from before the last acknowledgement neither
// opens the gate nor prolongs it. Method: deadlines one nanosecond too early.
func TestOwnerIgnoresStaleProofs(t *testing.T) {
	f := configuredFake(t)
	f.step(Arm{Group: "web"})
	got := f.step(Open{Seq: 3, Group: "web", Token: 7, Deadline: f.now.Add(testTTL - 1)})
	f.want(got, Opened{Seq: 3, Group: "web", Token: 7, Expired: true, Error: "open web: the deadline counts from before the arming"})
	f.hold("web")
	opened := f.now
	f.now = f.now.Add(100 * time.Millisecond)
	f.want(f.step(Refresh{Seq: 4, Deadline: opened.Add(testTTL - 1), Groups: []string{"web"}}), Refreshed{Seq: 4})
	if got := f.leased[addrA]; got != opened.Add(full) {
		t.Errorf("the element was prolonged to %v", got)
	}
	got = f.step(Refresh{Seq: 5, Deadline: opened.Add(testTTL), Groups: []string{"web"}})
	f.want(got, RefreshGate{Groups: []string{"web"}, VIPs: []VIP{vipA}, Timeout: full}, Refreshed{Seq: 5})
}

// One refresh is one batch; where it is refused, only the group that has lapsed
// is lost. Method: the kernel loses one element early.
func TestOwnerRefreshIsolatesALapse(t *testing.T) {
	f := configuredFake(t)
	f.hold("web", "db")
	f.now = f.now.Add(100 * time.Millisecond)
	delete(f.leased, addrA)
	f.want(f.step(Refresh{Seq: 4, Deadline: f.now.Add(testTTL), Groups: []string{"web", "db"}}),
		RefreshGate{Groups: []string{"web", "db"}, VIPs: []VIP{vipA, vipB}, Timeout: full},
		RefreshGate{Groups: []string{"web"}, VIPs: []VIP{vipA}, Timeout: full},
		RefreshGate{Groups: []string{"db"}, VIPs: []VIP{vipB}, Timeout: full},
		RemoveAddress{Withdrawal: 2, VIP: vipA},
		ShutGate{Withdrawal: 2, VIPs: []VIP{vipA}},
		Refreshed{Seq: 4, Refused: []string{"web"}},
		Lapsed{Group: "web", Token: 7, Cause: ErrExpired.Error()})
	if !f.answers(vipB) {
		t.Error("the other group was taken along")
	}
}

// A transaction that took so long that its elements would outlive the deadline
// is followed by one that shortens them. Method: the kernel acts, and answers
// 1 s later.
func TestOwnerShortensAfterASlowTransaction(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	f.now = f.now.Add(100 * time.Millisecond)
	f.slow = time.Second
	deadline := f.now.Add(testTTL)
	got := f.owner.Step(f.now, Refresh{Seq: 4, Deadline: deadline, Groups: []string{"web"}})
	done, _ := f.perform(got[0])
	f.slow = 0
	f.want(f.owner.Step(f.now, done),
		RefreshGate{Groups: []string{"web"}, VIPs: []VIP{vipA}, Timeout: 480 * time.Millisecond})
}

// Lifetimes are renewed about once a second, with the refreshes, and only then.
// Method: refreshes every 150 ms for 3 s.
func TestOwnerRenewsLifetimesOncePerSecond(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	renewals := 0
	for range 20 {
		f.wait(150 * time.Millisecond)
		for _, a := range f.step(Refresh{Deadline: f.now.Add(testTTL), Groups: []string{"web"}}) {
			if add, ok := a.(AddAddress); ok && add.Purpose == PurposeRenew && add.Lifetime == lifetime {
				renewals++
			}
		}
	}
	if renewals != 2 {
		t.Errorf("%d renewals in 3 s of refreshes every 150 ms, want 2 (at 1.05 s and 2.1 s)", renewals)
	}
	if !f.answers(vipA) {
		t.Error("a refreshed VIP does not answer")
	}
}

// An address that somebody removes comes back at once, is counted, and a fight
// is paced. A removal after the grant's end is left alone. Method: AddressLost.
func TestOwnerRepairsARemovedAddress(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	repair := AddAddress{Group: "web", VIP: vipA, Lifetime: lifetime, Purpose: PurposeRepair}
	f.want(f.step(AddressLost{VIP: vipA}), repair, Repaired{Group: "web", VIP: vipA, Count: 1})
	f.want(f.step(AddressLost{VIP: vipA}))
	f.want(f.wait(repairInterval), repair, Repaired{Group: "web", VIP: vipA, Count: 2})
	f.step(Drop{Groups: []string{"web"}})
	f.want(f.step(AddressLost{VIP: vipA}))
}

// A vanished interface costs its groups, and no others. Method: InterfaceLost.
func TestOwnerLapsesWithItsInterface(t *testing.T) {
	f := newFake(t)
	other := Group{Name: "db", VIPs: []VIP{{Prefix: vipB.Prefix, Interface: "eth1"}}}
	f.step(Configure{TTL: testTTL, Gate: true, Groups: []Group{groupA, other}})
	f.hold("web", "db")
	f.step(InterfaceLost{Interface: "eth0"})
	f.want(f.reports, Lapsed{Group: "web", Token: 7, Cause: "interface eth0 is gone"})
}

// An address that can't be removed is silenced by the gate, and removed later.
// Nothing is overdue, for it can't answer. Method: removal fails for a while.
func TestOwnerShutsGateWhenRemovalFails(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	f.failRemove = errBusy
	f.step(Drop{Seq: 4, Groups: []string{"web"}})
	f.want(f.reports, Dropped{Seq: 4, Groups: []string{"web"}})
	if f.answers(vipA) || !f.owner.Withdrawn() || f.owner.Clean() || f.owner.Overdue(f.now.Add(time.Hour)) {
		t.Error("a silenced address counts as what it isn't")
	}
	f.wait(5 * time.Second)
	f.failRemove = nil
	f.wait(retryIntervalMax)
	if f.present[vipA] || !f.owner.Clean() {
		t.Error("the removal was not tried again")
	}
	f.want(f.reports, Dropped{Seq: 4, Groups: []string{"web"}})
}

// Where neither removal nor gate works, the failure is reported, the watchdog's
// case is made at the deadline and not before, and success is reported when it
// comes; meanwhile the group can't be armed. Method: both fail for a while.
func TestOwnerIsOverdueWhenNothingSilences(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	deadline := f.now.Add(testTTL)
	f.failRemove, f.failShut = errBusy, errBusy
	f.step(Drop{Seq: 4, Groups: []string{"web"}})
	f.want(f.reports, Dropped{Seq: 4, Groups: []string{"web"}, Error: "no buffer space"})
	if f.owner.Withdrawn() {
		t.Error("counts as withdrawn")
	}
	if !f.owner.Overdue(f.now) || !f.owner.Overdue(deadline) {
		t.Error("not overdue from the first refusal on")
	}
	f.want(f.step(Arm{Seq: 5, Group: "web"}), Armed{Seq: 5, Group: "web", Error: "arm web: its last withdrawal has not succeeded yet"})
	f.reports, f.failShut, f.failRemove = nil, nil, nil
	f.wait(retryIntervalMax)
	f.want(f.reports, Dropped{Seq: 4, Groups: []string{"web"}})
	if f.owner.Overdue(deadline) {
		t.Error("still overdue")
	}
}

// A Drop is answered without Error in the end, whatever takes its place, and not
// before all of its groups are silent. Method: a withdrawal of two groups fails,
// a Configure that keeps one of them begins another, which fails too.
func TestOwnerAnswersADropThatAConfigureTookOver(t *testing.T) {
	f := configuredFake(t)
	f.hold("web", "db")
	drop := Drop{Seq: 4, Groups: []string{"web", "db"}}
	f.failRemove, f.failShut = errBusy, errBusy
	f.step(drop)
	f.want(f.reports, Dropped{Seq: 4, Groups: drop.Groups, Error: "no buffer space"})
	f.reports = nil
	f.step(Configure{Seq: 5, TTL: testTTL, Gate: true, Lifetime: true, Groups: []Group{groupA}})
	for _, a := range f.reports {
		if dropped, ok := a.(Dropped); ok && dropped.Error == "" {
			t.Error("answered without Error while the VIPs answer")
		}
	}
	f.reports, f.failRemove, f.failShut = nil, nil, nil
	f.wait(retryIntervalMax)
	f.want(f.reports, Dropped{Seq: 4, Groups: drop.Groups})
	if !f.owner.Clean() {
		t.Error("something is left")
	}
}

// An answer about several groups waits for the last of them. Method: of two
// groups one can't be silenced; the other is asked for again, which takes the
// withdrawal of both over.
func TestOwnerAnswersADropOnlyWhenAllItsGroupsAreSilent(t *testing.T) {
	f := configuredFake(t)
	f.hold("web", "db")
	f.failRemove, f.failRemoveOf, f.failShut = errBusy, addrB, errBusy
	f.step(Drop{Seq: 4, Groups: []string{"web", "db"}})
	f.step(Drop{Seq: 5, Groups: []string{"web"}})
	f.wait(5 * time.Second)
	for _, a := range f.reports {
		if dropped := a.(Dropped); dropped.Seq == 4 && dropped.Error == "" {
			t.Error("Drop 4 is answered while a VIP of it answers")
		}
	}
	if !f.present[vipB] {
		t.Fatal("the VIP is gone: nothing is tested")
	}
	f.reports, f.failRemove, f.failShut = nil, nil, nil
	f.wait(retryIntervalMax)
	f.want(f.reports, Dropped{Seq: 4, Groups: []string{"web", "db"}}, Dropped{Seq: 5, Groups: []string{"web"}})
	if f.present[vipB] {
		t.Error("the withdrawal that was taken over has been forgotten")
	}
}

// A retry that is under way when its group is dropped once more says nothing of
// a silence that there isn't; asked again and again, the owner answers the last
// question. Method: each Drop comes at a retry's instant, and everything fails.
func TestOwnerAnswersTheLastOfRepeatedDrops(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	deadline := f.now.Add(testTTL)
	f.failRemove, f.failShut = errBusy, errBusy
	for seq := uint64(4); seq < 8; seq++ {
		f.reports = nil
		f.step(Drop{Seq: seq, Groups: []string{"web"}})
		f.want(f.reports, Dropped{Seq: seq, Groups: []string{"web"}, Error: "no buffer space"})
		f.now = f.now.Add(retryIntervalMin)
	}
	if !f.owner.Overdue(f.now) || !f.owner.Overdue(deadline) {
		t.Error("asking again has made the watchdog forget the refusal")
	}
	f.reports, f.failRemove, f.failShut = nil, nil, nil
	f.wait(retryIntervalMax)
	f.want(f.reports, Dropped{Seq: 7, Groups: []string{"web"}})
}

// A Drop of a group that has left the configuration claims no silence while the
// withdrawal at its removal has not succeeded. Method: that withdrawal fails.
func TestOwnerClaimsNoSilenceOfARemovedGroup(t *testing.T) {
	f := configuredFake(t)
	f.hold("db")
	f.failRemove, f.failRemoveOf, f.failShut = errBusy, addrB, errBusy
	f.step(Configure{Seq: 4, TTL: testTTL, Gate: true, Lifetime: true, Groups: []Group{groupA}})
	f.reports = nil
	f.step(Drop{Seq: 5, Groups: []string{"db"}})
	f.want(f.reports,
		Lapsed{Group: "db", Token: 7, Cause: "the configuration of the group has changed", Error: "no buffer space"},
		Dropped{Seq: 5, Groups: []string{"db"}, Error: "no buffer space"})
	f.reports, f.failRemove, f.failShut = nil, nil, nil
	f.wait(retryIntervalMax)
	f.want(f.reports,
		Lapsed{Group: "db", Token: 7, Cause: "the configuration of the group has changed"},
		Dropped{Seq: 5, Groups: []string{"db"}})
}

// A configuration is not answered as done while a VIP that it doesn't name may
// answer without a grant; asked again after that has ended, it is. Method:
// DropAll fails, as after the controller's death; the next controller's
// configuration doesn't have the group.
func TestOwnerOwnsUpToAnEarlierWithdrawalThatFailed(t *testing.T) {
	f := newFake(t)
	f.step(Configure{Seq: 1, TTL: testTTL, Gate: true, Groups: []Group{groupA}})
	f.hold("web")
	f.failRemove, f.failShut = errBusy, errBusy
	f.step(DropAll{})
	next := Configure{Seq: 9, TTL: testTTL, Gate: true, Groups: []Group{groupB}}
	f.failRemoveOf = addrA
	f.step(next)
	f.want(f.reports, Configured{Seq: 9, Gate: true, Error: "configure: an earlier withdrawal has not succeeded yet: no buffer space"})
	f.reports, f.failRemove, f.failShut = nil, nil, nil
	f.wait(retryIntervalMax)
	next.Seq = 10
	f.step(next)
	f.want(f.reports, Configured{Seq: 10, Gate: true})
}

// An opening that fails half-way is taken back before it is answered. Method:
// the address can't be added.
func TestOwnerTakesBackAFailedOpening(t *testing.T) {
	f := configuredFake(t)
	f.step(Arm{Group: "web"})
	f.failAdd = errBusy
	f.want(f.step(Open{Seq: 3, Group: "web", Token: 7, Deadline: f.now.Add(testTTL)}),
		OpenGate{Group: "web", VIPs: []VIP{vipA}, Timeout: full},
		AddAddress{Group: "web", VIP: vipA, Lifetime: lifetime, Purpose: PurposeOpen},
		RemoveAddress{Withdrawal: 2, VIP: vipA},
		ShutGate{Withdrawal: 2, VIPs: []VIP{vipA}},
		Opened{Seq: 3, Group: "web", Token: 7, Error: "open web: no buffer space"})
}

// A reload keeps what is unchanged and drops what is gone before anything else.
// Method: two held groups, one of them leaves, another comes.
func TestOwnerReloadKeepsUnchangedGroups(t *testing.T) {
	f := configuredFake(t)
	f.hold("web", "db")
	third := Group{Name: "mail", VIPs: []VIP{{Prefix: vipB.Prefix, Interface: "eth1"}}}
	got := f.step(Configure{Seq: 9, TTL: testTTL, Gate: true, Lifetime: true, Groups: []Group{groupA, third}})
	f.want(got,
		RemoveAddress{Withdrawal: 2, VIP: vipB},
		ShutGate{Withdrawal: 2, VIPs: []VIP{vipB}},
		ManageGate{Managed: addressesOf([]VIP{vipA, vipB})},
		Lapsed{Group: "db", Token: 7, Cause: "the configuration of the group has changed"},
		RemoveAddress{Withdrawal: 3, VIP: anywhere(addrB)},
		ShutGate{Withdrawal: 3, VIPs: []VIP{anywhere(addrB)}},
		Configured{Seq: 9, Gate: true})
	if !f.answers(vipA) {
		t.Error("an unchanged group lost its VIP")
	}
}

// A configuration that can't be is refused and changes nothing. Method: one
// wrong thing at a time.
func TestOwnerRefusesImpossibleConfigurations(t *testing.T) {
	v6 := vipA
	v6.Prefix = vip6
	for name, c := range map[string]Configure{
		"ttl":       {TTL: time.Millisecond},
		"twice":     {TTL: testTTL, Groups: []Group{groupA, groupA}},
		"shared":    {TTL: testTTL, Groups: []Group{groupA, {Name: "x", VIPs: []VIP{vipA}}}},
		"IPv6":      {TTL: testTTL, Groups: []Group{{Name: "x", VIPs: []VIP{v6}}}},
		"interface": {TTL: testTTL, Groups: []Group{{Name: "x", VIPs: []VIP{{Prefix: vipA.Prefix}}}}},
		"unnamed":   {TTL: testTTL, Groups: []Group{{VIPs: []VIP{vipA}}}},
	} {
		f := configuredFake(t)
		f.hold("web")
		got := f.step(c)
		if answer, ok := got[0].(Configured); len(got) != 1 || !ok || answer.Error == "" {
			t.Errorf("%s: got %v, want a refusal", name, got)
		}
		if !f.answers(vipA) {
			t.Errorf("%s: a refused configuration dropped a VIP", name)
		}
	}
}

// When somebody removes our tables, what depended on them is dropped and the
// gate built anew. Method: the gate vanishes under a held group.
func TestOwnerRebuildsAGateThatIsGone(t *testing.T) {
	f := configuredFake(t)
	f.hold("web")
	f.gate, f.managed = false, nil
	f.step(Refresh{Seq: 4, Deadline: f.now.Add(testTTL), Groups: []string{"web"}})
	if f.present[vipA] || !f.gate || !f.owner.GateUp() {
		t.Errorf("address there: %v, gate built: %v", f.present[vipA], f.gate)
	}
	f.reports = nil
	f.hold("web")
	if !f.answers(vipA) {
		t.Error("the group can't be held again")
	}
}

// A gate that is not wanted any more goes only after what it silences is gone.
// Method: a leftover behind a previous life's gate, configured without gate.
func TestOwnerRemovesUnwantedGateLast(t *testing.T) {
	f := newFake(t)
	f.gate, f.managed, f.present[vipB] = true, addressesOf([]VIP{vipB}), true
	f.want(f.step(Configure{Seq: 1, TTL: testTTL, Groups: []Group{groupA}}),
		InspectGate{},
		RemoveAddress{Withdrawal: 1, VIP: anywhere(addrA)},
		RemoveAddress{Withdrawal: 1, VIP: anywhere(addrB)},
		ShutGate{Withdrawal: 1, VIPs: []VIP{anywhere(addrA), anywhere(addrB)}},
		RemoveGate{},
		Configured{Seq: 1, Removed: addressesOf([]VIP{vipB})})
	if f.owner.GateUp() {
		t.Error("the gate counts as up")
	}
}

// DropAll silences everything without being asked for by name. Method: two held
// groups.
func TestOwnerDropAll(t *testing.T) {
	f := configuredFake(t)
	f.hold("web", "db")
	f.step(DropAll{})
	if f.answers(vipA) || f.answers(vipB) || !f.owner.Clean() || len(f.owner.Held()) != 0 {
		t.Error("something is left")
	}
	if _, ok := f.owner.Deadline(); ok {
		t.Error("a deadline is left")
	}
}
