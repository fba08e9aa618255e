package tidy

import (
	"bytes"
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"
)

// Sizes in lines: from the first on they are a smell, beyond the second a
// failure. Tests may be as long as their story, within a file's limits.
const (
	functionSmell, functionMax = 70, 100
	fileSmell, fileMax         = 500, 700
)

// Goal: things stay small enough to be read at one time.
func TestSizesAreReadable(t *testing.T) {
	for _, s := range sources(t) {
		n := bytes.Count(s.text, []byte("\n"))
		switch {
		case n > fileMax:
			t.Errorf("%s has %d lines, more than %d: split it by idea", s.path, n, fileMax)
		case n > fileSmell:
			t.Logf("smell: %s has %d lines, more than %d", s.path, n, fileSmell)
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			switch n := s.line(f.End()) - s.line(f.Pos()) + 1; {
			case n > functionMax && !s.isTest():
				t.Errorf("%s:%d: %s has %d lines, more than %d", s.path, s.line(f.Pos()), f.Name.Name, n, functionMax)
			case n > functionSmell:
				t.Logf("smell: %s:%d: %s has %d lines, more than %d", s.path, s.line(f.Pos()), f.Name.Name, n, functionSmell)
			}
		}
	}
}

// Goal: every package and every exported name says what it is for.
func TestEverythingExportedIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		dir := path.Dir(s.path)
		documented[dir] = documented[dir] || (s.syntax.Doc != nil && !isDirective(s.syntax.Doc))
		for _, d := range s.syntax.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s:%d: %s has no comment", s.path, s.line(name.Pos()), name.Name)
			}
		}
	}
	for dir, ok := range documented {
		if !ok && dir != "." { // the root has a module's helper files only
			t.Errorf("package %s has no comment", dir)
		}
	}
}

func isDirective(doc *ast.CommentGroup) bool { return strings.TrimSpace(doc.Text()) == "" }

// undocumented lists the exported names of a declaration that no comment is about.
// One comment may serve a whole group, or stand behind a name.
func undocumented(d ast.Decl) []*ast.Ident {
	var names []*ast.Ident
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !isObvious(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		if d.Doc != nil && d.Tok != token.TYPE {
			return nil
		}
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Doc == nil && spec.Comment == nil && d.Doc == nil && spec.Name.IsExported() {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if spec.Doc == nil && spec.Comment == nil && name.IsExported() {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	kind := f.Recv.List[0].Type
	if pointer, ok := kind.(*ast.StarExpr); ok {
		kind = pointer.X
	}
	name, ok := kind.(*ast.Ident)
	return ok && name.IsExported()
}

// isObvious reports whether a method is one that fmt and errors prescribe.
func isObvious(f *ast.FuncDecl) bool {
	switch f.Name.Name {
	case "String", "GoString", "Error", "Unwrap", "Is":
		return f.Recv != nil
	}
	return false
}

// maySkip are tests that skip by themselves, and why that is no missing lab.
var maySkip = map[string]string{
	"config/keyword_test.go:shared":                                        "reference material that is not shipped",
	"consensus/raftstore/promise_test.go:TestKeepingASessionWritesNothing": "an election in between writes to disk, which is not the lease's doing",
	"internal/demo/demo_test.go:command":                                   "asked for by -short",
	"test/tidy/packaging_test.go:systemd":                                  "systemd is no package that make test could install",
}

// Goal: a test that doesn't run says what is missing, and is a failure where the
// lab is required. Method: every Skip outside of package lab is on the list.
func TestSkipsGoThroughTheLab(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest() {
			continue
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok || (call.Sel.Name != "Skip" && call.Sel.Name != "Skipf" && call.Sel.Name != "SkipNow") {
					return true
				}
				if pkg, ok := call.X.(*ast.Ident); ok && pkg.Name == "lab" {
					return true
				}
				if key := s.path + ":" + f.Name.Name; maySkip[key] == "" {
					t.Errorf("%s:%d: %s skips by itself; use lab.Require or lab.Skip", s.path, s.line(call.Pos()), f.Name.Name)
				}
				return true
			})
		}
	}
}
