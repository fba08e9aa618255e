package demo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/ipv4"

	"github.com/hafence/hafence/test/lab"
)

// EchoPort is the UDP port of the echo servers.
const EchoPort = 7077

// A question is a round's number; the answer repeats it and adds the node's.
const (
	questionBytes = 8
	answerBytes   = questionBytes + 1
)

func question(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// parseAnswer reads an echo server's answer.
func parseAnswer(data []byte) (number uint64, node int, ok bool) {
	if len(data) != answerBytes {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(data), int(data[questionBytes]), true
}

// echo answers questions in a node's namespace. It is no part of hafence and
// survives its death, so that an address that goes on answering shows.
type echo struct {
	conn *ipv4.PacketConn
}

func newEcho(host *lab.Host) (*echo, error) {
	var e echo
	err := host.Do(func() error {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: EchoPort})
		if err != nil {
			return err
		}
		e.conn = ipv4.NewPacketConn(conn)
		return e.conn.SetControlMessage(ipv4.FlagDst, true)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: open the echo server: %w", host.Name, err)
	}
	return &e, nil
}

// run answers from the address that was asked until the server is closed. An
// answer that cannot be sent, since the address or the cable is gone, is lost.
func (e *echo) run(node int) {
	buffer := make([]byte, datagramMax)
	for {
		n, control, from, err := e.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != questionBytes || control == nil {
			continue
		}
		_, _ = e.conn.WriteTo(append(buffer[:n:n], byte(node)), &ipv4.ControlMessage{Src: control.Dst}, from)
	}
}

func (e *echo) close() error { return e.conn.Close() }
