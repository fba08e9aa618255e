package raftstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/hafence/hafence/internal/boottime"
)

const (
	logFileName   = "raft.db"
	logFileMode   = 0o600
	dirMode       = 0o700
	openTimeout   = 2 * time.Second // for the file's lock
	writeRetry    = 250 * time.Millisecond
	writeLogEvery = 40 // retries between two log lines
)

// openLog opens the Raft log in dir, which it makes if needed. A file that is
// damaged is an error that says what to do, never a panic later.
func openLog(dir string) (*raftboltdb.BoltStore, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("open data directory: %w; hafence needs it writable for its votes", err)
	}
	path := filepath.Join(dir, logFileName)
	if err := inspectLog(path); err != nil {
		return nil, err
	}
	var store *raftboltdb.BoltStore
	err := sound(path, func() (err error) {
		store, err = raftboltdb.New(raftboltdb.Options{
			Path: path, BoltOptions: &bolt.Options{Timeout: openTimeout}, MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	if err != nil {
		return nil, explainLog(path, err)
	}
	return store, nil
}

// inspectLog reads the whole file once, so that damage is found now.
func inspectLog(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	return sound(path, func() error {
		db, err := bolt.Open(path, logFileMode, &bolt.Options{Timeout: openTimeout, ReadOnly: true})
		if err != nil {
			return explainLog(path, err)
		}
		defer db.Close()
		return db.View(func(tx *bolt.Tx) error {
			if size := tx.Size(); size > info.Size() {
				return damaged(path, fmt.Errorf("cut short: %d bytes of %d", info.Size(), size))
			}
			return readAll(tx)
		})
	})
}

// readAll touches every key and value, on the calling goroutine: the library's own
// check runs on another, where its panics can't be caught.
func readAll(tx *bolt.Tx) error {
	sum := crc32.NewIEEE()
	return tx.ForEach(func(_ []byte, bucket *bolt.Bucket) error {
		return bucket.ForEach(func(key, value []byte) error {
			_, _ = sum.Write(key) // never fails (package hash)
			_, _ = sum.Write(value)
			return nil
		})
	})
}

// sound runs do; a panic of the library, or a fault in its memory map, means that
// the file is damaged.
func sound(path string, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damaged(path, fmt.Errorf("%v", p))
		}
	}()
	return do()
}

// explainLog says what an error of opening the log means. What the system refused
// is told apart from what the library could not make sense of.
func explainLog(path string, err error) error {
	var system syscall.Errno
	switch {
	case errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("open %s: another hafence has it open; stop that one first", path)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("open %s: %w; hafence needs it writable for its votes", path, err)
	case errors.As(err, &system):
		return fmt.Errorf("open %s: %w", path, err)
	}
	return damaged(path, err)
}

// ErrDamaged is returned by [Open] for a Raft log that can't be read.
var ErrDamaged = errors.New("the Raft log is damaged")

func damaged(path string, cause error) error {
	return fmt.Errorf("open %s: %w (%v); move the file away and start again: the log comes back from the leader. One node at a time, only while the others have a quorum, and wait until \"hafence status\" shows a quorum again before the next",
		path, ErrDamaged, cause)
}

// logStore is what Raft needs on disk; raft-boltdb's store is one.
type logStore interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// disk is the Raft log and vote store with two additions. It knows since when a
// write has been under way, so that a leader whose disk stalls can be told from a
// healthy one. And it waits out errors: the library panics or steps down on a
// failed write, which would cost a VIP for a full disk (I5); a voter that waits
// merely does not vote, and keeps answering keep-alives.
type disk struct {
	logStore
	logger  hclog.Logger
	failure atomic.Pointer[error]
	closeC  chan struct{}

	mu      sync.Mutex
	writing []boottime.Instant // when the writes under way began, the oldest first
}

// stalled is how long the oldest write under way has taken, 0 when none is.
func (d *disk) stalled() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.writing) == 0 {
		return 0
	}
	return boottime.Now().Sub(d.writing[0])
}

// begin notes that a write begins; end takes what it returned.
func (d *disk) begin() boottime.Instant {
	d.mu.Lock()
	defer d.mu.Unlock()
	began := boottime.Now() // under mu: the list stays in order
	d.writing = append(d.writing, began)
	return began
}

func (d *disk) end(began boottime.Instant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.writing, began)
	d.writing = slices.Delete(d.writing, i, i+1)
}

// err is why the write under way does not succeed, nil when it may.
func (d *disk) err() error {
	if e := d.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// write performs one write until it succeeds or the store is closed.
func (d *disk) write(what string, do func() error) error {
	defer d.end(d.begin())
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			if d.failure.Swap(nil) != nil {
				d.logger.Info("data directory is writable again")
			}
			return nil
		}
		d.failure.Store(&err)
		if try%writeLogEvery == 0 {
			d.logger.Error("cannot write to the data directory; leases go on, this node cannot vote until it can", "what", what, "error", err)
		}
		select {
		case <-d.closeC:
			select {} // the library would panic on an error; the process is about to end
		case <-time.After(writeRetry):
		}
	}
}

// StoreLog implements raft.LogStore.
func (d *disk) StoreLog(log *raft.Log) error { return d.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	return d.write("log", func() error { return d.logStore.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (d *disk) DeleteRange(low, high uint64) error {
	return d.write("log", func() error { return d.logStore.DeleteRange(low, high) })
}

// Set implements raft.StableStore.
func (d *disk) Set(key, value []byte) error {
	return d.write("vote", func() error { return d.logStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (d *disk) SetUint64(key []byte, value uint64) error {
	return d.write("vote", func() error { return d.logStore.SetUint64(key, value) })
}
