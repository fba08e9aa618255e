package main

import (
	"strings"
	"testing"
)

// Wrong usage is exit code 2 with a hint, and asking for help is none. Method:
// run without starting anything.
func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":   {nil, exitUsage, "hint: hafence run"},
		"unknown":   {[]string{"-frobnicate"}, exitUsage, "usage: hafence-guard"},
		"help":      {[]string{"-h"}, 0, "usage: hafence-guard"},
		"separator": {[]string{"--"}, exitUsage, "no program to start"},
	} {
		var stderr strings.Builder
		if code := run(c.args, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d; says %q, want %q", name, code, c.code, stderr.String(), c.says)
		}
	}
}
