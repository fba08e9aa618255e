package node

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// hostID identifies this kernel and network namespace: what a guard that cleaned up
// here vouches for, and nobody elsewhere can claim.
func hostID() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("identify this host: %w", err)
	}
	info, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("identify this network namespace: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("identify this network namespace: no inode")
	}
	return fmt.Sprintf("%s/%d", strings.TrimSpace(string(boot)), stat.Ino), nil
}
