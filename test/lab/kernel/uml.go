package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// umlProgram is Debian's user-mode Linux: a kernel that is a process.
const umlProgram = "linux.uml"

// umlCommand is the keeper's command line for one boot. Both descriptors are
// the keeper's ends, see the agent's keep.go.
func umlCommand(o Options, taps []string, lifeline, serial *os.File) (*exec.Cmd, error) {
	kernel, err := exec.LookPath(umlProgram)
	if err != nil {
		return nil, fmt.Errorf("find %s (Debian: user-mode-linux): %w", umlProgram, err)
	}
	agentPath, err := agent()
	if err != nil {
		return nil, err
	}
	shimPath, err := shim()
	if err != nil {
		return nil, err
	}
	args := []string{
		"keep", kernel,
		fmt.Sprintf("mem=%dM", o.Memory),
		"rootfstype=hostfs", "rootflags=/", "ro", "init=" + agentPath,
		"noreboot",                      // the host boots it again: only then is the tap free
		"uml_dir=/dev/shm", "umid=boot", // private to the machine, see the keeper
		"con=null", "con0=null,fd:1", "console=tty0",
		"ssl=null", "ssl0=fd:3",
	}
	for i, tap := range taps {
		// Without gro UML refuses the big frames that the host's kernel hands over.
		args = append(args, fmt.Sprintf("vec%d:transport=tap,ifname=%s,depth=128,gro=1,mac=%s", i, tap, o.NICs[i].MAC))
	}
	cmd := exec.Command(agentPath, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "KEEP_PRELOAD=" + shimPath, "KEEP_CPU=" + strconv.Itoa(o.CPU-1)}
	cmd.ExtraFiles = []*os.File{lifeline, serial}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Setpgid:    true, // an interrupt at the terminal is for the test, which then ends the machine
	}
	return cmd, nil
}

// umlModules is the directory of the kernel's modules, or why there is none.
func umlModules() error {
	if found, _ := filepath.Glob("/usr/lib/uml/modules/*/modules.dep"); len(found) == 0 {
		return fmt.Errorf("find the modules of %s in /usr/lib/uml/modules: %w", umlProgram, os.ErrNotExist)
	}
	return nil
}

// hostName is what is left of a name that a kernel accepts for its own.
func hostName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
}
