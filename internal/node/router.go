package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/internal/track"
	"github.com/hafence/hafence/vrrp"
)

// router is an instance's hands and ears: its socket, its filter, and the
// announcers of the interfaces that its VIPs are on. The controller's goroutine
// owns it; only the reading of packets happens elsewhere.
type router struct {
	config  config.Instance
	group   netip.Addr // multicast group
	logger  hclog.Logger
	packetC chan<- packet

	filter     *vrrp.Filter
	socket     *vrrp.Socket // nil while the interface can't be used
	announcers map[string]*vrrp.Announcer
	look       track.Interface // what the socket was opened for
	reading    sync.WaitGroup
	deaf       *atomic.Bool // the socket's reader has ended

	sent, received uint64
	sendFailure    string // the last one, so that one failure is one log line
	differing      map[netip.Addr]bool
}

// packet is what a router's socket received.
type packet struct {
	router *router
	packet vrrp.Packet
}

// sendersMax bounds how many senders of other VIPs are remembered.
const sendersMax = 64

func newRouter(c config.Instance, group netip.Addr, packetC chan<- packet, logger hclog.Logger) *router {
	return &router{
		config: c, group: group, packetC: packetC, logger: logger.With("instance", c.Name),
		filter: vrrp.NewFilter(filterConfig(c, c.UnicastSource)), differing: map[netip.Addr]bool{},
	}
}

// source is the address that advertisements leave from.
func (r *router) source(look track.Interface) netip.Addr {
	if r.config.UnicastSource.IsValid() {
		return r.config.UnicastSource
	}
	return look.Address
}

// follow opens and closes the socket as the interface comes and goes.
func (r *router) follow(ctx context.Context, look track.Interface) error {
	if look == r.look && (r.socket != nil) == (look.Fault == "") && (r.deaf == nil || !r.deaf.Load()) {
		return nil
	}
	r.close()
	r.look = look
	if look.Fault != "" {
		return nil
	}
	source := r.source(look)
	socket, err := vrrp.Open(vrrp.SocketConfig{
		Interface: look.Name, Source: source, Group: r.group, Peers: r.config.UnicastPeers, ID: vrrp.ID(r.config.RouterID),
	})
	if err != nil {
		r.look = track.Interface{}
		return err
	}
	r.socket, r.sendFailure, r.deaf = socket, "", &atomic.Bool{}
	r.filter.Reconfigure(filterConfig(r.config, source))
	deaf := r.deaf
	r.reading.Go(func() {
		defer deaf.Store(true)
		r.read(ctx, socket)
	})
	return nil
}

// read passes packets on until the socket is closed.
func (r *router) read(ctx context.Context, socket *vrrp.Socket) {
	for {
		p, err := socket.Receive()
		if err != nil {
			return // closed, or broken: then follow opens another
		}
		p.Payload = slices.Clone(p.Payload) // the socket uses its buffer again
		select {
		case r.packetC <- packet{router: r, packet: p}:
		case <-ctx.Done():
			return
		}
	}
}

// hear filters a packet. Whoever lists other VIPs is named once.
func (r *router) hear(p vrrp.Packet) (vrrp.Heard, bool) {
	heard := r.filter.Check(p)
	if heard.Drop != 0 {
		return heard, false
	}
	r.received++
	if heard.AddressesDiffer && !r.differing[p.Source] && len(r.differing) < sendersMax {
		r.differing[p.Source] = true
		r.logger.Warn("a router advertises other VIPs than are configured here; its configuration or ours is wrong", "from", p.Source, "vips", heard.Advert.Addresses)
	}
	return heard, true
}

// send sends an advertisement.
func (r *router) send(priority vrrp.Priority) {
	if r.socket == nil {
		return // the interface is gone; nobody could hear it
	}
	advert := vrrp.Advertisement{
		Version: vrrp.Version(r.config.Version), ID: vrrp.ID(r.config.RouterID), Priority: priority,
		Auth: authentication(r.config), Interval: r.config.AdvertInterval, Addresses: addresses(r.config),
	}
	if err := r.transmit(advert); err != nil {
		if err.Error() != r.sendFailure {
			r.logger.Warn("cannot send an advertisement", "error", err)
		}
		r.sendFailure = err.Error()
		return
	}
	r.sent++
	r.sendFailure = ""
}

func (r *router) transmit(advert vrrp.Advertisement) error {
	var failed []error
	for _, destination := range r.socket.Destinations() {
		message, err := advert.Append(nil, vrrp.Path{Source: r.source(r.look), Destination: destination})
		if err != nil {
			return fmt.Errorf("encode an advertisement: %w", err)
		}
		if err := r.socket.SendTo(destination, message); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// announce broadcasts gratuitous ARP for every VIP, repeat times over.
func (r *router) announce(repeat int) {
	for range repeat {
		for _, v := range r.config.Addresses {
			if err := r.announceOne(v); err != nil {
				r.logger.Warn("cannot announce a VIP", "vip", v.Prefix.Addr(), "error", err)
				return
			}
		}
	}
}

func (r *router) announceOne(v config.VIP) error {
	a, ok := r.announcers[v.Interface]
	if !ok {
		var err error
		if a, err = vrrp.OpenAnnouncer(v.Interface); err != nil {
			return err
		}
		if r.announcers == nil {
			r.announcers = map[string]*vrrp.Announcer{}
		}
		r.announcers[v.Interface] = a
	}
	if err := a.Announce(v.Prefix.Addr()); err != nil {
		_ = a.Close() // the interface may have been made anew: open it again next time
		delete(r.announcers, v.Interface)
		return err
	}
	return nil
}

func (r *router) close() {
	if r.socket != nil {
		_ = r.socket.Close()
		r.socket = nil
	}
	for name, a := range r.announcers {
		_ = a.Close()
		delete(r.announcers, name)
	}
}
