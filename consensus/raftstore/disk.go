package raftstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolt "go.etcd.io/bbolt"

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
	store, err := raftboltdb.New(raftboltdb.Options{
		Path: path, BoltOptions: &bolt.Options{Timeout: openTimeout}, MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, explainLog(path, err)
	}
	return store, nil
}

// inspectLog reads the whole file once and checks its structure.
func inspectLog(path string) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	// Reading a damaged file can panic in the library or fault in its memory map;
	// both mean the same.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damaged(path, fmt.Errorf("%v", p))
		}
	}()
	db, err := bolt.Open(path, logFileMode, &bolt.Options{Timeout: openTimeout, ReadOnly: true})
	if err != nil {
		return explainLog(path, err)
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		for broken := range tx.Check() {
			return damaged(path, broken)
		}
		return nil
	})
}

func explainLog(path string, err error) error {
	switch {
	case errors.Is(err, bolt.ErrTimeout):
		return fmt.Errorf("open %s: another hafence has it open; stop that one first", path)
	case errors.Is(err, bolt.ErrInvalid), errors.Is(err, bolt.ErrChecksum), errors.Is(err, bolt.ErrVersionMismatch):
		return damaged(path, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("open %s: %w; hafence needs it writable for its votes", path, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// ErrDamaged is returned by [Open] for a Raft log that can't be read.
var ErrDamaged = errors.New("the Raft log is damaged")

func damaged(path string, cause error) error {
	return fmt.Errorf("open %s: %w (%v); while the other nodes are up, move the file away and start again: the log comes back from the leader",
		path, ErrDamaged, cause)
}

// disk is the Raft log and vote store with two additions. It knows since when a
// write has been under way, so that a leader whose disk stalls can be told from a
// healthy one. And it waits out errors: the library panics or steps down on a
// failed write, which would cost a VIP for a full disk (I5); a voter that waits
// merely does not vote, and keeps answering keep-alives.
type disk struct {
	*raftboltdb.BoltStore
	logger  hclog.Logger
	writing atomic.Int64 // boottime.Instant of the write under way; 0 when idle
	failure atomic.Pointer[error]
	closeC  chan struct{}
}

// stalled is how long the write under way has taken, 0 when none is.
func (d *disk) stalled() time.Duration {
	began := d.writing.Load()
	if began == 0 {
		return 0
	}
	return boottime.Now().Sub(boottime.Instant(began))
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
	d.writing.Store(int64(boottime.Now()))
	defer d.writing.Store(0)
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
			return err
		case <-time.After(writeRetry):
		}
	}
}

// StoreLog implements raft.LogStore.
func (d *disk) StoreLog(log *raft.Log) error { return d.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	return d.write("log", func() error { return d.BoltStore.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (d *disk) DeleteRange(low, high uint64) error {
	return d.write("log", func() error { return d.BoltStore.DeleteRange(low, high) })
}

// Set implements raft.StableStore.
func (d *disk) Set(key, value []byte) error {
	return d.write("vote", func() error { return d.BoltStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (d *disk) SetUint64(key []byte, value uint64) error {
	return d.write("vote", func() error { return d.BoltStore.SetUint64(key, value) })
}
