package checker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/health/bfd"
	"github.com/hafence/hafence/internal/boottime"
)

// feedRetry is how long files that can't be watched are left alone.
const feedRetry = 10 * time.Second

// feeds bring the state of checks that nobody runs: FILE_CHECK and BFD_CHECK. Files
// are watched anew with each configuration; BFD sessions that stay go on.
type feeds struct {
	runner  *health.Runner
	logger  hclog.Logger
	speaker *bfd.Speaker
	filesC  chan []health.WatchedFile // capacity 1: the newest ones

	mu       sync.Mutex
	sessions map[string][]health.CheckID // by bfd_instance
	changes  map[string]bfd.Change       // the last of each session, for checks that come later
}

func newFeeds(runner *health.Runner, logger hclog.Logger) *feeds {
	f := &feeds{runner: runner, logger: logger, filesC: make(chan []health.WatchedFile, 1), changes: map[string]bfd.Change{}}
	f.speaker = bfd.NewSpeaker(bfd.SpeakerOptions{Now: boottime.Now, Changed: f.changed})
	return f
}

// configure hands a plan over. The error says that the BFD sessions can't be as the
// configuration has them: then they stay as they were.
func (f *feeds) configure(p plan, c *config.Config) error {
	select {
	case <-f.filesC: // not looked at yet
	default:
	}
	f.filesC <- p.files
	f.mu.Lock()
	f.sessions = p.sessions
	maps.DeleteFunc(f.changes, func(name string, _ bfd.Change) bool {
		return !slices.ContainsFunc(c.BFDInstances, func(b config.BFDInstance) bool { return b.Name == name })
	})
	for name := range p.sessions {
		if change, known := f.changes[name]; known {
			f.observe(change)
		}
	}
	f.mu.Unlock()
	var sessions []bfd.Config
	for _, b := range c.BFDInstances {
		sessions = append(sessions, bfd.Config{
			Name: b.Name, Neighbor: b.Neighbor, Source: b.Source, Multihop: b.Multihop, TTL: b.TTL, MaxHops: b.MaxHops, Passive: b.Passive,
			Timing: bfd.Timing{MinTx: b.MinTx, MinRx: b.MinRx, IdleTx: b.IdleTx, Multiplier: b.Multiplier},
		})
	}
	return f.speaker.Configure(sessions)
}

// changed is called by the speaker.
func (f *feeds) changed(change bfd.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes[change.Name] = change
	f.observe(change)
}

// observe tells every check of a session. The lock is held. What failed on this side
// says nothing about the neighbour.
func (f *feeds) observe(change bfd.Change) {
	result := health.Result{Up: change.Up, Reason: "BFD: " + change.Reason, Inconclusive: change.Local && !change.Up}
	for _, id := range f.sessions[change.Name] {
		f.runner.Observe(id, result)
	}
}

// run follows files and sessions until ctx ends.
func (f *feeds) run(ctx context.Context) {
	var speaking sync.WaitGroup
	defer speaking.Wait()
	speaking.Go(func() {
		if err := f.speaker.Run(ctx); err != nil {
			f.logger.Error("BFD has ended; real servers stay as they are", "error", err)
		}
	})
	var files []health.WatchedFile
	for ctx.Err() == nil {
		files = f.follow(ctx, files)
	}
}

// follow watches files until others are to be watched.
func (f *feeds) follow(ctx context.Context, files []health.WatchedFile) (next []health.WatchedFile) {
	within, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	if len(files) > 0 {
		watching.Go(func() { f.watchFiles(within, files) })
	}
	select {
	case <-ctx.Done():
		return files
	case next = <-f.filesC:
		return next
	}
}

func (f *feeds) watchFiles(ctx context.Context, files []health.WatchedFile) {
	for ctx.Err() == nil {
		if err := health.WatchFiles(ctx, files, f.runner.Observe); err != nil {
			f.logger.Error("FILE_CHECK: the files are not followed; real servers stay as they are", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(feedRetry):
		}
	}
}

// initFiles writes the files of track_file that ask for it. A checker that goes on
// where another has died overwrites nothing: somebody may have set a number since.
func initFiles(files []config.TrackFile, goesOn bool, logger hclog.Logger) {
	for _, f := range files {
		if f.Init == nil {
			continue
		}
		flags := os.O_CREATE | os.O_WRONLY | os.O_EXCL
		if f.Overwrite && !goesOn {
			flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
		}
		file, err := os.OpenFile(f.Path, flags, 0o644)
		if err == nil {
			_, err = fmt.Fprintln(file, *f.Init)
			err = errors.Join(err, file.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			logger.Error("init_file of a track_file", "track_file", f.Name, "error", err)
		}
	}
}
