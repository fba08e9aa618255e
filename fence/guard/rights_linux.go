package guard

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// OOM scores (proc_pid_oom_score_adj(5)). The checker comes before the controller,
// for its death costs nothing; that before the guard, for its death is noticed; all
// of them after everything else on the host.
const (
	oomScoreGuard      = -1000 // never killed
	oomScoreController = -900
	oomScoreChecker    = -500
)

// Rights are what the operating system has granted to this process.
type Rights struct {
	MemoryLocked     bool
	OOMProtected     bool
	RealtimePriority int      // SCHED_RR 1–99, 0 for the normal class
	Missing          []string // what was asked for and refused, and why
}

// AcquireRights asks for what keeps the guard running on a host in distress:
// protection from the OOM killer, and what [Harden] asks for.
func AcquireRights(lockMemory bool, realtimePriority int) Rights {
	err := setOOMScore("self", oomScoreGuard)
	r := Harden(lockMemory, realtimePriority)
	if err != nil {
		r.Missing = append([]string{"protection from the OOM killer: " + err.Error()}, r.Missing...)
		return r
	}
	r.OOMProtected = true
	return r
}

// Harden locks this process's memory and gives every thread real-time priority,
// as asked. Refusals are reported, not fatal. The memory lock is on fault: it keeps
// what is in use, and does not make the process larger. Threads and processes
// started later inherit the priority.
func Harden(lockMemory bool, realtimePriority int) Rights {
	var r Rights
	if lockMemory {
		if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
			r.Missing = append(r.Missing, "memory lock: mlockall: "+err.Error()+" (hint: CAP_IPC_LOCK)")
		} else {
			r.MemoryLocked = true
		}
	} else {
		_ = unix.Munlockall() // nothing may have been locked
	}
	if err := setRealtime(realtimePriority); err != nil {
		r.Missing = append(r.Missing, "real-time priority: "+err.Error()+" (hint: CAP_SYS_NICE, and a cgroup with a real-time budget)")
	} else {
		r.RealtimePriority = realtimePriority
	}
	return r
}

// setOOMScore sets the score of a process; "self" or a PID.
func setOOMScore(pid string, score int) error {
	return os.WriteFile("/proc/"+pid+"/oom_score_adj", []byte(strconv.Itoa(score)), 0)
}

// setRealtime puts every thread of this process into SCHED_RR, or, with
// priority 0, into the normal class.
func setRealtime(priority int) error {
	if priority < 0 || priority > 99 {
		return fmt.Errorf("priority %d is not within 0 and 99", priority)
	}
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}
	if priority > 0 {
		attr.Policy, attr.Priority = unix.SCHED_RR, uint32(priority)
	}
	if priority == 0 {
		if now, err := unix.SchedGetAttr(0, 0); err == nil && now.Policy != unix.SCHED_RR {
			return nil // somebody else's choice of class and niceness stays
		}
	}
	// Twice: a thread may have been started by one that was not yet treated.
	return errors.Join(setScheduling(attr), setScheduling(attr))
}

func setScheduling(attr *unix.SchedAttr) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetAttr(tid, attr, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("sched_setattr: %w", err)
		}
	}
	return nil
}
