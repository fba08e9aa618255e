package kernel

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/arp"

	"github.com/hafence/hafence/test/lab"
)

// choir counts what a listener in a machine hears, by singer.
type choir struct {
	mu    sync.Mutex
	heard map[string]int
}

// Write implements io.Writer for a listener's output.
func (c *choir) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, singer := range strings.Fields(string(text)) {
		c.heard[singer]++
	}
	return len(text), nil
}

func (c *choir) count(singer string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard[singer]
}

// hears reports whether the listener hears the singer from now on.
func (c *choir) hears(singer string, within time.Duration) bool {
	before := c.count(singer)
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(beat / 5) {
		if c.count(singer) > before+1 { // one may have been under way
			return true
		}
	}
	return false
}

// newChoir is two machines that sing and listen.
func newChoir(t *testing.T, backend Backend) (sw *Switch, machines []*Machine, choirs []*choir) {
	t.Helper()
	sw, err := NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	var options []Options
	for _, address := range []string{"10.0.0.1/24", "10.0.0.2/24"} {
		options = append(options, Options{Name: address, Switch: sw, NICs: []NIC{{Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}}})
	}
	machines = start(t, backend, options...)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, machine := range machines {
		c := &choir{heard: map[string]int{}}
		choirs = append(choirs, c)
		for _, role := range []string{"listen", "sing"} {
			if _, err := machine.Go(Command{Args: []string{binary}, Env: []string{roleVariable + "=" + role}, Stdout: c, Stderr: os.Stderr}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return sw, machines, choirs
}

// Two machines and a host share a segment, whose cables can be cut and whose
// ports can be parted, and a paused machine is silent. Method: both machines
// multicast to VRRP's group every 50 ms and report what they hear.
func TestMachinesShareASegment(t *testing.T) { onEach(t, machinesShareASegment) }

func machinesShareASegment(t *testing.T, backend Backend) {
	sw, machines, choirs := newChoir(t, backend)
	const one, two = "10.0.0.1", "10.0.0.2"
	together := func(when string) {
		t.Helper()
		if !choirs[0].hears(two, patience) || !choirs[1].hears(one, patience) {
			t.Fatalf("%s: they don't hear each other", when)
		}
	}
	apart := func(when string) {
		t.Helper()
		if choirs[0].hears(two, impatience) || choirs[1].hears(one, impatience) {
			t.Errorf("%s: they hear each other", when)
		}
	}
	steps := []struct {
		name   string
		do     func() error
		expect func(string)
	}{
		{"whole", func() error { return nil }, together},
		{"cut", machines[0].Port(0).Cut, apart},
		{"healed", machines[0].Port(0).Heal, together},
		{"parted", func() error { return sw.Part(machines[0].Port(0).Port, machines[1].Port(0).Port) }, apart},
		{"joined", sw.Join, together},
		{"paused", machines[1].Pause, func(when string) {
			if choirs[0].hears(two, impatience) {
				t.Errorf("%s: it goes on", when)
			}
		}},
		{"resumed", machines[1].Resume, together},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		step.expect(step.name)
	}
	t.Run("observer", func(t *testing.T) { observer(t, sw, machines[0]) })
}

// An observer at the switch sees the ARP of a machine, sent by it alone.
func observer(t *testing.T, sw *Switch, machine *Machine) {
	host, err := lab.NewHost("observer")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if _, err := sw.Plug(host, "eth0", netip.MustParsePrefix("10.0.0.9/24")); err != nil {
		t.Fatal(err)
	}
	var client *arp.Client
	err = host.Do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err == nil {
			client, err = arp.Dial(eth0)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(patience))
	must(t, machine, "sh", "-c", "ping -c 1 -W 5 10.0.0.9 >&2")
	for {
		packet, _, err := client.Read()
		if err != nil {
			t.Fatal(err)
		}
		if packet.SenderIP == netip.MustParseAddr("10.0.0.1") {
			if got, want := packet.SenderHardwareAddr.String(), "02:00:00:00:00:01"; got != want {
				t.Errorf("10.0.0.1 is at %s, want %s", got, want)
			}
			return
		}
	}
}
