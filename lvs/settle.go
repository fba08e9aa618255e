package lvs

import (
	"cmp"
	"slices"
	"syscall"
)

// roundsMax bounds how often an op is replaced by another: once for what Resolve
// decides, once more when somebody else was faster again.
const roundsMax = 3

// Outcome is what became of a plan.
type Outcome struct {
	Done    int       // ops whose end is reached
	Refused []OpError // the others, in their order
	// Surprises counts refusals that mean that the kernel's table is not what the plan was
	// made for. If there are any, read the table and plan again.
	Surprises int
}

// errHeldBack is the reason of a deletion that did not take place because what
// was to replace the destination could not be added.
const errHeldBack = syscall.ECANCELED

// Settle performs ops in their order by means of execute, and follows refusals
// up as [Resolve] says. execute performs ops one after another and returns what
// the kernel said of each, 0 for done; it does not stop at a refusal.
//
// Deletions wait for the follow-ups of what comes before them. One that is
// marked as replaced is held back while no addition to its service has
// succeeded: an old real server is better than none.
//
// [Kernel.Apply] and the fake of package lvstest are Settle with an execute.
func Settle(ops []Op, execute func([]Op) []syscall.Errno) Outcome {
	s := settlement{execute: execute, added: make(map[ServiceKey]bool)}
	for start := 0; start < len(ops); {
		end := start + 1
		for end < len(ops) && ops[end].deletes() == ops[start].deletes() {
			end++
		}
		s.settle(ops[start:end], start)
		start = end
	}
	slices.SortFunc(s.outcome.Refused, func(a, b OpError) int { return cmp.Compare(a.Index, b.Index) })
	return s.outcome
}

type settlement struct {
	execute func([]Op) []syscall.Errno
	outcome Outcome
	added   map[ServiceKey]bool // services to which a destination was added
}

// settle performs a run of ops that all delete or all don't; first is the index
// of the run's first op.
func (s *settlement) settle(run []Op, first int) {
	ops, origin := s.holdBack(run, first)
	for round := 1; len(ops) > 0; round++ {
		var next []Op
		var nextOrigin []int
		for i, reason := range s.execute(ops) {
			if reason == 0 {
				s.done(ops[i])
				continue
			}
			verdict, instead := Resolve(ops[i], reason)
			if verdict != Refused {
				s.outcome.Surprises++
			}
			switch {
			case verdict == Already:
				s.done(ops[i])
			case verdict == Instead && round < roundsMax:
				next, nextOrigin = append(next, instead), append(nextOrigin, origin[i])
			default:
				s.refuse(origin[i], run[origin[i]-first], reason)
			}
		}
		ops, origin = next, nextOrigin
	}
}

// holdBack gives the ops of a run that are to be performed, and their indices.
func (s *settlement) holdBack(run []Op, first int) (ops []Op, origin []int) {
	origin = make([]int, 0, len(run))
	ops = make([]Op, 0, len(run))
	for i, op := range run {
		if d, ok := op.(DeleteDestination); ok && d.Replaced && !s.added[d.Service] {
			s.refuse(first+i, op, errHeldBack)
			continue
		}
		ops, origin = append(ops, op), append(origin, first+i)
	}
	return ops, origin
}

func (s *settlement) done(op Op) {
	s.outcome.Done++
	switch op := op.(type) {
	case AddDestination:
		s.added[op.Service] = true
	case EditDestination:
		s.added[op.Service] = true
	}
}

func (s *settlement) refuse(index int, op Op, reason syscall.Errno) {
	s.outcome.Refused = append(s.outcome.Refused, OpError{Index: index, Op: op, Reason: reason, Hint: hint(op, reason)})
}
