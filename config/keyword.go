package config

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// Use says what hafence does with a keyword.
type Use int

const (
	// Done is a keyword that is acted on.
	Done Use = iota + 1
	// Ignored is a keyword that changes nothing about who holds a VIP: it is
	// accepted with a warning.
	Ignored
	// Refused is a keyword that changes who holds a VIP or what it serves, in
	// a way this version can't: the configuration is refused.
	Refused
)

// String returns "done", "ignored" or "refused".
func (u Use) String() string {
	switch u {
	case Done:
		return "done"
	case Ignored:
		return "ignored"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("Use(%d)", int(u))
}

// Shape says what may follow a keyword.
type Shape int

const (
	// Line is a keyword with its values on one line.
	Line Shape = iota + 1
	// Block is a keyword whose braces hold keywords.
	Block
	// List is a keyword whose braces hold entries: addresses, names.
	List
)

// String returns "line", "block" or "list".
func (s Shape) String() string {
	switch s {
	case Line:
		return "line"
	case Block:
		return "block"
	case List:
		return "list"
	}
	return fmt.Sprintf("Shape(%d)", int(s))
}

// Range is the range of a number, both ends included. The zero Range is none.
type Range struct {
	Min, Max float64
	Unit     string // "s", "%" or ""
}

// String returns "MIN to MAX UNIT".
func (r Range) String() string {
	if r == (Range{}) {
		return ""
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	s := number(r.Min) + " to " + number(r.Max)
	if r.Unit != "" {
		s += " " + r.Unit
	}
	return s
}

// Keyword is one row of the table of the language: what the parser checks by
// and what manual pages are made of.
type Keyword struct {
	Name    string
	In      []string // blocks it may stand in; "" is the top level
	Args    string   // what follows it, "" for nothing; OPTIONAL in brackets
	Shape   Shape
	Range   Range  // of a number among the arguments
	Default string // in words, "" for none
	Doc     string // one line
	Use     Use
	Reason  string // why it is not Done
	Own     bool   // hafence's own; keepalived passes over it
	Repeats bool   // may stand more than once in its block
	OffOK   bool   // with the value off it asks for what is done anyway
}

// section is a part of the table whose rows have something in common.
type section struct {
	in     []string
	use    Use
	reason string
	own    bool
	rows   []Keyword
}

// Keywords returns the table of all keywords, in the order of the manual.
func Keywords() []Keyword { return slices.Clone(table()) }

// table is the whole language. It is built once.
var table = sync.OnceValue(func() []Keyword {
	var all []Keyword
	for _, s := range slices.Concat(ownKeywords, globalKeywords, vrrpKeywords, trackKeywords, lvsKeywords) {
		for _, k := range s.rows {
			if k.In == nil {
				k.In = s.in
			}
			if k.Use == 0 {
				k.Use = s.use
			}
			if k.Reason == "" && k.Use != Done {
				k.Reason = s.reason
			}
			if k.Shape == 0 {
				k.Shape = Line
			}
			k.Own = k.Own || s.own
			all = append(all, k)
		}
	}
	return all
})

// index is the table by block and name.
var index = sync.OnceValue(func() map[string]map[string]*Keyword {
	blocks := map[string]map[string]*Keyword{}
	rows := table()
	for i := range rows {
		for _, block := range rows[i].In {
			if blocks[block] == nil {
				blocks[block] = map[string]*Keyword{}
			}
			blocks[block][rows[i].Name] = &rows[i]
		}
	}
	return blocks
})

// lookup returns a keyword of a block, nil where it has none of that name.
func lookup(block, name string) *Keyword { return index()[block][name] }

// suggestion returns the known keyword nearest to a name, those of the block
// first, and the block it belongs in. It is nil when none is near.
func suggestion(block, name string) (near *Keyword, in string) {
	if near := nearest(index()[block], name); near != nil {
		return near, block
	}
	var best *Keyword
	for _, k := range slices.Backward(table()) {
		if d := distance(name, k.Name); d <= tolerance(name) && (best == nil || d <= distance(name, best.Name)) {
			best = &k
		}
	}
	if best == nil {
		return nil, ""
	}
	return best, best.In[0]
}

// nearest returns the keyword with the least distance, the first by name among
// equals, nil when none is within tolerance.
func nearest(keywords map[string]*Keyword, name string) *Keyword {
	var best *Keyword
	least := tolerance(name) + 1
	for _, k := range keywords {
		d := distance(name, k.Name)
		if d < least || d == least && best != nil && k.Name < best.Name {
			best, least = k, d
		}
	}
	return best
}

// nearestWord is nearest for any words; "" when none is near.
func nearestWord(words []string, name string) string {
	best, least := "", tolerance(name)+1
	for _, w := range words {
		if d := distance(name, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// tolerance is how far a name may be from what was meant.
func tolerance(name string) int { return min(1+len(name)/4, 4) }

// distanceBytesMax bounds the work of distance; no keyword is longer.
const distanceBytesMax = 48

// distance is the number of bytes to insert, delete, change or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > distanceBytesMax || len(b) > distanceBytesMax {
		return distanceBytesMax
	}
	var rows [3][distanceBytesMax + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
