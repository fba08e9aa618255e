package config

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const (
	keywordsPage  = "../docs/KEYWORDS.md"
	operatingPage = "../docs/OPERATING.md"
	pageWidth     = 140 // columns of a line in docs
)

// Goal: docs/KEYWORDS.md is the table of keywords, and nothing else. Method: it
// is made anew and compared; -update writes it.
func TestKeywordsPageIsTheTable(t *testing.T) {
	page := keywordsMarkdown()
	if *update {
		if err := os.WriteFile(keywordsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(keywordsPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(page, string(text)); diff != "" {
		t.Errorf("docs/KEYWORDS.md is out of date; do: go test ./config -run KeywordsPage -update (-want +got):\n%s", diff)
	}
}

// Goal: an operator finds every keyword of ours in OPERATING.md, with its default
// and range. Method: each must stand there as a word of code, and its default and
// range on the same line.
func TestOperatingNamesEveryKeywordOfOurs(t *testing.T) {
	text, err := os.ReadFile(operatingPage)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, k := range Keywords() {
		if !k.Own {
			continue
		}
		if !slices.ContainsFunc(lines, func(line string) bool { return names(line, k) }) {
			t.Errorf("OPERATING.md has no line with `%s`, default %q and range %q", k.Name, k.Default, k.Range.String())
		}
	}
}

// names reports whether a line says what there is to know of a keyword.
func names(line string, k Keyword) bool {
	named := strings.Contains(line, "`"+k.Name+"`") || strings.Contains(line, "`"+k.Name+" ")
	return named && strings.Contains(line, k.Default) && strings.Contains(line, k.Range.String())
}

func keywordsMarkdown() string {
	var b strings.Builder
	b.WriteString("# Keywords\n\nMade from the table that the parser checks by (`config/keyword.go:Keywords`); don't edit it by hand:\n" +
		"`go test ./config -run KeywordsPage -update`.\n\n" +
		"hafence knows every keyword of keepalived. **Acted on**: it does what keepalived does. **Warning**: accepted,\n" +
		"nothing happens, and `hafence check` says so. **Error**: the configuration is refused, because leaving the keyword\n" +
		"out would change who holds a virtual address or what is behind it. The blocks `consensus`, `fence` and `status` are\n" +
		"hafence's own; [OPERATING.md](OPERATING.md) explains them, [MIGRATING.md](MIGRATING.md) the differences.\n")
	var blocks []string
	rows := map[string][]Keyword{}
	for _, k := range Keywords() {
		for _, block := range k.In {
			if rows[block] == nil {
				blocks = append(blocks, block)
			}
			rows[block] = append(rows[block], k)
		}
	}
	slices.SortStableFunc(blocks, func(a, b string) int { return cmp.Compare(rank(rows[a]), rank(rows[b])) })
	for _, block := range blocks {
		writeBlock(&b, block, rows[block])
	}
	return b.String()
}

// rank puts the blocks in which something is acted on first.
func rank(rows []Keyword) int {
	if slices.ContainsFunc(rows, func(k Keyword) bool { return k.Use == Done }) {
		return 0
	}
	return 1
}

func writeBlock(b *strings.Builder, block string, rows []Keyword) {
	title := "Top level"
	if block != "" {
		title = "In `" + block + "`"
	}
	fmt.Fprintf(b, "\n## %s\n", title)
	heading := "\nActed on:\n\n"
	for _, k := range rows {
		if k.Use == Done {
			b.WriteString(heading + wrap(entry(k)))
			heading = ""
		}
	}
	for _, use := range []Use{Ignored, Refused} {
		writeReasons(b, use, rows)
	}
}

func entry(k Keyword) string {
	s := "- `" + strings.TrimSpace(k.Name+" "+k.Args) + "`"
	if k.Shape != Line {
		s += " { }"
	}
	if k.Own {
		s += " (hafence's own)"
	}
	s += " – " + k.Doc
	if r := k.Range.String(); r != "" {
		s += "; " + r
	}
	if k.Default != "" {
		s += "; default " + k.Default
	}
	return s + "."
}

// writeReasons lists the keywords with the same reason together.
func writeReasons(b *strings.Builder, use Use, rows []Keyword) {
	var reasons []string
	by := map[string][]string{}
	for _, k := range rows {
		if k.Use != use {
			continue
		}
		if by[k.Reason] == nil {
			reasons = append(reasons, k.Reason)
		}
		by[k.Reason] = append(by[k.Reason], "`"+k.Name+"`")
	}
	if len(reasons) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n\n", map[Use]string{Ignored: "Warning", Refused: "Error"}[use])
	for _, reason := range reasons {
		b.WriteString(wrap("- " + strings.Join(by[reason], ", ") + ": " + reason + "."))
	}
}

// wrap breaks a list item at blanks outside of code.
func wrap(item string) string {
	var b strings.Builder
	width, code := 0, false
	for _, w := range strings.Split(item, " ") {
		if n := len([]rune(w)); width > 0 && !code && width+1+n > pageWidth {
			b.WriteString("\n  ")
			width = 2
		} else if width > 0 {
			b.WriteByte(' ')
			width++
		}
		b.WriteString(w)
		width += len([]rune(w))
		code = code != (strings.Count(w, "`")%2 == 1)
	}
	return b.String() + "\n"
}
