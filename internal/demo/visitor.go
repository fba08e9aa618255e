package demo

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netns"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// Times of visits.
const (
	visitInterval = 10 * time.Millisecond
	visitPatience = 300 * time.Millisecond // for a connection and an answer, unless the service has its own
	talkInterval  = 20 * time.Millisecond
	talkPatience  = 20 * time.Second // TCP repeats what a failover has swallowed
)

// Visit is one connection of the client to the service.
type Visit struct {
	Began, Ended boottime.Instant
	Server       string // who answered; "" when nobody did
}

// Visitor connects to the service all the time, from the client, and writes down who
// answered. Beside that it can keep up a conversation.
type Visitor struct {
	client   *lab.Host
	patience time.Duration
	doneC    chan struct{}
	tasks    sync.WaitGroup

	mu     sync.Mutex
	visits []Visit
}

// NewVisitor starts visiting the cluster's service.
func NewVisitor(c *Cluster) *Visitor {
	client := c.Client
	v := &Visitor{client: client, patience: cmp.Or(c.options.Service.Patience, visitPatience), doneC: make(chan struct{})}
	v.tasks.Go(func() { within(client, v.visitAll) })
	return v
}

// within runs fn on a thread of its own in a host's network namespace: a [lab.Host]
// has one thread, which nobody may occupy for long.
func within(host *lab.Host, fn func()) {
	doneC := make(chan struct{})
	go func() {
		defer close(doneC)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if netns.Set(host.Handle()) == nil {
			fn()
		}
	}()
	<-doneC
}

// Close ends the visits. The record stays.
func (v *Visitor) Close() {
	close(v.doneC)
	v.tasks.Wait()
}

// Visits are those that ended since an instant.
func (v *Visitor) Visits(since boottime.Instant) []Visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []Visit
	for _, visit := range v.visits {
		if !visit.Ended.Before(since) {
			list = append(list, visit)
		}
	}
	return list
}

func (v *Visitor) visitAll() {
	ticker := time.NewTicker(visitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-v.doneC:
			return
		case <-ticker.C:
		}
		visit := Visit{Began: boottime.Now()}
		if c, err := dialService(v.patience); err == nil {
			visit.Server, _ = c.say(v.patience) // nobody: ""
			c.close()
		}
		visit.Ended = boottime.Now()
		v.mu.Lock()
		v.visits = append(v.visits, visit)
		v.mu.Unlock()
	}
}

// conversation is one connection that lasts.
type conversation struct {
	conn   net.Conn
	answer *bufio.Reader
}

// dialService connects to the service from the calling thread's namespace.
func dialService(patience time.Duration) (*conversation, error) {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", vip, servicePort), patience)
	if err != nil {
		return nil, err
	}
	// A reset at the end: no port stays taken.
	_ = conn.(*net.TCPConn).SetLinger(0)
	return &conversation{conn: conn, answer: bufio.NewReader(conn)}, nil
}

// say says something and returns who answered.
func (c *conversation) say(patience time.Duration) (server string, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c.conn, "who is there"); err != nil {
		return "", err
	}
	line, err := c.answer.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (c *conversation) close() { _ = c.conn.Close() }

// Talk is a connection of the client to the service that says something all the time.
type Talk struct {
	doneC chan struct{}
	task  sync.WaitGroup

	mu     sync.Mutex
	server string
	said   int
	pause  time.Duration // the longest between two answers
	err    error         // why it ended, before it was told to
}

// NewTalk begins a conversation.
func NewTalk(client *lab.Host) *Talk {
	t := &Talk{doneC: make(chan struct{})}
	t.task.Go(func() { within(client, t.talk) })
	return t
}

func (t *Talk) talk() {
	c, err := dialService(talkPatience)
	if err != nil {
		t.end(err)
		return
	}
	defer c.close()
	last := boottime.Now()
	for {
		server, err := c.say(talkPatience)
		now := boottime.Now()
		if err != nil {
			t.end(err)
			return
		}
		t.mu.Lock()
		t.server, t.said, t.pause = server, t.said+1, max(t.pause, now.Sub(last))
		t.mu.Unlock()
		last = now
		select {
		case <-t.doneC:
			return
		case <-time.After(talkInterval):
		}
	}
}

func (t *Talk) end(err error) {
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
}

// Said is how often it was answered, by whom, and the longest pause so far. The error
// says that the connection is cut.
func (t *Talk) Said() (server string, times int, pause time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.server, t.said, t.pause, t.err
}

// Close ends the conversation.
func (t *Talk) Close() {
	close(t.doneC)
	t.task.Wait()
}
