package checker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hafence/hafence/health/bfd"
	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/lvs/lvstest"
)

// until waits until something is so.
func (l *life) until(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("never: %s", what)
		}
	}
}

// Goal: whatever IPVS can't have costs nothing that is there (I7). Method: wishes that
// only package lvs refuses, told to the part that keeps the kernel.
func TestInvalidWishDeletesNothing(t *testing.T) {
	a := newRealServer(t)
	kernel := &fakeKernel{Kernel: lvstest.New()}
	l := begin(t, t.TempDir(), kernel, server("192.0.2.1", "", a.block("")))
	there := "TCP 192.0.2.1:80: " + a.address + "/1"
	l.await(there)
	doneC := make(chan error)
	l.checker.askC <- func() {
		i := newIPVS(l.checker.ipvs.owned(), l.open, l.checker.logger)
		err := i.want([]lvs.Service{{}}, func([]lvs.ServiceKey) error { return nil })
		i.repair()
		if !strings.Contains(i.trouble, "stays as it is") {
			err = errors.Join(err, fmt.Errorf("trouble: %q", i.trouble))
		}
		doneC <- err
	}
	if err := <-doneC; err == nil || strings.Contains(err.Error(), "trouble") {
		t.Error(err)
	}
	l.await(there)
}

// Goal: a reload that takes a real server away tells its own script, not nobody.
// Method: notify_down of a server that leaves.
func TestRemovedServerIsNotified(t *testing.T) {
	a, b := newRealServer(t), newRealServer(t)
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	global := "global_defs {\nscript_user root\n}\n"
	l := begin(t, dir, &fakeKernel{Kernel: lvstest.New()}, global+server("192.0.2.1", "", a.block(""),
		b.block(fmt.Sprintf(`notify_down "/bin/sh -c 'echo down >> %s'"`, said))))
	l.await(sorted("TCP 192.0.2.1:80: ", a.address+"/1", b.address+"/1"))
	l.reload(global + server("192.0.2.1", "", a.block("")))
	l.await("TCP 192.0.2.1:80: " + a.address + "/1")
	l.until("notify_down ran", func() bool { text, _ := os.ReadFile(said); return len(text) > 0 })
}

// unreadable is a kernel whose table can't be read.
type unreadable struct{ *fakeKernel }

func (u *unreadable) Services() ([]lvs.Service, error) { return nil, errors.New("no memory") }

// Goal: trouble is over when IPVS is as it should be, and not before. Method: a kernel
// whose table can't be read, and news of a real server meanwhile.
func TestTroubleLastsUntilItIsOver(t *testing.T) {
	a := newRealServer(t)
	l := begin(t, t.TempDir(), nil, server("192.0.2.1", "", a.block("")))
	l.settled()
	l.checker.askC <- func() {
		l.checker.ipvs.load = func() (kernel, error) { return &unreadable{&fakeKernel{Kernel: lvstest.New()}}, nil }
	}
	l.checker.askC <- l.checker.ipvs.repair
	a.down()
	l.until("the server is down", func() bool { down, _ := l.status().Down(); return down == 1 })
	if trouble := l.status().Trouble; !strings.Contains(trouble, "no memory") {
		t.Errorf("trouble: %q", trouble)
	}
}

// Goal: where somebody else writes to IPVS, too, it is read again within a second or
// two, and not with the next repair. Method: the service is deleted under a change.
func TestSurpriseIsFollowedUpSoon(t *testing.T) {
	a, b := newRealServer(t), newRealServer(t)
	kernel := &fakeKernel{Kernel: lvstest.New()}
	l := begin(t, t.TempDir(), kernel, server("192.0.2.1", "", a.block(""), b.block("")))
	both := sorted("TCP 192.0.2.1:80: ", a.address+"/1", b.address+"/1")
	l.await(both)
	a.down()
	l.await("TCP 192.0.2.1:80: " + b.address + "/1")
	services, _ := kernel.Services()
	kernel.disturb(lvs.DeleteService{Service: services[0].ServiceKey})
	began := time.Now()
	a.up()
	l.await(both)
	if took := time.Since(began); took > repairInterval/2 {
		t.Errorf("it took %v", took)
	}
}

// Goal: the state's directory may have been another user's: nothing there makes root
// write elsewhere, or wait. Method: a symbolic link in the place of the new state, a
// FIFO in that of the old one.
func TestStateTrustsNoFile(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	for _, err := range []error{
		os.WriteFile(victim, []byte("untouched"), 0o600),
		os.Symlink(victim, filepath.Join(dir, stateFile+".new")),
		syscall.Mkfifo(filepath.Join(dir, stateFile), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	loadedC := make(chan error, 1)
	go func() {
		_, err := load(dir, 1)
		loadedC <- err
	}()
	select {
	case err := <-loadedC:
		if err == nil {
			t.Error("a FIFO was read as a state")
		}
	case <-time.After(patience):
		t.Fatal("load waits for a FIFO")
	}
	s := saved{Version: stateVersion, Boot: bootID()}
	if err := s.save(dir); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(victim); string(text) != "untouched" {
		t.Errorf("the link was followed: %q", text)
	}
}

// slowCounts is a kernel whose statistics take long.
type slowCounts struct {
	*fakeKernel
	readC chan struct{}
}

func (s *slowCounts) Statistics() ([]lvs.ServiceStatistics, error) {
	<-s.readC
	return nil, nil
}

// Goal: whoever asks for status holds up nothing but himself. Method: statistics that
// end only when a failed real server has left IPVS.
func TestStatusHoldsNothingUp(t *testing.T) {
	a := newRealServer(t)
	fake := &fakeKernel{Kernel: lvstest.New()}
	l := begin(t, t.TempDir(), fake, server("192.0.2.1", "", a.block("")))
	l.await("TCP 192.0.2.1:80: " + a.address + "/1")
	slow := &slowCounts{fake, make(chan struct{})}
	l.checker.counter.load = func() (kernel, error) { return slow, nil }
	askedC := make(chan struct{})
	go func() { defer close(askedC); l.checker.counter.read() }()
	a.down()
	l.await("TCP 192.0.2.1:80: ")
	close(slow.readC)
	<-askedC
}

// Goal: a state that could not be written is written later. Method: no directory.
func TestFailedWriteIsTriedAgain(t *testing.T) {
	a := newRealServer(t)
	l := begin(t, t.TempDir(), &fakeKernel{Kernel: lvstest.New()}, server("192.0.2.1", "", a.block("")))
	l.settled()
	unsavedC := make(chan bool, 1)
	l.checker.askC <- func() {
		c := l.checker
		dir := c.dir
		c.dir = filepath.Join(dir, "missing")
		c.save()
		c.dir = dir
		unsavedC <- c.unsaved
	}
	if !<-unsavedC {
		t.Error("it counts as written")
	}
}

// Goal: init_file of a track_file that a reload brings is written. Method: a reload.
func TestReloadWritesInitFiles(t *testing.T) {
	a := newRealServer(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "drain")
	host, port, _ := net.SplitHostPort(a.address)
	l := begin(t, dir, &fakeKernel{Kernel: lvstest.New()}, server("192.0.2.1", "", a.block("")))
	l.settled()
	l.reload(fmt.Sprintf("track_file drain {\nfile %s\nweight 1\ninit_file 7\n}\n", path) +
		server("192.0.2.1", "", fmt.Sprintf("real_server %s %s {\nweight 5\nFILE_CHECK {\ntrack_file drain\n}\n}\n", host, port)))
	l.until("the file is there", func() bool { text, _ := os.ReadFile(path); return string(text) == "7\n" })
}

// Goal: a BFD session that leaves the configuration leaves no news behind: one of the
// same name is another one. Method: a change, a reload without the session.
func TestNewsOfARemovedSessionIsForgotten(t *testing.T) {
	a := newRealServer(t)
	l := begin(t, t.TempDir(), &fakeKernel{Kernel: lvstest.New()},
		"bfd_instance peer {\nneighbor_ip 127.0.0.9\n}\n"+server("192.0.2.1", "", a.block("")))
	l.settled()
	f := l.checker.feeds
	f.changed(bfd.Change{Name: "peer", Reason: "the test"})
	l.reload(server("192.0.2.1", "", a.block("")))
	l.until("it is forgotten", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.changes) == 0
	})
}
