package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// realDraft is a real_server while it is read.
type realDraft struct {
	RealServer
	timing
	node    *node
	weight  *int
	method  Method
	inhibit bool
	host    string // virtualhost
	port    uint16 // as written, which is where keepalived's checks go; 0 for none
	checks  []*checkDraft
}

// realServer reads a real_server block.
func (c *checker) realServer(n *node, d *serverDraft) {
	args, ok := c.values(n, 2)
	if !ok {
		return
	}
	addr, ok := c.endpoint(n, args, 1)
	if !ok {
		return
	}
	r := &realDraft{node: n, port: addr.Port(), RealServer: RealServer{Address: addr}}
	walk(c, "real_server", n.children, r, realSetters)
	d.reals = append(d.reals, r)
}

// realSetters are the keywords of real_server.
var realSetters = func() map[string]setter[realDraft] {
	all := map[string]setter[realDraft]{
		"weight": func(c *checker, n *node, r *realDraft) {
			if weight, ok := c.integer(n); ok {
				r.weight = &weight
			}
		},
		"lvs_method":         func(c *checker, n *node, r *realDraft) { c.method(n, &r.method) },
		"lb_kind":            func(c *checker, n *node, r *realDraft) { c.method(n, &r.method) },
		"inhibit_on_failure": func(_ *checker, _ *node, r *realDraft) { r.inhibit = true },
		"uthreshold":         func(c *checker, n *node, r *realDraft) { r.Upper, _ = c.integer(n) },
		"lthreshold":         func(c *checker, n *node, r *realDraft) { r.Lower, _ = c.integer(n) },
		"notify_up":          func(c *checker, n *node, r *realDraft) { r.NotifyUp = c.script(n) },
		"notify_down":        func(c *checker, n *node, r *realDraft) { r.NotifyDown = c.script(n) },
		"virtualhost":        func(c *checker, n *node, r *realDraft) { r.host, _ = c.value(n) },
	}
	for kind := range checkSetters {
		all[kind] = (*checker).healthCheck
	}
	maps.Copy(all, timingSetters(func(r *realDraft) *timing { return &r.timing }))
	return all
}()

// finishReal applies what the virtual server says, and keepalived's defaults.
// It reports whether the real server counts.
func (c *checker) finishReal(d *serverDraft, r *realDraft) bool {
	r.Name = nameOf(r.Address, d.Protocol)
	if r.method.Kind == "" {
		r.method = d.method
	}
	r.Method = r.method
	r.Inhibit = r.inhibit || d.inhibit
	r.Weight = orElse(r.weight, d.weight)
	r.timing = r.within(d.timing)
	r.Alpha = orElse(r.alpha, false)
	if !c.family(d, r.node, r.Address, r.Method) {
		return false
	}
	if r.Lower > r.Upper {
		c.errorf(r.node.wordPos(1), "uthreshold, at least as great as lthreshold",
			"real_server %v: lthreshold %d is greater than uthreshold %d", r.Address, r.Lower, r.Upper)
	}
	c.finishRealPort(d, r)
	if r.host == "" {
		r.host = d.host
	}
	for _, check := range r.checks {
		c.finishCheck(d, r, check)
	}
	c.surprises(r)
	return true
}

// surprises says what keepalived's users did not expect (keepalived #2064).
func (c *checker) surprises(r *realDraft) {
	at := r.node.wordPos(1)
	switch {
	case len(r.checks) == 0:
		c.once("unchecked", at, Warning, "TCP_CHECK { }", fmt.Sprintf("real_server %s has no check: it is there whatever happens to it", r.Name))
	case !r.Alpha && !slices.ContainsFunc(r.Checks, func(check Check) bool { return check.Alpha }):
		c.once("in the pool", at, Warning, "alpha keeps it out until a check succeeded",
			fmt.Sprintf("real_server %s gets connections from the start, before its first check", r.Name))
	}
}

// finishRealPort: only NAT can change the port of a packet.
func (c *checker) finishRealPort(d *serverDraft, r *realDraft) {
	if d.group != "" || d.Services[0].Mark != 0 {
		return // each service has its own
	}
	port := d.Services[0].Address.Port()
	switch {
	case r.Address.Port() == port:
	case r.Address.Port() == 0:
	case r.Method.Kind != "NAT":
		counts := fmt.Sprintf("port %d of the virtual server counts", port)
		if port == 0 {
			counts = "it stays as it came"
		}
		c.warnf(r.node.wordPos(2), "", "real_server %v: %s can't change the port of a packet: %s, and port %d is for checks only",
			r.Address, r.Method.Kind, counts, r.port)
	default:
		return
	}
	r.Address = netip.AddrPortFrom(r.Address.Addr(), port)
	r.Name = nameOf(r.Address, d.Protocol)
}
