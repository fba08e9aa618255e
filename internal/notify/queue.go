package notify

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/internal/script"
)

// Limits of a queue.
const (
	// WaitingMax is how many scripts of one key may wait; more drop the oldest that
	// waits, for the newest state is what counts.
	WaitingMax = 64

	// Timeout ends a script that doesn't end by itself.
	Timeout = 30 * time.Second

	runningMax = 64 // scripts at one time, of all keys together
)

// Job is a script to run.
type Job struct {
	Key        string // jobs of one key run one after the other, in their order
	What       string // for the log: "notify_down of [198.51.100.1]:tcp:80"
	Argv       []string
	Env        []string // beside this process's own
	Credential *syscall.Credential
}

// Queue runs scripts in the order of each key, and none of them delays who asked for
// it. Methods may be called from any goroutine.
type Queue struct {
	logger hclog.Logger
	run    func(context.Context, script.Command) script.Outcome

	mu      sync.Mutex
	waiting map[string][]Job // by key; a key is there while one of its jobs runs
	order   []string         // keys that wait for a place, first come, first served
	running int
	idleC   chan struct{} // closed when nothing runs or waits; made anew with the next job
	ctx     context.Context
	tasks   sync.WaitGroup
}

// NewQueue returns a queue that runs nothing before [Queue.Run].
func NewQueue(logger hclog.Logger) *Queue {
	idleC := make(chan struct{})
	close(idleC)
	return &Queue{logger: logger, run: script.Run, waiting: map[string][]Job{}, idleC: idleC}
}

// Post leaves a job and returns at once.
func (q *Queue) Post(j Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.idleC:
		q.idleC = make(chan struct{})
	default:
	}
	jobs, busy := q.waiting[j.Key]
	if len(jobs) >= WaitingMax {
		q.logger.Warn("too many scripts wait; the oldest is left out", "left_out", jobs[0].What)
		jobs = jobs[1:]
	}
	q.waiting[j.Key] = append(jobs, j)
	if !busy {
		q.order = append(q.order, j.Key)
	}
	q.startSome()
}

// Run lets jobs run until ctx ends; it returns when those that ran have been ended.
func (q *Queue) Run(ctx context.Context) {
	q.mu.Lock()
	q.ctx = ctx
	q.startSome()
	q.mu.Unlock()
	<-ctx.Done()
	q.tasks.Wait()
}

// Drain waits until nothing runs or waits, or ctx ends.
func (q *Queue) Drain(ctx context.Context) {
	q.mu.Lock()
	idleC := q.idleC
	q.mu.Unlock()
	select {
	case <-idleC:
	case <-ctx.Done():
	}
}

// startSome starts keys that wait, as far as there is room. The lock is held.
func (q *Queue) startSome() {
	for q.ctx != nil && q.ctx.Err() == nil && q.running < runningMax && len(q.order) > 0 {
		key := q.order[0]
		q.order = q.order[1:]
		q.running++
		q.tasks.Go(func() { q.serve(key) })
	}
}

// serve runs one job of a key and then gives its place to others.
func (q *Queue) serve(key string) {
	q.mu.Lock()
	j := q.waiting[key][0]
	q.waiting[key] = q.waiting[key][1:]
	ctx := q.ctx
	q.mu.Unlock()
	q.perform(ctx, j)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	if len(q.waiting[key]) > 0 {
		q.order = append(q.order, key)
	} else {
		delete(q.waiting, key)
	}
	q.startSome()
	if len(q.waiting) == 0 {
		close(q.idleC)
	}
}

func (q *Queue) perform(ctx context.Context, j Job) {
	outcome := q.run(ctx, script.Command{Argv: j.Argv, Env: j.Env, Credential: j.Credential, Timeout: Timeout})
	if outcome.Kind != script.Exited || outcome.Code != 0 {
		q.logger.Warn("a script failed", "script", j.What, "outcome", outcome.String())
	}
}
