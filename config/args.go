package config

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// clipBytes is how much of a word from the file a message shows.
const clipBytes = 60

// clip shortens a word for a message.
func clip(s string) string {
	if len(s) <= clipBytes {
		return s
	}
	return strings.ToValidUTF8(s[:clipBytes], "") + "…"
}

// quote returns a word for a message, but not one that may be a password.
func quote(n *node, text string) string {
	if strings.HasPrefix(n.name(), "auth") {
		return "what follows"
	}
	return strconv.Quote(clip(text))
}

// values returns the words behind a keyword, at least one and at most most.
// Words beyond are reported, and ignored as in keepalived.
func (c *checker) values(n *node, most int) ([]word, bool) {
	args := n.args()
	if len(args) == 0 || args[0].text == "" {
		c.errorf(n.wordPos(1), "", "%s needs a value: %s %s", n.name(), n.name(), n.kw.Args)
		return nil, false
	}
	if len(args) > most {
		c.warnf(n.wordPos(most+1), "", "%s is ignored: %s takes %s", quote(n, args[most].text), n.name(), n.kw.Args)
		args = args[:most]
	}
	return args, true
}

// value returns the one word behind a keyword.
func (c *checker) value(n *node) (string, bool) {
	args, ok := c.values(n, 1)
	if !ok {
		return "", false
	}
	return args[0].text, true
}

// noArgs reports words behind a keyword that takes none.
func (c *checker) noArgs(n *node) {
	if len(n.args()) > 0 {
		c.warnf(n.wordPos(1), "", "%s is ignored: %s takes no value", quote(n, n.args()[0].text), n.name())
	}
}

// integer returns a whole number within the keyword's range.
func (c *checker) integer(n *node) (int, bool) {
	text, ok := c.value(n)
	if !ok {
		return 0, false
	}
	r := n.kw.Range
	i, err := strconv.Atoi(text)
	if err != nil || !digits(text) {
		c.errorf(n.wordPos(1), "", "%s %q is not a whole number from %v", n.name(), clip(text), r)
		return 0, false
	}
	if float64(i) < r.Min || float64(i) > r.Max {
		c.errorf(n.wordPos(1), "", "%s %s is out of range: %v", n.name(), text, r)
		return 0, false
	}
	return i, true
}

// digits reports whether text is nothing but decimal digits.
func digits(text string) bool {
	return strings.Trim(text, "0123456789") == "" && text != ""
}

// seconds returns a decimal number of seconds within the keyword's range, as
// keepalived writes them; with units also "1500ms" and "2s", as hafence does.
func (c *checker) seconds(n *node, units bool) (time.Duration, bool) {
	text, ok := c.value(n)
	if !ok {
		return 0, false
	}
	return c.duration(n, n.wordPos(1), text, n.kw.Range, units)
}

// duration is seconds for a word anywhere in a line.
func (c *checker) duration(n *node, at pos, text string, r Range, units bool) (time.Duration, bool) {
	number, scale := text, float64(time.Second)
	if units {
		if s, found := strings.CutSuffix(text, "ms"); found {
			number, scale = s, float64(time.Millisecond)
		} else if s, found := strings.CutSuffix(text, "s"); found {
			number = s
		}
	}
	f, ok := decimal(number)
	if !ok {
		c.errorf(at, "", "%s %q is not a number of seconds from %v", n.name(), clip(text), Range{Min: r.Min, Max: r.Max})
		return 0, false
	}
	d := f * scale
	if d < r.Min*float64(time.Second) || d > r.Max*float64(time.Second) {
		c.errorf(at, "", "%s %s is out of range: %v", n.name(), clip(text), r)
		return 0, false
	}
	return time.Duration(math.Round(d/float64(time.Microsecond))) * time.Microsecond, true
}

// decimal parses digits with at most one point among them.
func decimal(text string) (float64, bool) {
	if strings.Trim(text, "0123456789.") != "" || strings.Trim(text, ".") == "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// wholeSeconds is seconds for keywords that keepalived reads as whole numbers:
// it cuts a fraction off, and so do we.
func (c *checker) wholeSeconds(n *node) (time.Duration, bool) {
	d, ok := c.seconds(n, n.kw.Own)
	if ok && d%time.Second != 0 {
		c.warnf(n.wordPos(1), "", "%s takes whole seconds: %v counts as %v", n.name(), d, d.Truncate(time.Second))
		d = d.Truncate(time.Second)
	}
	return d, ok
}

// repeat returns a count of packets; as in keepalived none means one.
func (c *checker) repeat(n *node) (int, bool) {
	i, ok := c.integer(n)
	if ok && i == 0 {
		c.warnf(n.wordPos(1), "", "%s must be greater than 0: it counts as 1", n.name())
		i = 1
	}
	return i, ok
}

func isOn(s string) bool  { return s == "on" || s == "true" || s == "yes" }
func isOff(s string) bool { return s == "off" || s == "false" || s == "no" }

// onOff returns a boolean.
func (c *checker) onOff(n *node) (value, ok bool) {
	text, ok := c.value(n)
	switch {
	case !ok:
		return false, false
	case isOn(text):
		return true, true
	case isOff(text):
		return false, true
	}
	c.errorf(n.wordPos(1), "", "%s %q is neither on nor off", n.name(), clip(text))
	return false, false
}

// absolute returns a path that depends on no working directory.
func (c *checker) absolute(n *node) (string, bool) {
	text, ok := c.value(n)
	if !ok {
		return "", false
	}
	return text, c.checkAbsolute(n, n.wordPos(1), text)
}

func (c *checker) checkAbsolute(n *node, at pos, path string) bool {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		c.errorf(at, "a relative one depends on where hafence is started", "%s %q must be an absolute path", n.name(), clip(path))
		return false
	}
	return true
}

// ipv4 returns an IPv4 address that a host can have.
func (c *checker) ipv4(n *node, at pos, text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		c.errorf(at, "", "%s: %q is not an IP address", n.name(), clip(text))
	case !addr.Is4():
		c.errorf(at, "", "%s: IPv6 addresses are not supported by this version", n.name())
	case !hostAddress(addr):
		c.errorf(at, "", "%s: %v is not the address of a host", n.name(), addr)
	default:
		return addr, true
	}
	return netip.Addr{}, false
}

// hostAddress reports whether an interface can have the address.
func hostAddress(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// interfaceName checks the name of a network interface.
func (c *checker) interfaceName(at pos, name string) bool {
	if name == "" || len(name) > interfaceBytesMax || strings.ContainsAny(name, "/ \t:") || name == "." || name == ".." {
		c.errorf(at, "", "%q can't be the name of an interface: 1 to %d bytes, without '/', ':' and blanks", clip(name), interfaceBytesMax)
		return false
	}
	return true
}

// printable checks a name that goes into logs, keys and status.
func (c *checker) printable(at pos, what, name string) bool {
	bad := !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
	if bad || name == "" || len(name) > nameBytesMax {
		c.errorf(at, "", "%s must have 1 to %d bytes and no control characters", what, nameBytesMax)
		return false
	}
	return true
}

// plural returns "1 member", "2 members", "2 addresses".
func plural(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "ss"):
		return fmt.Sprintf("%d %ses", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
