// Package machines holds the bad days that only a whole machine can have: a watchdog
// that resets it, a kernel that refuses what a director must do, a hypervisor that
// pauses it. Each is a test on machines of the kernel lab with a kernel and a softdog
// of their own, judged from outside by one who asks by ARP who has the VIP.
//
// # What is proven
//
// The watchdog alone (DESIGN §5, layer 4). The packet gate and the address's lifetime
// are off in these machines, so that nothing else silences a VIP whose guard is dead:
// I1 and I4 rest on the reset, which has to come before the lease is over. That is so
// where watchdog_timeout is shorter than lease_ttl.
//
// # Concurrency and units
//
// Tests run one after another, since a machine that has to wait for a CPU for longer
// than its watchdog's timeout is reset. The tests with three directors share one
// cluster, which each of them leaves as it found it. Instants are CLOCK_BOOTTIME of the
// host; the log of go test -v has the figures.
//
// # Not implemented
//
// Hardware watchdogs. Their drivers differ from softdog in what they refuse;
// fence's own tests have that.
//
//	c := threeDirectors(t)
//	c.directors[0].killAll(t)
package machines
