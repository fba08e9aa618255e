// Package config reads hafence's configuration: the language of
// keepalived.conf(5), with three blocks of hafence's own, into checked values.
//
// What it keeps: a [Config] is returned only when nothing in the file, and in
// what it includes, is an [Error]; so whoever has a Config needs no further
// checks of it. Every problem is reported, not only the first, each with file,
// line and column, also where text came through an include or a variable. A
// password is in no message.
//
// A file goes through four stages, each a file here: the reader (reader.go,
// include.go, variables.go, words.go: comments, @id conditions, $VAR, include)
// makes lines; the tree (tree.go) makes nodes of braces alone; the table of
// keywords (keyword.go, keywords_*.go) says what may stand where, and what
// hafence does with it; setters (check_*.go) make values. A keyword that hafence
// does not act on is in the table too: with a [Warning] when it changes nothing
// about who holds a virtual address, with an [Error] when it does.
//
// The meaning is that of keepalived 2.2.7, quirks included (rounding of
// advert_int, what follows from state MASTER, plain words without escapes), with
// these differences on purpose, all of them errors where keepalived goes on
// with a line in its log: unknown keywords, numbers out of range and other
// values that say nothing, a virtual address given twice, a label that is too
// long, a group's instance that is not there, a block that is never closed, an
// undefined ${NAME}.
//
// One file serves both programs: keepalived passes over our keywords, and
// `keepalived -t` ends with 5, "errors, but it would run". It does not pass over
// their braces, so no keyword of ours may be one of its top level.
//
// Not implemented: ~SEQ and ~LST, ${_RANDOM} and ${_ENV}, VRRP version 3 and
// IPv6, and everything [Keywords] calls [Refused].
//
// Parsing is a pure function of text and [Options] but for files that are
// included and the host's name; nothing is shared, so that any number of
// goroutines may parse at once. Durations are time.Duration, clock drift is a
// fraction, columns are bytes from 1.
//
//	c, problems := config.Load("/etc/hafence/hafence.conf", config.Options{})
//	for _, p := range problems {
//		fmt.Fprintln(os.Stderr, p.WithHint())
//	}
//	if c == nil {
//		return errors.New("the configuration has errors")
//	}
//	fmt.Println(config.Summary(c))
package config
