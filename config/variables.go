package config

import (
	"path/filepath"
	"strings"
)

// variable is a $NAME= definition.
type variable struct {
	lines   []line // what it stands for; one entry unless several
	several bool   // defined with trailing backslashes
}

// definition splits "$NAME=value". It reports false for any other line.
func definition(text string) (name string, value int, ok bool) {
	end := nameEnd(text, 1)
	if len(text) == 0 || text[0] != '$' || end == 1 || end >= len(text) || text[end] != '=' {
		return "", 0, false
	}
	rest := text[end+1:]
	return text[1:end], len(text) - len(strings.TrimLeft(rest, blanks)), true
}

// nameEnd returns the end of the variable's name that begins at i, or i where
// none does.
func nameEnd(text string, i int) int {
	end := i
	for end < len(text) {
		c := text[end]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if !letter && (!digit || end == i) {
			break
		}
		end++
	}
	return end
}

// reference is a $NAME or ${NAME} in a line.
type reference struct {
	name       string
	start, end int
	braces     bool
}

// nextReference returns the first reference at or behind offset from. Without
// braces a name must be followed by a blank, a comma, a closing parenthesis or
// nothing, as in keepalived.
func nextReference(text string, from int) (reference, bool) {
	for i := from; i < len(text); i++ {
		dollar := strings.IndexByte(text[i:], '$')
		if dollar < 0 {
			return reference{}, false
		}
		i += dollar
		if i+1 < len(text) && text[i+1] == '{' {
			end := nameEnd(text, i+2)
			name := text[i+2 : end]
			if strings.HasPrefix(name, "_") && end < len(text) && text[end] == ' ' {
				// keepalived's own may have parameters: ${_RANDOM 1 9}
				end += max(strings.IndexByte(text[end:], '}'), 0)
			}
			if end > i+2 && end < len(text) && text[end] == '}' {
				return reference{name: name, start: i, end: end + 1, braces: true}, true
			}
			continue
		}
		end := nameEnd(text, i+1)
		if end > i+1 && (end == len(text) || strings.IndexByte(blanks+",)", text[end]) >= 0) {
			return reference{name: text[i+1 : end], start: i, end: end}, true
		}
	}
	return reference{}, false
}

// predefined returns the value of keepalived's own variables.
func (r *reader) predefined(name, file string) (string, bool) {
	switch name {
	case "_PWD":
		return filepath.Dir(file), true
	case "_INSTANCE":
		return r.id, true
	case "_HASH":
		return "#", true
	case "_BANG":
		return "!", true
	}
	return "", false
}

// replace replaces the variables in a line. A variable of several lines stands
// at the end of a line only: its first line takes its place, the others are
// returned to follow. changed is false when there was nothing to replace; ok is
// false after an error.
func (r *reader) replace(l line, budget *int) (_ line, follow []line, changed, ok bool) {
	for from := 0; ; {
		ref, found := nextReference(l.text, from)
		if !found {
			return l, follow, changed, true
		}
		v := r.variables[ref.name]
		if v == nil {
			value, known := r.predefined(ref.name, l.file)
			if !known {
				from = ref.end
				continue
			}
			v = &variable{lines: []line{{text: value}}}
		}
		if v.several && ref.end != len(l.text) {
			from = ref.end
			continue
		}
		if *budget--; *budget < 0 {
			r.errorf(l.at(ref.start), "does a variable contain itself?",
				"more than %d variables are replaced in this line", replacementsMax)
			return l, nil, true, false
		}
		changed = true
		l, follow = splice(l, ref, v)
		r.bytes += len(l.text)
		if len(l.text) > lineBytesMax || r.bytes > bytesMax {
			r.stopped = r.bytes > bytesMax
			r.errorf(l.at(0), "", "the line or the whole configuration is too long once variables are replaced")
			return l, nil, true, false
		}
		// A value may begin with what is only known at the start of a line.
		if v.several || strings.HasPrefix(strings.TrimLeft(v.first(), blanks), "~") {
			return l, follow, true, true
		}
		from = ref.start
	}
}

// first returns the first line's text.
func (v *variable) first() string {
	if len(v.lines) == 0 {
		return ""
	}
	return v.lines[0].text
}

// splice puts a variable's first line in the place of a reference and returns
// the other lines.
func splice(l line, ref reference, v *variable) (line, []line) {
	if v.several {
		body := make([]line, len(v.lines))
		for i, b := range v.lines {
			b.via = &use{name: ref.name, at: l.at(ref.start)}
			body[i] = b
		}
		if ref.start == 0 && len(body) > 0 {
			return body[0], body[1:] // places are those of the definition
		}
		if len(body) > 1 {
			return substitute(l, ref, v.first()), body[1:]
		}
	}
	return substitute(l, ref, v.first()), nil
}

// substitute puts a value in the place of a reference; the value's bytes all
// have the place of the reference.
func substitute(l line, ref reference, value string) line {
	before := l.columns()
	cols := make([]int32, 0, len(l.text)-(ref.end-ref.start)+len(value))
	cols = append(cols, before[:ref.start]...)
	for range len(value) {
		cols = append(cols, before[ref.start])
	}
	cols = append(cols, before[ref.end:]...)
	l.first = int(before[0])
	l.text = l.text[:ref.start] + value + l.text[ref.end:]
	l.cols = cols
	return l
}
