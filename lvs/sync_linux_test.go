package lvs_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hafence/hafence/lvs"
	"github.com/hafence/hafence/test/lab"
	"github.com/hafence/hafence/test/lab/kernel"
)

// syncRig is two directors and a client on one switch, in one kernel.
type syncRig struct {
	t                      *testing.T
	master, backup, client *lab.Host
	masterIPVS, backupIPVS *lvs.Kernel
}

const syncVIP = "10.0.0.50:80"

func newSyncRig(t *testing.T) *syncRig {
	t.Helper()
	r := &syncRig{t: t}
	sw, err := lab.NewSwitch()
	r.must(err)
	t.Cleanup(func() { _ = sw.Close() })
	for i, host := range []**lab.Host{&r.master, &r.backup, &r.client} {
		*host, err = lab.NewHost(fmt.Sprint("host", i))
		r.must(err)
		t.Cleanup(func() { _ = (*host).Close() })
		_, err = sw.Plug(*host, "eth0", netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", i+1)))
		r.must(err)
	}
	r.must(r.master.Do(func() (err error) { r.masterIPVS, err = lvs.Open(); return err }))
	t.Cleanup(r.masterIPVS.Close)
	r.must(r.backup.Do(func() (err error) { r.backupIPVS, err = lvs.Open(); return err }))
	t.Cleanup(r.backupIPVS.Close)
	return r
}

func (r *syncRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// serve makes the master the real server of its own service.
func (r *syncRig) serve() {
	r.t.Helper()
	var listener net.Listener
	r.must(r.master.Do(func() (err error) {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		vip := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, 0, 50), Mask: net.CIDRMask(32, 32)}}
		if err := netlink.AddrAdd(eth0, vip); err != nil {
			return err
		}
		listener, err = net.Listen("tcp4", syncVIP)
		return err
	}))
	r.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			r.t.Cleanup(func() { _ = connection.Close() })
		}
	}()
	key := lvs.AddressKey(lvs.TCP, netip.MustParseAddrPort(syncVIP))
	local := lvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Method: lvs.Direct, Weight: 1}
	mustApply(r.t, r.masterIPVS, lvs.Plan(nil, []lvs.Service{service(key, local)}, nil))
}

// connect makes a connection through the service with enough packets to be
// synchronised (sysctl net.ipv4.vs.sync_threshold), and gives the client's port.
func (r *syncRig) connect() string {
	r.t.Helper()
	var connection net.Conn
	r.must(r.client.Do(func() (err error) { connection, err = net.DialTimeout("tcp4", syncVIP, 5*time.Second); return err }))
	r.t.Cleanup(func() { _ = connection.Close() })
	for range 6 {
		_, err := connection.Write([]byte("x"))
		r.must(err)
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Sprintf(" %04X ", connection.LocalAddr().(*net.TCPAddr).Port)
}

// arrives waits until the backup knows of a connection, and says how long.
func (r *syncRig) arrives(port string, patience time.Duration) (time.Duration, bool) {
	r.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		var connections []byte
		r.must(r.backup.Do(func() (err error) { connections, err = os.ReadFile("/proc/thread-self/net/ip_vs_conn"); return err }))
		if strings.Contains(string(connections), port) {
			return time.Since(begin), true
		}
	}
	return 0, false
}

// Goal: a connection reaches a director whose backup daemon runs, beside a master
// one too, within SyncFlushDelay; and it does not when the master daemon is stopped
// before that. Method: two directors; the second stop comes at once.
func TestConnectionsReachTheBackup(t *testing.T) {
	if !kernel.Run(t, "ip_vs", "ip_vs_wlc") {
		return
	}
	r := newSyncRig(t)
	r.serve()
	daemons := []lvs.SyncDaemon{{Role: lvs.SyncBackup, Interface: "eth0", ID: 1}, {Role: lvs.SyncMaster, Interface: "eth0", ID: 1}}
	start := lvs.PlanSync(nil, lvs.SyncWant{Daemons: daemons})
	r.must(r.backupIPVS.ApplySync(start))
	r.must(r.masterIPVS.ApplySync(start))

	const noise = 3
	took, arrived := r.arrives(r.connect(), noise*lvs.SyncFlushDelay)
	if !arrived {
		t.Fatal("the connection does not reach the backup")
	}
	t.Logf("it took %s", took.Round(time.Millisecond))
	begin := time.Now()
	lost := r.connect()
	r.must(r.masterIPVS.ApplySync([]lvs.SyncOp{{Stop: true, Daemon: daemons[1]}}))
	if time.Since(begin) > time.Second {
		t.Log("the machine is too slow to tell what an early stop loses")
		return
	}
	if _, arrived := r.arrives(lost, lvs.SyncFlushDelay+time.Second); arrived {
		t.Error("an early stop loses nothing: SyncFlushDelay is not needed any more")
	}
}
