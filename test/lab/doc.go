// Package lab builds small networks of hosts and switches out of Linux network
// namespaces, for tests and for `hafence demo`.
//
// A [Host] is a network namespace with a thread of its own; a [Switch] is a
// bridge in a namespace of its own; a [Port] is the cable between the two, with
// its far end at the switch, where a test can cut it or listen. A switch also
// parts two ports from each other, or blocks one protocol between them
// ([Switch.Part], [Switch.Block], [Switch.Join]). Namespaces are
// anonymous, so that nothing is left behind however the process ends.
//
// Everything here needs root. Tests begin with [Require], which skips without
// it, or fails when HAFENCE_REQUIRE_LAB=1.
//
//	lab.Require(t)
//	sw, _ := lab.NewSwitch()
//	defer sw.Close()
//	a, _ := lab.NewHost("a")
//	defer a.Close()
//	port, _ := sw.Plug(a, "eth0", netip.MustParsePrefix("10.0.0.1/24"))
//	err := a.Do(func() error { return listenSomewhere() })
package lab
