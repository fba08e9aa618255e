package fence

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hafence/hafence/internal/boottime"
)

// However long this process stops, and wherever between reading the clock and
// the kernel's acting, no gate is open after t0 + ttl of the last keep-alive
// (DESIGN §5, rules a to d). Method: an honest controller reads t0 only after
// the last acknowledgement; random pauses, mostly short, lie before every
// step, every kernel action and every answer. A seed replays a failure.
func TestOwnerSurvivesAnyPause(t *testing.T) {
	for seed := range uint64(300) {
		if !pausedLife(t, seed) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func pausedLife(t *testing.T, seed uint64) bool {
	random := rand.New(rand.NewPCG(seed, 1))
	f := configuredFake(t)
	pause := func() {
		d := time.Duration(random.IntN(int(20 * time.Millisecond)))
		if random.IntN(12) == 0 {
			d = time.Duration(random.IntN(int(2 * testTTL)))
		}
		f.now = f.now.Add(d)
	}
	var proven boottime.Instant // t0 + ttl of the best answer the controller has
	ok := true
	step := func(event Event) {
		queue := f.owner.Step(f.now, event)
		for len(queue) > 0 {
			action := queue[0]
			queue = queue[1:]
			pause() // between the clock and the kernel
			done, kernel := f.perform(action)
			if end := f.leased[addrA]; end.After(proven) {
				t.Errorf("%T at %v opens the gate until %v, %v after the deadline", action, f.now, end, end.Sub(proven))
				ok = false
			}
			if kernel {
				pause() // between the kernel and the clock
				queue = append(queue, f.owner.Step(f.now, done)...)
			}
		}
	}
	for range 60 {
		pause()
		switch random.IntN(8) {
		case 0:
			step(Drop{Groups: []string{"web"}})
		case 1:
			step(Tick{})
		case 2, 3:
			step(Arm{Group: "web"})
			pause()
			t0 := f.now
			pause() // the request travels
			proven = max(proven, t0.Add(testTTL))
			step(Open{Group: "web", Deadline: t0.Add(testTTL)})
		default:
			t0 := f.now
			pause()
			proven = max(proven, t0.Add(testTTL))
			step(Refresh{Groups: []string{"web"}, Deadline: t0.Add(testTTL)})
		}
	}
	return ok
}
