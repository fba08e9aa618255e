package config

import (
	"strconv"
	"time"
)

// trackFile reads a track_file block.
func (c *checker) trackFile(n *node, _ *Config) {
	name, ok := c.value(n)
	if !ok || !c.printable(n.wordPos(1), "the name of a track_file", name) || !c.named("track_file", name, n) {
		return
	}
	f := &TrackFile{Name: name, Weight: 1}
	walk(c, "track_file", n.children, f, trackFileSetters)
	if f.Path == "" {
		c.errorf(n.wordPos(1), "file PATH", "track_file %s has no file", clip(name))
		return
	}
	c.trackFiles[name] = f
	c.config.TrackFiles = append(c.config.TrackFiles, *f)
}

var trackFileSetters = map[string]setter[TrackFile]{
	"file": func(c *checker, n *node, f *TrackFile) { f.Path, _ = c.absolute(n) },
	"weight": func(c *checker, n *node, f *TrackFile) {
		if weight, reverse, ok := c.signedWeight(n, n.kw.Range); ok {
			f.Weight, f.Reverse = weight, reverse
		}
	},
	"init_file": func(c *checker, n *node, f *TrackFile) {
		f.Init = new(int)
		for i, arg := range n.args() {
			value, err := strconv.Atoi(arg.text)
			switch {
			case arg.text == "overwrite":
				f.Overwrite = true
			case err == nil:
				f.Init = &value
			default:
				c.errorf(n.wordPos(i+1), "", "init_file: %q is neither a whole number nor overwrite", clip(arg.text))
			}
		}
	},
}

// bfdInstance reads a bfd_instance block.
func (c *checker) bfdInstance(n *node, _ *Config) {
	name, ok := c.value(n)
	if !ok || !c.printable(n.wordPos(1), "the name of a bfd_instance", name) || !c.named("bfd_instance", name, n) {
		return
	}
	b := &BFDInstance{
		Name: name, MinRx: bfdIntervalDefault, MinTx: bfdIntervalDefault, IdleTx: bfdIdleDefault, Multiplier: bfdMultiplierDefault,
	}
	walk(c, "bfd_instance", n.children, b, bfdSetters)
	switch {
	case !b.Neighbor.IsValid():
		c.errorf(n.wordPos(1), "neighbor_ip IP", "bfd_instance %s has no neighbor_ip", clip(name))
		return
	case b.Source.IsValid() && b.Source.Is6() != b.Neighbor.Is6():
		c.errorf(n.wordPos(1), "", "bfd_instance %s: source_ip and neighbor_ip are of two families", clip(name))
		return
	case b.TTL == 0 && b.Neighbor.Is6():
		b.TTL = bfdHopLimitDefault
	case b.TTL == 0:
		b.TTL = bfdTTLDefault
	}
	c.config.BFDInstances = append(c.config.BFDInstances, *b)
}

var bfdSetters = map[string]setter[BFDInstance]{
	"neighbor_ip":  func(c *checker, n *node, b *BFDInstance) { c.oneAddress(n, &b.Neighbor) },
	"neighbour_ip": func(c *checker, n *node, b *BFDInstance) { c.oneAddress(n, &b.Neighbor) },
	"source_ip":    func(c *checker, n *node, b *BFDInstance) { c.oneAddress(n, &b.Source) },
	"min_rx":       func(c *checker, n *node, b *BFDInstance) { c.millis(n, &b.MinRx) },
	"min_tx":       func(c *checker, n *node, b *BFDInstance) { c.millis(n, &b.MinTx) },
	"idle_tx":      func(c *checker, n *node, b *BFDInstance) { c.millis(n, &b.IdleTx) },
	"multiplier":   func(c *checker, n *node, b *BFDInstance) { b.Multiplier, _ = c.integer(n) },
	"passive":      func(_ *checker, _ *node, b *BFDInstance) { b.Passive = true },
	"ttl":          func(c *checker, n *node, b *BFDInstance) { b.TTL, _ = c.integer(n) },
	"hoplimit":     func(c *checker, n *node, b *BFDInstance) { b.TTL, _ = c.integer(n) },
	"max_hops":     func(c *checker, n *node, b *BFDInstance) { b.MaxHops, _ = c.integer(n) },
	"multihop":     func(_ *checker, _ *node, b *BFDInstance) { b.Multihop = true },
	"checker":      func(*checker, *node, *BFDInstance) {},
}

// millis takes a number of milliseconds, which may have a fraction.
func (c *checker) millis(n *node, d *time.Duration) {
	text, ok := c.value(n)
	if !ok {
		return
	}
	r := n.kw.Range
	ms, ok := decimal(text)
	if !ok || ms < r.Min || ms > r.Max {
		c.errorf(n.wordPos(1), "", "%s %q is not a number from %v", n.name(), clip(text), r)
		return
	}
	*d = time.Duration(ms*1000) * time.Microsecond
}
