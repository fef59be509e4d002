package resolver

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/miekg/dns"
)

// step is one query of a session and all that must come of it, or a reload.
type step struct {
	line int

	reload, from string // a list, and the file that it then holds

	query    *dns.Msg
	overTCP  bool
	overUDP  bool   // in every play
	from4    string // source address
	times    int
	rcode    string // or none, or closed
	flags    []string
	sections [3][]string // answer, authority, additional
	count    int         // of answers, in place of their text; -1 not given
	opt      *optWanted
	upstream []string
	hit      map[string]string // nil: none
}

type optWanted struct {
	do   bool
	ede  bool
	code uint16
	text string
}

// parseSession reads the session of a scenario.
func parseSession(text string) ([]*step, error) {
	var steps []*step
	number := 0
	for line := range strings.Lines(text) {
		number++
		words, err := splitWords(line)
		if err != nil {
			return nil, fmt.Errorf("session:%d: %w", number, err)
		}
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch words[0] {
		case "query", "reload":
			steps = append(steps, &step{line: number, times: 1, from4: "127.0.0.1", count: -1})
		default:
			if len(steps) == 0 {
				return nil, fmt.Errorf("session:%d: %q before the first query", number, words[0])
			}
		}
		if err := steps[len(steps)-1].take(words, strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("session:%d: %w", number, err)
		}
	}
	return steps, nil
}

// splitWords splits at spaces outside of double quotes.
func splitWords(line string) ([]string, error) {
	quoted := false
	words := strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && unicode.IsSpace(r)
	})
	if quoted {
		return nil, errors.New("a double quote without its end")
	}
	return words, nil
}

func (s *step) take(words []string, line string) error {
	rest := strings.TrimSpace(strings.TrimPrefix(line, words[0]))
	switch words[0] {
	case "query":
		return s.takeQuery(words[1:])
	case "reload":
		if len(words) != 4 || words[2] != "from" {
			return errors.New("expected reload LIST from FILE")
		}
		s.reload, s.from = words[1], words[3]
	case "reply":
		s.rcode, s.flags = words[1], words[2:]
	case "answer", "authority", "additional":
		if words[0] == "answer" && strings.HasPrefix(rest, "count=") {
			n, err := strconv.Atoi(strings.TrimPrefix(rest, "count="))
			s.count = n
			return err
		}
		rr, err := dns.NewRR(rest)
		if err != nil {
			return err
		}
		i := slices.Index([]string{"answer", "authority", "additional"}, words[0])
		s.sections[i] = append(s.sections[i], rr.String())
	case "opt":
		return s.takeOPT(words[1:])
	case "upstream":
		s.upstream = append(s.upstream, strings.Join(words[1:], " "))
	case "hit":
		s.hit = map[string]string{}
		for _, word := range words[1:] {
			key, value, ok := strings.Cut(word, "=")
			if !ok {
				return fmt.Errorf("hit field %q: expected FIELD=VALUE", word)
			}
			s.hit[key] = strings.Trim(value, `"`)
		}
	default:
		return fmt.Errorf("%q: expected query, reload, reply, answer, authority, additional, opt, upstream or hit", words[0])
	}
	return nil
}

func (s *step) takeQuery(words []string) error {
	if len(words) < 2 {
		return errors.New("expected query NAME TYPE [+OPTION...]")
	}
	typ, ok := dns.StringToType[words[1]]
	if n, err := strconv.Atoi(strings.TrimPrefix(words[1], "TYPE")); !ok && err == nil {
		typ, ok = uint16(n), true
	}
	if !ok {
		return fmt.Errorf("query type %q", words[1])
	}
	q := new(dns.Msg)
	q.RecursionDesired = true
	q.Question = []dns.Question{{Name: dns.Fqdn(words[0]), Qtype: typ, Qclass: dns.ClassINET}}
	s.query = q
	edns, version, do, size := false, 0, false, 1232
	var options []dns.EDNS0
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "+tcp":
			s.overTCP = true
		case "+udp":
			s.overUDP = true
		case "+norecurse":
			q.RecursionDesired = false
		case "+ad":
			q.AuthenticatedData = true
		case "+cd":
			q.CheckingDisabled = true
		case "+do":
			edns, do = true, true
		case "+edns":
			if edns = true; value != "" {
				version, err = strconv.Atoi(value)
			}
		case "+bufsize":
			edns = true
			size, err = strconv.Atoi(value)
		case "ecs":
			var o dns.EDNS0
			o, err = subnetOption(value)
			edns, options = true, append(options, o)
		case "option":
			var o dns.EDNS0
			o, err = otherOption(value)
			edns, options = true, append(options, o)
		case "class":
			q.Question[0].Qclass = dns.StringToClass[value]
		case "from":
			s.from4 = value
		case "times":
			s.times, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("query option %q", word)
		}
		if err != nil {
			return err
		}
	}
	if edns {
		q.SetEdns0(uint16(size), do)
		q.IsEdns0().SetVersion(uint8(version))
		q.IsEdns0().Option = options
	}
	return nil
}

// subnetOption is a client subnet.
func subnetOption(value string) (dns.EDNS0, error) {
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return nil, err
	}
	family := uint16(1)
	if p.Addr().Is6() {
		family = 2
	}
	return &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Masked().Addr().AsSlice()}, nil
}

// otherOption is CODE:HEX or CODE:"TEXT".
func otherOption(value string) (dns.EDNS0, error) {
	number, data, _ := strings.Cut(value, ":")
	code, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, err
	}
	octets := []byte(strings.Trim(data, `"`))
	if !strings.HasPrefix(data, `"`) {
		octets, err = hex.DecodeString(data)
	}
	return &dns.EDNS0_LOCAL{Code: uint16(code), Data: octets}, err
}

func (s *step) takeOPT(words []string) error {
	s.opt = &optWanted{}
	if len(words) > 0 && words[0] == "do" {
		s.opt.do, words = true, words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	if words[0] != "ede" || len(words) < 2 {
		return errors.New(`expected opt [do] [ede CODE ["TEXT"]]`)
	}
	code, err := strconv.Atoi(words[1])
	s.opt.ede, s.opt.code = true, uint16(code)
	if len(words) > 2 {
		s.opt.text = strings.Trim(words[2], `"`)
	}
	return err
}

// ask sends the query and gives the packed reply; nil for none, and net.ErrClosed
// where the server closed the connection.
func (s *step) ask(t testing.TB, k *rig) ([]byte, error) {
	query, err := s.query.Pack()
	check(t, err)
	before := unanswered(k)
	if s.overTCP {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(s.from4)}, Timeout: patience}
		c, err := dialer.Dial("tcp4", k.listener.Addr().String())
		check(t, err)
		defer c.Close()
		check(t, c.SetDeadline(time.Now().Add(patience)))
		_, _ = c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(query))))
		_, _ = c.Write(query)
		if s.rcode == "none" {
			eventually(t, "the query is dropped", func() bool { return unanswered(k) > before })
			check(t, c.SetDeadline(time.Now().Add(time.Millisecond)))
		}
		return readTCP(c)
	}
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(s.from4)}, net.UDPAddrFromAddrPort(k.listener.Addr()))
	check(t, err)
	defer c.Close()
	_, err = c.Write(query)
	check(t, err)
	check(t, c.SetDeadline(time.Now().Add(patience)))
	if s.rcode == "none" {
		eventually(t, "the query is dropped", func() bool { return unanswered(k) > before })
		check(t, c.SetDeadline(time.Now().Add(time.Millisecond)))
	}
	buffer := make([]byte, 65535)
	n, err := c.Read(buffer)
	return buffer[:n], err
}

// speaksOf tells whether the step is about UDP or TCP, and so is asked over that only.
func (s *step) speaksOf() bool {
	return s.overTCP || s.overUDP || s.rcode == "none" || s.rcode == "closed" || slices.Contains(s.flags, "tc")
}

// unanswered counts the queries that get no answer.
func unanswered(k *rig) uint64 {
	s := k.Stats()
	return s.Dropped + s.Ignored
}

// readTCP reads one message.
func readTCP(c net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(c, msg)
	return msg, err
}

// compare holds a reply to what the session wants.
func (s *step) compare(packed []byte, failure error) error {
	switch {
	case s.rcode == "none":
		if !errors.Is(failure, os.ErrDeadlineExceeded) {
			return fmt.Errorf("a reply of %d octets (%w), expected none", len(packed), failure)
		}
		return nil
	case s.rcode == "closed":
		if failure == nil || errors.Is(failure, os.ErrDeadlineExceeded) {
			return fmt.Errorf("a reply of %d octets (%w), expected that the connection is closed", len(packed), failure)
		}
		return nil
	case failure != nil:
		return fmt.Errorf("no reply: %w", failure)
	}
	var m dns.Msg
	if err := m.Unpack(packed); err != nil {
		return fmt.Errorf("the reply cannot be read: %w", err)
	}
	return errors.Join(s.compareHeader(packed, &m), s.compareSections(&m), s.compareOPT(&m))
}

func (s *step) compareHeader(packed []byte, m *dns.Msg) error {
	if m.Id != s.query.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return fmt.Errorf("ID %d, response %v, opcode %d", m.Id, m.Response, m.Opcode)
	}
	query, _ := s.query.Pack()
	question := query[12 : len(query)-optLen(s.query)]
	if len(packed) < 12+len(question) || string(packed[12:12+len(question)]) != string(question) {
		return fmt.Errorf("question %v, expected %v to the letter", m.Question, s.query.Question)
	}
	var flags []string
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionDesired, "rd"}, {m.RecursionAvailable, "ra"},
		{m.Zero, "z"}, {m.AuthenticatedData, "ad"}, {m.CheckingDisabled, "cd"}} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	rcode := m.Rcode
	if got := dns.RcodeToString[rcode]; got != s.rcode && !(rcode == dns.RcodeBadVers && s.rcode == "BADVERS") || !slices.Equal(flags, s.flags) {
		return fmt.Errorf("reply %s %v, expected %s %v", got, flags, s.rcode, s.flags)
	}
	return nil
}

func optLen(m *dns.Msg) int {
	if opt := m.IsEdns0(); opt != nil {
		return dns.Len(opt)
	}
	return 0
}

func (s *step) compareSections(m *dns.Msg) error {
	var errs []error
	for i, got := range [][]dns.RR{m.Answer, m.Ns, withoutOPT(m.Extra)} {
		name := [...]string{"answer", "authority", "additional"}[i]
		if i == 0 && s.count >= 0 {
			if len(got) != s.count {
				errs = append(errs, fmt.Errorf("%d answers, expected %d", len(got), s.count))
			}
			continue
		}
		want := s.sections[i]
		if !slices.EqualFunc(got, want, s.sameRecord) {
			errs = append(errs, fmt.Errorf("%s\n%s\nexpected\n%s", name, joinRecords(got), strings.Join(want, "\n")))
		}
	}
	return errors.Join(errs...)
}

// sameRecord forgives a forwarded answer that it has counted down by a second
// or two on a busy machine.
func (s *step) sameRecord(got dns.RR, want string) bool {
	if got.String() == want {
		return true
	}
	wanted, _ := dns.NewRR(want)
	late := wanted.Header().Ttl - got.Header().Ttl
	if s.hit != nil || late > 2 {
		return false
	}
	got = dns.Copy(got)
	got.Header().Ttl += late
	return got.String() == want
}

func withoutOPT(records []dns.RR) []dns.RR {
	return slices.DeleteFunc(slices.Clone(records), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
}

func joinRecords(records []dns.RR) string {
	var b strings.Builder
	for _, rr := range records {
		fmt.Fprintln(&b, rr)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (s *step) compareOPT(m *dns.Msg) error {
	opt := m.IsEdns0()
	switch {
	case opt == nil && s.opt == nil:
		return nil
	case opt == nil || s.opt == nil:
		return fmt.Errorf("OPT %v, expected %+v", opt, s.opt)
	}
	got := optWanted{do: opt.Do()}
	for _, o := range opt.Option {
		ede, ok := o.(*dns.EDNS0_EDE)
		if !ok || got.ede {
			return fmt.Errorf("OPT with %v", o)
		}
		got.ede, got.code, got.text = true, ede.InfoCode, ede.ExtraText
	}
	if got != *s.opt || opt.Version() != 0 || opt.UDPSize() != maxUDPSize {
		return fmt.Errorf("OPT version %d, size %d, %+v, expected version 0, size %d, %+v", opt.Version(), opt.UDPSize(), got, maxUDPSize, *s.opt)
	}
	return nil
}
