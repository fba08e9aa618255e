package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a problem means for the configuration.
type Severity int

const (
	// Error makes the configuration unusable.
	Error Severity = iota + 1
	// Warning leaves it usable: something is not as its author may think.
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

// Problem is one thing wrong with a configuration, and where. A password is
// never part of it.
type Problem struct {
	File     string
	Line     int // from 1; 0 where the file itself can't be read
	Column   int // byte within the line, from 1
	Severity Severity
	Msg      string
	Hint     string // what to do about it, may have several lines; "" for none
}

// Error returns "file:line:col: message", with "warning: " before the message
// of a warning.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Msg)
	return b.String()
}

// WithHint returns Error and, on lines of their own, the hint.
func (p Problem) WithHint() string {
	if p.Hint == "" {
		return p.Error()
	}
	return p.Error() + "\n\thint: " + strings.ReplaceAll(p.Hint, "\n", "\n\t")
}

// pos is a place in a file.
type pos struct {
	file      string
	line, col int
	via       *use // set where the text came out of a variable of several lines
}

// use is the place where a variable of several lines stands for its text.
type use struct {
	name string
	at   pos
}

// report collects problems.
type report struct {
	files    map[string]int // order of first mention, for sorting
	problems []Problem
	counted  map[string]*counted
}

// counted is a problem that is shown where it occurs first, with a count.
type counted struct {
	index int // in problems
	times int
}

func newReport() *report {
	return &report{files: map[string]int{}, counted: map[string]*counted{}}
}

// opened notes the order of files.
func (r *report) opened(file string) {
	if _, ok := r.files[file]; !ok {
		r.files[file] = len(r.files)
	}
}

func (r *report) errorf(p pos, hint, format string, args ...any) {
	r.add(p, Error, hint, fmt.Sprintf(format, args...))
}

func (r *report) warnf(p pos, hint, format string, args ...any) {
	r.add(p, Warning, hint, fmt.Sprintf(format, args...))
}

func (r *report) add(p pos, s Severity, hint, msg string) {
	if p.via != nil {
		msg += fmt.Sprintf(" (in $%s, used at %s:%d)", p.via.name, p.via.at.file, p.via.at.line)
	}
	r.problems = append(r.problems, Problem{
		File: p.file, Line: p.line, Column: p.col, Severity: s, Msg: msg, Hint: hint,
	})
}

// once reports a problem at its first place only and counts the others, so
// that a file with a thousand alike virtual servers gives one line.
func (r *report) once(key string, p pos, s Severity, hint, msg string) {
	if c, ok := r.counted[key]; ok {
		c.times++
		return
	}
	r.counted[key] = &counted{index: len(r.problems), times: 1}
	r.add(p, s, hint, msg)
}

// failed reports whether there is an error so far.
func (r *report) failed() bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Severity == Error })
}

// result returns the problems in the order of their places, at most
// ProblemsMax of them and a last one that says how many were left out.
func (r *report) result() []Problem {
	for _, c := range r.counted {
		if c.times > 1 {
			r.problems[c.index].Msg += fmt.Sprintf(" (%d times in all)", c.times)
		}
	}
	kept := r.problems
	if len(kept) > ProblemsMax {
		// An error must not be lost among warnings.
		kept = slices.Clone(kept)
		slices.SortStableFunc(kept, func(a, b Problem) int { return cmp.Compare(a.Severity, b.Severity) })
		kept = kept[:ProblemsMax]
	}
	slices.SortStableFunc(kept, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(r.files[a.File], r.files[b.File]),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	if left := len(r.problems) - len(kept); left > 0 {
		last := kept[len(kept)-1]
		kept = append(kept, Problem{
			File: last.File, Line: last.Line, Column: last.Column, Severity: Warning,
			Msg: fmt.Sprintf("%d more problems are not shown", left),
		})
	}
	return kept
}
