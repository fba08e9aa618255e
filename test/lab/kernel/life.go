package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel/wire"
)

// Limits of one boot.
const (
	linePatience   = 10 * time.Second // for a message to go into the serial line
	keeperPatience = 5 * time.Second  // for the keeper to stop or continue the machine
	replyMax       = 16               // keeper's answers that nobody waits for
)

// ErrEnded is what is said to everyone who waits for a machine that has ended,
// or whose program did not live to see that.
var ErrEnded = errors.New("the machine has ended")

// life is one boot of a machine: from power on until all its processes are gone.
type life struct {
	name     string
	cmd      *exec.Cmd // the keeper
	lifeline *os.File
	serial   *os.File
	console  console
	cut      atomic.Bool // the end is our doing
	keeperC  chan byte   // the keeper's answers

	writeMu sync.Mutex // for the serial line
	onWay   int        // bytes that the agent has not acknowledged
	ackC    chan int   // the agent's acknowledgements; never full, as every one is for at least a byte

	mu        sync.Mutex
	processes map[int]*Process
	nextID    int

	setupC chan error    // answers to wire.Setup; capacity 1: one setup at a time
	helloC chan struct{} // closed when the agent speaks
	readyC chan struct{} // closed when the machine may be used
	failed error         // why it never will; set before endC closes

	endC chan struct{} // closed when it is over
	end  End           // valid once endC is closed
}

// socketPair returns our end, which waits without a thread, and the machine's.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the %s: %w", name, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// begin powers a machine on. start makes the process, in the right namespace.
func begin(o Options, taps []string, start func(*exec.Cmd) error) (*life, error) {
	lifeline, theirLifeline, err := socketPair("lifeline")
	if err != nil {
		return nil, err
	}
	defer theirLifeline.Close()
	serial, theirSerial, err := socketPair("serial line")
	if err != nil {
		return nil, errors.Join(err, lifeline.Close())
	}
	defer theirSerial.Close()
	l := &life{
		name: o.Name, lifeline: lifeline, serial: serial,
		keeperC: make(chan byte, replyMax), processes: map[int]*Process{},
		ackC: make(chan int, wire.Window), setupC: make(chan error, 1), helloC: make(chan struct{}),
		readyC: make(chan struct{}), endC: make(chan struct{}),
	}
	l.cmd, err = keeperCommand(o, taps, theirLifeline, theirSerial)
	if err == nil {
		l.cmd.Stdout, l.cmd.Stderr = &l.console, &l.console
		err = start(l.cmd)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("power on %s: %w", o.Name, err), lifeline.Close(), serial.Close())
	}
	go l.listen()
	go l.hearKeeper()
	go l.await()
	go l.setUpFirst(o)
	return l, nil
}

// await notes the end.
func (l *life) await() {
	_ = l.cmd.Wait()
	l.end = End{Cause: causeOf(l.console.String()), At: time.Now()}
	if l.cut.Load() {
		l.end.Cause = PowerCut
	}
	close(l.endC)
	_ = l.lifeline.Close()
	_ = l.serial.Close()
}

func (l *life) hearKeeper() {
	for answer := make([]byte, 1); ; {
		if _, err := l.lifeline.Read(answer); err != nil {
			return
		}
		select {
		case l.keeperC <- answer[0]:
		default:
		}
	}
}

// tellKeeper sends a command and waits until it is done.
func (l *life) tellKeeper(command byte) error {
	for len(l.keeperC) > 0 {
		<-l.keeperC // of an earlier command that nobody waited for
	}
	if _, err := l.lifeline.Write([]byte{command}); err != nil {
		return fmt.Errorf("%s: %w", l.name, ErrEnded)
	}
	patience := time.After(keeperPatience)
	for {
		select {
		case answer := <-l.keeperC:
			if answer == command {
				return nil
			}
		case <-l.endC:
			return fmt.Errorf("%s: %w", l.name, ErrEnded)
		case <-patience:
			return fmt.Errorf("%s: the keeper does not answer", l.name)
		}
	}
}

// kill ends the keeper, and with it every process of the machine.
func (l *life) kill() {
	l.cut.Store(true)
	_ = l.cmd.Process.Kill()
	<-l.endC
}

// setUpFirst prepares the machine as soon as its agent speaks.
func (l *life) setUpFirst(o Options) {
	select {
	case <-l.helloC:
	case <-l.endC:
		return
	}
	setup := wire.Setup{Hostname: hostName(o.Name), Data: o.Data, Modules: modprobes(o.Modules)}
	for _, nic := range o.NICs {
		link := wire.Link{}
		for _, address := range nic.Addresses {
			link.Addresses = append(link.Addresses, address.String())
		}
		setup.Links = append(setup.Links, link)
	}
	if err := l.setUp(setup); err != nil {
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		l.kill()
		return
	}
	close(l.readyC)
}

// setUp has one caller at a time.
func (l *life) setUp(setup wire.Setup) error {
	if err := l.send(wire.Request{Setup: &setup}); err != nil {
		return err
	}
	select {
	case err := <-l.setupC:
		return err
	case <-l.endC:
		return fmt.Errorf("%s: %w", l.name, ErrEnded)
	}
}

// send writes one message, as fast as the agent reads.
func (l *life) send(request wire.Request) error {
	rest, err := json.Marshal(request)
	if err != nil {
		return err
	}
	rest = append(rest, '\n')
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	patience := time.After(linePatience)
	for len(rest) > 0 {
		n := min(len(rest), wire.Window-l.onWay)
		if _, err := l.serial.Write(rest[:n]); err != nil {
			return fmt.Errorf("%s: write the serial line: %w", l.name, err)
		}
		rest, l.onWay = rest[n:], l.onWay+n
		if len(rest) == 0 && l.onWay < wire.Window {
			return nil // most messages are short
		}
		select {
		case n := <-l.ackC:
			l.onWay -= n
		case <-l.endC:
			return fmt.Errorf("%s: %w", l.name, ErrEnded)
		case <-patience:
			return fmt.Errorf("%s: the agent does not read the serial line", l.name)
		}
	}
	return nil
}

// listen takes the agent's messages until the line ends; whoever still waits for
// a process then learns that it is over.
func (l *life) listen() {
	replies := json.NewDecoder(l.serial)
	for {
		var reply wire.Reply
		if err := replies.Decode(&reply); err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Fprintf(&l.console, "host: read the serial line: %v\n", err)
			}
			break
		}
		l.handle(reply)
	}
	_ = l.cmd.Process.Kill() // nobody can reach it any more
	<-l.endC
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.processes {
		delete(l.processes, id)
		p.finish(0, fmt.Errorf("%s: %w (%s)", l.name, ErrEnded, l.end.Cause))
	}
}

func (l *life) handle(reply wire.Reply) {
	switch {
	case reply.Hello != nil:
		close(l.helloC)
	case reply.Ack != 0:
		l.ackC <- reply.Ack
	case reply.Ready:
		l.setupC <- nil
	case reply.Failed != "":
		l.setupC <- fmt.Errorf("set up %s: %s", l.name, reply.Failed)
	default:
		l.mu.Lock()
		p := l.processes[reply.ID]
		if reply.Exit != nil {
			delete(l.processes, reply.ID)
		}
		l.mu.Unlock()
		if p != nil {
			p.handle(reply)
		}
	}
}
