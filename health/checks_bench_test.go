package health

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hafence/hafence/internal/boottime"
)

// benchDelayLoop and benchRounds: each server is checked so often in one benchmark.
const (
	benchDelayLoop = 5 * time.Second
	benchRounds    = 4
)

// BenchmarkTCPChecks is 10,000 real servers with TCP_CHECK every 5 s. Promised: at most
// 25 % of a core, p99 of lateness 200 ms, RSS 250 MB.
//
//	go test ./health -run '^$' -bench Checks -benchtime 1x
func BenchmarkTCPChecks(b *testing.B) {
	runChecks(b, "tcp", 10_000, func(c Connect) Checker { return TCP{c} })
}

// BenchmarkHTTPChecks is 1,000 real servers with HTTP_GET every 5 s. Promised: at most
// 10 % of a core.
func BenchmarkHTTPChecks(b *testing.B) {
	runChecks(b, "http", 1_000, func(c Connect) Checker { return HTTP{Connect: c, Path: "/"} })
}

// BenchmarkFailure is 1,000 servers of which all fail in their next try: how long after
// the first of these tries ended the last one was reported. Promised: a second.
func BenchmarkFailure(b *testing.B) {
	for range b.N {
		b.ReportMetric(float64(failAtOnce(b, 1_000).Microseconds())/1000, "ms/all")
	}
}

func runChecks(b *testing.B, kind string, servers int, checker func(Connect) Checker) {
	for range b.N {
		port := startServers(b, kind)
		reports := 0
		runner := NewRunner(RunnerOptions{
			Limits: LimitsFor(descriptorLimit(b)), Now: boottime.Now, Random: rand.N[time.Duration],
			Reports: func(list []Report) {
				reports += len(list)
				for _, r := range list {
					if !r.Up {
						b.Errorf("%s: %s", r.ID, r.Result.Reason)
					}
				}
			},
		})
		var checks []Check
		for i := range servers {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), port)
			checks = append(checks, NewCheck(CheckOptions{
				ID:     CheckID{Service: "bench " + strconv.Itoa(i/16), Server: addr, Name: "CHECK"},
				Timing: Timing{DelayLoop: benchDelayLoop, Warmup: benchDelayLoop, Retry: 1, DelayBeforeRetry: time.Second},
			}, checker(Connect{To: addr, Timeout: 5 * time.Second})))
		}
		runner.Configure(checks)
		ctx, cancel := context.WithTimeout(context.Background(), (benchRounds+1)*benchDelayLoop)
		runtime.GC()
		before, began := processTime(b), time.Now()
		doneC := make(chan error)
		go func() { doneC <- runner.Run(ctx) }()
		descriptors := 0
		for ticker := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; {
			select {
			case <-ticker.C:
				descriptors = max(descriptors, openDescriptors(b))
			case <-ctx.Done():
				ticker.Stop()
			}
		}
		used, took := processTime(b)-before, time.Since(began)
		if err := <-doneC; err != nil {
			b.Error(err)
		}
		cancel()
		load := runner.Load()
		b.ReportMetric(100*float64(used)/float64(took), "%core")
		b.ReportMetric(float64(used.Microseconds())/float64(load.Lateness.Tries), "µs/try")
		b.ReportMetric(float64(load.Lateness.Quantile(0.99).Milliseconds()), "ms-late-p99")
		b.ReportMetric(float64(load.Lateness.Worst.Milliseconds()), "ms-late-worst")
		b.ReportMetric(residentMegabytes(b), "MB-RSS")
		b.ReportMetric(float64(descriptors), "descriptors")
		if reports != servers {
			b.Errorf("%d reports of %d servers", reports, servers)
		}
	}
}

// failAtOnce gives a schedule of servers at which nobody listens.
func failAtOnce(b *testing.B, servers int) time.Duration {
	var first, last boottime.Instant
	down := 0
	doneC := make(chan struct{})
	runner := NewRunner(RunnerOptions{
		Limits: LimitsFor(descriptorLimit(b)), Now: boottime.Now, Random: rand.N[time.Duration],
		Reports: func(list []Report) {
			if first == 0 {
				first = list[0].At
			}
			last = boottime.Now()
			if down += len(list); down == servers {
				close(doneC)
			}
		},
	})
	var checks []Check
	for i := range servers {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, byte(i >> 8), byte(i)}), 1)
		checks = append(checks, NewCheck(CheckOptions{
			ID: CheckID{Service: "bench", Server: addr, Name: "CHECK"}, Timing: Timing{DelayLoop: benchDelayLoop},
		}, TCP{Connect{To: addr, Timeout: 5 * time.Second}}))
	}
	runner.Configure(checks)
	ctx, cancel := context.WithCancel(context.Background())
	endC := make(chan error)
	go func() { endC <- runner.Run(ctx) }()
	<-doneC
	cancel()
	if err := <-endC; err != nil {
		b.Error(err)
	}
	return last.Sub(first)
}

// startServers starts the real servers and gives their port.
func startServers(b *testing.B, kind string) uint16 {
	b.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serversVariable+"="+kind)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = input.Close() // which ends it
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.ParseUint(strings.TrimSpace(line), 10, 16)
	if err != nil {
		b.Fatal(err)
	}
	return uint16(port)
}

func descriptorLimit(b *testing.B) uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	return limit.Cur
}

func processTime(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func openDescriptors(b *testing.B) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	return len(list)
}

func residentMegabytes(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	var kilobytes float64
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}
