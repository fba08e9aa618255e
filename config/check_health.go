package config

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkDraft is a health check while it is read.
type checkDraft struct {
	Check
	timing
	node        *node
	connectIP   netip.Addr
	connectPort int
	bindIP      netip.Addr
	bindPort    int
	hosts       []*checkDraft // of SMTP_CHECK
	host        string        // virtualhost
	compliant   bool          // tls_compliant
	trackFile   string
	fileWeight  *FileCheck // its Weight and Reverse
	miscTimeout *time.Duration
}

// healthCheck reads the block of a check.
func (c *checker) healthCheck(n *node, r *realDraft) {
	c.noArgs(n)
	d := &checkDraft{node: n, Check: Check{Kind: n.name()}}
	switch d.Kind {
	case "HTTP_GET", "SSL_GET":
		d.HTTP = &HTTPCheck{TLS: d.Kind == "SSL_GET", Version: "1.0"}
	case "SMTP_CHECK":
		d.SMTP = &SMTPCheck{Helo: heloDefault}
	case "DNS_CHECK":
		d.DNS = &DNSCheck{Type: "SOA", Name: "."}
	case "MISC_CHECK":
		d.Misc = &MiscCheck{}
	case "UDP_CHECK":
		d.UDP = &UDPCheck{MaxLen: replyLengthDefault}
	case "FILE_CHECK":
		d.File = &FileCheck{}
	}
	walk(c, d.Kind, n.children, d, checkSetters[d.Kind])
	r.checks = append(r.checks, d)
}

// checkSetters are the keywords of each check.
var checkSetters = func() map[string]map[string]setter[checkDraft] {
	timings := timingSetters(func(d *checkDraft) *timing { return &d.timing })
	timings["log_all_failures"] = func(c *checker, n *node, d *checkDraft) { c.flag(n, func(on bool) { d.logFailures = &on }) }
	join := func(parts ...map[string]setter[checkDraft]) map[string]setter[checkDraft] {
		all := map[string]setter[checkDraft]{}
		for _, part := range parts {
			maps.Copy(all, part)
		}
		return all
	}
	return map[string]map[string]setter[checkDraft]{
		"TCP_CHECK":  join(timings, connectionSetters),
		"PING_CHECK": join(timings, connectionSetters),
		"HTTP_GET":   join(timings, connectionSetters, webSetters),
		"SSL_GET":    join(timings, connectionSetters, webSetters, tlsCheckSetters),
		"SMTP_CHECK": join(timings, connectionSetters, smtpSetters),
		"DNS_CHECK":  join(timings, connectionSetters, dnsSetters),
		"UDP_CHECK":  join(timings, connectionSetters, udpSetters),
		"MISC_CHECK": join(timings, miscSetters),
		"FILE_CHECK": fileSetters,
		"BFD_CHECK": {
			"name":  func(c *checker, n *node, d *checkDraft) { d.BFD, _ = c.value(n) },
			"alpha": func(_ *checker, _ *node, d *checkDraft) { d.alpha = new(true) },
		},
	}
}()

// flag takes "", "on" or "off" behind a keyword.
func (c *checker) flag(n *node, set func(bool)) {
	if len(n.args()) == 0 {
		set(true)
	} else if on, ok := c.onOff(n); ok {
		set(on)
	}
}

// connectionSetters are the keywords of a check that goes over the network.
var connectionSetters = map[string]setter[checkDraft]{
	"connect_ip":   func(c *checker, n *node, d *checkDraft) { c.oneAddress(n, &d.connectIP) },
	"bindto":       func(c *checker, n *node, d *checkDraft) { c.oneAddress(n, &d.bindIP) },
	"connect_port": func(c *checker, n *node, d *checkDraft) { d.connectPort, _ = c.integer(n) },
	"bind_port":    func(c *checker, n *node, d *checkDraft) { d.bindPort, _ = c.integer(n) },
	"bind_if": func(c *checker, n *node, d *checkDraft) {
		if text, ok := c.value(n); ok && c.interfaceName(n.wordPos(1), text) {
			d.Interface = text
		}
	},
	"fwmark": func(c *checker, n *node, d *checkDraft) {
		if text, ok := c.value(n); ok {
			d.Mark, _ = c.mark(n, n.wordPos(1), text)
		}
	},
}

func (c *checker) oneAddress(n *node, addr *netip.Addr) {
	if text, ok := c.value(n); ok {
		*addr, _ = c.address(n, n.wordPos(1), text)
	}
}

var smtpSetters = map[string]setter[checkDraft]{
	"helo_name": func(c *checker, n *node, d *checkDraft) {
		if text, ok := c.value(n); ok && c.printable(n.wordPos(1), "helo_name", text) {
			d.SMTP.Helo = text
		}
	},
	"host": func(c *checker, n *node, d *checkDraft) {
		c.noArgs(n)
		host := &checkDraft{node: n}
		walk(c, "host", n.children, host, connectionSetters)
		d.hosts = append(d.hosts, host)
	},
}

// dnsTypes are those that keepalived asks for.
var dnsTypes = []string{"A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"}

var dnsSetters = map[string]setter[checkDraft]{
	"type": func(c *checker, n *node, d *checkDraft) {
		text, ok := c.value(n)
		if t := strings.ToUpper(text); ok && slices.Contains(dnsTypes, t) {
			d.DNS.Type = t
		} else if ok {
			c.errorf(n.wordPos(1), "", "type %q is none of %s", clip(text), strings.Join(dnsTypes, ", "))
		}
	},
	"name": func(c *checker, n *node, d *checkDraft) {
		if text, ok := c.value(n); ok && len(text) <= 255 {
			d.DNS.Name = text
		} else if ok {
			c.errorf(n.wordPos(1), "", "name has more than 255 bytes")
		}
	},
}

var udpSetters = map[string]setter[checkDraft]{
	"payload": func(c *checker, n *node, d *checkDraft) {
		text, ok := c.value(n)
		payload, err := hex.DecodeString(text)
		if ok && err != nil {
			c.errorf(n.wordPos(1), "", "payload %q is not made of pairs of hexadecimal digits", clip(text))
		}
		d.UDP.Payload = payload
	},
	"require_reply": func(c *checker, n *node, d *checkDraft) {
		d.UDP.RequireReply = true
		if len(n.args()) == 0 {
			return
		}
		text, _ := c.value(n)
		// A nibble x is any digit: it has no ones in the mask.
		lower := strings.ToLower(text)
		reply, err := hex.DecodeString(strings.ReplaceAll(lower, "x", "0"))
		if err != nil {
			c.errorf(n.wordPos(1), "", "require_reply %q is not made of pairs of hexadecimal digits or x", clip(text))
			return
		}
		mask := strings.Map(func(r rune) rune {
			if r == 'x' {
				return '0'
			}
			return 'f'
		}, lower)
		d.UDP.Reply = reply
		d.UDP.Mask, _ = hex.DecodeString(mask)
	},
	"min_reply_length": func(c *checker, n *node, d *checkDraft) { d.UDP.MinLen, _ = c.integer(n) },
	"max_reply_length": func(c *checker, n *node, d *checkDraft) { d.UDP.MaxLen, _ = c.integer(n) },
}

var miscSetters = map[string]setter[checkDraft]{
	"misc_path": func(c *checker, n *node, d *checkDraft) {
		if s := c.command(n); s != nil {
			s.User, s.Group = d.Misc.Script.User, d.Misc.Script.Group
			d.Misc.Script = *s
		}
	},
	"misc_timeout": func(c *checker, n *node, d *checkDraft) {
		if value, ok := c.seconds(n, false); ok {
			d.miscTimeout = &value
		}
	},
	"misc_dynamic": func(_ *checker, _ *node, d *checkDraft) { d.Misc.Dynamic = true },
	"user": func(c *checker, n *node, d *checkDraft) {
		d.Misc.Script.User, d.Misc.Script.Group = c.userGroup(n)
	},
}

var fileSetters = map[string]setter[checkDraft]{
	"track_file": func(c *checker, n *node, d *checkDraft) { d.trackFile, _ = c.value(n) },
	"weight": func(c *checker, n *node, d *checkDraft) {
		if weight, reverse, ok := c.signedWeight(n, Range{-65535, 65535, ""}); ok {
			d.fileWeight = &FileCheck{Weight: weight, Reverse: reverse}
		}
	},
}

// signedWeight reads "NUMBER [reverse]".
func (c *checker) signedWeight(n *node, r Range) (weight int, reverse, ok bool) {
	args, ok := c.values(n, 2)
	if !ok {
		return 0, false, false
	}
	weight, err := strconv.Atoi(args[0].text)
	if err != nil || float64(weight) < r.Min || float64(weight) > r.Max {
		c.errorf(n.wordPos(1), "", "%s %q is not a whole number from %v", n.name(), clip(args[0].text), r)
		return 0, false, false
	}
	if len(args) > 1 && args[1].text != "reverse" {
		c.errorf(n.wordPos(2), "", "%s: %q is unknown behind a number", n.name(), clip(args[1].text))
		return 0, false, false
	}
	return weight, len(args) > 1, true
}

// finishCheck applies what the real server says, and keepalived's defaults.
func (c *checker) finishCheck(s *serverDraft, r *realDraft, d *checkDraft) {
	d.timing = d.within(r.timing)
	d.Place = fmt.Sprintf("%s:%d", d.node.pos().file, d.node.pos().line)
	d.finishTiming(c.config.LVS.LogFailures)
	if d.Misc != nil {
		d.Misc.Timeout = orElse(d.miscTimeout, d.Interval)
		if len(d.Misc.Script.Args) == 0 && !slices.ContainsFunc(d.node.children, func(n *node) bool { return n.name() == "misc_path" }) {
			c.errorf(d.node.pos(), "", "MISC_CHECK of real_server %v has no misc_path", r.Address)
		}
	}
	if d.File != nil {
		c.finishFileCheck(r, d)
	}
	if d.Kind == "BFD_CHECK" {
		c.finishBFDCheck(r, d)
	}
	if d.HTTP != nil {
		c.finishWeb(r, d)
	}
	if d.UDP != nil && d.UDP.MinLen > d.UDP.MaxLen {
		c.errorf(d.node.pos(), "", "UDP_CHECK: min_reply_length %d is greater than max_reply_length %d", d.UDP.MinLen, d.UDP.MaxLen)
	}
	c.finishTarget(s, r, d)
	for _, host := range d.hosts {
		host.Kind = d.Kind
		c.finishTarget(s, r, host)
		d.SMTP.Hosts = append(d.SMTP.Hosts, host.Connection)
	}
	r.Checks = append(r.Checks, d.Check)
}

// finishTiming applies the defaults of keepalived.conf(5) for the kind.
func (d *checkDraft) finishTiming(logAll bool) {
	retries, retryDelay := retryDefault, retryDelayDefault
	d.Interval = orElse(d.interval, checkIntervalDefault)
	switch d.Kind {
	case "HTTP_GET", "SSL_GET":
		retryDelay = retryDelayWebDefault
	case "DNS_CHECK":
		retries, retryDelay = retryDNSDefault, d.Interval
	case "MISC_CHECK":
		retries = 0
	}
	d.Timeout = orElse(d.timeout, checkTimeoutDefault)
	d.Retry = orElse(d.retries, retries)
	d.RetryDelay = orElse(d.retryDelay, retryDelay)
	d.Warmup = orElse(d.warmup, d.Interval)
	d.Alpha = orElse(d.alpha, false)
	d.LogFailures = orElse(d.logFailures, logAll)
}

// finishTarget says where a check goes to and comes from.
func (c *checker) finishTarget(s *serverDraft, r *realDraft, d *checkDraft) {
	switch d.Kind {
	case "MISC_CHECK", "FILE_CHECK", "BFD_CHECK":
		return
	}
	ip, port := r.Address.Addr(), int(cmp.Or(r.port, r.Address.Port()))
	if d.connectIP.IsValid() {
		ip = d.connectIP
	}
	if d.connectPort != 0 {
		port = d.connectPort
	}
	switch {
	case port != 0 || d.Kind == "PING_CHECK":
	case d.Kind == "SMTP_CHECK":
		port = 25
	case d.Kind == "DNS_CHECK":
		port = 53
	case len(s.Services) > 0 && s.Services[0].Address.Port() != 0:
		port = int(s.Services[0].Address.Port()) // of a group
	default:
		c.errorf(d.node.pos(), "connect_port PORT", "%s of real_server %v has no port to connect to", d.Kind, r.Address.Addr())
	}
	if d.bindIP.IsValid() && d.bindIP.Is6() != ip.Is6() {
		c.errorf(d.node.pos(), "", "%s: bindto %v is of another family of addresses than %v", d.Kind, d.bindIP, ip)
	}
	d.Target = netip.AddrPortFrom(ip, uint16(port))
	d.Source = netip.AddrPortFrom(d.bindIP, uint16(d.bindPort))
}

func (c *checker) finishFileCheck(r *realDraft, d *checkDraft) {
	file := c.trackFiles[d.trackFile]
	if file == nil {
		c.errorf(d.node.pos(), "track_file NAME { file PATH } at the top level", "FILE_CHECK of real_server %v: there is no track_file %q", r.Address, clip(d.trackFile))
		return
	}
	said := orElse(d.fileWeight, FileCheck{Weight: file.Weight, Reverse: file.Reverse})
	*d.File = FileCheck{Name: file.Name, Path: file.Path, Weight: said.Weight, Reverse: said.Reverse}
}

func (c *checker) finishBFDCheck(r *realDraft, d *checkDraft) {
	if !slices.ContainsFunc(c.config.BFDInstances, func(b BFDInstance) bool { return b.Name == d.BFD }) {
		c.errorf(d.node.pos(), "bfd_instance NAME { neighbor_ip IP } at the top level", "BFD_CHECK of real_server %v: there is no bfd_instance %q", r.Address, clip(d.BFD))
	}
}
