package health

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// follower is WatchFiles at work, and the last result of each file by the check's name.
type follower struct {
	t         *testing.T
	observedC chan [2]string // name, reason
	last      map[string]string
}

// follow watches files with weight 1 until the test ends; paths are by the check's name.
func follow(t *testing.T, paths map[string]string) *follower {
	t.Helper()
	f := &follower{t: t, observedC: make(chan [2]string), last: map[string]string{}}
	var files []WatchedFile
	for name, path := range paths {
		files = append(files, WatchedFile{ID: testID(name), Path: path, File: File{Weight: 1}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	endC := make(chan error, 1)
	go func() {
		endC <- WatchFiles(ctx, files, func(id CheckID, r Result) {
			select {
			case f.observedC <- [2]string{id.Name, r.Reason}:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-endC; err != nil {
			t.Error(err)
		}
	})
	return f
}

// until waits for the file of a check to say a number.
func (f *follower) until(name, number string) {
	f.t.Helper()
	want, timeout := "the file says "+number, time.After(patient)
	for f.last[name] != want {
		select {
		case o := <-f.observedC:
			f.last[o[0]] = o[1]
		case <-timeout:
			f.t.Fatalf("%s: %q, want %q", name, f.last[name], want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	noError(t, os.WriteFile(path, []byte(text), 0o644))
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: a directory that is missing stops no other file, its own file says 0, and it is
// followed once it is there; what is not a directory is inconclusive.
func TestMissingDirectoryStopsNoOtherFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	here, later := filepath.Join(folder, "here"), filepath.Join(folder, "later", "weight")
	f := follow(t, map[string]string{"here": here, "later": later, "within": filepath.Join(here, "weight")})
	f.until("here", "0")
	f.until("later", "0")
	write(t, here, "3")
	f.until("here", "3")
	noError(t, os.Mkdir(filepath.Dir(later), 0o755))
	write(t, later, "4")
	f.until("later", "4")
	write(t, later, "5")
	f.until("later", "5")
	write(t, filepath.Join(folder, "round"), "1")
	noError(t, os.Rename(filepath.Join(folder, "round"), here))
	f.until("here", "1")
	if r := (&WatchedFile{Path: filepath.Join(here, "weight")}).read(); !r.Inconclusive {
		t.Errorf("a file within a file: %+v, want it inconclusive", r)
	}
}

// Goal: a directory that is removed, moved or moved along with the one above it, and made
// again, is followed again by each path that leads to it.
func TestDirectoryMadeAgainIsFollowedAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	above, alias := filepath.Join(folder, "above"), filepath.Join(folder, "alias")
	directory := filepath.Join(above, "directory")
	path := filepath.Join(directory, "weight")
	remake := func() { t.Helper(); noError(t, os.MkdirAll(directory, 0o755)); write(t, path, "1") }
	remake()
	noError(t, os.Symlink(directory, alias))
	f := follow(t, map[string]string{"F": path, "alias": filepath.Join(alias, "weight")})
	until := func(number string) {
		t.Helper()
		f.until("F", number)
		f.until("alias", number)
	}
	until("1")
	write(t, path, "2")
	until("2")
	noError(t, os.RemoveAll(directory))
	until("0")
	remake()
	until("1")
	write(t, path, "3")
	until("3")
	noError(t, os.Rename(directory, filepath.Join(folder, "old")))
	until("0")
	remake()
	until("1")
	noError(t, os.Rename(above, filepath.Join(folder, "older"))) // of which there is no sign
	remake()
	write(t, path, "4")
	until("4")
}
