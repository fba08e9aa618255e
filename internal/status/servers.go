package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Servers are the virtual servers of one node, as its checker has them. Times are
// seconds.
type Servers struct {
	Version string  `json:"version"` // of hafence
	Uptime  float64 `json:"uptime"`  // of the checker; it may restart without touching IPVS
	// Trouble says why the kernel's IPVS is not as it should be, "" when it is.
	Trouble string `json:"trouble,omitempty"`
	// Repaired counts what others had changed in our services and was put right, by kind.
	Repaired map[string]uint64 `json:"repaired,omitempty"`
	// Lateness is by how much checks began late, of late: the worst of a hundred, and the worst.
	Lateness       Lateness        `json:"lateness"`
	VirtualServers []VirtualServer `json:"virtual_servers"`
	Warnings       []string        `json:"warnings"`
}

// Lateness is by how much the checks of the last minute began late, in seconds.
type Lateness struct {
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// VirtualServer is a virtual_server with its real servers.
type VirtualServer struct {
	Name        string       `json:"name"` // as keepalived names it: "[192.0.2.1]:tcp:80"
	Services    []string     `json:"services"`
	Scheduler   string       `json:"scheduler"`
	Quorum      bool         `json:"quorum"`       // enough weight is up
	Needed      int64        `json:"needed"`       // weight for the quorum
	Weight      int64        `json:"weight"`       // of all that is up
	Sorry       bool         `json:"sorry"`        // the sorry server stands in
	Suspended   bool         `json:"suspended"`    // ha_suspend: none of its addresses is here
	Connections Connections  `json:"connections"`  // of all its services together
	RealServers []RealServer `json:"real_servers"` // without the sorry server
}

// Connections is the kernel's count since the service is there, and what is open now.
type Connections struct {
	Total    uint64 `json:"total"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"`
	Active   uint64 `json:"active"`
	Inactive uint64 `json:"inactive"`
}

// RealServer is a server behind a virtual server.
type RealServer struct {
	Name        string      `json:"name"`
	Up          bool        `json:"up"`      // every check says so
	InIPVS      bool        `json:"in_ipvs"` // as hafence wants it
	Weight      int         `json:"weight"`  // in IPVS
	Since       float64     `json:"since"`   // seconds in this state
	Reason      string      `json:"reason"`
	Connections Connections `json:"connections"`
	Checks      []Check     `json:"checks"`
}

// Check is a health check of a real server.
type Check struct {
	Name     string  `json:"name"` // "TCP_CHECK"…
	Up       bool    `json:"up"`
	Ran      bool    `json:"ran"`                // at least once in this configuration
	Failures int     `json:"failures,omitempty"` // in a row, while it still counts as up
	History  []Try   `json:"history,omitempty"`  // newest first
	Runs     float64 `json:"runs,omitempty"`     // seconds that the try in progress has taken; 0: none is
}

// Try is the outcome of one try of a check.
type Try struct {
	Ago    float64 `json:"ago"`
	Up     bool    `json:"up"`
	Took   float64 `json:"took"`
	Reason string  `json:"reason"`
}

// Down counts the real servers that are not up.
func (s *Servers) Down() (down, all int) {
	for _, v := range s.VirtualServers {
		for _, r := range v.RealServers {
			all++
			if !r.Up {
				down++
			}
		}
	}
	return down, all
}

// RenderSummary writes one line about the virtual servers, and what is wrong.
func RenderSummary(w io.Writer, s *Servers) error {
	lost, sorry := 0, 0
	for _, v := range s.VirtualServers {
		if !v.Quorum {
			lost++
		}
		if v.Sorry {
			sorry++
		}
	}
	down, all := s.Down()
	line := fmt.Sprintf("virtual servers: %d   real servers: %d of %d up", len(s.VirtualServers), all-down, all)
	if lost > 0 {
		line += fmt.Sprintf("   QUORUM LOST: %d (sorry server stands in: %d)", lost, sorry)
	}
	if _, err := fmt.Fprintln(w, "\n"+line); err != nil {
		return err
	}
	if s.Trouble != "" {
		fmt.Fprintln(w, "  IPVS: "+s.Trouble)
	}
	for _, text := range s.Warnings {
		fmt.Fprintln(w, "  "+text)
	}
	return nil
}

// RenderServers writes the virtual servers for people: each with what is behind it
// and why, and the last tries of what is down.
func RenderServers(w io.Writer, s *Servers) error {
	if err := RenderSummary(w, s); err != nil {
		return err
	}
	for _, v := range s.VirtualServers {
		fmt.Fprintf(w, "\n%s\n", serverLine(v))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  REAL SERVER\tSTATE\tWEIGHT\tACTIVE\tINACTIVE\tSINCE\tWHY")
		for _, r := range v.RealServers {
			fmt.Fprintf(t, "  %s\t%s\t%d\t%d\t%d\t%s\t%s\n", r.Name, r.state(), r.Weight, r.Connections.Active, r.Connections.Inactive, since(r.Since), r.Reason)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, r := range v.RealServers {
			renderTries(w, r)
		}
	}
	return nil
}

func serverLine(v VirtualServer) string {
	line := fmt.Sprintf("%s %s", v.Name, v.Scheduler)
	switch {
	case v.Suspended:
		line += "   suspended: none of its addresses is here"
	case v.Sorry:
		line += fmt.Sprintf("   QUORUM LOST, the sorry server stands in: weight %d of %d", v.Weight, v.Needed)
	case !v.Quorum:
		line += fmt.Sprintf("   QUORUM LOST: weight %d of %d", v.Weight, v.Needed)
	}
	if len(v.Services) > 1 {
		line += fmt.Sprintf("   %d services", len(v.Services))
	}
	return line
}

func (r RealServer) state() string {
	switch {
	case r.Up && r.Weight == 0:
		return "UP, drained"
	case r.Up:
		return "UP"
	case r.InIPVS:
		return "DOWN, inhibited"
	}
	return "DOWN"
}

// triesShown is how many tries of a check that is down are shown to people.
const triesShown = 3

func renderTries(w io.Writer, r RealServer) {
	for _, c := range r.Checks {
		if c.Up && c.Failures == 0 {
			continue
		}
		var tries []string
		for i, t := range c.History {
			if i == triesShown {
				break
			}
			tries = append(tries, fmt.Sprintf("%s ago: %s", since(t.Ago), t.Reason))
		}
		fmt.Fprintf(w, "    %s %s: %s\n", r.Name, c.Name, strings.Join(tries, "; "))
	}
}
