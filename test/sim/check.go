package main

import (
	"bytes"
	"net/netip"

	"github.com/hafence/hafence/consensus"
	"github.com/hafence/hafence/internal/node"
	"github.com/hafence/hafence/vrrp"
)

// checker watches from outside: it knows true time, every kernel and the whole
// log. It is exact: whether an address answers changes only where a kernel acts
// (checked there and then) or where an element or a lifetime ends (known in
// advance), so two answers overlap if and only if they do at a kernel's act.
type checker struct {
	w       *world
	log     []entry
	table   *consensus.Table
	owners  map[grant]consensus.Session
	openers map[grant]string
}

type grant struct {
	group string
	token consensus.Token
}

func newChecker(w *world) *checker {
	return &checker{w: w, table: consensus.NewTable(), owners: map[grant]consensus.Session{}, openers: map[grant]string{}}
}

// answers reports whether a host answers for an address at this moment.
func (k *checker) answers(h *host, a netip.Addr) bool { return h.kernel.answersUntil(a) > k.w.now }

// changed follows every act of a kernel.
func (k *checker) changed(h *host) {
	for _, g := range k.w.plan.Groups {
		for _, v := range g.VIPs {
			if k.answers(h, v.Prefix.Addr()) {
				k.alone(h, g, v.Prefix.Addr())
			}
		}
	}
}

// alone is I1: nobody else answers. Stronger, so that a flaw is seen before it
// takes two: who answers holds the lease, as the log has it at this moment.
func (k *checker) alone(h *host, g group, a netip.Addr) {
	until := h.kernel.answersUntil(a)
	for _, other := range k.w.hosts {
		if other != h && k.answers(other, a) {
			k.w.fail("I1", "%s and %s both answer for %s, for %v", h.name, other.name, a, min(until, other.kernel.answersUntil(a)).sub(k.w.now))
		}
	}
	if holder := k.table.Lease(g.Name).Holder; holder.Node != h.name {
		k.w.fail("I1", "%s answers for %s, of %s, whose lease is %v's", h.name, a, g.Name, holder)
	}
}

// committed follows an entry's application by any node.
func (k *checker) committed(index uint64, e entry) {
	if index <= uint64(len(k.log)) {
		if have := k.log[index-1]; have.id != e.id || have.term != e.term {
			k.w.fail("the model of Raft", "entry %d is %v at one node and %v at another", index, have, e)
		}
		return
	}
	k.log = append(k.log, e)
	if e.command == nil || !k.w.counts(e) {
		return
	}
	before := make([]consensus.Lease, len(k.w.plan.Groups))
	for n, g := range k.w.plan.Groups {
		before[n] = k.table.Lease(g.Name)
	}
	result := k.table.Apply(e.command)
	k.w.sayf("LOG", "%d (term %d): %T %+v -> %v", index, e.term, e.command, e.command, result)
	for n, g := range k.w.plan.Groups {
		k.granted(g, before[n], k.table.Lease(g.Name))
	}
}

// granted is I2, and the other half of I1: who loses the lease answers no more.
func (k *checker) granted(g group, before, after consensus.Lease) {
	if before.Holder == after.Holder && before.Token == after.Token {
		return
	}
	if after.Token < before.Token || !after.Holder.IsZero() && after.Token == before.Token {
		k.w.fail("I2", "%s goes from %v under token %d to %v under token %d", g.Name, before.Holder, before.Token, after.Holder, after.Token)
	}
	if !after.Holder.IsZero() {
		k.w.stats.Takeovers++
		key := grant{g.Name, after.Token}
		if old, taken := k.owners[key]; taken && old != after.Holder {
			k.w.fail("I2", "token %d of %s was %v's and is %v's", after.Token, g.Name, old, after.Holder)
		}
		k.owners[key] = after.Holder
	}
	for _, h := range k.w.hosts {
		for _, v := range g.VIPs {
			if h.name != after.Holder.Node && k.answers(h, v.Prefix.Addr()) {
				k.w.fail("I1", "the lease of %s goes from %v to %v while %s answers for %s, for another %v",
					g.Name, before.Holder, after.Holder, h.name, v, h.kernel.answersUntil(v.Prefix.Addr()).sub(k.w.now))
			}
		}
	}
}

// opened follows the opening of a gate: I2 again, for those who use the token.
func (k *checker) opened(h *host, group string, token uint64) {
	key := grant{group, consensus.Token(token)}
	if other, taken := k.openers[key]; taken && other != h.name {
		k.w.fail("I2", "%s opens %s under token %d, as %s did", h.name, group, token, other)
	}
	k.openers[key] = h.name
	if owner := k.owners[key]; owner.Node != h.name {
		k.w.fail("I2", "%s opens %s under token %d, which is %v's", h.name, group, token, owner)
	}
}

// advertised and announced count what a paused process says too late. It is no
// answer, but it can mislead switches and neighbours for a moment.
func (k *checker) advertised(h *host, a node.SendAdvert) {
	if a.Priority != vrrp.PriorityStop && k.displaced(h, a.Instance) {
		k.w.stats.StaleAdverts++
		k.w.sayf(h.name, "advertises %s although another node answers", a.Instance)
	}
}

func (k *checker) announced(h *host, instance string) {
	if k.displaced(h, instance) {
		k.w.stats.StaleAnnounces++
		k.w.sayf(h.name, "announces %s although another node answers", instance)
	}
}

func (k *checker) displaced(h *host, instance string) bool {
	n, _ := k.w.plan.groupOf(instance)
	for _, v := range k.w.plan.Groups[n].VIPs {
		if o := k.answering(v.Prefix.Addr()); o != nil && o != h && h.link {
			return true
		}
	}
	return false
}

// answering is who answers for an address at this moment.
func (k *checker) answering(a netip.Addr) *host {
	for _, h := range k.w.hosts {
		if k.answers(h, a) {
			return h
		}
	}
	return nil
}

// server is who answers for the whole of a group.
func (k *checker) server(g group) *host {
	var who *host
	for n, v := range g.VIPs {
		h := k.answering(v.Prefix.Addr())
		if n > 0 && h != who {
			return nil
		}
		who = h
	}
	return who
}

// sameTables compares every living node's table with the log's.
func (k *checker) sameTables() {
	want := image(k.table)
	for _, h := range k.w.hosts {
		if c := h.controller; c.serves() && !bytes.Equal(image(c.store.table), want) {
			k.w.fail("the model of Raft", "%s has another table than the log says:\n%s\n%s", h.name, image(c.store.table), want)
		}
	}
}

func image(t *consensus.Table) []byte {
	b, err := t.MarshalJSON()
	if err != nil {
		panic(err) // a table always encodes
	}
	return b
}
