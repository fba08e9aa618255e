package config

import "strings"

// script reads "SCRIPT [USER [GROUP]]": the script is one word, in quotes where
// it has arguments. Nil where it can't be run.
func (c *checker) script(n *node) *Script {
	n.requote(c.report)
	args, ok := c.values(n, 3)
	if !ok {
		return nil
	}
	s := c.commandLine(n, args[0].text)
	if s != nil && len(args) > 1 {
		s.User = args[1].text
	}
	if s != nil && len(args) > 2 {
		s.Group = args[2].text
	}
	return s
}

// command reads a script that takes the whole line, in quotes or not.
func (c *checker) command(n *node) *Script {
	n.requote(c.report)
	args := n.args()
	if len(args) == 0 || args[0].text == "" {
		c.errorf(n.wordPos(1), "", "%s needs a value: %s %s", n.name(), n.name(), n.kw.Args)
		return nil
	}
	if len(args) == 1 {
		return c.commandLine(n, args[0].text)
	}
	s := &Script{}
	for _, arg := range args {
		s.Args = append(s.Args, arg.text)
	}
	return c.checkedScript(n, s)
}

// commandLine splits a script's command line.
func (c *checker) commandLine(n *node, text string) *Script {
	words, open := quotedWords(text, 0)
	if open {
		c.errorf(n.wordPos(1), "", "%s: a quote within the command line is not closed", n.name())
		return nil
	}
	s := &Script{}
	for _, w := range words {
		s.Args = append(s.Args, w.text)
	}
	return c.checkedScript(n, s)
}

// checkedScript refuses what can't be run, and warns of what only a shell knows.
func (c *checker) checkedScript(n *node, s *Script) *Script {
	at := n.wordPos(1)
	if len(s.Args) == 0 || s.Args[0] == "" || len(s.Args) > argumentsMax {
		c.errorf(at, "", "%s needs a program and at most %d arguments", n.name(), argumentsMax-1)
		return nil
	}
	for _, arg := range s.Args {
		if strings.ContainsRune(arg, 0) {
			c.errorf(at, "", "%s: a command line can't have a NUL byte", n.name())
			return nil
		}
	}
	for _, arg := range s.Args[1:] {
		switch arg {
		case "|", "||", "&&", ";", "&", ">", ">>", "<", "2>&1", ">/dev/null", "2>/dev/null":
			c.warnf(at, `sh -c "…" runs a line of the shell`, "%s is run without a shell: %q is passed to it as an argument", n.name(), arg)
			return s
		}
	}
	return s
}

// userGroup reads "USER [GROUP]".
func (c *checker) userGroup(n *node) (user, group string) {
	args, ok := c.values(n, 2)
	if !ok {
		return "", ""
	}
	if len(args) > 1 {
		group = args[1].text
	}
	return args[0].text, group
}
