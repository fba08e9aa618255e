package raftstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/hafence/hafence/consensus"
)

// shake shakes hands between two settings over a pipe.
func shake(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(patient)
	_ = a.SetDeadline(deadline)
	_ = b.SetDeadline(deadline)
	config := client.Clone()
	config.ServerName, config.NextProtos = "n1", []string{ProtocolRPC}
	errC := make(chan error, 1)
	go func() { errC <- tls.Server(a, server).Handshake() }()
	if err := tls.Client(b, config).Handshake(); err != nil {
		return err
	}
	return <-errC
}

func TestFramesSurviveTheirEncoding(t *testing.T) {
	body, _ := json.Marshal(keepAlive{Round: 7, Session: consensus.Session{Node: "n1", Epoch: 3}})
	var buffer bytes.Buffer
	if err := writeFrame(&buffer, request{ID: 9, Kind: callKeepAlive, Body: body}); err != nil {
		t.Fatal(err)
	}
	var got request
	if err := readFrame(&buffer, &got); err != nil || got.ID != 9 || got.Kind != callKeepAlive || !bytes.Equal(got.Body, body) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A length beyond the limit is refused before anything is allocated for it.
func TestOversizeFrameIsRefused(t *testing.T) {
	var r request
	if err := readFrame(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}), &r); err == nil {
		t.Fatal("accepted")
	}
}

func FuzzReadFrame(f *testing.F) {
	frame, _ := encodeFrame(request{ID: 1, Kind: callPropose, Body: json.RawMessage(`{}`)})
	f.Add(frame)
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var q request
		_ = readFrame(bytes.NewReader(b), &q)
		var a response
		_ = readFrame(bytes.NewReader(b), &a)
	})
}

// Nothing a peer sends makes a node panic. Method: arbitrary calls to a store that
// leads a cluster of one.
func FuzzPerform(f *testing.F) {
	c := newCluster(f, []string{"n1"}, testTTL)
	c.leader()
	store := c.stores["n1"]
	for _, kind := range []string{callKeepAlive, callPropose, callQuery, "", "nonsense"} {
		f.Add(kind, []byte(`{}`))
		f.Add(kind, []byte(`{"round":1,"session":{"node":"n1","epoch":1},"command":"AXt9"}`))
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		store.perform(ctx, request{ID: 1, Kind: kind, Body: body})
	})
}
