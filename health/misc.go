package health

import (
	"bytes"
	"context"
	"time"

	"github.com/hafence/hafence/internal/script"
)

// miscWeightOffset is what misc_dynamic takes off an exit status (2 to 255) to make a
// weight of it (0 to 253).
const miscWeightOffset = 2

// Misc is MISC_CHECK: a program, up when its exit status is 0. A program that can't be
// started says nothing about the server.
type Misc struct {
	Command script.Command
	Dynamic bool // misc_dynamic: an exit status from 2 on is up, and sets the weight
}

// Lane is [LaneScript].
func (m Misc) Lane() Lane { return LaneScript }

// Bound is the timeout and what it takes to kill a program that ignores it.
func (m Misc) Bound() time.Duration { return m.Command.Bound() }

// Try runs the program.
func (m Misc) Try(ctx context.Context) Result { return m.judge(script.Run(ctx, m.Command)) }

func (m Misc) judge(o script.Outcome) Result {
	switch {
	case o.Kind == script.Exited && o.Code == 0:
		return up(o.String())
	case o.Kind == script.Exited && m.Dynamic && o.Code >= miscWeightOffset:
		r := up(o.String())
		r.Weight = WeightChange{Kind: WeightSet, Value: int64(o.Code - miscWeightOffset)}
		return r
	}
	r := down("%s", o)
	r.Inconclusive = o.Kind == script.NotStarted || o.Kind == script.Interrupted
	if line, _, _ := bytes.Cut(bytes.TrimSpace(o.Output), []byte("\n")); len(line) > 0 && !r.Inconclusive {
		r.Reason = shorten(r.Reason + ": " + string(line))
	}
	return r
}
