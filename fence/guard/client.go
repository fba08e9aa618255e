package guard

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// FD is a child's file descriptor of the socket to its guard.
const FD = 3

// sendTimeout bounds how long a full socket may hold up the sender. Some
// hundred unread messages fill it: then the other side is not well.
const sendTimeout = 100 * time.Millisecond

// SendError says that a message did not go out.
type SendError struct {
	Kind string // of the message
	Err  error  // os.ErrDeadlineExceeded: the other side doesn't read; EPIPE: it is gone
}

// Error implements error.
func (e *SendError) Error() string { return fmt.Sprintf("send %s: %v", e.Kind, e.Err) }

// Unwrap gives the cause.
func (e *SendError) Unwrap() error { return e.Err }

// Client is one end of the socket pair; the controller's, as a rule.
type Client struct {
	conn *net.UnixConn
	buf  []byte // Receive's
}

// Dial takes over the file descriptor of the socket to the guard.
func Dial(fd int) (*Client, error) {
	file := os.NewFile(uintptr(fd), "guard")
	if file == nil {
		return nil, fmt.Errorf("talk to the guard: file descriptor %d is not valid", fd)
	}
	return NewClient(file)
}

// NewClient takes over an open file of the socket and closes it.
func NewClient(file *os.File) (*Client, error) {
	defer file.Close()
	kind, err := unix.GetsockoptInt(int(file.Fd()), unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, errors.New("talk to the guard: its file descriptor is not the socket that a guard passes on (hint: this command is started by hafence-guard)")
	}
	conn, err := net.FileConn(file) // duplicates, and sets close-on-exec
	if err != nil {
		return nil, fmt.Errorf("talk to the guard: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("talk to the guard: a %T is no Unix socket", conn), conn.Close())
	}
	return &Client{conn: unixConn, buf: make([]byte, MaxMessage)}, nil
}

// Send sends one message. It doesn't block for longer than a tenth of a second.
// Any number of goroutines may send. The error is a [*SendError].
func (c *Client) Send(m Message) error {
	datagram, err := Encode(m)
	if err != nil {
		return &SendError{Kind: m.kind(), Err: err}
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return &SendError{Kind: m.kind(), Err: err}
	}
	if _, err := c.conn.Write(datagram); err != nil {
		return &SendError{Kind: m.kind(), Err: err}
	}
	return nil
}

// Receive waits for the next message. io.EOF: the other side is gone. Any other
// error is about one message; the next call reads the next one. For one
// goroutine.
func (c *Client) Receive() (Message, error) {
	n, _, flags, _, err := c.conn.ReadMsgUnix(c.buf, nil)
	switch {
	case err == io.EOF:
		return nil, err
	case err != nil: // ECONNRESET: it died with messages of ours unread
		return nil, fmt.Errorf("%w (%w)", io.EOF, err)
	case n == 0:
		return nil, io.EOF
	case flags&unix.MSG_TRUNC != 0:
		return nil, fmt.Errorf("receive a message: %w", ErrOversize)
	}
	return Decode(c.buf[:n])
}

// Close closes the socket: the other side sees io.EOF.
func (c *Client) Close() error { return c.conn.Close() }

// pair makes the two ends: the guard's, and a file for the child of that name.
func pair(name string) (*Client, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	child := os.NewFile(uintptr(fds[1]), name)
	own, err := NewClient(os.NewFile(uintptr(fds[0]), "guard"))
	if err != nil {
		return nil, nil, errors.Join(err, child.Close())
	}
	return own, child, nil
}
