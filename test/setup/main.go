// Command setup installs what a make target needs beside Go: Debian packages, by
// name, those that are missing. It says what it does, and what to do where it can't.
//
//	go run ./test/setup test
package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// tool is a program that a job runs, or another file that it needs, and the Debian
// package that has it.
type tool struct{ program, pkg string }

// lab is what the kernel lab runs (test/lab/kernel).
var lab = []tool{
	{"linux.uml", "user-mode-linux"}, {"qemu-system-x86_64", "qemu-system-x86"}, {"/usr/lib/qemu/virtiofsd", "qemu-system-common"}, {"cc", "gcc"}, {"/usr/include/stdio.h", "libc6-dev"}, {"modprobe", "kmod"}, {"ip", "iproute2"},
}

// jobs are the make targets and what they run. The demo needs nothing: it builds
// its network by netlink.
var jobs = map[string][]tool{
	"demo":  {},
	"lab":   lab,
	"bench": append([]tool{{"keepalived", "keepalived"}}, lab...),
	"test": append([]tool{
		{"keepalived", "keepalived"}, {"nft", "nftables"}, {"git", "git"}, {"ipvsadm", "ipvsadm"}, {"ping", "iputils-ping"}, {"ps", "procps"}, {"strace", "strace"},
	}, lab...),
	"verify": {{"git", "git"}},
}

func main() {
	if len(os.Args) != 2 || jobs[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "usage: setup JOB, where JOB is one of: %s\n", strings.Join(names(), " "))
		os.Exit(2)
	}
	if err := setUp(jobs[os.Args[1]]); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func names() []string {
	var list []string
	for name := range jobs {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func setUp(tools []tool) error {
	var missing []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil && !present(t.program) && !present("/usr/sbin/"+t.program) {
			missing = append(missing, t.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	install := "apt-get install -y " + strings.Join(missing, " ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("these Debian packages are missing; install them as root: %s", install)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("no apt-get here; install what this system calls: %s", strings.Join(missing, " "))
	}
	fmt.Println("setup:", install)
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-y", "-q", "--no-install-recommends"}, missing...)} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

func present(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
