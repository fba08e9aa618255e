package config

import "strings"

// node is one keyword, or one entry of a list, with what its braces hold.
type node struct {
	line     line
	text     [2]int // where its words are in line.text
	words    []word // at least one, but for a block without a keyword
	block    bool
	children []*node
	kw       *Keyword // set once it is known where the node stands
}

// name returns the first word.
func (n *node) name() string {
	if len(n.words) == 0 {
		return ""
	}
	return n.words[0].text
}

// pos returns the place of the node's first word.
func (n *node) pos() pos { return n.wordPos(0) }

// wordPos returns the place of a word; behind the last one, that where a next
// word would stand.
func (n *node) wordPos(i int) pos {
	if i < len(n.words) {
		return n.line.at(n.words[i].offset)
	}
	return n.line.at(n.text[1])
}

// args returns the words behind the keyword.
func (n *node) args() []word {
	if len(n.words) == 0 {
		return nil
	}
	return n.words[1:]
}

// requote splits the node's text anew, by the rules for scripts and for
// hafence's own blocks.
func (n *node) requote(r *report) {
	words, open := quotedWords(n.line.text[n.text[0]:n.text[1]], n.text[0])
	if open {
		r.errorf(n.pos(), "", "a quote is not closed in this line")
	}
	if len(words) > 0 {
		n.words = words
	}
}

// tree builds nodes from lines. It knows no keywords: braces alone make its shape.
type tree struct {
	*report
	root node
	path []*node // open blocks; path[0] is the root
	last *node   // the node that a { would belong to
	deep int     // blocks beyond blockDepthMax
}

func newTree(r *report) *tree {
	t := &tree{report: r}
	t.path = []*node{&t.root}
	return t
}

// add takes the next line. As in keepalived a brace outside double quotes
// stands alone wherever it is, even within a word.
func (t *tree) add(l line) {
	from := 0
	quoted := false
	for i := 0; i < len(l.text); i++ {
		switch l.text[i] {
		case '"':
			quoted = !quoted
		case '$': // an undefined ${NAME} was reported; its braces mean nothing
			if ref, ok := nextReference(l.text, i); ok && ref.start == i && !quoted {
				i = ref.end - 1
			}
		case '{', '}':
			if quoted {
				continue
			}
			t.words(l, from, i)
			if l.text[i] == '{' {
				t.openBlock(l, i)
			} else {
				t.closeBlock(l, i)
			}
			from = i + 1
		}
	}
	t.words(l, from, len(l.text))
}

// words adds the node for a piece of a line.
func (t *tree) words(l line, from, to int) {
	to = from + len(strings.TrimRight(l.text[from:to], blanks))
	words, open := plainWords(l.text[from:to], from)
	if len(words) == 0 {
		return
	}
	n := &node{line: l, text: [2]int{from, to}, words: words}
	if open {
		t.errorf(n.wordPos(len(words)-1), "", "the quote is not closed in this line")
	}
	top := t.path[len(t.path)-1]
	top.children = append(top.children, n)
	t.last = n
}

func (t *tree) openBlock(l line, i int) {
	if len(t.path) > blockDepthMax {
		if t.deep == 0 {
			t.errorf(l.at(i), "is a '}' missing above?", "blocks stand within one another more than %d deep", blockDepthMax)
		}
		t.deep++
		return
	}
	n := t.last
	if n == nil || n.block {
		t.errorf(l.at(i), "", "'{' without a keyword before it")
		n = &node{line: l, text: [2]int{i, i}} // in no tree, but keeps the braces paired
	}
	n.block = true
	t.path = append(t.path, n)
	t.last = nil
}

func (t *tree) closeBlock(l line, i int) {
	t.last = nil
	switch {
	case t.deep > 0:
		t.deep--
	case len(t.path) == 1:
		t.warnf(l.at(i), "is a '{' missing above, or a '}' too many?", "'}' without a '{' is ignored")
	default:
		t.path = t.path[:len(t.path)-1]
	}
}

// finish reports blocks that are still open at the end.
func (t *tree) finish() *node {
	for _, n := range t.path[1:] {
		t.errorf(n.pos(), "is the file whole?", "the block that begins here is never closed: '}' is missing")
	}
	return &t.root
}
