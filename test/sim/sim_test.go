package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
)

// How much is run by go test. A failure names its seed; one that is looked for
// longer is found with go run ./test/sim -seeds.
const (
	promiseTime  = 15 * time.Second // of this machine's
	promiseSeeds = 400              // at most
	shapeSeeds   = 4
)

// I1, I2 and I3, as the cores are: many seeds, each with its own cluster and its
// own bad minute, and a quiet end in which I3 must come true.
func TestPromisesHoldOnBadDays(t *testing.T) {
	t.Parallel()
	var hours float64
	began := time.Now()
	for seed := uint64(1); seed <= promiseSeeds && time.Since(began) < promiseTime; seed++ {
		o := run(seed, variants[0], 0, nil)
		hours += o.Virtual.Hours()
		if o.Broken != nil {
			t.Fatalf("seed %d: %v\n%s", seed, o.Broken, lastLines(seed, variants[0]))
		}
	}
	t.Logf("%.1f virtual hours, %.2f per second", hours, hours/time.Since(began).Seconds())
}

// A seed is a run: the digest covers the time of every event and every note. Map
// order or a clock inside a core would show here.
func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 5; seed++ {
		first, second := run(seed, variants[0], 0, nil), run(seed, variants[0], 0, nil)
		if first != second {
			t.Errorf("seed %d: first %+v, then %+v", seed, first, second)
		}
		if other := run(seed+100, variants[0], 0, nil); other.Digest == first.Digest {
			t.Errorf("seeds %d and %d have the same digest", seed, seed+100)
		}
	}
}

// A trace must not change what it shows.
func TestTracingChangesNothing(t *testing.T) {
	t.Parallel()
	var trace strings.Builder
	if silent, traced := run(7, variants[0], 0, nil), run(7, variants[0], 0, &trace); silent != traced {
		t.Errorf("without a trace %+v, with it %+v", silent, traced)
	}
	if trace.Len() == 0 {
		t.Error("the trace is empty")
	}
}

// The checker bites: each rule of DESIGN that is broken breaks I1 or I2 within a
// bounded number of seeds, and the very seed that shows it is fine while the rule
// is kept.
func TestEveryBrokenVariantIsCaught(t *testing.T) {
	for _, v := range variants[1:] {
		if v.Rare {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			o := caught(t, v)
			t.Logf("%s: seed %d: %v", v.Rule, o.Seed, o.Broken)
			kept := variant{Name: "none", Seeds: v.Seeds, shape: v.shape} // no I3, as for the variant
			for seed := o.Seed; seed < o.Seed+shapeSeeds; seed++ {
				if o := run(seed, kept, 0, nil); o.Broken != nil {
					t.Errorf("seed %d breaks with the rule kept: %v", seed, o.Broken)
				}
			}
		})
	}
}

func caught(t *testing.T, v variant) outcome {
	t.Helper()
	for seed := uint64(1); seed <= uint64(v.Seeds); seed++ {
		o := run(seed, v, 0, nil)
		switch {
		case o.Broken == nil:
		case o.Broken.Invariant == "I1" || o.Broken.Invariant == "I2":
			return o
		default:
			t.Fatalf("seed %d: %v", seed, o.Broken)
		}
	}
	t.Fatalf("%s (%s) is not caught within %d seeds", v.Name, v.Rule, v.Seeds)
	return outcome{}
}

// lastLines is the end of a seed's trace.
func lastLines(seed uint64, v variant) string {
	const count = 60
	var trace strings.Builder
	run(seed, v, 0, &trace)
	lines := strings.Split(trace.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// I2 and I3 are broken by none of the variants alone; here the checker is shown
// what it must object to.
func TestCheckerSeesASharedToken(t *testing.T) {
	t.Parallel()
	w := newWorld(newPlan(1, variants[0]), variants[0], nil)
	g := w.plan.Groups[0]
	first, second := consensus.Session{Node: "n1", Epoch: 1}, consensus.Session{Node: "n2", Epoch: 2}
	w.check.granted(g, consensus.Lease{}, consensus.Lease{Holder: first, Token: 1})
	w.check.opened(w.hosts[0], g.Name, 1)
	if w.verdict != nil {
		t.Fatalf("a first grant: %v", w.verdict)
	}
	w.check.opened(w.hosts[1], g.Name, 1)
	if w.verdict == nil || w.verdict.Invariant != "I2" {
		t.Errorf("two nodes open under one token: %v", w.verdict)
	}
	w.verdict = nil
	w.check.granted(g, consensus.Lease{Holder: first, Token: 1}, consensus.Lease{Holder: second, Token: 1})
	if w.verdict == nil || w.verdict.Invariant != "I2" {
		t.Errorf("two holders under one token: %v", w.verdict)
	}
}

// A cluster of which nothing runs serves nobody.
func TestCheckerSeesThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(newPlan(1, variants[0]), variants[0], nil)
	w.runUntil(moment(time.Second))
	w.settled()
	if w.verdict == nil || w.verdict.Invariant != "I3" {
		t.Errorf("verdict %v, want I3", w.verdict)
	}
}

// An address on two hosts at one time is two answers only while both gates are
// open, and a jiffy decides.
func TestCheckerSeesTwoAnswersForAsLongAsBothGatesAreOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(newPlan(1, variants[0]), variants[0], nil)
	vips := w.plan.Groups[0].VIPs[:1]
	address := vips[0].Prefix.Addr()
	for _, h := range w.hosts[:2] {
		h.kernel.gate, h.kernel.managed = true, []netip.Addr{address}
		h.kernel.present[address] = forever
	}
	w.hosts[0].kernel.leased[address] = moment(time.Second)
	w.runUntil(moment(time.Second))
	w.hosts[1].kernel.leased[address] = moment(2 * time.Second)
	if w.check.answers(w.hosts[0], address) || !w.check.answers(w.hosts[1], address) {
		t.Fatal("at the instant at which the first element is over, the second alone answers")
	}
	w.hosts[0].kernel.leased[address] = moment(time.Second) + 1
	w.check.changed(w.hosts[1])
	if w.verdict == nil || w.verdict.Invariant != "I1" {
		t.Errorf("verdict %v, want I1", w.verdict)
	}
}
