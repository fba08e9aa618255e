package health

import (
	"fmt"
	"net/netip"
	"time"
)

// ReasonMax is the length in bytes at which [Result.Reason] is cut.
const ReasonMax = 200

// CheckID names a check. It is what carries a check's state over a reload or a
// restart, so it says where the check stands in the configuration, not what it does.
type CheckID struct {
	Service string         // the virtual server, by whatever name its owner has for it
	Server  netip.AddrPort // the real server
	Name    string         // unlike the other checks of this real server: "TCP_CHECK", "HTTP_GET 2"
}

// String gives "TCP_CHECK of 10.0.0.1:80 for TCP 192.0.2.1:80".
func (id CheckID) String() string {
	return fmt.Sprintf("%s of %s for %s", id.Name, id.Server, id.Service)
}

// Result is the outcome of one try of a check.
type Result struct {
	Up           bool
	Inconclusive bool   // it failed on this side and says nothing about the server; Up is false
	Reason       string // one short line for people: why it is up or down; never a secret
	Weight       WeightChange
	Took         time.Duration // from the start of the try to its end
}

// WeightChange is what a check says about its real server's weight
// (misc_dynamic, FILE_CHECK). The zero WeightChange leaves it as it is.
type WeightChange struct {
	Kind  WeightKind
	Value int64
}

// WeightKind says how a [WeightChange] is meant.
type WeightKind uint8

// The kinds of WeightChange; its zero Kind changes nothing.
const (
	WeightSet WeightKind = iota + 1 // in the place of the configured weight: misc_dynamic
	WeightAdd                       // on top of the configured weight: FILE_CHECK
)

// String gives "set" or "add", and "unchanged" for the zero value.
func (k WeightKind) String() string {
	switch k {
	case WeightSet:
		return "set"
	case WeightAdd:
		return "add"
	}
	return "unchanged"
}

// CheckState is what is known of a check: all that a reload or a restart of the
// checker process has to carry over.
type CheckState struct {
	Up     bool
	Ran    bool // it has been judged at least once
	Weight WeightChange
}
