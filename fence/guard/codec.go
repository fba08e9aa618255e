package guard

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MaxMessage is the largest encoded message in bytes. A datagram of this size
// fits into a socket's default send buffer.
const MaxMessage = 128 << 10

// Errors of the codec.
var (
	ErrOversize    = errors.New("message too large")
	ErrUnknownKind = errors.New("message of unknown kind")
)

// envelope is a message on the wire: {"kind":"arm","body":{…}}. Fields that a
// newer or older program adds to a body are ignored, so that a controller may
// be upgraded under a running guard; kinds are not.
type envelope struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// Encode gives the datagram of a message.
func Encode(m Message) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), err)
	}
	datagram, err := json.Marshal(envelope{Kind: m.kind(), Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), err)
	}
	if len(datagram) > MaxMessage {
		return nil, fmt.Errorf("encode %s: %w: %d bytes, at most %d", m.kind(), ErrOversize, len(datagram), MaxMessage)
	}
	return datagram, nil
}

// decoders makes a message from its body, by kind.
var decoders = func() map[string]func([]byte) (Message, error) {
	table := make(map[string]func([]byte) (Message, error))
	register[Configure](table)
	register[Arm](table)
	register[Open](table)
	register[Refresh](table)
	register[Drop](table)
	register[Farewell](table)
	register[Heartbeat](table)
	register[Ready](table)
	register[Reloading](table)
	register[Stopping](table)
	register[Configured](table)
	register[Armed](table)
	register[Opened](table)
	register[Refreshed](table)
	register[Dropped](table)
	register[Lapsed](table)
	register[Repaired](table)
	register[LayersChanged](table)
	return table
}()

func register[M Message](table map[string]func([]byte) (Message, error)) {
	var zero M
	table[zero.kind()] = func(body []byte) (Message, error) {
		var m M
		err := json.Unmarshal(body, &m)
		return m, err
	}
}

// Decode reads one datagram.
func Decode(datagram []byte) (Message, error) {
	if len(datagram) > MaxMessage {
		return nil, fmt.Errorf("decode a message: %w: %d bytes, at most %d", ErrOversize, len(datagram), MaxMessage)
	}
	var e envelope
	if err := json.Unmarshal(datagram, &e); err != nil {
		return nil, fmt.Errorf("decode a message: %w", err)
	}
	decode, ok := decoders[e.Kind]
	if !ok {
		return nil, fmt.Errorf("decode a message: %w: %.40q", ErrUnknownKind, e.Kind)
	}
	if len(e.Body) == 0 {
		return nil, fmt.Errorf("decode %s: no body", e.Kind)
	}
	m, err := decode(e.Body)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.Kind, err)
	}
	return m, nil
}
