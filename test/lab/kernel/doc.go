// Package kernel is a lab of machines with kernels of their own, for what
// namespaces can't show: IPVS where the host has none, a watchdog that bites, a
// kernel that stops or dies.
//
// A [Machine] runs in one of two backends. [UML] is Debian's user-mode Linux
// (linux.uml 6.1), a kernel that is a process: no virtualisation and no disk image
// is needed. [QEMU] emulates a PC that runs Debian's kernel for the cloud, which has
// everything; it is for what user-mode Linux lacks, which is what [PacketGate] asks
// for, and for hosts where that doesn't run. Either way the machine sees the host's
// files at their own paths; what it writes stays in its memory, except below /data,
// which is a directory of the host. A [Switch] joins machines and lab hosts. [Run]
// moves a test into a machine.
//
// What always holds: nothing of a machine outlives the process that started it,
// and nothing of it is seen on the host. Each has its own PID and mount
// namespaces, under a keeper that ends when the test does, however that ends.
//
// Three defects of user-mode Linux are worked around by shim/shim.c, which is
// preloaded into it: a panic on hosts with AMX, guest programs that escape when
// it is killed, and lost wake-ups. A fourth, a serial line that goes deaf, is kept
// away by the agent's protocol (package wire). Programs in such a machine are kept
// from AVX-512, whose registers a signal handler there does not preserve.
//
// QEMU's kernel is this host's own if it has what is needed, or Debian's package,
// which apt-get downloads once into the user's cache; it is not installed. The
// host's files come by virtiofs, two servers beside each machine. What the host
// changes below /data is seen there after a second at the latest, elsewhere after
// the next boot.
//
//	                   UML            QEMU       (two cores, otherwise quiet)
//	boot               1.3 s          2.5–3 s
//	a program          20 ms          30–40 ms
//	plain work         as the host    a fifth of the host's speed
//	SHA-256            as the host    a thirtieth
//	fsync in /data     0.2 ms         0.8 ms
//	memory             50 MiB         250 MiB
//
// A machine has one processor and is bound to one CPU. Its clocks are those of the
// host; on a busy host its timers are some 20 to 100 ms late, rarely a second. All
// methods may be called from any goroutine. Sizes are in MiB, CPUs are counted from
// 1 and boots too.
//
// Not implemented: more than one processor; test binaries with the race detector in
// user-mode Linux, for which the guest's address space is too small (in QEMU they
// run); KVM, as a /dev/kvm that opens is no proof that a machine boots with it; the
// end of a machine in QEMU that is halted without being powered off; hosts other
// than Debian on amd64.
//
//	sw, err := kernel.NewSwitch()
//	defer sw.Close()
//	m, err := kernel.Start(kernel.Options{Name: "a", Switch: sw, NICs: []kernel.NIC{{}}, Modules: []string{"ip_vs"}})
//	defer m.Close()
//	err = m.Ready(ctx)
//	out, err := m.Run(ctx, "ip", "link")
//	m.PowerCut()
package kernel
