package tidy

import (
	"go/ast"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hafence/hafence"

// rooms do not import one another; internal/node translates between them.
var rooms = []string{"config", "consensus", "vrrp", "fence", "lvs", "health"}

// dependencies gives every package of this module and all it reaches, tests apart.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	command := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`, "./...")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		all[strings.TrimPrefix(fields[0], module+"/")] = fields[1:]
	}
	return all
}

// room is the room that a package belongs to, "" for none.
func room(pkg string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(pkg, module+"/"), "/")
	if slices.Contains(rooms, first) {
		return first
	}
	return ""
}

// Goal: a room can be read, tested and replaced by itself. Method: what each of
// its packages reaches, at any depth.
func TestRoomsDoNotImportOneAnother(t *testing.T) {
	for pkg, deps := range dependencies(t) {
		own := room(pkg)
		for _, dep := range deps {
			if other := room(dep); own != "" && strings.HasPrefix(dep, module+"/") && other != "" && other != own {
				t.Errorf("%s reaches %s", pkg, dep)
			}
		}
	}
}

// Goal: the guard has nothing in it that parses, elects or serves, and status
// stays a leaf.
func TestSmallPackagesStaySmall(t *testing.T) {
	large := []string{
		"net/http", "github.com/hashicorp/raft", "go.etcd.io/", "github.com/spf13/cobra",
		module + "/config", module + "/consensus", module + "/vrrp", module + "/internal/node", module + "/internal/status",
	}
	forbidden := map[string][]string{
		"fence":             large,
		"fence/guard":       large,
		"cmd/hafence-guard": large,
		"internal/status":   {module + "/"},
		"internal/boottime": {module + "/", "net/"},
		"vrrp":              {"net/http", "github.com/hashicorp/"},
	}
	all := dependencies(t)
	for pkg, prefixes := range forbidden {
		if all[pkg] == nil {
			t.Errorf("there is no package %s", pkg)
		}
		for _, dep := range all[pkg] {
			if i := slices.IndexFunc(prefixes, func(p string) bool { return strings.HasPrefix(dep, p) }); i >= 0 {
				t.Errorf("%s reaches %s", pkg, dep)
			}
		}
	}
}

// pureFiles are the cores. Patterns of path.Match; tests are left out.
var pureFiles = []string{
	"consensus/*.go",
	"vrrp/action.go", "vrrp/checksum.go", "vrrp/event.go", "vrrp/machine*.go", "vrrp/packet.go", "vrrp/reason.go", "vrrp/receive.go", "vrrp/timer.go",
	"fence/action.go", "fence/event.go", "fence/owner*.go", "fence/vip.go",
	"lvs/attribute.go", "lvs/batch.go", "lvs/decode.go", "lvs/destination.go", "lvs/encode.go", "lvs/key.go", "lvs/message.go", "lvs/op.go", "lvs/plan.go",
	"lvs/refusal.go", "lvs/service.go", "lvs/settle.go", "lvs/statistics.go", "lvs/sync.go", "lvs/table.go", "lvs/timeouts.go",
	"health/file.go", "health/pool*.go", "health/result.go", "health/schedule*.go", "health/bfd/packet.go",
	"fence/guard/core*.go", "fence/guard/event.go", "fence/guard/message.go",
	"internal/node/config.go", "internal/node/core*.go", "internal/node/event.go", "internal/node/group*.go", "internal/node/warning.go",
}

// impureImports would let a core look at the world. net/netip is a mere type;
// syscall names signals.
var impureImports = []string{
	"context", "crypto/rand", "io", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec", "os/signal", "sync", "sync/atomic",
	"github.com/hashicorp/go-hclog", "golang.org/x/sys/unix",
}

// impureCalls read or wait for a clock.
var impureCalls = map[string][]string{
	"time":     {"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
	"boottime": {"Now"},
}

// Goal: a core has no clock, goroutine, channel, lock, logger or I/O, so that
// tests and the simulation run what is shipped.
func TestCoresArePure(t *testing.T) {
	matched := map[string]bool{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		pure := false
		for _, pattern := range pureFiles {
			if ok, err := path.Match(pattern, s.path); err != nil {
				t.Fatal(err)
			} else if ok {
				pure, matched[pattern] = true, true
			}
		}
		if pure {
			checkPure(t, s)
		}
	}
	for _, pattern := range pureFiles {
		if !matched[pattern] {
			t.Errorf("no file is %s", pattern)
		}
	}
}

func checkPure(t *testing.T, s source) {
	for _, i := range s.syntax.Imports {
		if name, err := strconv.Unquote(i.Path.Value); err != nil || slices.Contains(impureImports, name) {
			t.Errorf("%s:%d: a core imports %s", s.path, s.line(i.Pos()), i.Path.Value)
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
			t.Errorf("%s:%d: a core has a goroutine or channel", s.path, s.line(n.Pos()))
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(impureCalls[pkg.Name], n.Sel.Name) {
				t.Errorf("%s:%d: a core calls %s.%s", s.path, s.line(n.Pos()), pkg.Name, n.Sel.Name)
			}
		}
		return true
	})
}
