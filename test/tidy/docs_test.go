package tidy

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hafence/hafence/config"
)

const (
	docsWidthMax    = 160 // characters of a line
	messagePieceMin = 5   // shorter pieces of a message say nothing
)

func pages(t *testing.T) []file {
	t.Helper()
	var list []file
	for _, f := range files(t) {
		if strings.HasSuffix(f.path, ".md") {
			list = append(list, f)
		}
	}
	return list
}

// eachLine calls do with each line of a page and its number.
func eachLine(f file, do func(number int, line string)) {
	for i, line := range strings.Split(string(f.text), "\n") {
		do(i+1, line)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#+ (.*)$`)
	code    = regexp.MustCompile("`([^`]+)`")
	cited   = regexp.MustCompile(`^([\w./-]+\.go)(?::(\w+))?$`)
	test    = regexp.MustCompile(`\b((?:Test|Fuzz)[A-Z]\w+)`)
)

// Goal: docs can be read in a terminal.
func TestDocsAreNarrow(t *testing.T) {
	for _, f := range pages(t) {
		eachLine(f, func(number int, line string) {
			if n := utf8.RuneCountInString(line); n > docsWidthMax && !strings.Contains(line, "](docs/") {
				t.Errorf("%s:%d: %d characters, more than %d", f.path, number, n, docsWidthMax)
			}
		})
	}
}

// Goal: every link within the repository leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	anchors := map[string][]string{}
	for _, f := range pages(t) {
		eachLine(f, func(_ int, line string) {
			if m := heading.FindStringSubmatch(line); m != nil {
				anchors[f.path] = append(anchors[f.path], anchor(m[1]))
			}
		})
	}
	for _, f := range pages(t) {
		eachLine(f, func(number int, line string) {
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
				target, fragment, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") {
					continue
				}
				name := f.path
				if target != "" {
					name = path.Join(path.Dir(f.path), target)
				}
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("%s:%d: link to %s: no such file", f.path, number, m[1])
				} else if fragment != "" && !slices.Contains(anchors[name], fragment) {
					t.Errorf("%s:%d: link to %s: no such heading", f.path, number, m[1])
				}
			}
		})
	}
}

// anchor is a heading's name in links: lower case, blanks to hyphens, and no
// other marks.
func anchor(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Goal: what the docs cite is there: files, names in them, tests. Method: code
// written as `path/file.go` or `path/file.go:Name`, and words that look like tests.
func TestCitationsExist(t *testing.T) {
	declared := map[string]map[string]bool{}
	tests := map[string]bool{}
	for _, s := range sources(t) {
		declared[s.path] = map[string]bool{}
		for _, d := range s.syntax.Decls {
			for _, name := range declares(d) {
				declared[s.path][name] = true
				tests[name] = tests[name] || s.isTest()
			}
		}
	}
	count := 0
	for _, f := range pages(t) {
		eachLine(f, func(number int, line string) {
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				c := cited.FindStringSubmatch(m[1])
				if c == nil || !strings.Contains(c[1], "/") || c[1] == "path/file.go" {
					continue
				}
				count++
				switch names := declared[c[1]]; {
				case names == nil:
					t.Errorf("%s:%d: there is no file %s", f.path, number, c[1])
				case c[2] != "" && !names[c[2]]:
					t.Errorf("%s:%d: %s declares no %s", f.path, number, c[1], c[2])
				}
			}
			for _, m := range test.FindAllStringSubmatch(line, -1) {
				count++
				if !tests[m[1]] {
					t.Errorf("%s:%d: there is no test %s", f.path, number, m[1])
				}
			}
		})
	}
	if count == 0 {
		t.Error("no citation was found: is the pattern right?")
	}
}

// declares lists the names of a top-level declaration, methods among them.
func declares(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		names = append(names, d.Name.Name)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// Goal: an operator who looks a message up finds it, and finds none that nobody
// says. Method: the first column of each table under "Messages" in OPERATING.md;
// its pieces between … must each be part of a string in the programs' source.
func TestMessagesInOperatingAreSaid(t *testing.T) {
	said := strings.Join(texts(t), "\n")
	page, err := os.ReadFile(filepath.Join(root, "docs/OPERATING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n## Messages\n")
	rest, _, ended := strings.Cut(rest, "\n## ")
	if !found || !ended {
		t.Fatal("OPERATING.md has no section Messages, or nothing behind it")
	}
	checked := 0
	for line := range strings.Lines(rest) {
		first, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !ok || !strings.HasPrefix(line, "| ") {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(first, -1) {
			for _, piece := range strings.Split(m[1], "…") {
				piece = strings.Trim(piece, " ,;:()")
				if len(piece) < messagePieceMin {
					continue
				}
				checked++
				if !strings.Contains(said, piece) {
					t.Errorf("OPERATING.md: nobody says %q", piece)
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d messages were found: is the table still there?", checked)
	}
}

// texts are the strings of the programs, with sums of them joined.
func texts(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, s := range sources(t) {
		if s.isTest() || strings.HasPrefix(s.path, "test/") {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if text := joined(e); text != "" {
					all = append(all, text)
				}
			}
			return true
		})
	}
	return all
}

// joined is the text of a string, or of a sum of which some are strings.
func joined(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value) // the parser has accepted it
			return text
		}
	case *ast.BinaryExpr:
		if left, right := joined(e.X), joined(e.Y); e.Op == token.ADD && left+right != "" {
			return left + right
		}
	}
	return ""
}

// Goal: a configuration that is copied from the docs works. Method: each block
// marked conf is parsed as on the first node; nothing may be said of it.
func TestConfigurationsInDocsAreRight(t *testing.T) {
	found := 0
	for _, f := range pages(t) {
		for _, block := range strings.Split(string(f.text), "```conf\n")[1:] {
			text, _, _ := strings.Cut(block, "```")
			found++
			if _, problems := config.Parse(f.path, []byte(text), config.Options{ID: "lb1", Node: "lb1"}); len(problems) > 0 {
				t.Errorf("a configuration in %s: %v", f.path, problems)
			}
		}
	}
	if found == 0 {
		t.Error("no block marked conf was found")
	}
}

// Goal: each module has its reason. Method: go.mod's direct requirements against
// the table in DEPENDENCIES.md, both ways.
func TestDependenciesHaveReasons(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/DEPENDENCIES.md"))
	if err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`(?m)^\s+(\S+/\S+) v\S+$`) // indirect ones have a comment behind
	var direct []string
	for _, m := range required.FindAllStringSubmatch(string(mod), -1) {
		direct = append(direct, m[1])
		if !strings.Contains(string(page), "\n| `"+m[1]+"` |") {
			t.Errorf("DEPENDENCIES.md has no line for %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(direct, m[1]) {
			t.Errorf("DEPENDENCIES.md has a line for %s, which go.mod does not require", m[1])
		}
	}
}
