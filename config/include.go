package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Words of an include line, and what must be there for each: plain include
// takes whatever it finds (keepalived.conf(5), "DESCRIPTION").
var includes = map[string]struct{ readable, match, wildcard bool }{
	"include":  {},
	"includer": {readable: true},
	"includem": {readable: true, match: true},
	"includew": {readable: true, match: true, wildcard: true},
	"includeb": {readable: true, match: true},
	"includea": {readable: true, match: true, wildcard: true},
}

// include reads the files an include line names. It reports false for any
// other line.
func (r *reader) include(l line) bool {
	if !strings.HasPrefix(l.text, "include") {
		return false
	}
	words, _ := plainWords(l.text, 0)
	must, ok := includes[words[0].text]
	if !ok || len(words) != 2 {
		return false
	}
	at := l.at(words[1].offset)
	problem := func(strict bool, hint, format string, args ...any) {
		if strict {
			r.errorf(at, hint, format, args...)
		} else {
			r.warnf(at, hint, format, args...)
		}
	}
	alternatives, ok := expandBraces(words[1].text)
	if !ok {
		r.errorf(at, "", "the include stands for more than %d names", bracesMax)
		return true
	}
	for _, pattern := range alternatives {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(l.file), pattern)
		}
		wild := strings.ContainsAny(pattern, "*?[")
		names := []string{pattern}
		if wild {
			var err error
			if names, err = r.glob(pattern); err != nil {
				r.errorf(at, "", "find %s: %v", pattern, err)
				continue
			}
			slices.Sort(names)
		}
		if len(names) == 0 && must.wildcard {
			r.errorf(at, "", "no file matches %s", pattern)
		}
		for _, name := range names {
			r.includeFile(at, name, func(err error) {
				absent := errors.Is(err, fs.ErrNotExist)
				hint := ""
				if absent && !must.match {
					hint = "keepalived passes over it without a word"
				}
				problem(must.readable && !absent || must.match, hint, "include %s: %s", name, reason(err))
			})
		}
	}
	return true
}

// reason returns an error's text without the path, which the message has.
func reason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// includeFile reads one file. failed is told when it can't be read.
func (r *reader) includeFile(at pos, name string, failed func(error)) {
	if r.stopped {
		return
	}
	cycle := slices.IndexFunc(r.open, func(o string) bool { return filepath.Clean(o) == name })
	switch {
	case cycle >= 0:
		r.errorf(at, "", "the file includes itself: %s → %s", strings.Join(r.open[cycle:], " → "), name)
		return
	case len(r.open) >= includeDepthMax:
		r.errorf(at, "", "files include one another more than %d deep", includeDepthMax)
		return
	case r.files >= filesMax:
		r.errorf(at, "", "more than %d files are included; nothing is read from here on", filesMax)
		r.stopped = true
		return
	}
	r.files++
	text, err := r.readFile(name)
	if err != nil {
		failed(err)
		return
	}
	r.read(name, text)
}

// expandBraces expands the alternatives of csh: "a{b,c}" is "ab", "ac". ok is
// false when there are too many of them.
func expandBraces(s string) (names []string, ok bool) {
	open := strings.IndexByte(s, '{')
	if open < 0 {
		return []string{s}, true
	}
	depth, from := 0, open+1
	var parts []string
	closing := -1
	for i := open; i < len(s) && closing < 0; i++ {
		switch c := s[i]; {
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				parts = append(parts, s[from:i])
				closing = i
			}
		case c == ',' && depth == 1:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	if closing < 0 {
		return []string{s}, true
	}
	tails, ok := expandBraces(s[closing+1:])
	if !ok {
		return nil, false
	}
	for _, part := range parts {
		heads, ok := expandBraces(part)
		if !ok || len(names)+len(heads)*len(tails) > bracesMax {
			return nil, false
		}
		for _, head := range heads {
			for _, tail := range tails {
				names = append(names, s[:open]+head+tail)
			}
		}
	}
	return names, true
}

// readFile reads a file of the host. Like keepalived it passes over what is not
// a regular file or may be executed.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0 {
		return nil, errSkipped
	}
	if info.Size() > fileBytesMax {
		return nil, errors.New("larger than a configuration can be")
	}
	return os.ReadFile(name)
}

// glob finds files as glob(3) does: unlike filepath.Glob it hides names that
// begin with a dot (an editor's swap files), and directories.
func glob(pattern string) ([]string, error) {
	all, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	wanted := strings.Split(pattern, "/")
	names := all[:0]
	for _, name := range all {
		info, err := os.Stat(name)
		if err == nil && info.IsDir() {
			continue
		}
		hidden := false
		for i, part := range strings.Split(name, "/") {
			if i < len(wanted) && strings.HasPrefix(part, ".") && !strings.HasPrefix(wanted[i], ".") {
				hidden = true
			}
		}
		if !hidden {
			names = append(names, name)
		}
	}
	return names, nil
}
