package checker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/boottime"
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
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return empty, nil
	case err != nil:
		return empty, fmt.Errorf("read the checker's state: %w", err)
	case info.Size() > stateBytes:
		return empty, fmt.Errorf("read the checker's state: %s has %d bytes, more than it can have", path, info.Size())
	}
	text, err := os.ReadFile(path)
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

// save writes the state so that a crash leaves the old one or the new one.
func (s *saved) save(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	temporary := filepath.Join(dir, stateFile+".new")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("keep the checker's state: %w", err)
	}
	return nil
}

// bootID names this life of the kernel, "" where it can't be read.
func bootID() string {
	text, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
