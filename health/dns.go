package health

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsMessageMax is the longest datagram that is read. What is behind it isn't needed.
const dnsMessageMax = 4096

// DNS is DNS_CHECK: up when a query over UDP is answered with the same ID, the same
// question and rcode 0 (RFC 1035 §4.1). What is not such an answer is not listened to,
// whoever sent it.
type DNS struct {
	Connect
	Type dnsmessage.Type
	Name dnsmessage.Name // fully qualified
}

// dnsTypes are keepalived's.
var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "NS": dnsmessage.TypeNS, "CNAME": dnsmessage.TypeCNAME, "SOA": dnsmessage.TypeSOA,
	"MX": dnsmessage.TypeMX, "TXT": dnsmessage.TypeTXT, "AAAA": dnsmessage.TypeAAAA,
}

// ParseDNSQuestion reads type and name as the configuration has them. A name need not
// end in a dot.
func ParseDNSQuestion(kind, name string) (dnsmessage.Type, dnsmessage.Name, error) {
	number, ok := dnsTypes[strings.ToUpper(kind)]
	if !ok {
		return 0, dnsmessage.Name{}, fmt.Errorf("DNS type %q: want A, NS, CNAME, SOA, MX, TXT or AAAA", kind)
	}
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	full, err := dnsmessage.NewName(name)
	if err == nil {
		_, err = dnsQuery(0, dnsmessage.Question{Name: full, Type: number, Class: dnsmessage.ClassINET})
	}
	if err != nil {
		return 0, full, fmt.Errorf("DNS name %q: %w", name, err)
	}
	return number, full, nil
}

// Lane is [LaneSocket].
func (d DNS) Lane() Lane { return LaneSocket }

// Bound is the timeout, which covers question and answer.
func (d DNS) Bound() time.Duration { return d.Timeout }

// Try asks.
func (d DNS) Try(ctx context.Context) Result {
	conn, err := d.open(ctx, udpSocket)
	if err != nil {
		return failed("connect", err)
	}
	defer conn.Close()
	conn.end = time.Now().Add(d.Timeout)
	id := uint16(rand.Uint32())
	question := dnsmessage.Question{Name: d.Name, Type: d.Type, Class: dnsmessage.ClassINET}
	query, err := dnsQuery(id, question)
	if err != nil {
		return failed("make the query", err)
	}
	if _, err := conn.Write(query); err != nil {
		return failed("send the query", err)
	}
	answer := make([]byte, dnsMessageMax)
	for {
		n, err := conn.Read(answer)
		if err != nil && err != io.EOF { // which is an empty datagram here
			return failed("wait for an answer", err)
		}
		if code, ok := dnsAnswers(answer[:n], id, question); ok {
			if code != dnsmessage.RCodeSuccess {
				return down("answer %s", strings.TrimPrefix(code.String(), "RCode"))
			}
			return up("answered")
		}
	}
}

func dnsQuery(id uint16, question dnsmessage.Question) ([]byte, error) {
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{question},
	}
	return message.Pack()
}

// dnsAnswers reports whether a message answers the question, and with which code. A
// server that couldn't make sense of the question need not repeat it.
func dnsAnswers(message []byte, id uint16, question dnsmessage.Question) (dnsmessage.RCode, bool) {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil || header.ID != id || !header.Response {
		return 0, false
	}
	repeated, err := parser.Question()
	switch {
	case err == dnsmessage.ErrSectionDone:
		return header.RCode, header.RCode != dnsmessage.RCodeSuccess
	case err != nil, repeated.Type != question.Type, repeated.Class != question.Class:
		return 0, false
	}
	return header.RCode, strings.EqualFold(repeated.Name.String(), question.Name.String())
}
