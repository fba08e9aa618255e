package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockAttemptsMax bounds the races with guards that are just ending.
const lockAttemptsMax = 10

// lock makes sure that one guard manages this network namespace. Closing the
// file releases the lock; unlock removes the file as well.
type lock struct{ file *os.File }

// acquireLock takes DIR/guard-INODE.lock, INODE being the namespace's.
func acquireLock(dir string) (*lock, error) {
	var namespace unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &namespace); err != nil {
		return nil, fmt.Errorf("identify the network namespace: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("lock the network namespace: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("guard-%d.lock", namespace.Ino))
	for range lockAttemptsMax {
		l, err := tryLock(path)
		if l != nil || err != nil {
			return l, err
		}
	}
	return nil, fmt.Errorf("lock %s: guards come and go too fast", path)
}

// tryLock returns nothing where the file was removed by an ending guard
// between its opening and its locking.
func tryLock(path string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the network namespace: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path)
		return nil, errors.Join(fmt.Errorf("another guard, process %s, manages this network namespace (lock %s)",
			strings.TrimSpace(string(holder)), path), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	opened, err1 := file.Stat()
	named, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(opened, named) {
		return nil, file.Close()
	}
	if err := errors.Join(file.Truncate(0), writeAtStart(file, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), file.Close())
	}
	return &lock{file: file}, nil
}

func writeAtStart(file *os.File, s string) error {
	_, err := file.WriteAt([]byte(s), 0)
	return err
}

// unlock removes the file while it is still locked.
func (l *lock) unlock() {
	_ = os.Remove(l.file.Name())
	_ = l.file.Close()
}
