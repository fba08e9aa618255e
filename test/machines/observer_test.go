package machines

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"

	"github.com/hafence/hafence/internal/boottime"
	"github.com/hafence/hafence/internal/demo"
	"github.com/hafence/hafence/test/lab"
	"github.com/hafence/hafence/test/lab/kernel"
)

// observerAddress is what the socket's library asks for; the probes don't have it.
var observerAddress = netip.MustParsePrefix("10.0.0.200/24")

// observer asks everybody on the switch, every demo.Round, who has the VIP: by an ARP
// probe, from which no cache learns anything (RFC 5227 §2.1.1). Who answers is told by
// the hardware address. All answers come through one socket, so that a busy host can't
// change their order.
type observer struct {
	host   *lab.Host
	client *arp.Client
	doneC  chan struct{}
	tasks  sync.WaitGroup

	mu     sync.Mutex
	record demo.Record
}

func observe(t *testing.T, sw *kernel.Switch) *observer {
	t.Helper()
	o := &observer{doneC: make(chan struct{})}
	var err error
	if o.host, err = lab.NewHost("observer"); err != nil {
		t.Fatal(err)
	}
	if _, err = sw.Plug(o.host, "eth0", observerAddress); err != nil {
		t.Fatal(err)
	}
	err = o.host.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		o.client, err = arp.Dial(link)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.tasks.Go(o.ask)
	o.tasks.Go(o.listen)
	return o
}

func (o *observer) close() {
	close(o.doneC)
	_ = o.client.Close()
	o.tasks.Wait()
	_ = o.host.Close()
}

func (o *observer) ask() {
	ticker := time.NewTicker(demo.Round)
	defer ticker.Stop()
	own, unspecified := o.client.HardwareAddr(), netip.IPv4Unspecified()
	probe, err := arp.NewPacket(arp.OperationRequest, own, unspecified, make(net.HardwareAddr, len(own)), vip)
	if err != nil {
		panic(err)
	}
	for {
		select {
		case <-o.doneC:
			return
		case <-ticker.C:
		}
		o.mu.Lock()
		now := boottime.Now()
		o.record.Rounds = append(o.record.Rounds, now)
		o.record.Probes = append(o.record.Probes, demo.Probe{Sent: now})
		o.mu.Unlock()
		_ = o.client.WriteTo(probe, ethernet.Broadcast) // what can't be sent is answered by nobody
	}
}

func (o *observer) listen() {
	for {
		answer, _, err := o.client.Read()
		select {
		case <-o.doneC:
			return
		default:
		}
		mine := err == nil && answer.Operation == arp.OperationReply && bytes.Equal(answer.TargetHardwareAddr, o.client.HardwareAddr())
		if mine && answer.SenderIP == vip {
			o.answered(int(answer.SenderHardwareAddr[5]) - 1)
		}
	}
}

func (o *observer) answered(node int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := boottime.Now()
	o.record.Answers = append(o.record.Answers, demo.Answer{At: now, Node: node, Via: demo.ViaARP})
	if last := len(o.record.Probes) - 1; o.record.Probes[last].Answered == 0 {
		o.record.Probes[last].Answered, o.record.Probes[last].Node = now, node
	}
}

// judge says what was seen between two instants.
func (o *observer) judge(from, to boottime.Instant) demo.Judgement {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.record.Judge(from, to)
}

// answers are those of one director after an instant; others are those of all others.
func (o *observer) answers(node int, after boottime.Instant) (its, others []boottime.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.record.Answers {
		switch {
		case !a.At.After(after):
		case a.Node == node:
			its = append(its, a.At)
		default:
			others = append(others, a.At)
		}
	}
	return its, others
}
