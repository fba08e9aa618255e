package raftstore

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A peer that is away for an hour costs a line in ten seconds, not ten a second,
// and another peer's line is not lost in it.
func TestRepeatedLinesOfTheLibraryAreLeftOut(t *testing.T) {
	var out bytes.Buffer
	s := newSparing(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info}))
	now := time.Unix(0, 0)
	s.now = func() time.Time { return now }
	for range 3600 * 10 {
		s.Error("failed to heartbeat to", "peer", "n1", "error", "refused")
		now = now.Add(100 * time.Millisecond)
	}
	s.Error("failed to heartbeat to", "peer", "n2")
	s.Info("entering follower state")
	lines := strings.Count(out.String(), "\n")
	if lines != 361 {
		t.Fatalf("%d lines, want 360 for n1 and 1 for n2", lines)
	}
	if !strings.Contains(out.String(), "repeated=99") {
		t.Fatal("the lines don't say how many were left out")
	}
}
