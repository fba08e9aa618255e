package health

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
)

// Pattern is a regular expression that the body must match, or must not. It is Go's
// (RE2): time grows with the body only, whatever the expression. PCRE2, which
// keepalived uses, also has look-around, back-references and possessive quantifiers;
// [CompilePattern] refuses those.
type Pattern struct {
	Regexp    *regexp.Regexp
	NoMatch   bool  // a match is a failure (regex_no_match)
	MinOffset int64 // bytes of the body to leave out (regex_min_offset); "^" matches behind them
	MaxOffset int64 // a match must begin before this byte (regex_max_offset); 0: anywhere
}

// patternFlags are regex_options that RE2 knows under another name.
var patternFlags = map[string]string{
	"caseless":  "i",
	"multiline": "m",
	"dotall":    "s",
	"ungreedy":  "U",
}

// patternIdle are regex_options that change nothing here: RE2 always does so, or the
// option is about speed.
var patternIdle = map[string]bool{
	"auto_callout": true, "dollar_endonly": true, "dupnames": true, "never_backslash_c": true, "no_auto_capture": true,
	"no_auto_possess": true, "no_dotstar_anchor": true, "no_start_optimize": true, "use_offset_limit": true, "utf": true,
}

// CompilePattern compiles an expression with keepalived's regex_options. Options that
// mean something else in RE2 are an error, as is an expression that only PCRE2 knows.
func CompilePattern(expression string, options []string) (*regexp.Regexp, error) {
	flags := ""
	for _, option := range options {
		switch flag, known := patternFlags[option]; {
		case known:
			flags += flag
		case !patternIdle[option]:
			return nil, fmt.Errorf("regex option %s: not available (caseless, multiline, dotall and ungreedy are)", option)
		}
	}
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	compiled, err := regexp.Compile(flags + expression)
	if parse, ok := err.(*syntax.Error); ok {
		return nil, fmt.Errorf("regex %s: %s: %q (the syntax is RE2: no look-around, no back-references)", expression, parse.Code, parse.Expr)
	}
	return compiled, err
}

// search reads until the pattern is found or the body ends. Memory doesn't grow with
// the body. Without a pattern nothing is read.
func (p *Pattern) search(body io.Reader) (bool, error) {
	if p == nil {
		return true, nil
	}
	if _, err := io.CopyN(io.Discard, body, p.MinOffset); err != nil {
		if err == io.EOF {
			err = nil
		}
		return false, err
	}
	// The regexp package takes any error for the end: the real one is kept aside.
	noted := &notedReader{from: body}
	found := p.Regexp.FindReaderIndex(bufio.NewReader(noted))
	if noted.err != nil && found == nil {
		return false, noted.err
	}
	return found != nil && (p.MaxOffset == 0 || p.MinOffset+int64(found[0]) < p.MaxOffset), nil
}

// unwanted is the answer of search that is a failure.
func (p *Pattern) unwanted() bool { return p != nil && p.NoMatch }

func (p *Pattern) complaint() string {
	if p.NoMatch {
		return "found, and must not be"
	}
	return "not found"
}

// notedReader remembers the error that ended it, unless it was the end.
type notedReader struct {
	from io.Reader
	err  error
}

// Read reads.
func (n *notedReader) Read(p []byte) (int, error) {
	count, err := n.from.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return count, err
}
