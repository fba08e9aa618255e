package main

import (
	"time"

	"github.com/hafence/hafence/consensus"
)

// disk is what survives the death of a process: Raft's term, vote and log.
type disk struct {
	w       *world
	term    uint64
	vote    string
	log     []entry // entry n has index n+1
	stalled moment  // no write completes before
	pending func()  // the write under way
	writes  uint64  // begun so far
}

// entry is one of Raft's log.
type entry struct {
	term    uint64
	command consensus.Command // nil in the others
	voters  []string          // a configuration, else nil
	id      uint64            // tells two proposals of one command apart, for the checker

	configured uint64 // index of the configuration before it
}

// write performs change after the time that a write takes, and calls done. The
// disk does not care whether the process that asked still lives.
func (d *disk) write(change func(), done func()) {
	took := d.w.between(200*time.Microsecond, 2*time.Millisecond)
	if d.w.chance(0.01) {
		took += d.w.between(0, 20*time.Millisecond)
	}
	d.writes++
	d.pending = change
	d.finish(d.writes, d.w.now.add(took), done)
}

func (d *disk) finish(write uint64, at moment, done func()) {
	d.w.at(at, func() {
		switch {
		case d.writes != write || d.pending == nil: // settled by a crash
		case d.w.now < d.stalled:
			d.finish(write, d.stalled, done)
		default:
			change := d.pending
			d.pending = nil
			change()
			done()
		}
	})
}

// crash settles the write under way: it happened, or it did not.
func (d *disk) crash() {
	if d.pending != nil && d.w.chance(0.5) {
		d.pending()
	}
	d.pending = nil
}

func (d *disk) last() (index, term uint64) {
	if len(d.log) == 0 {
		return 0, 0
	}
	return uint64(len(d.log)), d.log[len(d.log)-1].term
}

func (d *disk) termAt(index uint64) uint64 {
	if index == 0 || index > uint64(len(d.log)) {
		return 0
	}
	return d.log[index-1].term
}

// configuration is the latest in the log, and its index. Entries carry where the
// one before them was, so that it need not be looked for.
func (d *disk) configuration() (voters []string, index uint64) {
	index = uint64(len(d.log))
	if d.log[index-1].voters == nil {
		index = d.log[index-1].configured
	}
	return d.log[index-1].voters, index
}

// add appends an entry.
func (d *disk) add(e entry) {
	_, e.configured = d.configuration()
	d.log = append(d.log, e)
}
