package resolver

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"sinkhole/hits"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// request is one query on its way through the resolver.
type request struct {
	wire.Query
	arrival
	identity hits.Identity // only if identified
}

// arrival is what is known of a query beside what it says.
type arrival struct {
	client    netip.AddrPort // who asks, IPv4-mapped addresses as IPv4: the socket's other end, or what a balancer says
	balancer  netip.AddrPort // the socket's other end where that is a balancer, which named client (PROXY protocol)
	proxy     hits.Proxy     // how it did
	limited   bool           // the client has asked more than it may
	withheld  bool           // it gets no answer, since there were too many alike
	cookie    cookie
	forgeable bool           // the balancer had a datagram of the client, whatever it sends itself
	server    netip.AddrPort // the address that was asked
	transport hits.Transport
	idle      uint16 // for how long the connection is kept without a query, in units of 100 ms (RFC 7828)
	received  time.Time
	queue     *hits.Queue
	seen      glance // what the reader saw of it before

	// atOnce says that whoever answers may not wait, since others wait behind
	// it; waits is then set, and nothing done, where the answer may take an
	// upstream, and asks too where an upstream is to be asked this very question. hit
	// tells that the cache had the answer, which is left to whoever answers to count.
	atOnce, waits, asks, hit bool
	// refused says that nobody is to be asked for it, nor anything waited for; noted
	// tells, of one that waits, that policy found something.
	refused, noted bool
	below          bool     // what lookup gave denies a name that this one ends in, so that there is nothing here either
	identified     bool     // a forwarder that is believed told identity
	stale          bool     // what lookup gave was true lately, and nobody can tell whether it is
	fetched        *fetched // what an upstream said meanwhile; nil: nobody was asked
}

// fetched is what came of asking an upstream for a key: an entry, or why there is
// none.
type fetched struct {
	key     string
	entry   *cache.Entry
	failure wire.EDE
}

// maxUDPSize is the largest answer sent over UDP whatever the client offers, so
// that no answer is fragmented (the DNS flag day of 2020).
const maxUDPSize = 1232

// appendKey appends the cache's key.
func (q *request) appendKey(dst []byte) []byte {
	return cache.AppendKey(dst, q.QName(), q.Type, q.Class, q.DO, q.CD)
}

// sizeLimit is the largest answer that the client can take.
func (q *request) sizeLimit() int {
	switch {
	case q.transport != hits.UDP:
		return dns.MaxMsgSize
	case !q.EDNS:
		return dns.MinMsgSize
	}
	return min(max(int(q.UDPSize), dns.MinMsgSize), maxUDPSize)
}

// fill takes the facts of a query that the library has unpacked. It reports
// whether the query is well formed: a whole question, which the library does
// not insist on (class 0 is reserved, and what it makes of a missing one), and
// one OPT at most (RFC 6891 section 6.1.1). NameLen stays 0 without a question.
func (q *request) fill(m *dns.Msg) bool {
	q.ID, q.Opcode = m.Id, uint8(m.Opcode)
	q.RD, q.AD, q.CD = m.RecursionDesired, m.AuthenticatedData, m.CheckingDisabled
	if len(m.Question) != 1 || m.Question[0].Qclass == 0 {
		return false
	}
	var spelled [wire.MaxName]byte
	n, err := dns.PackDomainName(m.Question[0].Name, spelled[:], 0, nil, false)
	if err != nil || !q.SetName(spelled[:n]) {
		return false
	}
	q.Type, q.Class = m.Question[0].Qtype, m.Question[0].Qclass
	for _, rr := range m.Extra {
		opt, isOPT := rr.(*dns.OPT)
		if !isOPT {
			continue
		}
		if q.EDNS || opt.Hdr.Name != "." {
			return false
		}
		for _, o := range opt.Option {
			if c, isCookie := o.(*dns.EDNS0_COOKIE); isCookie && !wire.IsCookieLen(len(c.Cookie)/2) {
				return false // RFC 7873 section 5.2.2
			}
		}
		q.EDNS, q.Version, q.DO, q.UDPSize = true, opt.Version(), opt.Do(), opt.UDPSize()
		q.OptionCodes = codes(opt)
	}
	return true
}
