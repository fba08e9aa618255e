package config

import (
	"net/netip"
	"os"
	"strings"
)

// Options say on which node a configuration is read.
type Options struct {
	// ID is the config-id that @id lines are compared with, and ${_INSTANCE};
	// "" is the short host name.
	ID string
	// Node overrides "node" of the consensus block; "" leaves it as the file
	// says, or the short host name.
	Node string
	// ReadFile reads a file instead of os.ReadFile; included files that it says
	// don't exist are passed over with a warning.
	ReadFile func(name string) ([]byte, error)
	// Glob finds the files of an include with wildcards, instead of
	// filepath.Glob; without it but with ReadFile, wildcards match nothing.
	Glob func(pattern string) ([]string, error)
}

// Load reads and checks a configuration file and all it includes. The Config is
// nil when any problem is an Error; problems are in the order of their places.
func Load(path string, opts Options) (*Config, []Problem) {
	read := opts.ReadFile
	if read == nil {
		read = os.ReadFile // not readFile: the main file may be a pipe
	}
	text, err := read(path)
	if err != nil {
		return nil, []Problem{{File: path, Severity: Error, Msg: "read configuration: " + reason(err)}}
	}
	return Parse(path, text, opts)
}

// Parse is Load for text that is at hand; name stands in problems, and relative
// includes are relative to its directory.
func Parse(name string, text []byte, opts Options) (*Config, []Problem) {
	host := shortHostName()
	if opts.ID == "" {
		opts.ID = host
	}
	r := newReport()
	root := parseTree(r, name, text, opts)
	c := &checker{report: r, id: opts.ID, node: opts.Node, config: defaults(host), seen: map[string]*node{},
		serverGroups: map[string]*serverGroup{}, trackFiles: map[string]*TrackFile{}}
	if opts.Node != "" {
		c.config.Consensus.Node = opts.Node
	}
	c.top(root)
	if r.failed() {
		return nil, r.result()
	}
	return c.config, r.result()
}

// parseTree reads text and its includes into a tree.
func parseTree(r *report, name string, text []byte, opts Options) *node {
	t := newTree(r)
	in := &reader{
		report: r, id: opts.ID, emit: t.add, files: 1,
		readFile: opts.ReadFile, glob: opts.Glob, variables: map[string]*variable{},
	}
	if in.readFile == nil {
		in.readFile = readFile
		if in.glob == nil {
			in.glob = glob
		}
	}
	if in.glob == nil {
		in.glob = func(string) ([]string, error) { return nil, nil }
	}
	in.read(name, text)
	return t.finish()
}

// defaults returns a Config before anything is read.
func defaults(host string) *Config {
	return &Config{
		Global: Global{
			RouterID:    host,
			VRRPVersion: 2,
			GARP: GARP{
				Delay: garpDelayDefault, Repeat: garpRepeatDefault, RefreshRepeat: garpRefreshRepeat,
			},
			MulticastIPv4: netip.MustParseAddr(multicastDefault),
		},
		Consensus: Consensus{
			Node: host, DataDir: DefaultDataDir, LeaseTTL: DefaultLeaseTTL, ClockDrift: DefaultClockDrift,
		},
		Fence:  Fence{Gate: true, Lifetime: true, WatchdogTimeout: DefaultWatchdogTimeout, LockMemory: true},
		Status: Status{Socket: DefaultSocket},
	}
}

// shortHostName returns the host name up to its first dot.
func shortHostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	short, _, _ := strings.Cut(name, ".")
	return short
}
