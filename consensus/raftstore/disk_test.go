package raftstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A raft.db that is cut short, overwritten or nonsense is one clear error, never a
// panic, at start.
func TestDamagedLogIsAClearError(t *testing.T) {
	c := newCluster(t, []string{"n1"}, testTTL)
	c.leader()
	c.kill("n1")
	whole, err := os.ReadFile(filepath.Join(c.dir, "n1", logFileName))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"cut to half a page":      func(b []byte) []byte { return b[:2000] },
		"cut to a page and a bit": func(b []byte) []byte { return b[:5000] },
		"cut to four pages":       func(b []byte) []byte { return b[:16384] },
		"text":                    func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 5000)) },
		"zeros from the start":    func(b []byte) []byte { return append(make([]byte, 16384), b[16384:]...) },
		"ones in the middle": func(b []byte) []byte {
			for i := 8192; i < 24576; i++ {
				b[i] = 0xff
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, logFileName), damage([]byte(string(whole))), 0o600); err != nil {
				t.Fatal(err)
			}
			config := c.config("n1")
			config.Dir = dir
			s, err := Open(config)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "move the file away") {
				t.Fatalf("error %q; want one that says what to do", err)
			}
		})
	}
}

// A second process on the same data directory is told so.
func TestDataDirectoryInUseIsAClearError(t *testing.T) {
	c := newCluster(t, []string{"n1"}, testTTL)
	config := c.config("n1")
	config.Members = []Member{{Name: "n1", Address: freeAddress(t)}}
	_, err := Open(config)
	if err == nil || !strings.Contains(err.Error(), "another hafence") {
		t.Fatalf("error %v", err)
	}
}

// A data directory that can't be made is a clear error. Method: its parent is a
// file, which stops root, too.
func TestUnusableDataDirectoryIsAClearError(t *testing.T) {
	c := prepareCluster(t, []string{"n1"}, testTTL)
	config := c.config("n1")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config.Dir = filepath.Join(file, "data")
	_, err := Open(config)
	if err == nil || !strings.Contains(err.Error(), "open data directory") || !strings.Contains(err.Error(), "writable") {
		t.Fatalf("error %v", err)
	}
}

// Keys and secrets: every message about a key leaves the key out.
func TestKeyErrorsSayWhatToDoAndNotTheKey(t *testing.T) {
	key := NewClusterKey()
	secret := strings.TrimPrefix(key.Encode(), clusterKeyPrefix)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct{ path, want string }{
		"missing":   {filepath.Join(dir, "none"), "hafence keygen"},
		"open":      {write("open", key.Encode(), 0o644), "chmod 600"},
		"not a key": {write("text", secret, 0o600), "hafence keygen"},
		"cut short": {write("short", key.Encode()[:40], 0o600), "copy the file again"},
		"zeros":     {write("zeros", LoopbackKey.Encode(), 0o600), "all zeros"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadClusterKey(test.path)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret[:12]) {
				t.Fatal("the message shows the key")
			}
		})
	}
	if got, err := ReadClusterKey(write("good", key.Encode()+"\n", 0o600)); err != nil || got != key {
		t.Fatalf("a good key: %v", err)
	}
}

// A wall clock that jumps ends no certificate.
func TestCertificatesOutliveEveryWallClock(t *testing.T) {
	c, err := NewCredentials(NewClusterKey(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	server, client, err := c.tlsConfigs(func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, year := range []int{2001, 2026, 2120} {
		now := func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
		server.Time, client.Time = now, now
		if err := shake(server, client); err != nil {
			t.Errorf("in %d: %v", year, err)
		}
	}
}
