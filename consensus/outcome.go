package consensus

import "fmt"

// Outcome says what a command came to. The zero Outcome is invalid.
type Outcome uint8

// The outcomes. Everything but OK left the table as it was, except Wanted.
const (
	OK           Outcome = iota + 1
	Wanted               // Acquire: held by another, now marked as wanted by the asker
	Held                 // Acquire: held by another
	NoSession            // the command's session does not exist, or no longer
	NotHolder            // Release: the session does not hold the lease under that token
	NodeInUse            // OpenSession: another host has a session under this node's name
	Stale                // OpenSession: a later life of this node has a session. ExpireSession: of another term
	Invalid              // a field is out of range
	TableFull            // a limit of the table is reached
	VIPHeld              // a VIP of the group is held under another group's name
	OtherVersion         // the command is of another version of hafence
)

var outcomeNames = [...]string{
	OK: "ok", Wanted: "wanted", Held: "held by another", NoSession: "no such session", NotHolder: "not the holder",
	NodeInUse: "node name in use by another host", Stale: "superseded by a later start of this node",
	Invalid: "invalid command", TableFull: "table full", VIPHeld: "a VIP is held under another group's name", OtherVersion: "command of another version",
}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) && outcomeNames[o] != "" {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Result is what [Table.Apply] returns to the proposer.
type Result struct {
	Outcome Outcome `json:"outcome"`
	Session Session `json:"session,omitzero"` // OpenSession: the session now open
	Token   Token   `json:"token,omitempty"`  // Acquire: the token granted
	Holder  Session `json:"holder,omitzero"`  // Acquire: who holds the lease after the command
}
