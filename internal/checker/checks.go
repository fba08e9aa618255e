package checker

import (
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"

	"github.com/hafence/hafence/config"
	"github.com/hafence/hafence/health"
	"github.com/hafence/hafence/internal/script"
)

// plan is what is to be checked.
type plan struct {
	checks   []health.Check
	files    []health.WatchedFile        // FILE_CHECK
	sessions map[string][]health.CheckID // BFD_CHECK, by bfd_instance
	warnings []string                    // checks that can't be made: their servers stay as they are
}

// plan translates every check of the site. known is how they were in a previous life.
func (s *site) plan(known map[string]health.PoolState) plan {
	p := plan{sessions: map[string][]health.CheckID{}}
	material, err := loadTLS(s.config.LVS.TLS)
	if err != nil {
		p.warnings = append(p.warnings, err.Error())
	}
	for _, v := range s.virtuals {
		states := checkStates(v.Name, known[v.Name])
		for i := range v.RealServers {
			r := &v.RealServers[i]
			for n := range r.Checks {
				id := health.CheckID{Service: v.Name, Server: r.Address, Name: checkName(r.Checks, n)}
				options := health.CheckOptions{ID: id, Timing: timing(r, &r.Checks[n])}
				if state, ok := states[id]; ok {
					options.Known = &state
				}
				p.add(s.config, options, &r.Checks[n], material)
			}
		}
	}
	return p
}

// checkStates finds what was known of each check.
func checkStates(service string, pool health.PoolState) map[health.CheckID]health.CheckState {
	states := map[health.CheckID]health.CheckState{}
	for _, s := range pool.Servers {
		for _, c := range s.Checks {
			states[health.CheckID{Service: service, Server: s.Addr, Name: c.Name}] = c.State
		}
	}
	return states
}

func timing(r *config.RealServer, c *config.Check) health.Timing {
	t := health.Timing{
		DelayLoop: c.Interval, Warmup: c.Warmup, Retry: c.Retry, DelayBeforeRetry: c.RetryDelay,
		RetryFromStart: c.Kind == "MISC_CHECK", Alpha: c.Alpha || r.Alpha, ReportFailures: c.LogFailures,
	}
	if c.HTTP != nil {
		t.FastRecovery = c.HTTP.FastRecovery
		t.DelayWhileDown = max(c.Interval, c.RetryDelay)
	}
	return t
}

// add translates one check. One that can't be made keeps its server as it is.
func (p *plan) add(global *config.Config, options health.CheckOptions, c *config.Check, material *health.TLS) {
	var tries []health.Checker
	var err error
	switch c.Kind {
	case "TCP_CHECK":
		tries = []health.Checker{health.TCP{Connect: connect(c, c.Connection)}}
	case "PING_CHECK":
		tries = []health.Checker{health.Ping{Connect: connect(c, c.Connection)}}
	case "HTTP_GET", "SSL_GET":
		tries, err = web(c, material)
	case "SMTP_CHECK":
		tries = []health.Checker{mail(c)}
	case "DNS_CHECK":
		one := health.DNS{Connect: connect(c, c.Connection)}
		one.Type, one.Name, err = health.ParseDNSQuestion(c.DNS.Type, c.DNS.Name)
		tries = []health.Checker{one}
	case "UDP_CHECK":
		tries = []health.Checker{datagram(c)}
	case "MISC_CHECK":
		command := script.Command{Argv: c.Misc.Script.Args, Timeout: c.Misc.Timeout}
		command.Credential, err = credential(global.Global, c.Misc.Script)
		tries = []health.Checker{health.Misc{Command: command, Dynamic: c.Misc.Dynamic}}
	case "FILE_CHECK":
		file := health.File{Weight: int64(c.File.Weight), Reverse: c.File.Reverse}
		p.files = append(p.files, health.WatchedFile{ID: options.ID, Path: c.File.Path, File: file})
	case "BFD_CHECK":
		p.sessions[c.BFD] = append(p.sessions[c.BFD], options.ID)
	default:
		panic("checker: unknown check " + c.Kind)
	}
	if err != nil {
		p.warnings = append(p.warnings, fmt.Sprintf("%s: %s of %s can't be made, its real server stays as it is: %v", c.Place, c.Kind, options.ID.Server, err))
		tries = nil
	}
	p.checks = append(p.checks, health.NewCheck(options, tries...))
}

func connect(c *config.Check, at config.Connection) health.Connect {
	return health.Connect{To: at.Target, From: source(at.Source), Interface: at.Interface, Mark: uint32(at.Mark), Timeout: c.Timeout}
}

// source leaves an address of no meaning out.
func source(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsValid() && a.Port() == 0 {
		return netip.AddrPort{}
	}
	return a
}

func mail(c *config.Check) health.SMTP {
	one := health.SMTP{Helo: c.SMTP.Helo}
	for _, host := range c.SMTP.Hosts {
		one.Hosts = append(one.Hosts, connect(c, host))
	}
	if len(one.Hosts) == 0 {
		one.Hosts = []health.Connect{connect(c, c.Connection)}
	}
	return one
}

func datagram(c *config.Check) health.UDP {
	one := health.UDP{Connect: connect(c, c.Connection), Payload: c.UDP.Payload}
	if c.UDP.RequireReply {
		one.Reply = &health.UDPReply{Data: c.UDP.Reply, MinLength: c.UDP.MinLen, MaxLength: c.UDP.MaxLen}
		for _, ones := range c.UDP.Mask {
			one.Reply.Ignore = append(one.Reply.Ignore, ^ones)
		}
	}
	return one
}

// web makes one try of each URL.
func web(c *config.Check, material *health.TLS) ([]health.Checker, error) {
	protocols := map[string]health.HTTPProtocol{"1.0": health.HTTP10, "1.0C": health.HTTP10Close, "1.1": health.HTTP11}
	var tries []health.Checker
	for _, u := range c.HTTP.URLs {
		one := health.HTTP{Connect: connect(c, c.Connection), Path: u.Path, Host: u.VirtualHost, Protocol: protocols[c.HTTP.Version]}
		for _, codes := range u.Codes {
			one.Status = append(one.Status, health.StatusRange(codes))
		}
		if u.Digest != "" {
			var sum [md5.Size]byte
			if _, err := hex.Decode(sum[:], []byte(u.Digest)); err != nil {
				return nil, fmt.Errorf("digest: %w", err)
			}
			one.Digest = &sum
		}
		if u.Pattern != nil {
			expression, err := regexp.Compile(u.Pattern.Regex)
			if err != nil {
				return nil, err
			}
			one.Pattern = &health.Pattern{Regexp: expression, NoMatch: u.Pattern.Absent, MinOffset: int64(u.Pattern.MinOffset), MaxOffset: int64(u.Pattern.MaxOffset)}
		}
		if c.HTTP.TLS {
			if material == nil {
				return nil, fmt.Errorf("the files of the SSL block can't be used")
			}
			encryption := *material
			encryption.ServerName, encryption.Compliant = serverName(c.HTTP, u), u.Compliant
			one.TLS = &encryption
		}
		tries = append(tries, one)
	}
	return tries, nil
}

// serverName is what SNI tells: sni_name, or with enable_sni the virtual host
// without its port.
func serverName(h *config.HTTPCheck, u config.URL) string {
	if h.ServerName != "" || !h.SNI {
		return h.ServerName
	}
	if host, _, err := net.SplitHostPort(u.VirtualHost); err == nil {
		return host
	}
	return u.VirtualHost
}

// loadTLS reads the files of the SSL block; nil when one can't be used.
func loadTLS(files config.CheckTLS) (*health.TLS, error) {
	material := &health.TLS{}
	if files.CA != "" {
		text, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("SSL: ca: %w", err)
		}
		material.Roots = x509.NewCertPool()
		if !material.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("SSL: ca: %s has no certificate in PEM form", files.CA)
		}
	}
	if files.Certificate != "" || files.Key != "" {
		pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
		if err != nil {
			return nil, fmt.Errorf("SSL: certificate and key: %w", err)
		}
		material.Certificates = []tls.Certificate{pair}
	}
	return material, nil
}
