package kernel

import (
	"fmt"
	"strings"
	"time"
)

// Cause is why a boot of a machine ended.
type Cause int

// The causes.
const (
	Reboot   Cause = iota + 1 // reboot(2) or sysrq b
	Softdog                   // nobody petted the watchdog in time
	Panic                     // the kernel's
	Halt                      // halt, power off, or the agent gave up
	PowerCut                  // Machine.PowerCut or Machine.Close
	Crash                     // anything else: see the console
)

// String is the cause in one or two words.
func (c Cause) String() string {
	switch c {
	case Reboot:
		return "reboot"
	case Softdog:
		return "softdog"
	case Panic:
		return "panic"
	case Halt:
		return "halt"
	case PowerCut:
		return "power cut"
	case Crash:
		return "crash"
	}
	return fmt.Sprintf("Cause(%d)", int(c))
}

// End is how and when a boot ended, as the host saw it.
type End struct {
	Cause Cause
	At    time.Time // with a monotonic reading; every process of the machine was gone by then
}

// lastWords are what a kernel writes on its console before it ends, the most
// telling first (kernel/reboot.c, kernel/panic.c, drivers/watchdog/softdog.c,
// drivers/tty/sysrq.c).
var lastWords = []struct {
	text  string
	cause Cause
}{
	{"Kernel panic", Panic},
	{"softdog: Initiating system reboot", Softdog},
	{"reboot: Restarting system", Reboot},
	{"sysrq: Resetting", Reboot},
	{"reboot: System halted", Halt},
	{"reboot: Power down", Halt},
}

// causeOf reads the cause off a console.
func causeOf(console string) Cause {
	for _, words := range lastWords {
		if strings.Contains(console, words.text) {
			return words.cause
		}
	}
	return Crash
}
