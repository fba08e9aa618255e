package kernel

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ticks is the unit of CPU times in /proc, per second (USER_HZ).
const ticks = 100

// A machine in which nothing happens leaves its CPU to others: what is measured
// beside it counts. Method: the CPU time of all its processes over two seconds,
// after some output on its console.
func TestIdleMachineTakesNoCPU(t *testing.T) { onEach(t, idleMachineTakesNoCPU) }

func idleMachineTakesNoCPU(t *testing.T, backend Backend) {
	const window, most = 2 * time.Second, 500 * time.Millisecond
	machine := start(t, backend, Options{Name: "idle"})[0]
	must(t, machine, "sh", "-c", "echo awake > /dev/console")
	keeper := strconv.Itoa(machine.lives[0].cmd.Process.Pid)
	pids := processesIn(t, "pid", namespace(t, keeper, "pid"))
	time.Sleep(window / 2) // what was begun ends
	before := cpuTime(t, pids)
	time.Sleep(window)
	if took := cpuTime(t, pids) - before; took > most {
		t.Errorf("it took %v of %v", took, window)
	}
}

// cpuTime is what the processes have used in user and kernel mode.
func cpuTime(t *testing.T, pids []string) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // proc(5): the third field and so on
		fields := strings.Fields(rest)
		for _, field := range fields[11:13] { // utime, stime
			n, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * time.Second / ticks
		}
	}
	return sum
}
