package upstream

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	randv2 "math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

const (
	optionCookie = 10
	clientCookie = 8  // octets, RFC 7873 section 4.1
	maxCookie    = 40 // with the server's part

	// cookieFor is how long a cookie is used; then another one is drawn.
	cookieFor = 7 * 24 * time.Hour
	// without is how long a server gets no cookie, or no random case, that was found
	// not to take it.
	without = time.Hour
	// keptTwice is how many replies must have kept the case of names before it is
	// relied on.
	keptTwice = 2

	rcodeBadCookie = 23
)

// proofs are what a plain server was found to give back of a query, beside the ID and
// the question: whoever forges replies must guess these too. They are learned from
// queries of our own, so that no client pays for a server that chokes on them.
type proofs struct {
	cookie    atomic.Pointer[cookie] // nil: it has given none
	noCookies atomic.Int64           // Unix nanoseconds until which it gets none
	choked    atomic.Int32           // queries in a row that it answered only without cookie and random case
	kept      atomic.Int32           // replies that kept the case, up to keptTwice
	noCase    atomic.Int64           // Unix nanoseconds until which it gets no random case
}

// cookie is what one server gets from us, and what it has given for it.
type cookie struct {
	octets []byte // the client's part, then the server's
	made   time.Time
}

// known is the cookie to send; nil: none.
func (p *proofs) known(now time.Time) *cookie {
	c := p.cookie.Load()
	if c == nil || now.Sub(c.made) > cookieFor {
		return nil
	}
	return c
}

// learn takes the server's part out of a reply to a query that had this client's part.
func (p *proofs) learn(client, given []byte, now time.Time) {
	old := p.cookie.Load()
	switch {
	case len(given) <= clientCookie: // it echoes the client's part, and that is all
	case old == nil || !bytes.Equal(old.octets[:clientCookie], client):
		p.cookie.Store(&cookie{octets: slices.Clone(given), made: now})
	case !bytes.Equal(old.octets, given):
		p.cookie.Store(&cookie{octets: slices.Clone(given), made: old.made})
	}
}

func (p *proofs) refuseCookies(now time.Time) {
	p.cookie.Store(nil)
	p.noCookies.Store(now.Add(without).UnixNano())
}

// chokes notes that the server did not answer a query of ours, but did without what it
// was to give back. Once that may be a lost packet.
func (p *proofs) chokes(now time.Time) {
	if p.choked.Add(1) > 1 {
		p.refuseCookies(now)
		p.losesCase(now)
	}
}

func (p *proofs) keepsCase() bool { return p.kept.Load() >= keptTwice }

func (p *proofs) keptCase() {
	if n := p.kept.Load(); n < keptTwice {
		p.kept.CompareAndSwap(n, n+1)
	}
}

func (p *proofs) losesCase(now time.Time) {
	p.kept.Store(0)
	p.noCase.Store(now.Add(without).UnixNano())
}

// withProofs asks for what the server is known to give back. q's message is changed, and
// must have room for a cookie or be on its own.
func (q query) withProofs(s *server, now time.Time, random randv2.Source) query {
	if s.proofs.keepsCase() {
		q = q.withCase(random)
	}
	if c := s.proofs.known(now); c != nil {
		q = q.withCookie(c.octets)
	}
	return q
}

// learning asks for what it is not known whether the server gives it back, too.
func (q query) learning(s *server, now time.Time) query {
	if now.UnixNano() >= s.proofs.noCase.Load() {
		q = q.withCase(systemBits{})
	}
	if c := s.proofs.known(now); c != nil {
		return q.withCookie(c.octets)
	}
	if now.UnixNano() >= s.proofs.noCookies.Load() {
		var client [clientCookie]byte
		rand.Read(client[:]) // never fails: crypto/rand ends the program instead
		q = q.withCookie(client[:])
	}
	return q
}

// withCase spells a name of lower case in random case (draft-vixie-dnsext-dns0x20). A
// name in another spelling is left as it is.
func (q query) withCase(random randv2.Source) query {
	name := q.name()
	for _, b := range name {
		if 'A' <= b && b <= 'Z' {
			return q
		}
	}
	var bits uint64
	left := 0
	for i, b := range name {
		if b < 'a' || b > 'z' { // no length of a label is a letter
			continue
		}
		if left == 0 {
			bits, left = random.Uint64(), 64
		}
		name[i] = b - byte(bits&1)*('a'-'A')
		bits >>= 1
		left--
	}
	q.cased = true
	return q
}

// withCookie appends the option to the OPT record, if there is one.
func (q query) withCookie(octets []byte) query {
	if q.opt == 0 || len(q.msg)+4+len(octets) > maxMsg {
		return q
	}
	q.msg = binary.BigEndian.AppendUint16(q.msg, optionCookie)
	q.msg = binary.BigEndian.AppendUint16(q.msg, uint16(len(octets)))
	q.msg = append(q.msg, octets...)
	binary.BigEndian.PutUint16(q.msg[q.opt+9:], uint16(len(q.msg)-q.opt-11))
	q.cookie = len(octets)
	return q
}

// client is the client's part of the cookie that the query has.
func (q query) client() []byte {
	return q.msg[len(q.msg)-q.cookie:][:clientCookie]
}

func (q query) withoutCookie() query {
	if q.cookie > 0 {
		q.msg = q.msg[:len(q.msg)-4-q.cookie]
		binary.BigEndian.PutUint16(q.msg[q.opt+9:], uint16(len(q.msg)-q.opt-11))
		q.cookie = 0
	}
	return q
}

func (q query) withoutCase() query {
	if q.cased {
		lower(q.name())
		q.cased = false
	}
	return q
}

func lower(name []byte) {
	for i, b := range name {
		if 'A' <= b && b <= 'Z' {
			name[i] = b + 'a' - 'A'
		}
	}
}

// restore gives an accepted reply the query's name as it was before withCase, in the
// question and where owners of records repeat it.
func (q query) restore(msg []byte) {
	if !q.cased || questions(msg) != 1 {
		return
	}
	lower(msg[headerLen : q.end-4])
	if isTruncated(msg) {
		return
	}
	records := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:])) + int(binary.BigEndian.Uint16(msg[10:]))
	for at := q.end; records > 0; records-- {
		labels, ok := skipLabels(msg, at)
		next, whole := skipName(msg, at)
		if !ok || !whole || next+10 > len(msg) {
			return
		}
		if q.repeats(msg[at:labels]) {
			lower(msg[at:labels])
		}
		at = next + 10 + int(binary.BigEndian.Uint16(msg[next+8:]))
	}
}

// repeats tells whether labels are some of the query's name, to the letter.
func (q query) repeats(labels []byte) bool {
	if len(labels) == 0 { // a pointer, as nearly always
		return false
	}
	for name := q.name(); name[0] != 0; name = name[1+int(name[0]):] {
		if bytes.HasPrefix(name, labels) {
			return true
		}
	}
	return false
}

// equalBut tells whether a reply has the query's question but for the case of letters.
func (q query) equalBut(msg []byte) bool {
	return len(msg) >= q.end && questions(msg) == 1 && bytes.EqualFold(msg[headerLen:q.end-4], q.name()) && bytes.Equal(msg[q.end-4:q.end], q.msg[q.end-4:q.end])
}

// cookieOf is the cookie of a reply, and ok that there is no malformed option before it.
func cookieOf(msg []byte, opt int) (octets []byte, ok bool) {
	if opt == 0 {
		return nil, true
	}
	end := opt + 11 + int(binary.BigEndian.Uint16(msg[opt+9:]))
	for options := msg[opt+11 : end]; len(options) > 0; {
		if len(options) < 4 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(options[2:]))
		if 4+n > len(options) {
			return nil, false
		}
		if binary.BigEndian.Uint16(options) == optionCookie {
			octets = options[4 : 4+n]
			return octets, n == clientCookie || 2*clientCookie <= n && n <= maxCookie
		}
		options = options[4+n:]
	}
	return nil, true
}

// prove holds a reply that answers the query to what it must give back besides, and
// learns what it gives. Of a truncated one there is nothing to learn.
func (q query) prove(s *server, msg []byte, now time.Time) verdict {
	if q.cookie > 0 && !isTruncated(msg) {
		records, _ := walk(msg)
		given, ok := cookieOf(msg, records.optAt)
		switch {
		case !ok:
			return malformed
		case given == nil && q.cookie > clientCookie:
			return unproven
		case given != nil && !bytes.Equal(given[:clientCookie], q.client()):
			return mismatched
		}
		s.proofs.learn(q.client(), given, now)
		if records.optAt > 0 && int(msg[records.optAt+5])<<4|int(rcodeOf(msg)) == rcodeBadCookie {
			return badCookie
		}
	}
	if q.cased {
		s.proofs.keptCase()
	}
	return accepted
}
