package resolver

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is the upstream of a test: an honest recursive server for the records of
// a master file, with directives for when it is not honest. See
// testdata/scenarios/README.md.
type zone struct {
	records    []dns.RR
	directives map[string][]string // by "name. TYPE"
	addr       string
	stop       func()

	mu      sync.Mutex
	proceed func() bool // what a held answer waits for
	asked   []string
}

func newZone(t testing.TB, text string) *zone {
	t.Helper()
	z := &zone{directives: map[string][]string{}, proceed: func() bool { return true }}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, ";!"); ok {
			words := strings.Fields(rest)
			if len(words) < 3 {
				t.Fatalf("upstream directive %q: expected ;! NAME TYPE DIRECTIVE...", line)
			}
			z.directives[dns.CanonicalName(words[0])+" "+words[1]] = words[2:]
		}
	}
	parser := dns.NewZoneParser(strings.NewReader(text), ".", "upstream")
	parser.SetDefaultTTL(300)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		z.records = append(z.records, rr)
	}
	check(t, parser.Err())
	z.serve(t)
	return z
}

func (z *zone) serve(t testing.TB) {
	packets, stream := listenBoth(t)
	z.addr = packets.LocalAddr().String()
	servers := []*dns.Server{{PacketConn: packets, Handler: z}, {Listener: stream, Handler: z}}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = sync.OnceFunc(func() { close(started) })
		go s.ActivateAndServe()
		<-started
	}
	z.stop = sync.OnceFunc(func() {
		for _, s := range servers {
			s.Shutdown()
		}
	})
	t.Cleanup(z.stop)
}

// listenBoth finds a port that is free over UDP and TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	for range 50 {
		packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
		check(t, err)
		stream, err := net.Listen("tcp4", packets.LocalAddr().String())
		if err == nil {
			return packets, stream
		}
		packets.Close()
	}
	t.Fatal("no port is free over UDP and TCP")
	return nil, nil
}

// release says what held answers wait for from now on.
func (z *zone) release(proceed func() bool) {
	z.mu.Lock()
	z.proceed = proceed
	z.mu.Unlock()
}

func (z *zone) hold() {
	z.mu.Lock()
	proceed := z.proceed
	z.mu.Unlock()
	for deadline := time.Now().Add(patience); !proceed() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// take gives the queries since the last call.
func (z *zone) take() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	asked := z.asked
	z.asked = nil
	return asked
}

func (z *zone) note(q *dns.Msg, overTCP bool) {
	name := q.Question[0].Name
	if name != "." {
		name = strings.TrimSuffix(name, ".")
	}
	line := name + " " + dns.TypeToString[q.Question[0].Qtype]
	if opt := q.IsEdns0(); opt != nil && opt.Do() {
		line += " do"
	}
	if q.CheckingDisabled {
		line += " cd"
	}
	if opt := q.IsEdns0(); opt != nil {
		for _, o := range opt.Option { // none is ever to be there
			line += fmt.Sprintf(" option=%d", o.Option())
		}
	}
	if !q.RecursionDesired {
		line += " nord"
	}
	if overTCP {
		line += " tcp"
	}
	if line == ". NS" && !q.AuthenticatedData { // a probe whether we are there: what clients ask for has AD
		return
	}
	z.mu.Lock()
	z.asked = append(z.asked, line)
	z.mu.Unlock()
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	_, overTCP := w.RemoteAddr().(*net.TCPAddr)
	z.note(q, overTCP)
	question := q.Question[0]
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable, m.AuthenticatedData, m.CheckingDisabled = true, false, q.CheckingDisabled
	z.resolve(m, question)
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(1232, opt.Do())
		if opt.Do() {
			z.sign(m)
		}
	}
	for _, word := range z.directives[question.Name+" "+dns.TypeToString[question.Qtype]] {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "drop":
			return
		case "ede":
			code, text, _ := strings.Cut(value, ":")
			number, err := strconv.Atoi(code)
			if opt := m.IsEdns0(); err == nil && opt != nil {
				opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: uint16(number), ExtraText: strings.ReplaceAll(text, "_", " ")})
			}
		case "hold":
			z.hold()
		case "rcode":
			m.Rcode = dns.StringToRcode[value]
		case "tc":
			if !overTCP {
				m.Truncated, m.Answer = true, nil
			}
		case "ad": // for those who want to know (RFC 6840 section 5.8)
			opt := q.IsEdns0()
			m.AuthenticatedData = q.AuthenticatedData || opt != nil && opt.Do()
		case "aa":
			m.Authoritative = true
		case "nosoa":
			m.Ns = nil
		case "noquestion":
			m.Question = nil
		default:
			panic(fmt.Sprintf("upstream directive %q", word))
		}
	}
	if !overTCP {
		m.Truncate(1232)
	}
	m.Compress = true // after Truncate, which sees no need for it
	_ = w.WriteMsg(m)
}

// resolve fills answer and authority: the records of the name, and of what its
// CNAME and DNAME records lead to.
func (z *zone) resolve(m *dns.Msg, q dns.Question) {
	name := dns.CanonicalName(q.Name)
	for range 16 {
		found, exists := z.find(name, q.Qtype)
		m.Answer = append(m.Answer, found...)
		if len(found) > 0 && (found[0].Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY) {
			z.addHints(m, found)
			return
		}
		if len(found) == 0 {
			if !exists {
				m.Rcode = dns.RcodeNameError
			}
			m.Ns = z.authority(name)
			return
		}
		name = dns.CanonicalName(found[len(found)-1].(*dns.CNAME).Target)
	}
}

// find gives the records of a type at a name, or else its CNAME, or else those
// of the wildcard that covers it (RFC 4592).
func (z *zone) find(name string, typ uint16) (found []dns.RR, exists bool) {
	if found, exists = z.at(name, typ); exists {
		return found, true
	}
	for at, end := dns.NextLabel(name, 0); !end; at, end = dns.NextLabel(name, at) {
		if _, encloses := z.at(name[at:], typ); !encloses {
			continue
		}
		found, exists = z.at("*."+name[at:], typ)
		for i, rr := range found {
			found[i] = dns.Copy(rr)
			found[i].Header().Name = name
		}
		break
	}
	return found, exists
}

// at gives the records of a type that stand at a name, or else its CNAME.
func (z *zone) at(name string, typ uint16) (found []dns.RR, exists bool) {
	var alias []dns.RR
	for _, rr := range z.records {
		h := rr.Header()
		owner := dns.CanonicalName(h.Name)
		exists = exists || dns.IsSubDomain(name, owner)
		switch {
		case owner != name && h.Rrtype == dns.TypeDNAME && dns.IsSubDomain(owner, name):
			target := strings.TrimSuffix(name, owner) + rr.(*dns.DNAME).Target
			alias = []dns.RR{rr, &dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: h.Ttl}, Target: target}}
			exists = true
		case owner != name:
		case h.Rrtype == typ || typ == dns.TypeANY:
			found = append(found, rr)
		case h.Rrtype == dns.TypeCNAME:
			alias = []dns.RR{rr}
		}
	}
	if len(found) > 0 {
		return found, true
	}
	return alias, exists
}

// sign adds the signatures of the answer, as far as the zone has them.
func (z *zone) sign(m *dns.Msg) {
	for _, rr := range m.Answer {
		signatures, _ := z.find(dns.CanonicalName(rr.Header().Name), dns.TypeRRSIG)
		for _, signature := range signatures {
			if s, ok := signature.(*dns.RRSIG); ok && s.TypeCovered == rr.Header().Rrtype && !slices.Contains(m.Answer, signature) {
				m.Answer = append(m.Answer, signature)
			}
		}
	}
}

// addHints adds the addresses of the targets of MX and SRV records.
func (z *zone) addHints(m *dns.Msg, found []dns.RR) {
	for _, rr := range found {
		if mx, ok := rr.(*dns.MX); ok {
			hints, _ := z.find(dns.CanonicalName(mx.Mx), dns.TypeA)
			m.Extra = append(m.Extra, hints...)
		}
	}
}

func (z *zone) authority(name string) []dns.RR {
	for _, rr := range slices.Backward(z.records) {
		if rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(rr.Header().Name, name) {
			return []dns.RR{rr}
		}
	}
	return nil
}
