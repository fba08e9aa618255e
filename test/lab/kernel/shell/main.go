// Command shell boots machines of the kernel lab and gives the developer their
// shells. They have kernels of their own and see this host's files; what they
// write is gone with them, except below /data.
//
//	go run ./test/lab/kernel/shell -modules "ip_vs,softdog soft_margin=5" -n 2
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hafence/hafence/test/lab/kernel"
)

// machinesMax is how many fit on one switch's network.
const machinesMax = 9

func main() {
	modules := flag.String("modules", "ip_vs,softdog soft_margin=60 nowayout=0", "kernel modules with their parameters, separated by commas")
	data := flag.String("data", "", "a directory of this host to mount on /data")
	count := flag.Int("n", 1, "machines, 10.0.0.1 and so on, on one switch")
	memory := flag.Int("memory", 256, "MiB of memory for each")
	flag.Parse()
	if flag.NArg() > 0 || *count < 1 || *count > machinesMax {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	options := kernel.Options{Memory: *memory, Data: *data, Modules: strings.Split(*modules, ","), Restart: true}
	if err := run(ctx, options, *count); err != nil {
		fmt.Fprintln(os.Stderr, "shell:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, options kernel.Options, count int) error {
	sw, err := kernel.NewSwitch()
	if err != nil {
		return err
	}
	defer sw.Close()
	options.Switch = sw
	var machines []*kernel.Machine
	for i := range count {
		options.Name = fmt.Sprintf("machine%d", i+1)
		address := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24)
		options.NICs = []kernel.NIC{{Addresses: []netip.Prefix{address}}}
		machine, err := kernel.Start(options)
		if err != nil {
			return err
		}
		defer machine.Close()
		machines = append(machines, machine)
	}
	for _, machine := range machines {
		if err := machine.Ready(ctx); err != nil {
			return err
		}
	}
	return newKeyboard().serve(ctx, machines)
}
