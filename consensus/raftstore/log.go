package raftstore

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	logInterval = 10 * time.Second // between two lines of the library that say the same
	logKeysMax  = 64               // different lines that are remembered
)

// sparing is the Raft library's logger: warnings and errors only, and one line in
// logInterval where the library would write ten a second while a peer is away.
type sparing struct {
	hclog.Logger
	now func() time.Time

	mu   sync.Mutex
	last map[string]*repetition
}

type repetition struct {
	at    time.Time
	count int // of lines left out since
}

func newSparing(logger hclog.Logger) *sparing {
	return &sparing{Logger: logger, now: time.Now, last: map[string]*repetition{}}
}

// Trace, Debug and Info implement hclog.Logger. What the library says there, ours
// says of its own accord where it matters.
func (s *sparing) Trace(string, ...any) {}

// Debug implements hclog.Logger.
func (s *sparing) Debug(string, ...any) {}

// Info implements hclog.Logger.
func (s *sparing) Info(string, ...any) {}

// Warn implements hclog.Logger.
func (s *sparing) Warn(msg string, args ...any) { s.write(hclog.Warn, msg, args) }

// Error implements hclog.Logger.
func (s *sparing) Error(msg string, args ...any) { s.write(hclog.Error, msg, args) }

// Log implements hclog.Logger.
func (s *sparing) Log(level hclog.Level, msg string, args ...any) {
	if level >= hclog.Warn {
		s.write(level, msg, args)
	}
}

func (s *sparing) write(level hclog.Level, msg string, args []any) {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "peer" {
			key += fmt.Sprint(args[i+1])
		}
	}
	s.mu.Lock()
	now := s.now()
	r, known := s.last[key]
	if known && now.Sub(r.at) < logInterval {
		r.count++
		s.mu.Unlock()
		return
	}
	if known && r.count > 0 {
		args = append(args[:len(args):len(args)], "repeated", r.count)
	}
	if len(s.last) >= logKeysMax {
		clear(s.last)
	}
	s.last[key] = &repetition{at: now}
	s.mu.Unlock()
	s.Logger.Log(level, msg, args...)
}
