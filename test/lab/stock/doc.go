// Package stock runs tests inside Debian's stock kernel, by QEMU's software emulation:
// for what the user-mode kernel of package kernel lacks, which is nf_tables for the
// families ip and arp, the packet gate's.
//
//	func TestGate(t *testing.T) {
//		if !stock.Run(t, "ip_vs", "nf_tables") {
//			return
//		}
//		// the body runs in the machine
//	}
//
// The machine has one processor, no disk and no network of the host's: an initramfs
// holds the test binary, what it needs to run, and the directory that the environment
// variable HAFENCE_TEST_PROGRAMS names. It boots in about 3 s and ends with its test.
// Emulation is 2 to 3 times slower than the host at plain work, and much slower at
// cryptography.
//
// The kernel package is not installed, for its scripts would touch the boot loader: it
// is downloaded by apt-get and unpacked into the user's cache.
//
// One goroutine runs a machine. A machine ends with this process, however that ends.
package stock
