package resolver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// ednsCase is a query of the public EDNS compliance tester (ednscomp.isc.org), as a client
// of a forwarder sends it: with RD, but where RD is what is tested. The names are the
// tester's; the dig command is the same query.
type ednsCase struct {
	name  string
	dig   string
	flags uint16 // of the header, beside RD
	noRD  bool
	qtype uint16 // 0: SOA
	qname string // "": the zone
	// The OPT of the query (RFC 6891 section 6.1.2).
	opt      bool
	size     uint16
	version  byte
	optFlags uint16
	options  string // code, length, data
	// What is expected, by the RFC that stands beside the case.
	rcode  int
	answer bool   // a record in the answer section
	sets   uint16 // flags of the header that must be set, beside QR
	clears uint16 // and those that must not
	do     bool
	tcp    bool // over TCP alone
	udp    bool // over UDP alone
}

const (
	cookieOption = "\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08"
	nsidOption   = "\x00\x03\x00\x00"
	ecsOption    = "\x00\x08\x00\x04\x00\x01\x00\x00" // 0.0.0.0/0
	subnetOctets = "\x00\x08\x00\x07\x00\x01\x18\x00\xc6\x33\x64"
	expireOption = "\x00\x09\x00\x00"
	noOption     = "\x00\x64\x00\x00" // 100: nobody has it
	longOption   = "\x00\x64\x00\x04abcd"
)

// ednsCases are in the order of the tester's report.
func ednsCases() []ednsCase {
	const ra = wire.RD | wire.RA
	const cleared = wire.AA | wire.TC | zFlag
	return []ednsCase{
		// RFC 1035: a plain query has a plain answer, without an OPT (RFC 6891 section 7).
		{name: "dns", dig: "+noedns", sets: ra, clears: cleared | wire.AD, answer: true},
		{name: "aa", dig: "+noedns +aaflag", flags: wire.AA, sets: ra, clears: cleared, answer: true},
		// RFC 6840 section 5.7: AD asks for AD; the zone is not signed.
		{name: "ad", dig: "+noedns +adflag", flags: wire.AD, sets: ra, clears: cleared | wire.AD, answer: true},
		// RFC 4035 section 3.2.2: CD comes back.
		{name: "cd", dig: "+noedns +cdflag", flags: wire.CD, sets: ra | wire.CD, clears: cleared, answer: true},
		{name: "ra", dig: "+noedns +raflag", flags: wire.RA, sets: ra, clears: cleared, answer: true},
		// RFC 1035 section 4.1.1: RD comes back; without it a forwarder has nothing to say (RFC 8499 section 6).
		{name: "rd", dig: "+noedns", sets: ra, clears: cleared, answer: true},
		{name: "nord", dig: "+noedns +nordflag", noRD: true, rcode: dns.RcodeRefused, sets: wire.RA, clears: cleared | wire.RD},
		{name: "tc", dig: "+noedns +tcflag", flags: wire.TC, sets: ra, clears: cleared, answer: true},
		// RFC 1035 section 4.1.1: Z must be zero in all answers.
		{name: "zflag", dig: "+noedns +zflag", flags: zFlag, sets: ra, clears: cleared, answer: true},
		{name: "opcode", dig: "+noedns +header-only +opcode=15", flags: 15 << wire.OpcodeShift, rcode: dns.RcodeNotImplemented, clears: cleared | wire.RA | wire.AD | wire.CD},
		{name: "opcodeflg", dig: "+noedns +header-only +opcode=15 +tcflag +rdflag", flags: 15<<wire.OpcodeShift | wire.TC | wire.AD | wire.CD | wire.AA | zFlag, rcode: dns.RcodeNotImplemented, clears: cleared | wire.RA | wire.AD | wire.CD},
		// RFC 3597 section 3: an unknown type is a type like any other.
		{name: "type666", dig: "+noedns -t TYPE666", qtype: 666, sets: ra, clears: cleared},
		{name: "dnstcp", dig: "+noedns +tcp", sets: ra, clears: cleared, answer: true, tcp: true},

		// RFC 6891 section 6.1.1: an OPT has an OPT.
		{name: "edns", dig: "+edns=0 +nocookie", opt: true, size: 4096, sets: ra, clears: cleared, answer: true},
		// Section 6.1.3: a version that we do not know gets BADVERS, the version that we do, and no answer.
		{name: "edns1", dig: "+edns=1 +noednsnegotiation +nocookie", opt: true, size: 4096, version: 1, rcode: dns.RcodeBadVers, sets: ra, clears: cleared},
		{name: "edns255", dig: "+edns=255 +noednsnegotiation +nocookie", opt: true, size: 4096, version: 255, rcode: dns.RcodeBadVers, sets: ra, clears: cleared},
		// Section 6.2.5: no more than the client takes; what is longer has TC, and the OPT all the same.
		{name: "edns@512", dig: "+bufsize=512 +nocookie", opt: true, size: 512, qname: "large.example.", qtype: dns.TypeTXT, sets: ra | wire.TC, clears: wire.AA | zFlag, udp: true},
		{name: "edns@512 of a short answer", dig: "+bufsize=512 +nocookie", opt: true, size: 512, sets: ra, clears: cleared, answer: true},
		// Section 6.2.5 too: sizes below 512 are 512.
		{name: "edns@0", dig: "+bufsize=0 +nocookie", opt: true, size: 0, sets: ra, clears: cleared, answer: true},
		// Section 6.1.2: unknown options are ignored, and never come back.
		{name: "ednsopt", dig: "+ednsopt=100 +nocookie", opt: true, size: 4096, options: noOption, sets: ra, clears: cleared, answer: true},
		{name: "ednsopt of some length", dig: "+ednsopt=100:61626364 +nocookie", opt: true, size: 4096, options: longOption, sets: ra, clears: cleared, answer: true},
		{name: "edns1opt", dig: "+edns=1 +noednsnegotiation +ednsopt=100 +nocookie", opt: true, size: 4096, version: 1, options: noOption, rcode: dns.RcodeBadVers, sets: ra, clears: cleared},
		// RFC 3225 section 3: DO comes back.
		{name: "do", dig: "+dnssec +nocookie", opt: true, size: 4096, optFlags: 0x8000, do: true, sets: ra, clears: cleared, answer: true},
		{name: "edns1do", dig: "+edns=1 +noednsnegotiation +dnssec +nocookie", opt: true, size: 4096, version: 1, optFlags: 0x8000, do: true, rcode: dns.RcodeBadVers, sets: ra, clears: cleared},
		// Section 6.1.4: unknown flags are ignored, and zero in the answer.
		{name: "ednsflags", dig: "+ednsflags=0x40 +nocookie", opt: true, size: 4096, optFlags: 0x40, sets: ra, clears: cleared, answer: true},
		{name: "all ednsflags", dig: "+dnssec +ednsflags=0x7fff +nocookie", opt: true, size: 4096, optFlags: 0xFFFF, do: true, sets: ra, clears: cleared, answer: true},
		{name: "edns1flags", dig: "+edns=1 +noednsnegotiation +ednsflags=0x40 +nocookie", opt: true, size: 4096, version: 1, optFlags: 0x40, rcode: dns.RcodeBadVers, sets: ra, clears: cleared},
		// Options that we do not have are unknown ones: RFC 7873 section 5.2.1, RFC 5001 section 2.2,
		// RFC 7871 section 7.2.2, RFC 7314 section 3.
		{name: "docookie", dig: "+dnssec +cookie=0102030405060708", opt: true, size: 4096, optFlags: 0x8000, do: true, options: cookieOption, sets: ra, clears: cleared, answer: true},
		{name: "cookie", dig: "+cookie=0102030405060708", opt: true, size: 4096, options: cookieOption, sets: ra, clears: cleared, answer: true},
		{name: "edns512tcp", dig: "+tcp +bufsize=512 +nocookie", opt: true, size: 512, qname: "large.example.", qtype: dns.TypeTXT, sets: ra, clears: cleared, answer: true, tcp: true},
		{name: "edns@4096tcp", dig: "+tcp +bufsize=4096 +nocookie", opt: true, size: 4096, qname: "large.example.", qtype: dns.TypeTXT, sets: ra, clears: cleared, answer: true, tcp: true},
		{name: "optlist", dig: "+nsid +subnet=0.0.0.0/0 +expire +cookie=0102030405060708", opt: true, size: 4096, options: nsidOption + ecsOption + expireOption + cookieOption, sets: ra, clears: cleared, answer: true},
		{name: "nsid", dig: "+nsid +nocookie", opt: true, size: 4096, options: nsidOption, sets: ra, clears: cleared, answer: true},
		{name: "ecs", dig: "+subnet=0.0.0.0/0 +nocookie", opt: true, size: 4096, options: ecsOption, sets: ra, clears: cleared, answer: true},
		{name: "subnet", dig: "+subnet=198.51.100.0/24 +nocookie", opt: true, size: 4096, options: subnetOctets, sets: ra, clears: cleared, answer: true},
		{name: "expire", dig: "+expire +nocookie", opt: true, size: 4096, options: expireOption, sets: ra, clears: cleared, answer: true},
		{name: "ednsnxdomain", dig: "+edns=0 +nocookie", opt: true, size: 4096, qname: "nothing.zone.example.", qtype: dns.TypeA, rcode: dns.RcodeNameError, sets: ra, clears: cleared},
		{name: "ednstcp", dig: "+tcp +edns=0 +nocookie", opt: true, size: 4096, sets: ra, clears: cleared, answer: true, tcp: true},
	}
}

// zFlag must be zero in all messages (RFC 1035 section 4.1.1).
const zFlag = 1 << 6

const complianceZone = `zone.example. SOA ns.zone.example. hostmaster.zone.example. 1 3600 600 86400 120
zone.example. NS ns.zone.example.
`

func complianceRig(t *testing.T) *rig {
	t.Helper()
	zone := complianceZone
	for i := range 15 {
		zone += fmt.Sprintf("large.example. TXT \"%02d%s\"\n", i, strings.Repeat("x", 100))
	}
	return newRig(t, rigOptions{specs: specsOf(list(t, "stealers", "listed.example\n")), servers: []string{newZone(t, zone).addr}})
}

func (c *ednsCase) query() []byte {
	flags := c.flags
	if !c.noRD {
		flags |= wire.RD
	}
	qtype, qname := c.qtype, c.qname
	if qtype == 0 {
		qtype = dns.TypeSOA
	}
	if qname == "" {
		qname = "zone.example."
	}
	packed := make([]byte, 256)
	n, err := dns.PackDomainName(qname, packed, 0, nil, false)
	if err != nil {
		panic(err)
	}
	msg := header(4711, flags, 1)
	if flags>>wire.OpcodeShift&0xF != 0 { // a header alone
		return header(4711, flags)
	}
	msg = append(msg, packed[:n]...)
	msg = binary.BigEndian.AppendUint16(msg, qtype)
	msg = binary.BigEndian.AppendUint16(msg, dns.ClassINET)
	if c.opt {
		wire.SetCounts(msg, 0, 0, 1)
		msg = append(msg, 0)
		msg = binary.BigEndian.AppendUint16(msg, dns.TypeOPT)
		msg = binary.BigEndian.AppendUint16(msg, c.size)
		msg = append(msg, 0, c.version)
		msg = binary.BigEndian.AppendUint16(msg, c.optFlags)
		msg = binary.BigEndian.AppendUint16(msg, uint16(len(c.options)))
		msg = append(msg, c.options...)
	}
	return msg
}

// Each case over each transport, of a name that is forwarded (from the upstream and from
// the cache) and of a listed one: the OPT of an answer depends on that of the query alone.
func TestEDNSCompliance(t *testing.T) {
	t.Parallel()
	k := complianceRig(t)
	for _, c := range ednsCases() {
		t.Run(c.name, func(t *testing.T) {
			eachTransport(t, k, func(t *testing.T, conn net.Conn) {
				_, isUDP := conn.(*net.UDPConn)
				if !isUDP && c.udp || isUDP && c.tcp {
					return
				}
				for range 2 {
					c.ask(t, conn)
				}
				if c.qname == "" && c.rcode == dns.RcodeSuccess {
					listed := c
					listed.qname, listed.answer = "listed.example.", false // a SOA is asked for: NODATA
					listed.ask(t, conn)
				}
			})
		})
	}
}

func (c *ednsCase) ask(t *testing.T, conn net.Conn) {
	t.Helper()
	send(t, conn, c.query())
	reply := receive(t, conn)
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply %x: %v", reply, err)
	}
	flags := wire.Flags(reply)
	opt := m.IsEdns0()
	if m.Id != 4711 || flags&wire.QR == 0 || flags&c.sets != c.sets || flags&c.clears != 0 {
		t.Errorf("flags %04x, expected those of %04x and none of %04x", flags, c.sets, c.clears)
	}
	if m.Rcode != c.rcode {
		t.Errorf("response code %s, expected %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[c.rcode])
	}
	if (len(m.Answer) > 0) != c.answer {
		t.Errorf("%d records in the answer: %v", len(m.Answer), m.Answer)
	}
	switch {
	case (opt != nil) != c.opt:
		t.Errorf("OPT %v in the answer, %v in the query", opt != nil, c.opt)
	case opt != nil:
		// The version that we speak, the size that we take, DO as it came, and no other flag.
		if opt.Version() != 0 || opt.UDPSize() != maxUDPSize || opt.Do() != c.do || opt.Hdr.Ttl&0x7FFF != 0 {
			t.Errorf("OPT %v, expected version 0, size %d and flags: do %v", opt, maxUDPSize, c.do)
		}
		for _, o := range opt.Option {
			if asked := strings.Contains(c.options, cookieOption); o.Option() != dns.EDNS0EDE && !(asked && o.Option() == dns.EDNS0COOKIE) {
				t.Errorf("option %d in the answer: %v", o.Option(), o)
			}
		}
	}
	if _, isUDP := conn.(*net.UDPConn); isUDP && len(reply) > max(512, int(c.size)) {
		t.Errorf("%d octets, and the client takes %d", len(reply), c.size)
	}
}

// dig reads some of the answers as the table does.
func TestEDNSComplianceOfDig(t *testing.T) {
	t.Parallel()
	dig := tool(t, "dig")
	k := complianceRig(t)
	addr := k.listener.Addr()
	for _, c := range ednsCases() {
		if c.rcode == dns.RcodeNotImplemented {
			continue // dig sends no header alone here
		}
		qtype, qname := dns.Type(c.qtype).String(), c.qname
		if c.qtype == 0 {
			qtype = "SOA"
		}
		if qname == "" {
			qname = "zone.example."
		}
		args := []string{"@" + addr.Addr().String(), "-p", fmt.Sprint(addr.Port()), "+tries=1", "+time=5", "+noadflag", "+ignore", "+qid=4711", qname, qtype}
		args = append(args, strings.Fields(strings.ReplaceAll(c.dig, "-t TYPE666", ""))...)
		out, err := exec.Command(dig, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: dig %s: %v\n%s", c.name, strings.Join(args, " "), err, out)
			continue
		}
		rcode := dns.RcodeToString[c.rcode]
		if c.rcode == dns.RcodeBadVers {
			rcode = "BADVERS" // BADSIG to the library: both are 16
		}
		want := []string{"status: " + rcode + ",", "id: 4711"}
		if c.opt {
			want = append(want, fmt.Sprintf("; EDNS: version: 0, flags:%s; udp: %d", map[bool]string{true: " do"}[c.do], maxUDPSize))
		}
		for _, w := range want {
			if !bytes.Contains(out, []byte(w)) {
				t.Errorf("%s: dig %s has no %q:\n%s", c.name, strings.Join(args, " "), w, out)
			}
		}
		for _, not := range []string{"WARNING: Message parser", "malformed", "MBZ", "OPT=", "NSID:", "CLIENT-SUBNET:", "EXPIRE:"} {
			if bytes.Contains(out, []byte(not)) {
				t.Errorf("%s: dig %s says %q:\n%s", c.name, strings.Join(args, " "), not, out)
			}
		}
		if has := bytes.Contains(out, []byte("COOKIE:")); has != strings.Contains(c.options, cookieOption) {
			t.Errorf("%s: a cookie in the answer: %v\n%s", c.name, has, out)
		}
		if !c.opt && bytes.Contains(out, []byte("EDNS:")) {
			t.Errorf("%s: an OPT in the answer, and none in the query\n%s", c.name, out)
		}
	}
}
