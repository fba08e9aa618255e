package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of following files.
const (
	// fileSizeMax is how much is read of a file: a number, and what somebody may have
	// written behind it.
	fileSizeMax = 128
	// directoryInterval is how often it is looked where the paths of the directories
	// lead, and files in those that can't be watched are read.
	directoryInterval = 5 * time.Second
)

// WatchedFile is a FILE_CHECK and the file that it follows.
type WatchedFile struct {
	ID   CheckID
	Path string
	File
}

// WatchFiles follows files until ctx ends: it calls observe with the result of each at
// once, and whenever one of them is written, made, renamed or removed. A file that is
// not there, be it for want of its directory, says 0, as with keepalived; one that can't
// be read is inconclusive. Files in a directory that can't be watched are observed every
// 5 s, also if nothing has changed. observe may be [Runner.Observe]; it is called by
// this goroutine only. The error says that no file can be watched; what was observed
// last still holds then.
func WatchFiles(ctx context.Context, files []WatchedFile, observe func(CheckID, Result)) error {
	w, err := openFileWatch(files)
	if err != nil {
		return err
	}
	defer w.file.Close()
	defer context.AfterFunc(ctx, func() { _ = w.file.Close() })()
	for _, f := range files {
		observe(f.ID, f.read())
	}
	for {
		changed, err := w.next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("watch files: %w", err)
		}
		for _, f := range files {
			if changed[filepath.Clean(f.Path)] || changed[filepath.Dir(f.Path)] {
				observe(f.ID, f.read())
			}
		}
	}
}

// fileWatch is an inotify instance. It watches directories, so that files may come and
// go. A watch stays with its directory whatever becomes of the path, so that the paths
// are watched anew after every sign of a change, and regularly: of a change further up
// in a path there is no sign.
type fileWatch struct {
	file    *os.File
	watches map[string]int32 // watch descriptors of all directories, noWatch where there is none
	lookAt  time.Time        // when to look regularly
}

// noWatch stands for the watch descriptor of a directory that can't be watched.
const noWatch = -1

func openFileWatch(files []WatchedFile) (*fileWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &fileWatch{file: os.NewFile(uintptr(fd), "inotify"), watches: map[string]int32{}}
	for _, f := range files {
		w.watches[filepath.Dir(f.Path)] = noWatch
	}
	if err := w.look(map[string]bool{}); err != nil {
		return nil, errors.Join(fmt.Errorf("watch files: %w", err), w.file.Close())
	}
	return w, nil
}

// look watches what the paths of the directories lead to at present. It adds those to
// changed that lead elsewhere than before, or to nothing that can be watched.
func (w *fileWatch) look(changed map[string]bool) error {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	w.lookAt = time.Now().Add(directoryInterval)
	return conn.Control(func(fd uintptr) {
		before, used := maps.Clone(w.watches), map[int32]bool{}
		for directory := range before {
			watch := addWatch(int(fd), directory)
			if watch == noWatch || watch != before[directory] {
				changed[directory] = true
			}
			w.watches[directory], used[watch] = watch, true
		}
		for _, watch := range before {
			if watch != noWatch && !used[watch] {
				_, _ = unix.InotifyRmWatch(int(fd), uint32(watch)) // gone already if its directory is
			}
		}
	})
}

// addWatch gives the watch descriptor of a directory: the one that it has, if any.
func addWatch(fd int, directory string) int32 {
	// Not IN_MODIFY: between its truncation and the write a file says nothing.
	const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVE | unix.IN_DELETE | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
	watch, err := unix.InotifyAddWatch(fd, directory, mask)
	if err != nil {
		return noWatch
	}
	return int32(watch)
}

// next waits for changes and gives the paths of the files and directories that may have
// changed.
func (w *fileWatch) next() (map[string]bool, error) {
	if err := w.file.SetReadDeadline(w.lookAt); err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	events := make([]byte, 16*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	n, err := w.file.Read(events)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return changed, w.look(changed)
	}
	if err != nil {
		return nil, err
	}
	if moved := w.collect(events[:n], changed); moved {
		err = w.look(changed)
	}
	return changed, err
}

// collect adds the paths of what events are about to changed, and says whether a
// directory may have moved.
func (w *fileWatch) collect(events []byte, changed map[string]bool) (moved bool) {
	for len(events) >= unix.SizeofInotifyEvent {
		// struct inotify_event: wd, mask, cookie, len, name (inotify(7))
		watch, mask := int32(binary.NativeEndian.Uint32(events)), binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		name := strings.TrimRight(string(events[unix.SizeofInotifyEvent:end]), "\x00")
		events = events[end:]
		lost := mask&unix.IN_Q_OVERFLOW != 0
		moved = moved || lost || mask&(unix.IN_MOVE_SELF|unix.IN_DELETE_SELF|unix.IN_UNMOUNT|unix.IN_IGNORED) != 0
		for directory, its := range w.watches {
			if lost || its == watch { // two paths may lead to one directory
				changed[filepath.Join(directory, name)] = true
			}
		}
	}
	return moved
}

// read gives the result of what the file says at present.
func (f *WatchedFile) read() Result {
	number, err := readNumber(f.Path)
	if err != nil {
		r := failed("read the number", err)
		r.Inconclusive = true
		return r
	}
	return f.Judge(number)
}

// readNumber reads the number that a file begins with; one that doesn't exist or begins
// with something else says 0.
func readNumber(path string) (int64, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hold us up
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	head := make([]byte, fileSizeMax)
	n, err := file.Read(head)
	if err != nil && err != io.EOF {
		return 0, err
	}
	return leadingNumber(strings.TrimLeft(string(head[:n]), " \t\r\n")), nil
}

// leadingNumber is the number at the beginning of a text, 0 where there is none, and
// the greatest or least one where it is beyond.
func leadingNumber(text string) int64 {
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || end == 0 && (text[0] == '-' || text[0] == '+')) {
		end++
	}
	number, _ := strconv.ParseInt(text[:end], 10, 64)
	return number
}
