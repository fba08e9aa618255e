package config

import (
	"bytes"
	"errors"
	"strings"
)

// reader turns files into lines: it follows includes, drops the lines whose
// @id doesn't fit, keeps and replaces variables, and hands every line that is
// left to emit, in order.
type reader struct {
	*report
	id       string
	emit     func(line)
	readFile func(string) ([]byte, error)
	glob     func(string) ([]string, error)

	variables map[string]*variable
	open      []string // files being read, the outermost first
	bytes     int      // read and expanded so far
	lines     int
	files     int
	stopped   bool // a limit was passed: nothing more is read
}

// errSkipped is what readFile returns for a file that keepalived passes over.
var errSkipped = errors.New("not a regular file without execute permission")

// read reads one file's text.
func (r *reader) read(file string, text []byte) {
	r.opened(file)
	r.open = append(r.open, file)
	defer func() { r.open = r.open[:len(r.open)-1] }()

	first := 1
	if rest, found := bytes.CutPrefix(text, []byte("\ufeff")); found {
		r.warnf(pos{file: file, line: 1, col: 1}, "save the file without it", "the file begins with a byte order mark, which keepalived takes for a keyword")
		text, first = rest, 1+len("\ufeff")
	}
	var defining *variable // a definition that goes on with the next line
	for num := 1; len(text) > 0 && !r.stopped; num++ {
		var raw []byte
		raw, text, _ = bytes.Cut(text, []byte{'\n'})
		l := line{text: strings.TrimRight(string(raw), "\r"), file: file, num: num, first: first}
		first = 1
		if !r.account(l) {
			return
		}
		continued := l.uncomment()
		if defining != nil {
			if l.text != "" {
				defining.lines = append(defining.lines, l)
			}
			if !continued {
				defining = nil
			}
			continue
		}
		if l.text == "" {
			continue
		}
		if v := r.process(l, 0); v != nil && continued {
			v.several = true
			if v.first() == "" {
				v.lines = nil
			}
			defining = v
		} else if continued {
			r.errorf(l.at(len(l.text)), "write it on one line",
				"a backslash at the end of a line continues a $NAME= definition only")
		}
	}
}

// account keeps the limits. It reports false where reading must end.
func (r *reader) account(l line) bool {
	r.lines++
	r.bytes += len(l.text) + 1
	limit := ""
	switch {
	case len(l.text) > lineBytesMax:
		limit = "the line is too long"
	case r.lines > linesMax:
		limit = "the configuration has too many lines"
	case r.bytes > bytesMax:
		limit = "the configuration is too large"
	case strings.IndexByte(l.text, 0) >= 0:
		limit = "the line has a zero byte in it: not a text file"
	default:
		return true
	}
	r.errorf(l.at(0), "", "%s; nothing is read from here on", limit)
	r.stopped = true
	return false
}

// process treats one line: conditions, definitions, variables, includes. It
// returns the variable that the line defines, if it does.
func (r *reader) process(l line, depth int) *variable {
	var follow []line
	for budget := replacementsMax; ; {
		if strings.HasPrefix(l.text, "@") && !r.condition(&l) {
			return nil
		}
		if name, value, ok := definition(l.text); ok {
			return r.define(l, name, value)
		}
		if r.repetition(l) {
			return nil
		}
		next, more, changed, ok := r.replace(l, &budget)
		if !ok {
			return nil
		}
		if !changed {
			break
		}
		next.trim()
		l, follow = next, append(more, follow...)
	}
	if l.text != "" && !r.include(l) {
		r.undefined(l)
		r.emit(l)
	}
	if len(follow) > 0 && depth == expansionMax {
		r.errorf(l.at(0), "does a variable contain itself?", "variables stand within one another more than %d deep", expansionMax)
		r.stopped = true
	}
	for _, f := range follow {
		if r.stopped || !r.account(f) {
			break
		}
		r.process(f, depth+1)
	}
	return nil
}

// condition removes "@id" from the start of a line, and reports whether the
// rest counts: when the id is ours, or with "@^id" when it isn't.
func (r *reader) condition(l *line) bool {
	end := strings.IndexAny(l.text, blanks)
	if end < 0 {
		return false // keepalived ignores a condition with nothing behind it
	}
	id, negated := strings.CutPrefix(l.text[1:end], "^")
	if (id == r.id) == negated {
		return false
	}
	l.drop(end)
	l.trim()
	if strings.HasPrefix(l.text, "@") {
		r.errorf(l.at(0), "", "a line can have one @ condition only")
		return false
	}
	return true
}

// define keeps a variable.
func (r *reader) define(l line, name string, value int) *variable {
	l.drop(value)
	v := &variable{lines: []line{l}}
	r.variables[name] = v
	return v
}

// repetition refuses ~SEQ and ~LST.
func (r *reader) repetition(l line) bool {
	for _, word := range []string{"~SEQ", "~LST"} {
		if strings.HasPrefix(l.text, word) {
			r.once(word, l.at(0), Error, "write the lines out", word+" is not supported by this version")
			return true
		}
	}
	return false
}

// undefined reports a ${NAME} that nothing defines. keepalived leaves it as it
// is, and then trips over its braces; within quotes it is a script's own.
func (r *reader) undefined(l line) {
	for from := 0; ; {
		ref, found := nextReference(l.text, from)
		if !found {
			return
		}
		from = ref.end
		if !ref.braces || strings.Count(l.text[:ref.start], `"`)%2 == 1 {
			continue
		}
		what := "${" + ref.name + "}"
		if strings.Contains(l.text, "auth_") {
			what = "a variable" // part of a password, perhaps
		}
		switch v := r.variables[ref.name]; {
		case v != nil && v.several:
			r.errorf(l.at(ref.start), "", "%s stands for several lines: nothing may follow it in its line", what)
		case ref.name == "_RANDOM" || ref.name == "_ENV":
			r.errorf(l.at(ref.start), "write the value", "%s is not supported: the configuration must be the same at every start", what)
		default:
			r.errorf(l.at(ref.start), "write $NAME=value on a line above its first use", "%s is not defined", what)
		}
	}
}
