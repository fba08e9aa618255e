package config

import (
	"fmt"
	"strings"
)

// checker turns the tree into values, and says what is wrong on the way.
type checker struct {
	*report
	id      string // short host name, or the -i of keepalived
	node    string // Options.Node
	config  *Config
	drafts  []*draft        // vrrp_instance blocks, in order
	groups  []*groupDraft   // vrrp_sync_group blocks, in order
	cluster *consensusDraft // the consensus block; nil without one
	off     *node           // "consensus off"
	seen    map[string]*node

	servers      []*serverDraft // virtual_server blocks, in order
	serverGroups map[string]*serverGroup
	trackFiles   map[string]*TrackFile
	sync         *syncDraft // lvs_sync_daemon; nil without
	onLo         *node      // vip_on_lo

	suggested int // times that a name was compared with all others
}

// setter takes what one keyword says into a value.
type setter[T any] func(c *checker, n *node, v *T)

// walk checks the keywords of a block against the table and lets setters take
// those that are acted on.
func walk[T any](c *checker, block string, children []*node, v *T, setters map[string]setter[T]) {
	first := map[string]*node{}
	for _, n := range children {
		if !c.known(block, n) {
			continue
		}
		if before := first[n.name()]; before != nil && !n.kw.Repeats {
			c.warnf(n.pos(), "", "%s is said again; this one counts, not that of line %d", n.name(), before.pos().line)
		}
		first[n.name()] = n
		if set := setters[n.name()]; set != nil {
			set(c, n, v)
		}
	}
}

// known finds a node's keyword in the table. It reports whether the keyword is
// to be acted on, and says why not otherwise.
func (c *checker) known(block string, n *node) bool {
	if len(n.words) == 0 {
		return false // braces without a keyword: reported by the tree
	}
	n.kw = lookup(block, n.name())
	if n.kw == nil {
		c.unknown(block, n)
		return false
	}
	kw := n.kw
	if kw.OffOK && len(n.words) > 1 && isOff(n.words[1].text) {
		return false
	}
	switch kw.Use {
	case Ignored:
		c.once(block+"/"+kw.Name, n.pos(), Warning, "", fmt.Sprintf("%s is not acted on: %s", kw.Name, kw.Reason))
		return false
	case Refused:
		c.once(block+"/"+kw.Name, n.pos(), Error, "", fmt.Sprintf("%s is not supported by this version: %s", kw.Name, kw.Reason))
		return false
	}
	if kw.Own {
		n.requote(c.report)
	}
	return c.shaped(n)
}

// shaped reports whether a node has braces where its keyword wants them, and
// only there.
func (c *checker) shaped(n *node) bool {
	single := n.kw.Name == "consensus" && len(n.words) > 1
	switch {
	case n.kw.Shape == Line && n.block:
		c.errorf(n.pos(), "", "%s takes no braces", n.kw.Name)
		return false
	case n.kw.Shape != Line && !n.block && !single:
		c.errorf(n.pos(), n.kw.Name+" { … }", "%s needs braces", n.kw.Name)
		return false
	}
	return true
}

// unknown reports a keyword that doesn't belong where it is.
func (c *checker) unknown(block string, n *node) {
	name := n.name()
	where := "at the top level"
	if block != "" {
		where = "in " + block
	}
	if block != "" && lookup("", name) != nil {
		c.errorf(n.pos(), "is a '}' missing above?", "%s belongs at the top level, not %s", name, where)
		return
	}
	for _, k := range table() {
		if k.Name == name && k.In[0] != block && k.In[0] != "" {
			c.errorf(n.pos(), "is a '{' missing above, or a '}' too many?", "%s belongs in %s, not %s", name, k.In[0], where)
			return
		}
	}
	var near *Keyword
	var in string
	if c.suggested++; c.suggested <= suggestionsMax {
		near, in = suggestion(block, name)
	}
	switch {
	case near == nil && block == "authentication":
		// It may be a password that went to the next line.
		c.errorf(n.pos(), "auth_pass and its password stand on one line", "unknown keyword in authentication")
	case near == nil && strings.HasPrefix(name, "$"):
		c.errorf(n.pos(), "a variable is defined by $NAME=value, without a blank before =", "%s is not defined", clip(name))
	case near == nil:
		hint := ""
		if block == "vrrp_sync_group" {
			hint = "names of instances stand in group { … }"
		}
		c.errorf(n.pos(), hint, "unknown keyword %q %s", clip(name), where)
	case in == block:
		c.errorf(n.pos(), fmt.Sprintf("did you mean %s?", near.Name), "unknown keyword %q %s", clip(name), where)
	default:
		place := "at the top level"
		if in != "" {
			place = "in " + in
		}
		c.errorf(n.pos(), fmt.Sprintf("did you mean %s? It belongs %s", near.Name, place), "unknown keyword %q %s", clip(name), where)
	}
}

// top checks the whole file.
func (c *checker) top(root *node) {
	walk(c, "", root.children, c.config, topSetters)
	if c.cluster != nil {
		c.finishConsensus()
	}
	for _, d := range c.drafts {
		c.finishInstance(d)
	}
	c.finishGroups()
	c.finishSync()
	c.finishServers()
	c.across(root)
}

// topSetters are the keywords outside of blocks.
var topSetters = map[string]setter[Config]{
	"global_defs": func(c *checker, n *node, v *Config) {
		c.noArgs(n)
		walk(c, "global_defs", n.children, &v.Global, globalSetters)
	},
	"vrrp_instance":        (*checker).instance,
	"vrrp_sync_group":      (*checker).syncGroup,
	"virtual_server":       (*checker).virtualServer,
	"virtual_server_group": (*checker).virtualServerGroup,
	"track_file":           (*checker).trackFile,
	"vrrp_track_file":      (*checker).trackFile,
	"bfd_instance":         (*checker).bfdInstance,
	"SSL": func(c *checker, n *node, v *Config) {
		c.noArgs(n)
		walk(c, "SSL", n.children, &v.LVS.TLS, sslSetters)
	},
	"consensus": (*checker).consensus,
	"fence": func(c *checker, n *node, v *Config) {
		c.noArgs(n)
		walk(c, "fence", n.children, &v.Fence, fenceSetters)
	},
	"status": func(c *checker, n *node, v *Config) {
		c.noArgs(n)
		walk(c, "status", n.children, &v.Status, statusSetters)
	},
	"include": (*checker).badInclude, "includer": (*checker).badInclude, "includem": (*checker).badInclude,
	"includew": (*checker).badInclude, "includeb": (*checker).badInclude, "includea": (*checker).badInclude,
}

// badInclude is an include line that names no file or several; the reader takes
// the others.
func (c *checker) badInclude(n *node, _ *Config) {
	c.errorf(n.pos(), "quote a name with blanks", "%s needs one file name", n.name())
}

// named reports a second definition of a name, and remembers the first.
func (c *checker) named(kind, name string, n *node) bool {
	key := kind + " " + name
	if before := c.seen[key]; before != nil {
		c.errorf(n.wordPos(1), "", "%s %s is defined already at %s:%d", kind, clip(name), before.pos().file, before.pos().line)
		return false
	}
	c.seen[key] = n
	return true
}
