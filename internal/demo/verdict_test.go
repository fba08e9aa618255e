package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ttl = DefaultTTL

// Each broken promise is found, and only that one. Method: a step that keeps all
// of them, with one figure spoilt at a time.
func TestEveryBrokenPromiseIsFound(t *testing.T) {
	kept := measured{
		outage: ttl, takeover: ttl, stale: ttl / 2, dualAddress: time.Second,
		from: 0, to: 1, tokenBefore: 3, tokenAfter: 4,
	}
	strikes := Fault{Name: "strikes", promise: death}
	keeps := Fault{Name: "keeps", keeps: true, promise: nothing}
	still := measured{from: 0, to: 0, tokenBefore: 3, tokenAfter: 3}
	for _, c := range []struct {
		name  string
		fault Fault
		kept  measured
		spoil func(*measured)
		want  string // "": nothing is broken
	}{
		{"all is kept", strikes, kept, func(*measured) {}, ""},
		{"two answer", strikes, kept, func(m *measured) { m.dualAnswer = 1 }, "(I1)"},
		{"the token stays", strikes, kept, func(m *measured) { m.tokenAfter = 3 }, "(I2)"},
		{"the outage is too long", strikes, kept, func(m *measured) { m.outage = takeover(ttl) + 1 }, "(I3)"},
		{"the takeover is too late", strikes, kept, func(m *measured) { m.takeover = takeover(ttl) + 1 }, "(I3)"},
		{"nobody answers", strikes, kept, func(m *measured) { m.to = -1 }, "(I3)"},
		{"the dead one answers", strikes, kept, func(m *measured) { m.stale = staleLimit(ttl) + 1 }, "(I4)"},
		{"nothing changes", strikes, kept, func(m *measured) { m.to, m.tokenAfter = 0, 3 }, "did not change"},
		{"nothing changes, as it should be", keeps, still, func(*measured) {}, ""},
		{"the MASTER changes, though it was well", keeps, still, func(m *measured) { m.to, m.tokenAfter = 1, 4 }, "though it was well"},
		{"the token changes, though it was well", keeps, still, func(m *measured) { m.tokenAfter = 4 }, "though it was well"},
		{"an outage, though it was well", keeps, still, func(m *measured) { m.outage = 20 * time.Millisecond }, "(I3)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.kept
			c.spoil(&m)
			broken := c.fault.verdict(m, ttl)
			switch {
			case c.want == "" && len(broken) > 0:
				t.Errorf("broken: %v", broken)
			case c.want != "" && (len(broken) != 1 || !strings.Contains(broken[0], c.want)):
				t.Errorf("broken = %q, want one with %q", broken, c.want)
			}
		})
	}
}

// Several runs become medians, but the worst dual answer stays, and one broken
// step breaks the sum. Method: three made-up runs.
func TestMediansHideNoBrokenPromise(t *testing.T) {
	run := func(outage, dual float64, ok bool) *Report {
		r := &Report{OK: ok, LeaseTTL: 1.5, Steps: []Step{{Name: "a", Outage: outage, DualAnswer: dual, Stale: outage / 2, From: "n1", To: "n2", OK: ok}}}
		if !ok {
			r.Problems = []string{"a: broken"}
		}
		return r
	}
	runs := []*Report{run(30, 0, true), run(10, 2.5, false), run(20, 0, true)}
	want := &Report{
		LeaseTTL: 1.5, Problems: []string{"run 2: a: broken"},
		Steps: []Step{{Name: "a", Outage: 20, DualAnswer: 2.5, Stale: 10, From: "n1", To: "n2"}},
		Runs:  [][]Step{runs[0].Steps, runs[1].Steps, runs[2].Steps},
	}
	if diff := cmp.Diff(want, Medians(runs)); diff != "" {
		t.Errorf("medians (-want +got):\n%s", diff)
	}
}

// The JSON form is stable. Method: compare it with what was promised.
func TestJSONHasThePromisedNames(t *testing.T) {
	var b bytes.Buffer
	err := WriteJSON(&b, &Report{OK: true, LeaseTTL: 1.5, Steps: []Step{
		{Name: "a", Outage: 1.5, DualAddress: 3, Stale: 4, From: "n1", To: "n2", TokenBefore: 5, TokenAfter: 6, OK: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "steps": [
    {
      "name": "a",
      "outage_ms": 1.5,
      "dual_answer_ms": 0,
      "dual_address_ms": 3,
      "stale_ms": 4,
      "from": "n1",
      "to": "n2",
      "token_before": 5,
      "token_after": 6,
      "ok": true
    }
  ],
  "ok": true,
  "lease_ttl": 1.5
}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

// A figure that is not 0 is never shown as 0. Method: the least there is.
func TestNothingIsRoundedAway(t *testing.T) {
	if got := milliseconds(1); got != 0.1 {
		t.Errorf("1 ns is %v ms", got)
	}
	if got := milliseconds(0); got != 0 {
		t.Errorf("0 is %v ms", got)
	}
}
