package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func texts(words []word) []string {
	var all []string
	for _, w := range words {
		all = append(all, w.text)
	}
	return all
}

// Goal: words mean what they mean to keepalived 2.2.7, whose results for these
// lines were read from its dump (keepalived -d). Method: the same lines.
func TestPlainWordsAreKeepaliveds(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
		open bool
	}{
		{`priority 100`, []string{"priority", "100"}, false},
		{"\t priority\t100  ", []string{"priority", "100"}, false},
		{`auth_pass "a b\n'c"`, []string{"auth_pass", `a b\n'c`}, false},
		{`auth_pass don't`, []string{"auth_pass", "don't"}, false},
		{`auth_pass "ab"cd`, []string{"auth_pass", "ab", "cd"}, false},
		{`auth_pass 'a'b\ c"d`, []string{"auth_pass", `'a'b\`, "c", "d"}, true},
		{`name ""`, []string{"name", ""}, false},
	} {
		words, open := plainWords(test.text, 0)
		if diff := cmp.Diff(test.want, texts(words)); diff != "" || open != test.open {
			t.Errorf("%s: open %v, want %v; words (-want +got):\n%s", test.text, open, test.open, diff)
		}
	}
}

// Goal: quotes and escapes are those of keepalived.conf(5), "Quoted strings".
// Method: its examples, each escape, and pieces that touch.
func TestQuotedWordsKnowQuotesAndEscapes(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
		open bool
	}{
		{`abcd" efg h jkl "mnop`, []string{"abcd efg h jkl mnop"}, false},
		{`abcd "efg h jkl" mnop`, []string{"abcd", "efg h jkl", "mnop"}, false},
		{`a'b "c" d'e`, []string{`ab "c" de`}, false},
		{`"it's"`, []string{"it's"}, false},
		{`\a\b\E\f\n\r\t\v\\\"\'`, []string{"\a\b\x1b\f\n\r\t\v\\\"'"}, false},
		{`\x41\x2e\101\7x\cC\ x`, []string{"A.A\ax\x03 x"}, false},
		{`a "" b`, []string{"a", "", "b"}, false},
		{`"open`, []string{"open"}, true},
		{`trailing\`, []string{`trailing\`}, false},
	} {
		words, open := quotedWords(test.text, 0)
		if diff := cmp.Diff(test.want, texts(words)); diff != "" || open != test.open {
			t.Errorf("%s: open %v, want %v; words (-want +got):\n%s", test.text, open, test.open, diff)
		}
	}
}

// Goal: comments end a line as in keepalived: anywhere, but for double quotes
// and \# \!, and a backslash at the end counts even behind a comment.
func TestCommentsEndALine(t *testing.T) {
	for _, test := range []struct {
		raw, want string
		continued bool
		column    int // of the first byte that is left
	}{
		{"  priority 1 # x", "priority 1", false, 3},
		{"priority 1! x", "priority 1", false, 1},
		{`a "b # c" # d`, `a "b # c"`, false, 1},
		{`a 'b # c'`, `a 'b`, false, 1},
		{`a \# b`, `a # b`, false, 1},
		{`a \n b`, `a \n b`, false, 1},
		{`a "\#"`, `a "\#"`, false, 1},
		{`a b \`, `a b`, true, 1},
		{`a b # c \`, `a b`, true, 1},
		{`   # c`, ``, false, 4},
	} {
		l := line{text: test.raw, first: 1}
		continued := l.uncomment()
		if l.text != test.want || continued != test.continued {
			t.Errorf("%q: %q, continued %v; want %q, %v", test.raw, l.text, continued, test.want, test.continued)
		}
		if l.text != "" && l.at(0).col != test.column {
			t.Errorf("%q: column %d, want %d", test.raw, l.at(0).col, test.column)
		}
	}
}

// Goal: alternatives in braces are csh's. Method: the manual's example.
func TestBracesStandForNames(t *testing.T) {
	got, ok := expandBraces("{foo/{,cat,dog},bar}.conf")
	want := []string{"foo/.conf", "foo/cat.conf", "foo/dog.conf", "bar.conf"}
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("ok %v (-want +got):\n%s", ok, diff)
	}
	if _, ok := expandBraces("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"); ok {
		t.Errorf("2048 names were not too many")
	}
}
