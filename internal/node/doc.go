// Package node is the assembly: the only place where configuration, consensus,
// VRRP and fencing meet (DESIGN §7).
//
// A [Core] decides, purely; a [Controller] is its shell: it reads packets, the
// guard's reports, the store's answers and the clock, steps the core, and performs
// what it says, in order. test/sim runs the same core against simulated
// surroundings.
//
// The core keeps I1 on its side: a lease is opened only while it is this session's
// under a token that was not spent, and is spent before its release is proposed,
// which follows the withdrawal. The guard and the kernel hold even if the core does
// not run.
//
//	controller, err := node.Open(node.Options{ConfigFile: path, GuardFD: guard.FD, Logger: logger})
//	err = controller.Run(ctx)
package node
