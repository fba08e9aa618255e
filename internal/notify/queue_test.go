package notify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/internal/script"
)

// desk is a queue whose scripts take as long as their argument says, and leave their
// names when they begin and end.
type desk struct {
	*Queue
	mu      sync.Mutex
	said    []string
	running int
	most    int
	cancel  context.CancelFunc
}

func newDesk(t *testing.T) *desk {
	d := &desk{Queue: NewQueue(hclog.NewNullLogger())}
	d.run = func(ctx context.Context, c script.Command) script.Outcome {
		took, err := time.ParseDuration(c.Argv[1])
		if err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		d.running++
		d.most = max(d.most, d.running)
		d.mu.Unlock()
		select {
		case <-time.After(took):
		case <-ctx.Done():
		}
		d.mu.Lock()
		d.running--
		d.said = append(d.said, c.Argv[0])
		d.mu.Unlock()
		return script.Outcome{Kind: script.Exited}
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go d.Run(ctx)
	return d
}

func (d *desk) post(key, name string, took time.Duration) {
	d.Post(Job{Key: key, What: name, Argv: []string{name, took.String()}})
}

// Goal: scripts of one key run one after the other in their order, those of others
// beside them. Method: a slow script and a quick one behind it; a quick one elsewhere.
func TestScriptsOfOneKeyKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.cancel()
		d.post("a", "a1", time.Second)
		d.post("a", "a2", time.Millisecond)
		d.post("b", "b1", 10*time.Millisecond)
		d.Drain(t.Context())
		if want := []string{"b1", "a1", "a2"}; !slices.Equal(d.said, want) {
			t.Errorf("%v, want %v", d.said, want)
		}
	})
}

// Goal: a flood is bounded: at most so many run, at most so many of one key wait, and
// the newest of them is never the one that is left out. Nobody who posts waits.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.cancel()
		for i := range 3 * runningMax {
			d.post(fmt.Sprint("key", i), "x", time.Second)
		}
		for i := range 3 * WaitingMax {
			d.post("one", fmt.Sprint("one", i), time.Second)
		}
		d.Drain(t.Context())
		if d.most != runningMax {
			t.Errorf("%d ran at once, want %d", d.most, runningMax)
		}
		var ones []string
		for _, name := range d.said {
			if name != "x" {
				ones = append(ones, name)
			}
		}
		var want []string
		for i := 2 * WaitingMax; i < 3*WaitingMax; i++ {
			want = append(want, fmt.Sprint("one", i))
		}
		if diff := cmp.Diff(want, ones); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Goal: an end does not wait for what hangs. Method: Drain with a limit, then Run's end.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.post("a", "a1", time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		d.Drain(ctx)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("it waited %v", waited)
		}
		d.cancel()
		synctest.Wait()
	})
}
