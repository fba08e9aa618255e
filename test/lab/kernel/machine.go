package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel/wire"
)

// Limits of a machine.
const (
	memoryDefault = 256 // MiB
	memoryMin     = 64
	nicsMax       = 8
	consoleTail   = 20 // lines of the console in an error
)

// Options are what a machine is made of.
type Options struct {
	Name    string   // its host name, and what errors call it
	Memory  int      // MiB, at least 64; 0 is 256. The host gives it as it is used
	CPU     int      // the host's CPU it is bound to, counted from 1; 0 is the next in turn
	Data    string   // a directory of the host, mounted on /data to read and write; "" is none
	Modules []string // kernel modules, each with its parameters: "softdog soft_margin=2 nowayout=0"; or PacketGate
	Switch  *Switch  // where its NICs are plugged in
	NICs    []NIC    // eth0, eth1, …
	Backend Backend  // what runs it; 0 is UML where that runs and has the modules, else QEMU
	Restart bool     // boot again when it reboots, panics or its watchdog bites, not after PowerCut
}

// NIC is one network interface of a machine.
type NIC struct {
	MAC       net.HardwareAddr // nil: 02:00:00:00:00:01 and so on, in the order of plugging
	Addresses []netip.Prefix
}

// Machine is a computer with a kernel of its own. Its methods may be called
// from any goroutine.
type Machine struct {
	options Options
	ports   []*Port

	mu       sync.Mutex
	lives    []*life       // one per boot
	changedC chan struct{} // closed and replaced when lives or closed changes
	closed   bool
	setupMu  sync.Mutex
	watchers sync.WaitGroup
}

// cpuTurn counts machines, to spread them, from another CPU in each process:
// `go test` runs several.
var cpuTurn atomic.Int64

func init() { cpuTurn.Store(int64(os.Getpid())) }

// Start powers a machine on and returns at once: several can boot at the same
// time. [Machine.Ready] waits for it. The machine ends with this process,
// however that ends.
func Start(o Options) (*Machine, error) {
	o, err := complete(o)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", o.Name, err)
	}
	m := &Machine{options: o, changedC: make(chan struct{})}
	for i := range o.NICs {
		port, err := o.Switch.plug(&m.options.NICs[i], o.Name)
		if err != nil {
			return nil, errors.Join(err, m.unplug())
		}
		m.ports = append(m.ports, port)
	}
	if err := m.PowerOn(); err != nil {
		return nil, errors.Join(err, m.unplug())
	}
	return m, nil
}

// complete fills in the defaults and refuses what can't be.
func complete(o Options) (Options, error) {
	o.NICs = append([]NIC(nil), o.NICs...)
	if o.Memory == 0 {
		o.Memory = memoryDefault
	}
	switch {
	case o.Backend < 0 || o.Backend > QEMU:
		return o, o.Backend.missing()
	case o.Name == "":
		return o, errors.New("it needs a name")
	case o.Memory < memoryMin:
		return o, fmt.Errorf("%d MiB of memory: at least %d", o.Memory, memoryMin)
	case len(o.NICs) > nicsMax:
		return o, fmt.Errorf("%d NICs: at most %d", len(o.NICs), nicsMax)
	case len(o.NICs) > 0 && o.Switch == nil:
		return o, errors.New("NICs need a switch")
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return o, fmt.Errorf("which CPUs: %w", err)
	}
	if o.CPU == 0 {
		o.CPU = nthCPU(cpus, int(cpuTurn.Add(1)-1)) + 1
	}
	if !cpus.IsSet(o.CPU - 1) {
		return o, fmt.Errorf("CPU %d is not there", o.CPU)
	}
	if o.Backend == 0 {
		o.Backend, _ = choose(o.Modules)
	}
	if o.Data == "" {
		return o, nil
	}
	var err error
	if o.Data, err = filepath.Abs(o.Data); err == nil {
		_, err = os.Stat(o.Data)
	}
	return o, err
}

// nthCPU counts round.
func nthCPU(cpus unix.CPUSet, n int) int {
	n %= max(cpus.Count(), 1)
	for cpu := 0; ; cpu++ {
		if !cpus.IsSet(cpu) {
			continue
		}
		if n == 0 {
			return cpu
		}
		n--
	}
}

// PowerOn boots a machine that is off: after PowerCut, or after its end without
// Restart.
func (m *Machine) PowerOn() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("%s: it is closed", m.options.Name)
	}
	if len(m.lives) > 0 {
		select {
		case <-m.lives[len(m.lives)-1].endC:
		default:
			return fmt.Errorf("%s: it is on", m.options.Name)
		}
	}
	return m.boot()
}

// boot is called with the lock held.
func (m *Machine) boot() error {
	start := (*exec.Cmd).Start
	if m.options.Switch != nil { // the taps are there
		start = func(cmd *exec.Cmd) error { return m.options.Switch.Do(cmd.Start) }
	}
	var taps []string
	for _, port := range m.ports {
		taps = append(taps, port.Name)
	}
	l, err := begin(m.options, taps, start)
	if err != nil {
		return err
	}
	m.lives = append(m.lives, l)
	m.changed()
	m.watchers.Go(func() { m.watch(l) })
	return nil
}

// watch boots the machine again when that is wanted.
func (m *Machine) watch(l *life) {
	<-l.endC
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.options.Restart && !m.closed && !l.cut.Load() && m.lives[len(m.lives)-1] == l {
		if err := m.boot(); err == nil {
			return
		}
	}
	m.changed()
}

func (m *Machine) changed() {
	close(m.changedC)
	m.changedC = make(chan struct{})
}

// Ready waits until the machine has booted, its modules are loaded and its
// links are up. After a reboot with Restart it waits for the next boot. The
// error shows the end of the console.
func (m *Machine) Ready(ctx context.Context) error {
	for {
		m.mu.Lock()
		l, changedC := m.lives[len(m.lives)-1], m.changedC
		willBoot := m.options.Restart && !m.closed && !l.cut.Load()
		m.mu.Unlock()
		select {
		case <-l.endC: // even if it was ready
		default:
			select {
			case <-l.readyC:
				return nil
			case <-l.endC:
			case <-ctx.Done():
				return m.notReady(l, ctx.Err())
			}
		}
		if !willBoot {
			return m.notReady(l, fmt.Errorf("%w (%s)", ErrEnded, l.end.Cause))
		}
		select {
		case <-changedC:
		case <-ctx.Done():
			return m.notReady(l, ctx.Err())
		}
	}
}

func (m *Machine) notReady(l *life, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	return fmt.Errorf("%s is not ready: %w; its console ends:\n%s", m.options.Name, err, tail(l.console.String(), consoleTail))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// current is the boot that programs can run in.
func (m *Machine) current() (*life, error) {
	m.mu.Lock()
	l := m.lives[len(m.lives)-1]
	m.mu.Unlock()
	select {
	case <-l.endC:
		return nil, fmt.Errorf("%s: %w (%s)", m.options.Name, ErrEnded, l.end.Cause)
	default:
	}
	select {
	case <-l.readyC:
		return l, nil
	default:
		return nil, fmt.Errorf("%s is not ready: call Ready first", m.options.Name)
	}
}

// Load loads more kernel modules, each with its parameters.
func (m *Machine) Load(modules ...string) error {
	l, err := m.current()
	if err != nil {
		return err
	}
	m.setupMu.Lock()
	defer m.setupMu.Unlock()
	return l.setUp(wire.Setup{Modules: modprobes(modules)})
}

// Boots is how often the machine was powered on or booted again.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lives)
}

// EndOf waits for the end of the n-th boot; the first is 1.
func (m *Machine) EndOf(ctx context.Context, boot int) (End, error) {
	for {
		m.mu.Lock()
		lives, changedC, closed := m.lives, m.changedC, m.closed
		m.mu.Unlock()
		if boot <= len(lives) {
			select {
			case <-lives[boot-1].endC:
				return lives[boot-1].end, nil
			case <-ctx.Done():
				return End{}, fmt.Errorf("%s: boot %d goes on: %w", m.options.Name, boot, ctx.Err())
			}
		}
		if closed {
			return End{}, fmt.Errorf("%s: there was no boot %d", m.options.Name, boot)
		}
		select {
		case <-changedC:
		case <-ctx.Done():
			return End{}, fmt.Errorf("%s: boot %d has not begun: %w", m.options.Name, boot, ctx.Err())
		}
	}
}

// PowerCut ends the machine at once: nothing is synced, nothing is said. It
// stays off until PowerOn. Its cable stays plugged in.
func (m *Machine) PowerCut() {
	m.mu.Lock()
	l := m.lives[len(m.lives)-1]
	l.cut.Store(true) // before the end, so that it isn't booted again
	m.mu.Unlock()
	l.kill()
}

// Pause stops the machine with everything in it, as a hypervisor does. Its
// clocks jump when it is resumed: CLOCK_MONOTONIC too.
func (m *Machine) Pause() error { return m.tellKeeper('p') }

// Resume undoes Pause.
func (m *Machine) Resume() error { return m.tellKeeper('r') }

func (m *Machine) tellKeeper(command byte) error {
	l, err := m.current()
	if err != nil {
		return err
	}
	return l.tellKeeper(command)
}

// Console is what the kernel and the agent wrote in this boot, or in the last.
func (m *Machine) Console() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lives[len(m.lives)-1].console.String()
}

// Backend is what runs the machine.
func (m *Machine) Backend() Backend { return m.options.Backend }

// Port is the n-th NIC's place at the switch, counted from 0.
func (m *Machine) Port(n int) *Port { return m.ports[n] }

// Close ends the machine and takes its ports off the switch. A second call does
// nothing.
func (m *Machine) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	m.PowerCut()
	m.watchers.Wait()
	return m.unplug()
}

func (m *Machine) unplug() error {
	var errs []error
	for _, port := range m.ports {
		errs = append(errs, m.options.Switch.Unplug(port.Port))
	}
	m.ports = nil
	return errors.Join(errs...)
}
