package tidy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hafence/hafence/config"
)

// Goal: the example configuration works as it is, on each of its nodes.
func TestExampleConfigurationIsRight(t *testing.T) {
	for _, node := range []string{"lb1", "lb2", "lb3"} {
		c, problems := config.Load(filepath.Join(root, "packaging/hafence.conf"), config.Options{ID: node, Node: node})
		if c == nil || len(problems) > 0 {
			t.Errorf("on %s: %v", node, problems)
		}
	}
}

// systemd returns systemd-analyze.
func systemd(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("not run: systemd-analyze is not installed")
	}
	return program
}

// Goal: systemd takes the unit. Method: systemd-analyze verify, with this test
// in the place of the programs, which need not be installed.
func TestUnitIsValid(t *testing.T) {
	program := systemd(t)
	unit, err := os.ReadFile(filepath.Join(root, "packaging/hafence.service"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	installed := regexp.MustCompile(`(?m)^(Exec\w+)=/usr/bin/hafence `)
	if n := len(installed.FindAll(unit, -1)); n != 2 {
		t.Errorf("%d lines start /usr/bin/hafence, want 2: the check and the run", n)
	}
	path := filepath.Join(t.TempDir(), "hafence.service")
	if err := os.WriteFile(path, installed.ReplaceAll(unit, []byte("$1="+self+" ")), 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(program, "verify", path).CombinedOutput()
	if err != nil || strings.Contains(string(output), path) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
}

// Goal: the unit and the configuration mean the same files as the programs do
// when they are told nothing.
func TestUnitAgreesWithDefaults(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join(root, "packaging/hafence.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		" " + config.DefaultPath + "\n",
		"StateDirectory=" + filepath.Base(config.DefaultDataDir) + "\n",
		"RuntimeDirectory=" + filepath.Base(filepath.Dir(config.DefaultSocket)) + "\n",
	} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("hafence.service has no %q", want)
		}
	}
}
