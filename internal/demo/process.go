package demo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	endPatience = 5 * time.Second // for processes that were killed to be gone
	endPoll     = 5 * time.Millisecond
)

// descendants are the processes that pid has started, and theirs, parents first.
func descendants(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	children := map[int][]int{}
	for _, entry := range entries {
		if child, err := strconv.Atoi(entry.Name()); err == nil {
			if parent, _, ok := parentOf(child); ok {
				children[parent] = append(children[parent], child)
			}
		}
	}
	all := children[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// parentOf reads a process's parent and state (proc_pid_stat(5)). The name, in
// parentheses, may hold anything.
func parentOf(pid int) (parent int, state string, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", false // it has just ended
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0, "", false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, fields[0], err == nil
}

// isController reports whether a process is the guard's child that runs
// consensus and VRRP.
func isController(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := bytes.Split(line, []byte{0})
	return err == nil && len(words) > 1 && string(words[1]) == "controller"
}

// signalAll signals processes; one that has ended is none the less done.
func signalAll(pids []int, signal syscall.Signal) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("send %v to process %d: %w", signal, pid, err))
		}
	}
	return errors.Join(errs...)
}

// awaitEnd waits until none of the processes runs. A zombie does not.
func awaitEnd(pids []int) error {
	end := time.Now().Add(endPatience)
	for _, pid := range pids {
		for {
			_, state, ok := parentOf(pid)
			if !ok || state == "Z" || state == "X" {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("process %d does not end", pid)
			}
			time.Sleep(endPoll)
		}
	}
	return nil
}
