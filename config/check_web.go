package config

import (
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

var webSetters = map[string]setter[checkDraft]{
	"url": func(c *checker, n *node, d *checkDraft) {
		c.noArgs(n)
		u := &urlDraft{URL: URL{Path: "/"}, node: n}
		walk(c, "url", n.children, u, urlSetters)
		c.finishPattern(u)
		if len(u.Codes) == 0 {
			u.Codes = []CodeRange{{200, 299}}
		}
		d.HTTP.URLs = append(d.HTTP.URLs, u.URL)
	},
	"http_protocol": func(c *checker, n *node, d *checkDraft) {
		text, ok := c.value(n)
		if ok && text != "1.0" && text != "1.0c" && text != "1.0C" && text != "1.1" {
			c.errorf(n.wordPos(1), "", "http_protocol %q is none of 1.0, 1.0C and 1.1", clip(text))
			return
		}
		d.HTTP.Version = strings.ToUpper(text)
	},
	"fast_recovery": func(c *checker, n *node, d *checkDraft) { c.flag(n, func(on bool) { d.HTTP.FastRecovery = on }) },
	"nb_get_retry": func(c *checker, n *node, d *checkDraft) {
		if value, ok := c.integer(n); ok {
			c.warnf(n.pos(), "write retry", "nb_get_retry is the old name of retry")
			d.retries = &value
		}
	},
	"virtualhost": func(c *checker, n *node, d *checkDraft) { d.host, _ = c.hostHeader(n) },
}

var tlsCheckSetters = map[string]setter[checkDraft]{
	"enable_sni":    func(_ *checker, _ *node, d *checkDraft) { d.HTTP.SNI = true },
	"sni_name":      func(c *checker, n *node, d *checkDraft) { d.HTTP.ServerName, _ = c.hostHeader(n) },
	"tls_compliant": func(_ *checker, _ *node, d *checkDraft) { d.compliant = true },
}

// urlDraft is a url block while it is read.
type urlDraft struct {
	URL
	node     *node
	regex    string
	regexAt  pos
	absent   bool
	anchored bool
	flags    string // of the Go syntax: "i", "s"…
	least    int
	most     *int
}

var urlSetters = map[string]setter[urlDraft]{
	"path": func(c *checker, n *node, u *urlDraft) {
		text, ok := c.value(n)
		if ok && strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			c.errorf(n.wordPos(1), "write %20 for a blank", "path can't have blanks and control characters")
			return
		}
		u.Path = text
	},
	"tls_compliant": func(_ *checker, _ *node, u *urlDraft) { u.Compliant = true },
	"virtualhost":   func(c *checker, n *node, u *urlDraft) { u.VirtualHost, _ = c.hostHeader(n) },
	"digest": func(c *checker, n *node, u *urlDraft) {
		text, ok := c.value(n)
		if sum, err := hex.DecodeString(text); ok && (err != nil || len(sum) != 16) {
			c.errorf(n.wordPos(1), "md5sum prints it", "digest %q is not an MD5 of 32 hexadecimal digits", clip(text))
			return
		}
		u.Digest = strings.ToLower(text)
	},
	"status_code": (*checker).statusCodes,
	"regex": func(c *checker, n *node, u *urlDraft) {
		n.requote(c.report)
		if args, ok := c.values(n, 1); ok {
			u.regex, u.regexAt = args[0].text, n.wordPos(1)
		}
	},
	"regex_no_match":   func(_ *checker, _ *node, u *urlDraft) { u.absent = true },
	"regex_options":    (*checker).regexOptions,
	"regex_min_offset": func(c *checker, n *node, u *urlDraft) { u.least, _ = c.integer(n) },
	"regex_max_offset": func(c *checker, n *node, u *urlDraft) {
		if value, ok := c.integer(n); ok {
			u.most = &value
		}
	},
}

// hostHeader returns a name that can stand in a header.
func (c *checker) hostHeader(n *node) (string, bool) {
	text, ok := c.value(n)
	if ok && strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		c.errorf(n.wordPos(1), "", "%s can't have blanks and control characters", n.name())
		return "", false
	}
	return text, ok
}

func (c *checker) statusCodes(n *node, u *urlDraft) {
	args, ok := c.values(n, 64)
	if !ok {
		return
	}
	for i, arg := range args {
		from, to, ranged := strings.Cut(arg.text, "-")
		first, err1 := strconv.Atoi(from)
		last, err2 := first, error(nil)
		if ranged {
			last, err2 = strconv.Atoi(to)
		}
		if err1 != nil || err2 != nil || first < 100 || last > 999 || last < first {
			c.errorf(n.wordPos(i+1), "", "status_code %q is not a code from 100 to 999, nor a range of them", clip(arg.text))
			return
		}
		u.Codes = append(u.Codes, CodeRange{first, last})
	}
}

// regexOptions are those of keepalived; Go's syntax has a flag for most.
func (c *checker) regexOptions(n *node, u *urlDraft) {
	args, ok := c.values(n, 64)
	if !ok {
		return
	}
	flags := map[string]string{"caseless": "i", "dotall": "s", "multiline": "m", "ungreedy": "U", "utf": "", "ucp": "", "no_start_optimize": "", "no_utf_check": "", "optimise": "", "optimize": "", "dollar_endonly": ""}
	for i, arg := range args {
		flag, known := flags[arg.text]
		switch {
		case arg.text == "anchored":
			u.anchored = true
		case !known:
			c.errorf(n.wordPos(i+1), "", "regex_options %q is not supported: Go's regular expressions have nothing like it", clip(arg.text))
			return
		case !strings.Contains(u.flags, flag):
			u.flags += flag
		}
	}
}

// finishPattern compiles the pattern, so that a mistake is found here.
func (c *checker) finishPattern(u *urlDraft) {
	if u.regex == "" {
		if u.absent || u.flags != "" || u.least != 0 || u.most != nil {
			c.warnf(u.node.pos(), "", "regex_… without regex does nothing")
		}
		return
	}
	expression := u.regex
	if u.anchored {
		expression = `\A(?:` + expression + `)`
	}
	if u.flags != "" {
		expression = "(?" + u.flags + ")" + expression
	}
	if _, err := regexp.Compile(expression); err != nil {
		c.errorf(u.regexAt, "hafence has Go's regular expressions (RE2): no references back, no looking ahead", "regex: %v", err)
		return
	}
	u.Pattern = &Pattern{Regex: expression, Absent: u.absent, MinOffset: u.least}
	if u.most != nil {
		u.Pattern.MaxOffset, u.Pattern.Restricted = *u.most, true
	}
}

// finishWeb hands the virtual host down.
func (c *checker) finishWeb(r *realDraft, d *checkDraft) {
	if len(d.HTTP.URLs) == 0 {
		c.errorf(d.node.pos(), "url { path / }", "%s of real_server %v has no url", d.Kind, r.Address)
	}
	host := d.host
	if host == "" {
		host = r.host
	}
	for i := range d.HTTP.URLs {
		d.HTTP.URLs[i].Compliant = d.HTTP.URLs[i].Compliant || d.compliant
		if d.HTTP.URLs[i].VirtualHost == "" {
			d.HTTP.URLs[i].VirtualHost = host
		}
	}
}
