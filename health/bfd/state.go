package bfd

import "fmt"

// State is the state of a session (RFC 5880 §4.1, Sta; on the wire one less).
type State uint8

// The states.
const (
	AdminDown State = iota + 1 // ended by its operator
	Down                       // just begun, or failed
	Init                       // we hear the neighbour, and don't know that it hears us
	Up                         // each hears the other
)

// String gives the RFC's word.
func (s State) String() string {
	switch s {
	case AdminDown:
		return "AdminDown"
	case Down:
		return "Down"
	case Init:
		return "Init"
	case Up:
		return "Up"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}

// next is the state machine of RFC 5880 §6.8.6: from our state and the one received.
// AdminDown has no row: it receives nothing.
var next = map[State]map[State]State{
	Down: {AdminDown: Down, Down: Init, Init: Up, Up: Down},
	Init: {AdminDown: Down, Down: Init, Init: Up, Up: Up},
	Up:   {AdminDown: Down, Down: Down, Init: Up, Up: Up},
}

// Diagnostic says why a session's state last changed (RFC 5880 §4.1, Diag), 0–31.
type Diagnostic uint8

// The diagnostics that are defined; the others are reserved, and no error.
const (
	DiagnosticNone            Diagnostic = iota
	DiagnosticExpired                    // Control Detection Time Expired
	DiagnosticEcho                       // Echo Function Failed
	DiagnosticNeighborDown               // Neighbor Signaled Session Down
	DiagnosticForwardingReset            // Forwarding Plane Reset
	DiagnosticPathDown                   // Path Down
	DiagnosticConcatenated               // Concatenated Path Down
	DiagnosticAdmin                      // Administratively Down
	DiagnosticReverse                    // Reverse Concatenated Path Down
)

// String gives the RFC's words.
func (d Diagnostic) String() string {
	switch d {
	case DiagnosticNone:
		return "No Diagnostic"
	case DiagnosticExpired:
		return "Control Detection Time Expired"
	case DiagnosticEcho:
		return "Echo Function Failed"
	case DiagnosticNeighborDown:
		return "Neighbor Signaled Session Down"
	case DiagnosticForwardingReset:
		return "Forwarding Plane Reset"
	case DiagnosticPathDown:
		return "Path Down"
	case DiagnosticConcatenated:
		return "Concatenated Path Down"
	case DiagnosticAdmin:
		return "Administratively Down"
	case DiagnosticReverse:
		return "Reverse Concatenated Path Down"
	default:
		return fmt.Sprintf("Diagnostic(%d)", uint8(d))
	}
}
