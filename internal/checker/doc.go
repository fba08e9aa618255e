// Package checker is the assembly of the checker process: it runs the health checks
// and keeps IPVS as the configuration and their results want it. Beside
// internal/node it is the only place where rooms meet.
//
// # What it keeps
//
// I7: it never flushes. At the start it adopts what its previous life has left in
// IPVS, and goes on with what was known of the real servers; when it dies the
// kernel keeps all of it. What the ledger does not name and the configuration does
// not want is foreign, and left alone. Its death costs no VIP: it holds none.
//
// # Concurrency
//
// One goroutine owns pools, table and configuration. The runner, the watchers of
// files, addresses and BFD sessions, and the status socket bring news or questions.
// The guard hears a heartbeat every second while that goroutine turns and no check
// hangs.
//
// # Not implemented
//
// Mail and FIFO about real servers.
//
//	c, err := checker.Open(checker.Options{ConfigFile: path, GuardFD: guard.FD, Logger: logger})
//	err = c.Run(ctx)
package checker
