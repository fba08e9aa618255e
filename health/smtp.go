package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"
)

// Bounds of an SMTP reply (RFC 5321 §4.5.3.1.5 has 512 bytes for a line).
const (
	smtpLineMax  = 2048
	smtpLinesMax = 64
)

// SMTP is SMTP_CHECK: up when each host greets (220), takes HELO (250) and answers
// QUIT in whatever way.
type SMTP struct {
	Hosts []Connect // one after the other; usually the real server alone
	Helo  string    // name told with HELO
}

// Lane is [LaneSocket]: one host at a time.
func (s SMTP) Lane() Lane { return LaneSocket }

// Bound is that of all hosts together.
func (s SMTP) Bound() time.Duration {
	var sum time.Duration
	for _, host := range s.Hosts {
		sum += exchangeFactor * host.Timeout
	}
	return sum
}

// Try talks to each host.
func (s SMTP) Try(ctx context.Context) Result {
	for i := range s.Hosts {
		if r := s.greet(ctx, &s.Hosts[i]); !r.Up {
			return r
		}
	}
	return up("greeted")
}

func (s SMTP) greet(ctx context.Context, host *Connect) Result {
	conn, err := host.open(ctx, tcpSocket)
	if err != nil {
		return failed("connect", err)
	}
	defer conn.Close()
	dialogue := []struct {
		say  string
		want string // the reply's code; "": any
	}{
		{"", "220"},
		{"HELO " + s.Helo + "\r\n", "250"},
		{"QUIT\r\n", ""},
	}
	replies := bufio.NewReaderSize(conn, smtpLineMax)
	for _, d := range dialogue {
		name := "greeting"
		if d.say != "" {
			name = d.say[:4]
			if _, err := io.WriteString(conn, d.say); err != nil {
				return failed("send "+name, err)
			}
		}
		code, err := readSMTPReply(replies)
		switch {
		case err != nil:
			return failed("reply to "+name, err)
		case d.want != "" && code != d.want:
			return down("%s: reply %q instead of %s", name, code, d.want)
		}
	}
	return up("greeted")
}

// readSMTPReply gives the code of a reply, which may have several lines (RFC 5321
// §4.2.1: "220-" begins all but the last).
func readSMTPReply(r *bufio.Reader) (string, error) {
	for range smtpLinesMax {
		line, err := r.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			return "", fmt.Errorf("a line is longer than %d bytes", smtpLineMax)
		case err != nil:
			return "", err
		case len(line) < 4 || line[3] != '-':
			return string(line[:min(len(line)-1, 3)]), nil
		}
	}
	return "", fmt.Errorf("more than %d lines", smtpLinesMax)
}
