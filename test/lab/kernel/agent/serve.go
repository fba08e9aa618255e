package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/test/lab/kernel/wire"
)

// A driver may still be looking for its device when this begins.
const (
	linePatience = 10 * time.Second
	lineInterval = 10 * time.Millisecond
)

// server does what the host asks. One goroutine reads requests; each process has
// its own for its output.
type server struct {
	backend backend
	modules string // the host's directory of the kernel's modules, without its release

	replyMu sync.Mutex
	replies *json.Encoder

	processesMu sync.Mutex
	processes   map[int]*process // by the host's ID
}

// serve answers the host until the line fails.
func serve(backend backend, modules string) error {
	line, err := openLine(backend.serialLine)
	if err != nil {
		return err
	}
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	s := &server{backend: backend, modules: modules, replies: json.NewEncoder(line), processes: map[int]*process{}}
	s.reply(wire.Reply{Hello: &wire.Hello{Release: release}})
	requests := json.NewDecoder(acknowledged{line, s})
	for {
		var request wire.Request
		if err := requests.Decode(&request); err != nil {
			return fmt.Errorf("read %s: %w", backend.serialLine, err)
		}
		s.handle(request)
	}
}

// acknowledged reads the line and tells the host how far.
type acknowledged struct {
	line   io.Reader
	server *server
}

func (a acknowledged) Read(p []byte) (int, error) {
	n, err := a.line.Read(p)
	if n > 0 {
		a.server.reply(wire.Reply{Ack: n})
	}
	return n, err
}

func (s *server) handle(request wire.Request) {
	switch {
	case request.Setup != nil:
		if err := s.setUp(*request.Setup); err != nil {
			s.reply(wire.Reply{Failed: err.Error()})
			return
		}
		s.reply(wire.Reply{Ready: true})
	case request.Start != nil:
		s.start(request.ID, *request.Start)
	default:
		s.processesMu.Lock()
		p := s.processes[request.ID]
		s.processesMu.Unlock()
		if p != nil { // it may have ended meanwhile
			p.handle(request)
		}
	}
}

func (s *server) start(id int, start wire.Start) {
	p, err := startProcess(start)
	if err != nil {
		s.reply(wire.Reply{ID: id, Exit: &wire.Exit{Code: 127, Error: err.Error()}})
		return
	}
	s.processesMu.Lock()
	s.processes[id] = p
	s.processesMu.Unlock()
	s.reply(wire.Reply{ID: id, Started: p.cmd.Process.Pid})
	go func() {
		var copying sync.WaitGroup
		copying.Go(func() { s.copy(p.stdout, func(b []byte) { s.reply(wire.Reply{ID: id, Stdout: b}) }) })
		copying.Go(func() { s.copy(p.stderr, func(b []byte) { s.reply(wire.Reply{ID: id, Stderr: b}) }) })
		code := p.wait(&copying)
		s.processesMu.Lock()
		delete(s.processes, id)
		s.processesMu.Unlock()
		s.reply(wire.Reply{ID: id, Exit: &wire.Exit{Code: code}})
	}()
}

func (s *server) copy(from io.Reader, send func([]byte)) {
	for buffer := make([]byte, wire.ChunkMax); ; {
		n, err := from.Read(buffer)
		if n > 0 {
			send(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// reply ends the machine when the line is gone: nobody could reach it any more.
func (s *server) reply(reply wire.Reply) {
	s.replyMu.Lock()
	defer s.replyMu.Unlock()
	if err := s.replies.Encode(reply); err != nil {
		fmt.Fprintf(os.Stderr, "agent: write %s: %v\n", s.backend.serialLine, err)
		os.Exit(1)
	}
}

// openLine opens the serial line for bytes: no echo, no signals, no translation.
func openLine(device string) (*os.File, error) {
	line, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	for end := time.Now().Add(linePatience); errors.Is(err, os.ErrNotExist) && time.Now().Before(end); {
		time.Sleep(lineInterval)
		line, err = os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, err
	}
	termios, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
	if errors.Is(err, unix.ENOTTY) {
		return line, nil // QEMU's knows nothing but bytes
	}
	if err != nil {
		return nil, fmt.Errorf("read the mode of %s: %w", device, err)
	}
	termios.Iflag, termios.Oflag, termios.Lflag = 0, 0, 0
	termios.Cflag = termios.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	termios.Cc[unix.VMIN], termios.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(line.Fd()), unix.TCSETS, termios); err != nil {
		return nil, fmt.Errorf("set the mode of %s: %w", device, err)
	}
	return line, nil
}
