package wire_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// wireName is the lower-case wire form of a name in presentation form.
func wireName(tb testing.TB, name string) []byte {
	tb.Helper()
	wire := spelledName(tb, name)
	for i, b := range wire {
		if 'A' <= b && b <= 'Z' {
			wire[i] = b - 'A' + 'a'
		}
	}
	return wire
}

func spelledName(tb testing.TB, name string) []byte {
	tb.Helper()
	buf := make([]byte, wire.MaxName+1)
	n, err := dns.PackDomainName(dns.Fqdn(name), buf, 0, nil, false)
	if err != nil {
		tb.Fatalf("name %q: %v", name, err)
	}
	return buf[:n]
}

func rr(tb testing.TB, text string) dns.RR {
	tb.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		tb.Fatalf("record %q: %v", text, err)
	}
	return r
}

func rrs(tb testing.TB, texts ...string) (records []dns.RR) {
	tb.Helper()
	for _, text := range texts {
		records = append(records, rr(tb, text))
	}
	return records
}

func pack(tb testing.TB, m *dns.Msg) []byte {
	tb.Helper()
	msg, err := m.Pack()
	if err != nil {
		tb.Fatalf("pack: %v\n%v", err, m)
	}
	return msg
}

func unpack(tb testing.TB, msg []byte) *dns.Msg {
	tb.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		tb.Fatalf("the library cannot unpack: %v\n%s", err, hex.Dump(msg))
	}
	return m
}

// facts is what the library's view of a message, and plain code over it, say
// about a reply. It is the model that wire.Reply is compared with.
type facts struct {
	rcode                            uint16
	aa, tc, ra, ad                   bool
	answers, authorities, additional int
	ttls                             []uint32
	minTTL, negativeTTL              uint32
	negative, hasSOA                 bool
	names                            [][]byte
	kinds                            []byte
	addrs                            []netip.Addr
	strays                           []dns.RR
	kept                             *dns.Msg // without strays and OPT
	opt                              *dns.OPT
}

func validTTL(ttl uint32) uint32 {
	if ttl>>31 == 1 {
		return 0
	}
	return ttl
}

func factsOf(tb testing.TB, m *dns.Msg) facts {
	f := facts{
		rcode: uint16(m.Rcode), aa: m.Authoritative, tc: m.Truncated, ra: m.RecursionAvailable, ad: m.AuthenticatedData,
		opt: m.IsEdns0(), kept: &dns.Msg{MsgHdr: m.MsgHdr, Question: m.Question},
	}
	var extra []dns.RR
	for _, r := range m.Extra {
		if r.Header().Rrtype != dns.TypeOPT {
			extra = append(extra, r)
		}
	}
	f.answers, f.authorities, f.additional = len(m.Answer), len(m.Ns), len(extra)
	for _, r := range slices.Concat(m.Answer, m.Ns, extra) {
		f.ttls = append(f.ttls, r.Header().Ttl)
	}
	for i, r := range m.Answer {
		if ttl := validTTL(r.Header().Ttl); i == 0 || ttl < f.minTTL {
			f.minTTL = ttl
		}
	}

	belongs, found := f.chain(tb, m)
	chain := belongs.chain
	for _, r := range m.Ns {
		if !classOf(m, r) {
			continue
		}
		switch r := r.(type) {
		case *dns.NSEC, *dns.NSEC3, *dns.RRSIG, *dns.DS:
			belongs.records[r] = true
		case *dns.NS:
			belongs.records[r] = above(tb, r.Hdr.Name, chain)
		case *dns.SOA:
			if belongs.records[r] = above(tb, r.Hdr.Name, chain); belongs.records[r] && !f.hasSOA {
				f.hasSOA, f.negativeTTL = true, min(validTTL(r.Hdr.Ttl), validTTL(r.Minttl))
			}
		}
	}
	f.markExtra(tb, m, extra, belongs)
	for _, s := range []struct{ from, to *[]dns.RR }{{&m.Answer, &f.kept.Answer}, {&m.Ns, &f.kept.Ns}, {&extra, &f.kept.Extra}} {
		for _, r := range *s.from {
			if belongs.records[r] {
				*s.to = append(*s.to, r)
			} else {
				f.strays = append(f.strays, r)
			}
		}
	}
	f.negative = f.rcode == dns.RcodeNameError || f.rcode == dns.RcodeSuccess && !found
	for _, r := range slices.Concat(m.Answer, extra) {
		f.addName(tb, r, belongs)
		f.addAddrs(r)
	}
	return f
}

type membership struct {
	chain   []string // lower-case wire forms as strings
	records map[dns.RR]bool
	named   map[dns.RR]bool
}

func classOf(m *dns.Msg, r dns.RR) bool {
	return len(m.Question) == 1 && (m.Question[0].Qclass == dns.ClassANY || r.Header().Class == m.Question[0].Qclass)
}

func above(tb testing.TB, name string, chain []string) bool {
	return slices.ContainsFunc(chain, func(c string) bool { return wire.IsSubdomain([]byte(c), wireName(tb, name)) })
}

func (f *facts) chain(tb testing.TB, m *dns.Msg) (b membership, found bool) {
	b = membership{records: map[dns.RR]bool{}, named: map[dns.RR]bool{}}
	if len(m.Question) != 1 {
		return b, false
	}
	q := m.Question[0]
	b.chain = []string{string(wireName(tb, q.Name))}
	for i := 0; i < len(b.chain); i++ {
		for _, r := range m.Answer {
			owner := string(wireName(tb, r.Header().Name))
			signature, _ := r.(*dns.RRSIG)
			if (r.Header().Rrtype == dns.TypeDNAME || signature != nil && signature.TypeCovered == dns.TypeDNAME) &&
				classOf(m, r) && owner != b.chain[i] && wire.IsSubdomain([]byte(b.chain[i]), []byte(owner)) {
				b.records[r] = true
				f.addName(tb, r, b)
			}
		}
		for _, r := range m.Answer {
			if string(wireName(tb, r.Header().Name)) != b.chain[i] || !classOf(m, r) {
				continue
			}
			b.records[r] = true
			f.addName(tb, r, b)
			found = found || r.Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY
			if c, ok := r.(*dns.CNAME); ok && len(b.chain) < wire.MaxChain {
				if target := string(wireName(tb, c.Target)); !slices.Contains(b.chain, target) {
					b.chain = append(b.chain, target)
				}
			}
		}
	}
	return b, found
}

func (f *facts) markExtra(tb testing.TB, m *dns.Msg, extra []dns.RR, b membership) {
	mentioned := map[string]bool{}
	mention := func(names ...string) {
		for _, name := range names {
			mentioned[string(wireName(tb, name))] = true
		}
	}
	for _, name := range b.chain {
		mentioned[name] = true
	}
	for _, r := range slices.Concat(m.Answer, m.Ns) {
		if b.records[r] {
			mention(namesIn(r)...)
		}
	}
	for range 3 {
		var more []string
		for _, r := range extra {
			if !b.records[r] && mentioned[string(wireName(tb, r.Header().Name))] && classOf(m, r) {
				b.records[r] = true
				more = append(more, namesIn(r)...)
			}
		}
		mention(more...)
	}
}

func namesIn(r dns.RR) []string {
	switch r := r.(type) {
	case *dns.NS:
		return []string{r.Ns}
	case *dns.CNAME:
		return []string{r.Target}
	case *dns.DNAME:
		return []string{r.Target}
	case *dns.PTR:
		return []string{r.Ptr}
	case *dns.MX:
		return []string{r.Mx}
	case *dns.SRV:
		return []string{r.Target}
	case *dns.NAPTR:
		return []string{r.Replacement}
	case *dns.SOA:
		return []string{r.Ns, r.Mbox}
	case *dns.RRSIG:
		return []string{r.SignerName}
	case *dns.NSEC:
		return []string{r.NextDomain}
	case *dns.SVCB:
		return []string{r.Target}
	case *dns.HTTPS:
		return []string{r.Target}
	case *dns.RP:
		return []string{r.Mbox, r.Txt}
	case *dns.MINFO:
		return []string{r.Rmail, r.Email}
	case *dns.AFSDB:
		return []string{r.Hostname}
	case *dns.RT:
		return []string{r.Host}
	case *dns.KX:
		return []string{r.Exchanger}
	case *dns.LP:
		return []string{r.Fqdn}
	case *dns.PX:
		return []string{r.Map822, r.Mapx400}
	case *dns.TALINK:
		return []string{r.PreviousName, r.NextName}
	case *dns.SIG:
		return []string{r.SignerName}
	case *dns.NXT:
		return []string{r.NextDomain}
	case *dns.MB:
		return []string{r.Mb}
	case *dns.MG:
		return []string{r.Mg}
	case *dns.MR:
		return []string{r.Mr}
	case *dns.MD:
		return []string{r.Md}
	case *dns.MF:
		return []string{r.Mf}
	case *dns.NSAPPTR:
		return []string{r.Ptr}
	}
	return nil
}

func (f *facts) addName(tb testing.TB, r dns.RR, b membership) {
	if b.named[r] {
		return
	}
	b.named[r] = true
	name, kind := "", wire.KindAlias
	switch r := r.(type) {
	case *dns.CNAME:
		name = r.Target
	case *dns.DNAME:
		name = r.Target
	case *dns.SVCB:
		name, kind = r.Target, wire.KindTarget
	case *dns.HTTPS:
		name, kind = r.Target, wire.KindTarget
	default:
		return
	}
	if kind == wire.KindTarget && name == "." {
		return
	}
	f.names, f.kinds = append(f.names, wireName(tb, name)), append(f.kinds, kind)
}

func (f *facts) addAddrs(r dns.RR) {
	add := func(ip []byte) {
		addr, _ := netip.AddrFromSlice(ip)
		f.addrs = append(f.addrs, addr.Unmap())
	}
	var params []dns.SVCBKeyValue
	switch r := r.(type) {
	case *dns.A:
		if r.Hdr.Class == dns.ClassINET {
			add(r.A)
		}
	case *dns.AAAA:
		if r.Hdr.Class == dns.ClassINET {
			add(r.AAAA)
		}
	case *dns.SVCB:
		params = r.Value
	case *dns.HTTPS:
		params = r.Value
	}
	for _, p := range params {
		switch p := p.(type) {
		case *dns.SVCBIPv4Hint:
			for _, ip := range p.Hint {
				add(ip)
			}
		case *dns.SVCBIPv6Hint:
			for _, ip := range p.Hint {
				add(ip)
			}
		}
	}
}

// compare holds a reply to the model.
func compare(tb testing.TB, r *wire.Reply, msg []byte, f facts) {
	tb.Helper()
	check := func(what string, got, want any) {
		tb.Helper()
		if got != want {
			tb.Errorf("%s: got %v, the model says %v", what, got, want)
		}
	}
	check("rcode", r.RCode, f.rcode)
	check("flags", [4]bool{r.AA, r.TC, r.RA, r.AD}, [4]bool{f.aa, f.tc, f.ra, f.ad})
	check("counts", [3]int{int(r.Answers), int(r.Authorities), int(r.Additionals)}, [3]int{f.answers, f.authorities, f.additional})
	check("least TTL", r.MinTTL, f.minTTL)
	check("negative", r.Negative, f.negative)
	check("SOA", r.HasSOA, f.hasSOA)
	check("negative TTL", r.NegativeTTL, f.negativeTTL)
	check("strays", r.Strays, len(f.strays))
	check("OPT", r.OPTLen != 0, f.opt != nil)
	if f.opt != nil {
		check("UDP size", r.UDPSize, f.opt.UDPSize())
		check("DO", r.DO, f.opt.Do())
		compareEDE(tb, r, f.opt)
	}
	ttls := make([]uint32, 0, len(r.TTLs))
	for _, off := range r.TTLs {
		ttls = append(ttls, uint32(msg[off])<<24|uint32(msg[off+1])<<16|uint32(msg[off+2])<<8|uint32(msg[off+3]))
	}
	if !slices.Equal(ttls, f.ttls) {
		tb.Errorf("TTLs: got %v, the model says %v", ttls, f.ttls)
	}
	if want := bytes.Join(f.names, nil); !bytes.Equal(r.Names, want) {
		tb.Errorf("names: got %q, the model says %q", r.Names, want)
	}
	if !bytes.Equal(r.NameKinds, f.kinds) {
		tb.Errorf("kinds of names: got %v, the model says %v", r.NameKinds, f.kinds)
	}
	if !slices.Equal(r.Addrs, f.addrs) {
		tb.Errorf("addresses: got %v, the model says %v", r.Addrs, f.addrs)
	}
}

func compareEDE(tb testing.TB, r *wire.Reply, opt *dns.OPT) {
	tb.Helper()
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			if !r.HasEDE || r.EDECode != e.InfoCode || string(r.EDEText) != e.ExtraText {
				tb.Errorf("EDE: got %v %d %q, the model says %v", r.HasEDE, r.EDECode, r.EDEText, e)
			}
			return
		}
	}
	if r.HasEDE {
		tb.Errorf("EDE %d %q out of nothing", r.EDECode, r.EDEText)
	}
}

// texts are the records of a section for comparison, OPT left out.
func texts(records []dns.RR) (s []string) {
	for _, r := range records {
		if r.Header().Rrtype != dns.TypeOPT {
			s = append(s, r.String())
		}
	}
	return s
}

// sameRecords compares all sections of two messages, OPT left out.
func sameRecords(tb testing.TB, what string, got, want *dns.Msg) {
	tb.Helper()
	for _, s := range []struct {
		section   string
		got, want []dns.RR
	}{{"answer", got.Answer, want.Answer}, {"authority", got.Ns, want.Ns}, {"additional", got.Extra, want.Extra}} {
		if !slices.Equal(texts(s.got), texts(s.want)) {
			tb.Errorf("%s: %s section\n  %v\nwant\n  %v", what, s.section, texts(s.got), texts(s.want))
		}
	}
	if !slices.Equal(got.Question, want.Question) {
		tb.Errorf("%s: question %v, want %v", what, got.Question, want.Question)
	}
}

// randomReply makes a reply out of a small world of names, so that chains,
// loops, strays and compression happen by chance.
func randomReply(r *rand.Rand) *dns.Msg {
	name := func() string {
		return [...]string{
			".", "example.", "a.example.", "b.example.", "X.a.example.", "www.x.A.example.", "other.test.", "ns1.other.test.",
			"longer-label-than-a-pointer.a.example.", "deep.er.and.deep.er.b.example.", "zz.ns1.other.test.",
		}[r.IntN(11)]
	}
	ttl := func() uint32 { return [...]uint32{0, 1, 60, 300, 86400, 1 << 31, 1<<31 - 1}[r.IntN(7)] }
	ip4 := func() []byte { return []byte{192, 0, 2, byte(r.IntN(256))} }
	ip6 := func() []byte {
		addr := [...]string{"2001:db8::1", "64:ff9b::c000:207", "::ffff:192.0.2.7", "fe80::5"}[r.IntN(4)]
		ip := netip.MustParseAddr(addr).As16()
		return ip[:]
	}
	types := [...]uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeCNAME, dns.TypeDNAME, dns.TypeRRSIG, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTXT,
		dns.TypeMX, dns.TypeSRV, dns.TypeNS, dns.TypeSOA, dns.TypeNSEC, dns.TypePTR, dns.TypeNAPTR, dns.TypeDS, dns.TypeRP, dns.TypePX,
		dns.TypeTALINK, dns.TypeLP, 65400,
	}
	record := func() dns.RR {
		h := dns.RR_Header{Name: name(), Rrtype: types[r.IntN(len(types))], Class: dns.ClassINET, Ttl: ttl()}
		if r.IntN(20) == 0 {
			h.Class = dns.ClassCHAOS
		}
		svcb := func() dns.SVCB {
			s := dns.SVCB{Hdr: h, Priority: uint16(r.IntN(2)), Target: name()}
			if r.IntN(2) == 0 {
				s.Value = append(s.Value, &dns.SVCBAlpn{Alpn: []string{"h2"}})
			}
			if r.IntN(2) == 0 {
				s.Value = append(s.Value, &dns.SVCBIPv4Hint{Hint: []net.IP{ip4(), ip4()}})
			}
			if r.IntN(2) == 0 {
				s.Value = append(s.Value, &dns.SVCBIPv6Hint{Hint: []net.IP{net.ParseIP("2001:db8::6")}})
			}
			return s
		}
		switch h.Rrtype {
		case dns.TypeA:
			return &dns.A{Hdr: h, A: ip4()}
		case dns.TypeAAAA:
			return &dns.AAAA{Hdr: h, AAAA: ip6()}
		case dns.TypeCNAME:
			return &dns.CNAME{Hdr: h, Target: name()}
		case dns.TypeDNAME:
			return &dns.DNAME{Hdr: h, Target: name()}
		case dns.TypeRRSIG:
			return &dns.RRSIG{Hdr: h, TypeCovered: [...]uint16{dns.TypeA, dns.TypeDNAME}[r.IntN(2)], SignerName: name(), Signature: "AAAA"}
		case dns.TypeHTTPS:
			return &dns.HTTPS{SVCB: svcb()}
		case dns.TypeSVCB:
			s := svcb()
			return &s
		case dns.TypeTXT:
			return &dns.TXT{Hdr: h, Txt: []string{"some text"}}
		case dns.TypeMX:
			return &dns.MX{Hdr: h, Preference: 10, Mx: name()}
		case dns.TypeSRV:
			return &dns.SRV{Hdr: h, Port: 53, Target: name()}
		case dns.TypeNS:
			return &dns.NS{Hdr: h, Ns: name()}
		case dns.TypeSOA:
			return &dns.SOA{Hdr: h, Ns: name(), Mbox: name(), Serial: 1, Refresh: 2, Retry: 3, Expire: 4, Minttl: ttl()}
		case dns.TypeNSEC:
			return &dns.NSEC{Hdr: h, NextDomain: name(), TypeBitMap: []uint16{dns.TypeA}}
		case dns.TypePTR:
			return &dns.PTR{Hdr: h, Ptr: name()}
		case dns.TypeNAPTR:
			return &dns.NAPTR{Hdr: h, Flags: "S", Service: "SIP+D2U", Replacement: name()}
		case dns.TypeDS:
			return &dns.DS{Hdr: h, Digest: "00"}
		case dns.TypeRP:
			return &dns.RP{Hdr: h, Mbox: name(), Txt: name()}
		case dns.TypePX:
			return &dns.PX{Hdr: h, Map822: name(), Mapx400: name()}
		case dns.TypeTALINK:
			return &dns.TALINK{Hdr: h, PreviousName: name(), NextName: name()}
		case dns.TypeLP:
			return &dns.LP{Hdr: h, Fqdn: name()}
		}
		return &dns.RFC3597{Hdr: h, Rdata: "c00c01"}
	}
	section := func(most int) (records []dns.RR) {
		for range r.IntN(most + 1) {
			records = append(records, record())
		}
		return records
	}

	m := new(dns.Msg)
	m.SetQuestion(name(), types[r.IntN(len(types))])
	if r.IntN(10) == 0 {
		m.Question[0].Qtype = dns.TypeANY
	}
	m.Response, m.Compress = true, r.IntN(4) != 0
	m.Authoritative, m.RecursionAvailable, m.AuthenticatedData = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	m.Rcode = [...]int{dns.RcodeSuccess, dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeServerFailure}[r.IntN(4)]
	m.Answer, m.Ns, m.Extra = section(8), section(4), section(4)
	if r.IntN(3) != 0 {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(uint16(r.IntN(5000)))
		opt.SetDo(r.IntN(2) == 0)
		if r.IntN(2) == 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")}, &dns.EDNS0_EDE{InfoCode: 15, ExtraText: "no"})
		}
		if r.IntN(4) == 0 {
			m.Rcode = dns.RcodeBadVers
		}
		m.Extra = slices.Insert(m.Extra, r.IntN(len(m.Extra)+1), dns.RR(opt))
	}
	return m
}
