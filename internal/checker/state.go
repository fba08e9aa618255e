package checker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/status"
	"github.com/hafence/hafence/lvs"
)

// What is kept of a checker's life for the next one.
const (
	stateFile    = "state.json"
	stateVersion = 1
	stateBytes   = 256 << 20 // more is not read
	bootIDFile   = "/proc/sys/kernel/random/boot_id"

	// staleAfter is the age at which what was known of real servers says nothing any
	// more: then they start as keepalived's do.
	staleAfter = 10 * time.Minute
)

// saved is what survives a checker: which services are ours (I7), and how the real
// servers were.
type saved struct {
	Version int                         `json:"version"`
	Boot    string                      `json:"boot"`  // IPVS does not outlive the kernel
	At      boottime.Instant            `json:"at"`    // of Pools
	Owned   []lvs.ServiceKey            `json:"owned"` // no less than is in IPVS
	Pools   map[string]health.PoolState `json:"pools"` // by virtual server
}

// load reads what a previous life has left. What can't be used is nothing: then
// services that the configuration names are adopted, and others stay.
func load(dir string, now boottime.Instant) (saved, error) {
	empty := saved{Version: stateVersion, Boot: bootID()}
	path := filepath.Join(dir, stateFile)
	text, err := readRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("read the checker's state: %w", err)
	}
	var s saved
	if err := json.Unmarshal(text, &s); err != nil {
		return empty, fmt.Errorf("read the checker's state: %s: %w", path, err)
	}
	switch {
	case s.Version != stateVersion || s.Boot != empty.Boot:
		return empty, nil // of another kernel's life, or of another version
	case now.Sub(s.At) > staleAfter:
		s.Pools = nil
	}
	return s, nil
}

// readRegular reads a file that may have been another user's: no link, no FIFO, and
// no more than it can have.
func readRegular(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > stateBytes:
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, stateBytes)
	}
	return io.ReadAll(io.LimitReader(file, stateBytes))
}

// save writes the state so that a crash leaves the old one or the new one.
func (s *saved) save(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	temporary := filepath.Join(dir, stateFile+".new")
	_ = os.Remove(temporary) // of a life that died while writing
	// Made by us, whatever another user may have put there.
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	return nil
}

// Owns reports whether a previous checker of a node has left services in IPVS, by the
// node's status socket: somebody has to remove them.
func Owns(socket string) bool {
	s, err := load(filepath.Dir(status.ServersSocket(socket)), boottime.Now())
	return err == nil && len(s.Owned) > 0
}

// bootID names this life of the kernel, "" where it can't be read.
func bootID() string {
	text, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
