package raftstore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/hafence/hafence/consensus"
)

// frameMax is the longest frame accepted, in bytes. The largest answer is a
// cluster's status.
const frameMax = 4 << 20

// The kinds of call.
const (
	callKeepAlive = "keep_alive"
	callPropose   = "propose"
	callQuery     = "query" // whatever the assembly answers, status above all
)

// request is a call's frame.
type request struct {
	ID   uint64          `json:"id"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// response is the frame that answers the request of the same ID.
type response struct {
	ID    uint64          `json:"id"`
	Error string          `json:"error,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// keepAlive asks a voter whether a session lives.
type keepAlive struct {
	Round   uint64            `json:"round"`
	Session consensus.Session `json:"session"`
}

// proposal carries an encoded command to the leader. A node that doesn't lead
// passes it on once.
type proposal struct {
	Command []byte `json:"command"`
	Passed  bool   `json:"passed,omitempty"`
}

func encodeFrame(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	if len(body) > frameMax {
		return nil, fmt.Errorf("encode frame: %d bytes, more than %d", len(body), frameMax)
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	return append(frame, body...), nil
}

func writeFrame(w io.Writer, v any) error {
	frame, err := encodeFrame(v)
	if err != nil {
		return err
	}
	_, err = w.Write(frame) // whole: tls.Conn serialises concurrent writers
	return err
}

func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > frameMax {
		return fmt.Errorf("read frame: %d bytes, want 1 to %d", size, frameMax)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode frame: %w", err)
	}
	return nil
}
