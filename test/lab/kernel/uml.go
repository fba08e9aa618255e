package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// umlProgram is Debian's user-mode Linux: a kernel that is a process.
const umlProgram = "linux.uml"

// umlModules is where its package keeps the modules, which modprobe looks for in
// /lib/modules.
const umlModules = "/usr/lib/uml/modules"

func umlLaunch(o Options, taps []string) (launch, error) {
	kernel, err := exec.LookPath(umlProgram)
	if err != nil {
		return launch{}, fmt.Errorf("find %s (Debian: user-mode-linux): %w", umlProgram, err)
	}
	agentPath, err := agent()
	if err != nil {
		return launch{}, err
	}
	shimPath, err := shim()
	if err != nil {
		return launch{}, err
	}
	args := []string{
		kernel,
		fmt.Sprintf("mem=%dM", o.Memory),
		"rootfstype=hostfs", "rootflags=/", "ro", "init=" + agentPath,
		"noreboot",                      // the host boots it again: only then is the tap free
		"uml_dir=/dev/shm", "umid=boot", // private to the machine, see the keeper
		"con=null", "con0=null,fd:1", "console=tty0",
		"ssl=null", "ssl0=fd:3",
		"BACKEND=" + UML.String(), "MODULES=" + umlModules, // for the agent
	}
	for i, tap := range taps {
		// Without gro UML refuses the big frames that the host's kernel hands over.
		args = append(args, fmt.Sprintf("vec%d:transport=tap,ifname=%s,depth=128,gro=1,mac=%s", i, tap, o.NICs[i].MAC))
	}
	return launch{args: args, variables: []string{"KEEP_PRELOAD=" + shimPath}}, nil
}

// umlMissing is what the backend lacks on this host.
func umlMissing() error {
	for program, pkg := range map[string]string{umlProgram: "user-mode-linux", "cc": "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("find %s (Debian: %s): %w", program, pkg, err)
		}
	}
	if found, _ := filepath.Glob(umlModules + "/*/modules.dep"); len(found) == 0 {
		return fmt.Errorf("find the modules of %s in %s: %w", umlProgram, umlModules, os.ErrNotExist)
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
