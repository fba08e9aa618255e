package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Backend is the program that is a machine's computer.
type Backend int

// The backends.
const (
	UML  Backend = iota + 1 // user-mode Linux, a kernel that is a process: quick
	QEMU                    // an emulated PC with Debian's kernel for the cloud: has everything
)

// PacketGate, among a machine's modules, asks for nf_tables with the families that
// the packet gate needs, ip and arp. User-mode Linux has neither
// (CONFIG_NF_TABLES_IPV4 and _ARP are not set): such a machine runs in QEMU.
const PacketGate = "packet-gate"

// packetGateModule is what is loaded for it; the rest follows by itself.
const packetGateModule = "nf_tables"

// probePatience is for the boot that shows whether user-mode Linux runs here.
const probePatience = 30 * time.Second

// String is the backend's name, as the agent knows it.
func (b Backend) String() string {
	switch b {
	case UML:
		return "uml"
	case QEMU:
		return "qemu"
	}
	return fmt.Sprintf("Backend(%d)", int(b))
}

// missing is what the backend lacks on this host.
func (b Backend) missing() error {
	switch b {
	case UML:
		return umlMissing()
	case QEMU:
		return qemuMissing()
	}
	return fmt.Errorf("%v is no backend", b)
}

// choose returns the backend for a machine with these modules, and why it is not
// user-mode Linux.
func choose(modules []string) (Backend, error) {
	if slices.Contains(modules, PacketGate) {
		return QEMU, errors.New("user-mode Linux has no nftables families for the packet gate")
	}
	if err := umlRuns(); err != nil {
		return QEMU, fmt.Errorf("user-mode Linux does not run here: %w", err)
	}
	return UML, nil
}

// umlVerdict is that of umlRuns for this process.
var umlVerdict struct {
	once sync.Once
	err  error
}

// umlRuns boots a machine, once for each boot of this host: some containers, and
// some kernels, don't let it trace processes.
func umlRuns() error {
	umlVerdict.once.Do(func() {
		if umlVerdict.err = umlMissing(); umlVerdict.err != nil {
			return
		}
		id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
		_, umlVerdict.err = cached("runs-"+strings.TrimSpace(string(id)), "", func(target, _ string) error {
			return errors.Join(bootOnce(UML), os.WriteFile(target, nil, 0o600))
		})
	})
	return umlVerdict.err
}

func bootOnce(b Backend) error {
	machine, err := Start(Options{Name: "probe", Backend: b})
	if err != nil {
		return err
	}
	defer machine.Close()
	ctx, cancel := context.WithTimeout(context.Background(), probePatience)
	defer cancel()
	return machine.Ready(ctx)
}

// modprobes are modules as the agent loads them.
func modprobes(modules []string) []string {
	modules = slices.Clone(modules)
	for i, module := range modules {
		if module == PacketGate {
			modules[i] = packetGateModule
		}
	}
	return modules
}

// launch is what the keeper starts.
type launch struct {
	args      []string
	variables []string // the keeper's own, beside KEEP_CPU
}

// keeperCommand is the keeper's command line for one boot. Both descriptors are
// the keeper's ends, see the agent's keep.go.
func keeperCommand(o Options, taps []string, lifeline, serial *os.File) (*exec.Cmd, error) {
	prepare := umlLaunch
	if o.Backend == QEMU {
		prepare = qemuLaunch
	}
	launch, err := prepare(o, taps)
	if err != nil {
		return nil, err
	}
	agentPath, err := agent()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(agentPath, append([]string{"keep"}, launch.args...)...)
	cmd.Env = append(launch.variables, "PATH="+os.Getenv("PATH"), "KEEP_CPU="+strconv.Itoa(o.CPU-1))
	cmd.ExtraFiles = []*os.File{lifeline, serial}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Setpgid:    true, // an interrupt at the terminal is for the test, which then ends the machine
	}
	return cmd, nil
}
