package demo

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/nftables"

	"github.com/hafence/hafence/test/lab"
)

// Missing says what a host lacks for the demo, and what to do about it.
type Missing struct {
	What  string
	Hint  string
	Cause error // nil where there is none
}

// Error implements error.
func (m *Missing) Error() string {
	if m.Cause == nil {
		return m.What
	}
	return fmt.Sprintf("%s: %v", m.What, m.Cause)
}

// Unwrap is the cause.
func (m *Missing) Unwrap() error { return m.Cause }

// require finds out before anything is built whether the demo can run.
func require(program string, gated bool) error {
	if os.Geteuid() != 0 {
		return &Missing{What: "not root: network namespaces, addresses and nftables need it", Hint: "run it with sudo; it touches nothing of this host's network"}
	}
	guard := filepath.Join(filepath.Dir(program), guardProgram)
	if _, err := os.Stat(guard); err != nil {
		return &Missing{What: guardProgram + " is not beside " + program, Hint: "go build -o DIRECTORY ./cmd/... puts both there", Cause: err}
	}
	return requireKernel(gated)
}

// requireKernel tries each feature in namespaces that are gone afterwards.
func requireKernel(gated bool) error {
	host, err := lab.NewHost("trial")
	if err != nil {
		return &Missing{What: "no network namespaces", Hint: "in a container, start it privileged", Cause: err}
	}
	defer host.Close()
	sw, err := lab.NewSwitch()
	if err != nil {
		return &Missing{What: "this kernel has no bridges", Hint: "modprobe bridge", Cause: err}
	}
	defer sw.Close()
	if _, err := sw.Plug(host, interfaceName); err != nil {
		return &Missing{What: "this kernel has no veth interfaces", Hint: "modprobe veth", Cause: err}
	}
	if !gated {
		return nil
	}
	if err := host.Do(tryGate); err != nil {
		return &Missing{
			What: "this kernel has no nf_tables for the families ip and arp: the packet gate, the layer of fencing that holds when every process is dead, is missing",
			Hint: "modprobe nf_tables", Cause: err,
		}
	}
	if err := sw.Join(); err != nil {
		return &Missing{What: "this kernel has no nf_tables for the family bridge, which the demo cuts nodes off with", Hint: "modprobe nf_tables", Cause: err}
	}
	return nil
}

// tryGate makes and removes a table of each family that the packet gate uses.
func tryGate() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyARP} {
		table := conn.AddTable(&nftables.Table{Name: "trial", Family: family})
		conn.AddChain(&nftables.Chain{Name: "trial", Table: table})
		conn.DelTable(table)
	}
	return conn.Flush()
}
