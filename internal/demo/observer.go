package demo

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/test/lab"
)

// Round is how often every node and the VIP are asked.
const Round = 10 * time.Millisecond

// Scene is what an observer looks at.
type Scene struct {
	Switch *lab.Switch
	Nodes  []*lab.Port // each node's cable, in their order
	Client *lab.Host
	VIP    netip.Addr
	// Observer is the address that the nodes are asked from on their own
	// cables. No host has it; each node gets a permanent neighbour entry for it.
	Observer netip.Addr
}

// Observer asks every node, every [Round], whether it answers for the VIP, and
// writes down what it sees.
type Observer struct {
	scene   Scene
	echoes  []*echo
	cables  []*cable
	client  *client
	doneC   chan struct{}
	tasks   sync.WaitGroup
	cleanup []func() error // in the order of opening

	mu     sync.Mutex
	record Record
	// firstProbe is the number of the record's first probe; trim moves it.
	firstProbe uint64
}

// Observe opens an observer and starts it.
func Observe(scene Scene) (*Observer, error) {
	o := &Observer{scene: scene, doneC: make(chan struct{})}
	if err := o.open(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	for i, e := range o.echoes {
		o.tasks.Go(func() { e.run(i) })
	}
	for i, c := range o.cables {
		o.tasks.Go(func() { c.listen(func(via Via, at boottime.Instant) { o.answered(Answer{At: at, Node: i, Via: via}) }) })
	}
	o.tasks.Go(func() { o.client.listen(o.clientAnswered) })
	o.tasks.Go(o.ask)
	return o, nil
}

func (o *Observer) open() error {
	for i, port := range o.scene.Nodes {
		e, err := newEcho(port.Host)
		if err != nil {
			return err
		}
		o.echoes, o.cleanup = append(o.echoes, e), append(o.cleanup, e.close)
		c, err := openCable(o.scene, port)
		if err != nil {
			return err
		}
		o.cables, o.cleanup = append(o.cables, c), append(o.cleanup, c.socket.close)
		if err := o.watchAddresses(i, port.Host); err != nil {
			return err
		}
	}
	var err error
	if o.client, err = openClient(o.scene); err != nil {
		return err
	}
	o.cleanup = append(o.cleanup, o.client.socket.close)
	return nil
}

// Close stops observing. The record stays. It may be called more than once.
func (o *Observer) Close() error {
	select {
	case <-o.doneC:
		return nil
	default:
		close(o.doneC)
	}
	var errs []error
	for _, closes := range o.cleanup {
		errs = append(errs, closes())
	}
	o.tasks.Wait()
	return errors.Join(errs...)
}

// Record is a copy of everything observed since the start or the last Forget.
func (o *Observer) Record() *Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.record.clone()
}

// Forget forgets what was before an instant.
func (o *Observer) Forget(before boottime.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.record.Probes)
	o.record.trim(before)
	o.firstProbe += uint64(n - len(o.record.Probes))
}

// ask begins the rounds.
func (o *Observer) ask() {
	ticker := time.NewTicker(Round)
	defer ticker.Stop()
	for {
		select {
		case <-o.doneC:
			return
		case <-ticker.C:
		}
		number := o.begin()
		// Whatever cannot be sent is a question that nobody answers.
		_ = o.client.ask(number)
		for _, c := range o.cables {
			c.ask(number)
		}
	}
}

// begin writes down a round and its probe before anything is sent, so that no
// answer can come too soon.
func (o *Observer) begin() (number uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := boottime.Now()
	o.record.Rounds = append(o.record.Rounds, now)
	o.record.Probes = append(o.record.Probes, Probe{Sent: now})
	return o.firstProbe + uint64(len(o.record.Probes)) - 1
}

func (o *Observer) answered(a Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.record.Answers = append(o.record.Answers, a)
}

func (o *Observer) clientAnswered(number uint64, node int, at boottime.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.record.Answers = append(o.record.Answers, Answer{At: at, Node: node, Via: ViaClient})
	if i := number - o.firstProbe; number >= o.firstProbe && i < uint64(len(o.record.Probes)) && o.record.Probes[i].Answered == 0 {
		o.record.Probes[i].Answered, o.record.Probes[i].Node = at, node
	}
}

// watchAddresses follows whether a node has the VIP.
func (o *Observer) watchAddresses(node int, host *lab.Host) error {
	changes, err := subscribe(host, o.doneC)
	if err != nil {
		return fmt.Errorf("%s: watch its addresses: %w", host.Name, err)
	}
	o.tasks.Go(func() {
		present := false
		for change := range changes {
			if change.address != o.scene.VIP || change.present == present {
				continue // somebody else's, or a lifetime that was renewed
			}
			present = change.present
			o.mu.Lock()
			o.record.Addresses = append(o.record.Addresses, Address{At: boottime.Now(), Node: node, Present: present})
			o.mu.Unlock()
		}
	})
	return nil
}
