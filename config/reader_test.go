package config

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// files is a file system for tests.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	text, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

func (f files) glob(pattern string) ([]string, error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if ok, err := path.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// outline renders a tree, a node a line, with the place of each.
func outline(n *node, indent string) string {
	var b strings.Builder
	for _, child := range n.children {
		p := child.pos()
		fmt.Fprintf(&b, "%s%s @%s:%d:%d\n", indent, strings.Join(texts(child.words), " "), p.file, p.line, p.col)
		b.WriteString(outline(child, indent+"  "))
	}
	return b.String()
}

// parsed returns the outline of a file and the problems.
func parsed(f files) (string, []string) {
	r := newReport()
	root := parseTree(r, "main", []byte(f["main"]), Options{ID: "lb1", ReadFile: f.read, Glob: f.glob})
	return outline(root, ""), messages(r.result())
}

func messages(problems []Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Error())
	}
	return all
}

func compare(t *testing.T, f files, want string, problems ...string) {
	t.Helper()
	got, gotProblems := parsed(f)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(problems, gotProblems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// Goal: braces make the tree wherever they stand, as in keepalived.
func TestBracesMakeTheTree(t *testing.T) {
	compare(t, files{"main": "a{ b c }\nd\n{\n  e { f\n  }}\ng \"{ x }\"\n"},
		"a @main:1:1\n  b c @main:1:4\nd @main:2:1\n  e @main:4:3\n    f @main:4:7\ng { x } @main:6:1\n")
}

// Goal: broken braces are reported where they are and mislead nothing else.
func TestBrokenBracesAreReported(t *testing.T) {
	compare(t, files{"main": "a {\n b\n}\n}\nc {\n  d {\n }\n"},
		"a @main:1:1\n  b @main:2:2\nc @main:5:1\n  d @main:6:3\n",
		"main:4:1: warning: '}' without a '{' is ignored",
		"main:5:1: the block that begins here is never closed: '}' is missing")
	compare(t, files{"main": "{ x }\ny \"z\n"}, "y z @main:2:1\n",
		"main:1:1: '{' without a keyword before it",
		"main:2:3: the quote is not closed in this line")
}

// Goal: @id lines count on the host they name, @^id on all others; the example
// of keepalived.conf(5), "Conditional configuration".
func TestConditionsChooseLines(t *testing.T) {
	compare(t, files{"main": "@lb1 a 1\n@lb2   a 2\n@^lb1 b 1\n@^lb2   b 2\n@lb1\n$IF=@lb2\n$IF c\n@lb1 $X=7\nx $X\n@lb1 @lb1 y\n"},
		"a 1 @main:1:6\nb 2 @main:4:9\nx 7 @main:9:1\n",
		"main:10:6: a line can have one @ condition only")
}

// Goal: variables are replaced when they are used, recursively; keepalived.conf(5),
// "Parameter substitution", with its example.
func TestVariablesAreReplacedWhenUsed(t *testing.T) {
	compare(t, files{"main": "$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.100/32\n$SUB=10\n${BASE}.100/32\na $SUB b, $SUB,c $SUBx \"$SUB\" $EMPTY= x\n$EMPTY=\nb${EMPTY}c\n"},
		"10.2.0.100/32 @main:3:1\n10.2.10.100/32 @main:5:1\na 10 b, 10,c $SUBx $SUB $EMPTY= x @main:6:1\nbc @main:8:1\n")
}

// Goal: predefined variables have their values, also in an included file.
func TestPredefinedVariables(t *testing.T) {
	compare(t, files{"main": "include /etc/d/sub\n", "/etc/d/sub": "p ${_PWD}/x $_INSTANCE ${_HASH} ${_BANG}\n"},
		"p /etc/d/x lb1 # ! @/etc/d/sub:1:1\n")
}

// Goal: a variable of several lines is read as if its lines stood where it is
// used; places are those of the definition and name the use.
func TestVariablesOfSeveralLines(t *testing.T) {
	text := "$RS= \\\n  real $N { # comment \\\n    weight ${N} \\\n  }\n\n$VS= \\\nserver { \\\n $N=1 \\\n $RS \\\n $N=2 \\\n $RS \\\n}\n$VS\nlast\nx }\n$BAD= \\\n}\n$BAD\n"
	compare(t, files{"main": text},
		"server @main:7:1\n  real 1 @main:2:3\n    weight 1 @main:3:5\n  real 2 @main:2:3\n    weight 2 @main:3:5\nlast @main:14:1\nx @main:15:1\n",
		"main:15:3: warning: '}' without a '{' is ignored",
		"main:17:1: warning: '}' without a '{' is ignored (in $BAD, used at main:18)")
}

// Goal: a variable of several lines that begins with another one keeps the order
// of its lines.
func TestVariablesOfSeveralLinesKeepTheirOrder(t *testing.T) {
	compare(t, files{"main": "$B= \\\nb1 \\\nb2\n$A= \\\n$B \\\na2\nx $A\n"},
		"x b1 @main:7:1\nb2 @main:3:1\na2 @main:6:1\n")
}

// Goal: a file that includes itself is named as such, with the way round.
func TestIncludeCyclesAreNamed(t *testing.T) {
	compare(t, files{"main": "include /f\n", "/f": "include /g\n", "/g": "a\ninclude /f\n"}, "a @/g:1:1\n",
		"/g:2:9: the file includes itself: /f → /g → /f")
}

// Goal: an empty line ends a definition of several lines, as in keepalived.
func TestEmptyLineEndsADefinition(t *testing.T) {
	compare(t, files{"main": "$A= \\\na \\\n\nb\n$A\n"}, "b @main:4:1\na @main:2:1\n")
}

// Goal: what can't be replaced is said, once, and its braces mislead nothing.
func TestUndefinedVariables(t *testing.T) {
	compare(t, files{"main": "a {\n  b ${NO}\n  c \"${NO}\"\n  d $NO\n}\n~SEQ(A, 1, 2) x\n~SEQ(A, 1, 2) x\n$M= \\\nx \\\ny\nq ${M} z\nr ${_RANDOM 1 2}\n"},
		"a @main:1:1\n  b ${NO} @main:2:3\n  c ${NO} @main:3:3\n  d $NO @main:4:3\nq ${M} z @main:11:1\nr ${_RANDOM 1 2} @main:12:1\n",
		"main:2:5: ${NO} is not defined",
		"main:6:1: ~SEQ is not supported by this version (2 times in all)",
		"main:11:3: ${M} stands for several lines: nothing may follow it in its line",
		"main:12:3: ${_RANDOM} is not supported: the configuration must be the same at every start")
}

// Goal: nothing that contains itself is followed for ever.
func TestWhatContainsItselfEnds(t *testing.T) {
	for name, f := range map[string]files{
		"line":   {"main": "$A=${A}\nx ${A}\n"},
		"grows":  {"main": "$A=${A}${A}\nx ${A}\n"},
		"lines":  {"main": "$A= \\\nx \\\n$A \\\n$A\n$A\n"},
		"file":   {"main": "include /f\n", "/f": "include /f\n"},
		"files":  {"main": "include /f\n", "/f": "include /g\n", "/g": "include /f\n"},
		"main":   {"main": "include main\n"},
		"blocks": {"main": strings.Repeat("a {\n", 200)},
	} {
		if _, problems := parsed(f); len(problems) == 0 {
			t.Errorf("%s: no problem was reported", name)
		} else if len(problems) > blockDepthMax+1 {
			t.Errorf("%s: %d problems", name, len(problems))
		}
	}
}

// Goal: a file that is too much is refused, not read to the end.
func TestLimitsEndReading(t *testing.T) {
	for name, text := range map[string]string{
		"long line": strings.Repeat("x", lineBytesMax+1),
		"zero byte": "a\nb\x00c\nd\n",
		"laughs":    "$A= \\\nx \\\nx \\\nx \\\nx \\\nx \\\nx \\\nx \\\nx \\\nx \\\nx\n$B= \\\n" + strings.Repeat("$A \\\n", 2000) + "$A\n$C= \\\n" + strings.Repeat("$B \\\n", 2000) + "$B\n$C\n",
	} {
		if _, problems := parsed(files{"main": text}); len(problems) != 1 {
			t.Errorf("%s: problems %q, want one", name, problems)
		}
	}
}

// Goal: included files are read in their place, relative to the file that
// includes them, and keep their own places.
func TestIncludesAreReadInTheirPlace(t *testing.T) {
	compare(t, files{
		"main":             "a {\n  include /etc/h/*.conf\n}\nz\n",
		"/etc/h/1.conf":    "b\ninclude sub/c.inc\n",
		"/etc/h/2.conf":    "d\n",
		"/etc/h/sub/c.inc": " c\n",
		"/etc/h/2.txt":     "no\n",
	}, "a @main:1:1\n  b @/etc/h/1.conf:1:1\n  c @/etc/h/sub/c.inc:1:2\n  d @/etc/h/2.conf:1:1\nz @main:4:1\n")
}

// Goal: what include does about missing files is what its variants say.
func TestMissingIncludes(t *testing.T) {
	compare(t, files{"main": "include /no\nincluder /no\nincludem /no\nincludea /no\ninclude /no/*\nincludem /no/*\nincludew /no/*\n@lb1 include \"/no 2\"\n$F=/no3\ninclude $F\n"}, "",
		"main:1:9: warning: include /no: file does not exist",
		"main:2:10: warning: include /no: file does not exist",
		"main:3:10: include /no: file does not exist",
		"main:4:10: include /no: file does not exist",
		"main:7:10: no file matches /no/*",
		"main:8:14: warning: include /no 2: file does not exist",
		"main:10:9: warning: include /no3: file does not exist")
}

// Goal: on the host, wildcards hide what glob(3) hides, and a file that may be
// executed is passed over as keepalived does. Method: a directory with each.
func TestIncludeFindsFilesOfTheHost(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("main", "include *.conf\n", 0o644)
	write("b.conf", "b\n", 0o644)
	write("a.conf", "a\n", 0o600)
	write(".a.conf.swp.conf", "hidden\n", 0o644)
	write("x.conf", "executable\n", 0o755)
	if err := os.Mkdir(filepath.Join(dir, "d.conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := newReport()
	root := parseTree(r, filepath.Join(dir, "main"), []byte("include *.conf\n"), Options{})
	var names []string
	for _, n := range root.children {
		names = append(names, n.name())
	}
	if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	want := []string{dir + "/main:1:9: warning: include " + dir + "/x.conf: not a regular file without execute permission"}
	if diff := cmp.Diff(want, messages(r.result())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
