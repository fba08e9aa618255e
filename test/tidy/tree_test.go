package tidy

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository, seen from this package.
const root = "../.."

const (
	readmeLinesMax = 100
	textBytesMax   = 4 << 20 // larger files are data
)

// file is a text file of the repository.
type file struct {
	path string // from the root, with slashes
	text []byte
}

// files reads every text file but those of git and of the build.
func files(t *testing.T) []file {
	t.Helper()
	var list []file
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil // somebody else's test file, gone meanwhile
			}
			return err
		}
		name, _ := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if name == ".git" || name == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > textBytesMax {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return nil // gone meanwhile, or no text
		}
		list = append(list, file{name, text})
		return nil
	})
	if err != nil || len(list) == 0 {
		t.Fatalf("read the repository: %d files, %v", len(list), err)
	}
	return list
}

// source is a parsed Go file.
type source struct {
	file
	set    *token.FileSet
	syntax *ast.File
}

func (s source) line(p token.Pos) int { return s.set.Position(p).Line }
func (s source) isTest() bool         { return strings.HasSuffix(s.path, "_test.go") }

// sources parses every Go file.
func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	for _, f := range files(t) {
		if !strings.HasSuffix(f.path, ".go") || strings.Contains(f.path, "/testdata/") {
			continue
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, f.path, f.text, parser.ParseComments)
		if err != nil {
			t.Errorf("parse: %v", err)
			continue
		}
		list = append(list, source{f, set, syntax})
	}
	return list
}

// Goal: whoever opens the repository sees few directories, all of them explained.
func TestTopLevelIsWhatTheReadmeSays(t *testing.T) {
	allowed := []string{"cmd", "config", "consensus", "docs", "fence", "health", "internal", "lvs", "packaging", "test", "vrrp"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && !slices.Contains(allowed, e.Name()) {
			t.Errorf("directory %s is none of %v", e.Name(), allowed)
		}
	}
}

// Goal: the README is read to its end.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > readmeLinesMax {
		t.Errorf("README.md has %d lines, more than %d", n, readmeLinesMax)
	}
}

// Goal: nothing is put off, and nothing tells where it was written. Method: words
// and paths, taken apart here so that this file has none of them.
func TestNothingIsLeftLying(t *testing.T) {
	for what, pattern := range map[string]*regexp.Regexp{
		"a note to do something later": regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`),
		"a path of some machine":       regexp.MustCompile(`(^|[^\w.])/(wo` + `rk|ro` + `ot|ho` + `me)/\w`),
		"a temporary path":             regexp.MustCompile(`/t` + `mp/\w`),
		"a conflict of a merge":        regexp.MustCompile(`(?m)^(<<<<<<<|>>>>>>>) `),
	} {
		for _, f := range files(t) {
			if f.path == "go.sum" || f.path == "LICENSE" {
				continue
			}
			for _, at := range pattern.FindAllIndex(f.text, -1) {
				t.Errorf("%s:%d: %s: %q", f.path, 1+bytes.Count(f.text[:at[0]], []byte("\n")), what, f.text[at[0]:at[1]])
			}
		}
	}
}

// Goal: every Go file is as gofmt writes it.
func TestSourcesAreFormatted(t *testing.T) {
	for _, s := range sources(t) {
		formatted, err := format.Source(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
			continue
		}
		if !bytes.Equal(formatted, s.text) {
			t.Errorf("%s: not formatted; do: gofmt -w %s", s.path, s.path)
		}
	}
}
