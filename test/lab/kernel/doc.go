// Package kernel is a lab of machines with kernels of their own, for what
// namespaces can't show: IPVS where the host has none, a watchdog that bites, a
// kernel that stops or dies.
//
// A [Machine] is Debian's user-mode Linux (linux.uml 6.1), a kernel that runs as
// a process: no virtualisation and no disk image is needed. It sees the host's
// files at their own paths; what it writes stays in its memory, except below
// /data, which is a directory of the host. A [Switch] joins machines and lab
// hosts. [Run] moves a test into a machine.
//
// What always holds: nothing of a machine outlives the process that started it,
// and nothing of it is seen on the host. Each has its own PID and mount
// namespaces, under a keeper that ends when the test does, however that ends.
//
// Three defects of user-mode Linux are worked around by shim/shim.c, which is
// preloaded into it: a panic on hosts with AMX, guest programs that escape when
// it is killed, and lost wake-ups. A fourth, a serial line that goes deaf, is kept
// away by the agent's protocol (package wire). Programs in a machine are kept
// from AVX-512, whose registers a signal handler there does not preserve.
//
// A machine boots in 1.3 s, is bound to one CPU, and takes about 50 MiB. Its
// clocks are those of the host; on a busy host its timers are some 20 to 100 ms
// late, rarely a second. All methods may be called from any goroutine. Sizes are
// in MiB, CPUs are counted from 1 and boots too.
//
// Not implemented: more than one processor; test binaries with the race detector,
// for which the guest's address space is too small; machines on architectures
// other than amd64, and under QEMU where linux.uml doesn't run: it would need a
// second Debian kernel and a way to share files that linux.uml has built in.
//
//	sw, err := kernel.NewSwitch()
//	defer sw.Close()
//	m, err := kernel.Start(kernel.Options{Name: "a", Switch: sw, NICs: []kernel.NIC{{}}, Modules: []string{"ip_vs"}})
//	defer m.Close()
//	err = m.Ready(ctx)
//	out, err := m.Run(ctx, "ip", "link")
//	m.PowerCut()
package kernel
