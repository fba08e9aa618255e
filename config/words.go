package config

import "strings"

const blanks = " \t\v\f"

// line is one line of text after comments are gone and variables replaced,
// with what is needed to find each byte's place in its file.
type line struct {
	text  string
	file  string
	num   int
	first int     // column of text[0]
	cols  []int32 // column of each byte, where they don't simply count up from first
	via   *use
	cut   bool // a comment begins right behind a word, without a blank
}

// at returns the place of the byte at offset i; i may be len(text).
func (l *line) at(i int) pos {
	col := l.first + i
	if len(l.cols) > 0 {
		col = int(l.cols[min(i, len(l.cols)-1)])
	}
	return pos{file: l.file, line: l.num, col: col, via: l.via}
}

// columns returns the column of each byte.
func (l *line) columns() []int32 {
	if len(l.cols) == len(l.text) {
		return l.cols
	}
	cols := make([]int32, len(l.text))
	for i := range cols {
		cols[i] = int32(l.first + i)
	}
	return cols
}

// drop removes the first n bytes.
func (l *line) drop(n int) {
	l.text = l.text[n:]
	if l.cols != nil {
		l.cols = l.cols[n:]
	}
	l.first += n
}

// trim removes blanks at both ends.
func (l *line) trim() {
	l.drop(len(l.text) - len(strings.TrimLeft(l.text, blanks)))
	l.text = strings.TrimRight(l.text, blanks)
	if l.cols != nil {
		l.cols = l.cols[:len(l.text)]
	}
}

// uncomment removes a comment, the backslashes of \# and \!, and blanks at
// both ends. It reports whether the line ends in a backslash, even within the
// comment, which continues a variable of several lines; the backslash goes.
// As in keepalived only double quotes protect # and !.
func (l *line) uncomment() (continued bool) {
	if !strings.ContainsAny(l.text, `#!\`) {
		l.trim()
		return false
	}
	raw := l.text
	text := make([]byte, 0, len(raw))
	cols := make([]int32, 0, len(raw))
	quoted, comment := false, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case b == '\\' && i+1 == len(raw):
			continued = true
			continue
		case b == '\\' && !comment:
			if quoted || (raw[i+1] != '#' && raw[i+1] != '!') {
				text, cols = append(text, b), append(cols, int32(l.first+i))
			}
			i++ // the next byte has no meaning of its own
		case b == '\\':
			i++
			continue
		case b == '"' && !comment:
			quoted = !quoted
		case (b == '#' || b == '!') && !quoted && !comment:
			comment = true
			l.cut = i > 0 && !strings.ContainsRune(blanks, rune(raw[i-1]))
		}
		if !comment {
			text, cols = append(text, raw[i]), append(cols, int32(l.first+i))
		}
	}
	l.text, l.cols = string(text), cols
	l.trim()
	return continued
}

// word is one piece of a line.
type word struct {
	text   string
	offset int  // in the line
	quoted bool // began with a quote
	joined bool // a quote stands next to other text without a blank
}

// plainWords splits text as keepalived does for most keywords: at blanks and
// at double quotes, which keep blanks together. Backslashes and single quotes
// are ordinary characters, so that a password with them is the same one for
// both programs. offset is that of text in its line. open reports a quote
// that isn't closed.
func plainWords(text string, offset int) (words []word, open bool) {
	for i := 0; i < len(text); {
		if strings.IndexByte(blanks, text[i]) >= 0 {
			i++
			continue
		}
		if text[i] == '"' {
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 {
				return append(words, word{text: text[i+1:], offset: offset + i, quoted: true}), true
			}
			next := i + 1 + end + 1
			joined := next < len(text) && strings.IndexByte(blanks, text[next]) < 0
			words = append(words, word{text: text[i+1 : next-1], offset: offset + i, quoted: true, joined: joined})
			i = next
			continue
		}
		end := i
		for end < len(text) && strings.IndexByte(blanks+`"`, text[end]) < 0 {
			end++
		}
		joined := end < len(text) && text[end] == '"'
		words = append(words, word{text: text[i:end], offset: offset + i, joined: joined})
		i = end
	}
	return words, false
}

// quotedWords splits text as keepalived does for scripts and hafence does in
// its own blocks: at blanks, with both kinds of quotes, pieces that touch
// joined into one word, and the escapes of keepalived.conf(5), "Quoted
// strings". open reports a quote that isn't closed.
func quotedWords(text string, offset int) (words []word, open bool) {
	var b strings.Builder
	var quote byte
	start := -1
	begin := func(i int) {
		if start < 0 {
			start = i
		}
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			begin(i)
			value, n := unescape(text[i+1:])
			b.WriteByte(value)
			i += 1 + n
			continue
		case quote == 0 && (c == '"' || c == '\''):
			begin(i)
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && strings.IndexByte(blanks, c) >= 0:
			if start >= 0 {
				words = append(words, word{text: b.String(), offset: offset + start, quoted: isQuote(text[start])})
				b.Reset()
				start = -1
			}
		default:
			begin(i)
			b.WriteByte(c)
		}
		i++
	}
	if start >= 0 {
		words = append(words, word{text: b.String(), offset: offset + start, quoted: isQuote(text[start])})
	}
	return words, quote != 0
}

func isQuote(b byte) bool { return b == '"' || b == '\'' }

// unescape returns the byte that the text behind a backslash stands for, and
// how much of the text that is. The text is not empty.
func unescape(s string) (value byte, n int) {
	switch c := s[0]; {
	case c == 'x' && len(s) > 1 && hexDigit(s[1]) >= 0:
		for n = 1; n < len(s) && hexDigit(s[n]) >= 0; n++ {
			value = value<<4 | byte(hexDigit(s[n]))
		}
		return value, n
	case c == 'c' && len(s) > 1:
		return s[1] & 0x1f, 2
	case c >= '0' && c <= '7':
		for n < 3 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
			value = value<<3 | (s[n] - '0')
			n++
		}
		return value, n
	default:
		if i := strings.IndexByte("abEfnrtv", c); i >= 0 {
			return "\a\b\x1b\f\n\r\t\v"[i], 1
		}
		return c, 1
	}
}

// hexDigit returns the value of a hexadecimal digit, −1 for anything else.
func hexDigit(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
