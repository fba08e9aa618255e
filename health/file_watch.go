package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSizeMax is how much is read of a file: a number, and what somebody may have
// written behind it.
const fileSizeMax = 128

// WatchedFile is a FILE_CHECK and the file that it follows.
type WatchedFile struct {
	ID   CheckID
	Path string
	File
}

// WatchFiles follows files until ctx ends: it calls observe with the result of each at
// once, and whenever one of them is written, made, renamed or removed. A file that is
// not there says 0, as with keepalived. observe may be [Runner.Observe]; it is called
// by this goroutine only. The error says that the files can't be watched; what was
// observed last still holds then.
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
		names, err := w.next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("watch files: %w", err)
		}
		for _, f := range files {
			if names == nil || slices.Contains(names, filepath.Clean(f.Path)) {
				observe(f.ID, f.read())
			}
		}
	}
}

// fileWatch is an inotify instance. It watches directories, so that files may come and go.
type fileWatch struct {
	file        *os.File
	directories map[int32]string // by watch descriptor
}

func openFileWatch(files []WatchedFile) (*fileWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &fileWatch{file: os.NewFile(uintptr(fd), "inotify"), directories: map[int32]string{}}
	for _, f := range files {
		directory := filepath.Dir(f.Path)
		// Not IN_MODIFY: between its truncation and the write a file says nothing.
		const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVE | unix.IN_DELETE | unix.IN_ONLYDIR
		watch, err := unix.InotifyAddWatch(fd, directory, mask)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("watch the directory %s: %w", directory, err), w.file.Close())
		}
		w.directories[int32(watch)] = directory
	}
	return w, nil
}

// next waits for changes and gives the paths of what has changed; nil when that may be
// anything.
func (w *fileWatch) next() ([]string, error) {
	events := make([]byte, 16*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	n, err := w.file.Read(events)
	if err != nil {
		return nil, err
	}
	paths := []string{}
	for rest := events[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		// struct inotify_event: wd, mask, cookie, len, name (inotify(7))
		directory, known := w.directories[int32(binary.NativeEndian.Uint32(rest))]
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(rest[12:]))
		name := strings.TrimRight(string(rest[unix.SizeofInotifyEvent:end]), "\x00")
		if !known { // an overflow has no directory, and one that is gone comes last
			return nil, nil
		}
		paths = append(paths, filepath.Join(directory, name))
		rest = rest[end:]
	}
	return paths, nil
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
