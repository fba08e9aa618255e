package checker

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/config"
)

// Users. A script runs as script_user, else as keepalivedScriptUser where there is
// one, else as this process, as with keepalived.
const (
	ownUser              = "hafence"
	keepalivedScriptUser = "keepalived_script"
)

// credential finds who runs a script; nil is this process's own user.
func credential(global config.Global, s config.Script) (*syscall.Credential, error) {
	name, group := s.User, s.Group
	if name == "" {
		name, group = global.ScriptUser, global.ScriptGroup
	}
	if name == "" {
		if _, err := user.Lookup(keepalivedScriptUser); err != nil {
			return nil, nil
		}
		name = keepalivedScriptUser
	}
	found, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("find the user of a script: %w", err)
	}
	uid, err := number(found.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := number(found.Gid)
	if err != nil {
		return nil, err
	}
	if group != "" {
		named, err := user.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("find the group of a script: %w", err)
		}
		if gid, err = number(named.Gid); err != nil {
			return nil, err
		}
	}
	return &syscall.Credential{Uid: uid, Gid: gid}, nil
}

func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read the number of a user or group: %w", err)
	}
	return uint32(n), nil
}

// kept are the rights that checks and IPVS need: IPVS and marks, ICMP, low source
// ports, and to read the configuration again.
var kept = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE, unix.CAP_DAC_READ_SEARCH}

// dropRights turns root into the user hafence with only the kept rights, where that
// user exists and no script needs more: this program starts anew as that user, and
// dropRights returns only where there is nothing to drop. dir becomes that user's.
func dropRights(c *config.Config, dir string) error {
	if os.Geteuid() != 0 || hasScripts(c) {
		return nil
	}
	own, err := user.Lookup(ownUser)
	if err != nil {
		return nil // no such user: as root, which docs/OPERATING.md tells
	}
	uid, err := number(own.Uid)
	if err != nil {
		return err
	}
	gid, err := number(own.Gid)
	if err != nil {
		return err
	}
	if err := hand(dir, int(uid), int(gid)); err != nil {
		return err
	}
	self, err := os.Executable()
	if err == nil {
		err = become(uid, gid, func() error { return syscall.Exec(self, os.Args, os.Environ()) })
	}
	return fmt.Errorf("become the user %s: %w", ownUser, err)
}

// lacking says what this process can't do, having dropped its rights.
func lacking() []string {
	if os.Geteuid() == 0 {
		return nil
	}
	return []string{"scripts"}
}

// hand gives the state's directory and what is in it to a user.
func hand(dir string, uid, gid int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("hand the checker's directory over: %w", err)
	}
	for _, e := range entries {
		if err := os.Lchown(dir+"/"+e.Name(), uid, gid); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("hand the checker's directory over: %w", err)
		}
	}
	if err := os.Lchown(dir, uid, gid); err != nil {
		return fmt.Errorf("hand the checker's directory over: %w", err)
	}
	return nil
}

// become changes the user of one thread, keeps the kept rights, and starts a program,
// which replaces the whole process: so no thread is left behind with the old rights.
// Where that fails the thread ends, and the others are as they were.
func become(uid, gid uint32, start func() error) error {
	failedC := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		failedC <- changeAndStart(uid, gid, start)
	}()
	return <-failedC
}

func changeAndStart(uid, gid uint32, start func() error) error {
	for _, call := range [][4]uintptr{
		{unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0},
		{unix.SYS_SETGROUPS, 0, 0, 0},
		{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return errno
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range kept {
		data[c/32].Permitted |= 1 << (c % 32)
		data[c/32].Effective |= 1 << (c % 32)
		data[c/32].Inheritable |= 1 << (c % 32)
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	for _, c := range kept { // what is ambient outlives the start of a program
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return err
		}
	}
	return start()
}

// enoughRights reports what a configuration needs and this process has given up.
func enoughRights(c *config.Config, lacking []string) error {
	if len(lacking) > 0 && hasScripts(c) {
		return errors.New("the configuration has scripts now, which need root")
	}
	return nil
}

// hasScripts reports whether a configuration has anything to run.
func hasScripts(c *config.Config) bool {
	for _, v := range c.VirtualServers {
		if v.QuorumUp != nil || v.QuorumDown != nil {
			return true
		}
		for _, r := range v.RealServers {
			if r.NotifyUp != nil || r.NotifyDown != nil {
				return true
			}
			for _, check := range r.Checks {
				if check.Misc != nil {
					return true
				}
			}
		}
	}
	return false
}
