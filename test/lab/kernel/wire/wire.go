// Package wire is what a machine's agent and the host say to each other over
// the machine's serial line: one JSON object per line, each way. Bytes travel
// as base64, as encoding/json has it, so that every output is safe.
//
// The agent says [Hello] when it runs, the host sends [Setup], and the agent
// says Ready. From then on each [Start] makes a process, known by its ID, which
// is the host's choice and never used again in this boot. A process's last reply
// carries [Exit].
//
// At most [Window] bytes may be on their way to the agent, which says how many it
// has read. More would fill the guest's terminal layer, and user-mode Linux 6.1
// has a defect there: a serial line whose input was once held back stays deaf.
//
// Plain values, no state. Not implemented: any check of who speaks; the line has
// two ends.
//
//	err := json.NewEncoder(line).Encode(wire.Request{ID: 1, Start: &wire.Start{Args: []string{"true"}}})
package wire

// Window is how many bytes the host may have sent without an [Reply.Ack]: well
// below the 4,096 of the guest's terminal layer (N_TTY_BUF_SIZE).
const Window = 2048

// ChunkMax is the most bytes of a process's input or output in one message.
const ChunkMax = 32 << 10

// Request is one message from the host. At most one field beside ID is set.
type Request struct {
	ID     int    `json:"id,omitempty"`     // of the process; 0 with Setup
	Setup  *Setup `json:"setup,omitempty"`  // once, after Hello; may come again to load more modules
	Start  *Start `json:"start,omitempty"`  // a process
	Input  []byte `json:"input,omitempty"`  // for its standard input, at most ChunkMax; an empty message ends it
	Signal int    `json:"signal,omitempty"` // to its process group
}

// Reply is one message from the agent. Exactly one field beside ID is set.
type Reply struct {
	ID      int    `json:"id,omitempty"`
	Hello   *Hello `json:"hello,omitempty"`
	Ack     int    `json:"ack,omitempty"`     // so many more bytes were read
	Ready   bool   `json:"ready,omitempty"`   // the setup is done
	Failed  string `json:"failed,omitempty"`  // the setup is not; why
	Started int    `json:"started,omitempty"` // process id in the guest
	Stdout  []byte `json:"stdout,omitempty"`
	Stderr  []byte `json:"stderr,omitempty"`
	Exit    *Exit  `json:"exit,omitempty"` // the process's end, after all of its output
}

// Hello is the agent's first message.
type Hello struct {
	Release string `json:"release"` // of the guest's kernel
}

// Setup is what a machine needs before it is of use.
type Setup struct {
	Hostname string   `json:"hostname,omitempty"`
	Data     string   `json:"data,omitempty"`    // the host's directory that is mounted on /data
	Modules  []string `json:"modules,omitempty"` // each a name and parameters, as modprobe takes them
	Links    []Link   `json:"links,omitempty"`
}

// Link is a network interface: the n-th of the machine becomes ethN.
type Link struct {
	Addresses []string `json:"addresses,omitempty"` // CIDR
}

// Start makes a process.
type Start struct {
	Args     []string `json:"args"`
	Env      []string `json:"env,omitempty"` // in addition to the agent's
	Dir      string   `json:"dir,omitempty"` // "" is /
	Terminal *Size    `json:"terminal,omitempty"`
}

// Size is a terminal's, in characters.
type Size struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

// Exit is how a process ended.
type Exit struct {
	Code  int    `json:"code"`            // its exit status; 128 + n after signal n
	Error string `json:"error,omitempty"` // why it did not start
}
