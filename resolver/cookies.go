package resolver

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// DNS cookies (RFC 7873), in the form that all servers of an address can read if they
// have the same secret (RFC 9018).

// CookieSecret is the key of server cookies.
type CookieSecret [16]byte

const (
	cookieVersion = 1
	clientCookie  = 8  // octets of the client's part
	serverCookie  = 16 // octets of ours: version, three reserved, time, hash
	// A server cookie is good for so long, and a new one is given from half of that on
	// (RFC 9018 section 4.3). Clocks may differ by cookieSkew.
	cookieLife  = time.Hour
	cookieRenew = cookieLife / 2
	cookieSkew  = 5 * time.Minute
)

// cookie is what a query's option says.
type cookie struct {
	sent   bool // there is one
	proven bool // its server part is ours, for this client: the address is not forged
	fresh  bool // and need not be renewed
	client [clientCookie]byte
	server [serverCookie]byte // where it is proven
}

// randomSecrets are good for as long as the process lives.
func randomSecrets() []CookieSecret {
	var s CookieSecret
	_, _ = rand.Read(s[:]) // never fails
	return []CookieSecret{s}
}

// introduce takes from the options of a query who asks, and the client's cookie.
func (r *Resolver) introduce(q *request, options []byte) {
	if q.OptionCodes.Identity != 0 {
		r.identify(q, options)
	}
	if q.OptionCodes.Cookie {
		r.readCookie(q, options)
	}
}

// introduceUnpacked is introduce for a query that the library has unpacked.
func (r *Resolver) introduceUnpacked(q *request, m *dns.Msg) {
	opt := m.IsEdns0()
	if opt == nil || q.OptionCodes.Identity == 0 && !q.OptionCodes.Cookie {
		return
	}
	const head = 11 // root, type, class, TTL, length (RFC 6891 section 6.1.2)
	packed := make([]byte, dns.Len(opt))
	if n, err := dns.PackRR(opt, packed, 0, nil, false); err == nil && n >= head {
		r.introduce(q, packed[head:n])
	}
}

// readCookie reads the first cookie option.
func (r *Resolver) readCookie(q *request, options []byte) {
	for {
		code, data, rest, ok := wire.NextOption(options)
		if !ok {
			return
		}
		if code == wire.OptionCookie {
			r.takeCookie(q, data)
			return
		}
		options = rest
	}
}

func (r *Resolver) takeCookie(q *request, data []byte) {
	c := &q.cookie
	if !wire.IsCookieLen(len(data)) {
		return
	}
	c.sent = true
	copy(c.client[:], data)
	if len(data) == clientCookie {
		return
	}
	age, ours := r.settings.Load().verify(data, q.client.Addr(), q.received)
	if !ours {
		r.count.badCookies.Add(1)
		return
	}
	copy(c.server[:], data[clientCookie:])
	c.proven, c.fresh = true, age < cookieRenew
}

// verify tells whether a cookie was given to a client by whoever has one of the secrets,
// and how long ago.
func (s *settings) verify(data []byte, client netip.Addr, now time.Time) (age time.Duration, ours bool) {
	if len(data) != clientCookie+serverCookie || data[clientCookie] != cookieVersion {
		return 0, false
	}
	given := binary.BigEndian.Uint32(data[clientCookie+4:])
	age = time.Duration(int32(uint32(now.Unix())-given)) * time.Second // RFC 1982
	if age > cookieLife || age < -cookieSkew {
		return 0, false
	}
	var said [8]byte
	copy(said[:], data[clientCookie+8:])
	for i := range s.cookieSecrets {
		if got := cookieHash(&s.cookieSecrets[i], data[:clientCookie+8], client); subtle.ConstantTimeCompare(got[:], said[:]) == 1 {
			return age, true
		}
	}
	return 0, false
}

// cookieHash hashes the client's part, version, reserved octets and time, and the client's
// address (RFC 9018 section 4.4).
func cookieHash(secret *CookieSecret, head []byte, client netip.Addr) (sum [8]byte) {
	var b [clientCookie + 8 + 16]byte
	n := copy(b[:], head)
	if client.Is4() {
		four := client.As4()
		n += copy(b[n:], four[:])
	} else {
		sixteen := client.As16()
		n += copy(b[n:], sixteen[:])
	}
	binary.LittleEndian.PutUint64(sum[:], sipHash((*[16]byte)(secret), b[:n]))
	return sum
}

// appendCookie appends to the OPT record that begins at opt the client's cookie and ours.
func (s *settings) appendCookie(dst []byte, opt int, q *request) []byte {
	var data [clientCookie + serverCookie]byte
	copy(data[:], q.cookie.client[:])
	if q.cookie.fresh {
		copy(data[clientCookie:], q.cookie.server[:])
	} else {
		data[clientCookie] = cookieVersion
		binary.BigEndian.PutUint32(data[clientCookie+4:], uint32(q.received.Unix()))
		sum := cookieHash(&s.cookieSecrets[0], data[:clientCookie+8], q.client.Addr())
		copy(data[clientCookie+8:], sum[:])
	}
	return wire.AppendOption(dst, opt, wire.OptionCookie, data[:])
}

// cookieAlone answers a query without a question that asks for a server cookie (RFC 7873
// section 5.4); nil: msg is no such query.
func (r *Resolver) cookieAlone(q *request, msg, dst []byte) []byte {
	if !q.ParseBare(msg) || !q.OptionCodes.Cookie || q.Version != 0 {
		return nil
	}
	r.readCookie(q, msg[q.OptionsAt:][:q.OptionsLen])
	if !q.cookie.sent {
		return nil
	}
	flags := uint16(0)
	if q.RD {
		flags = wire.RD | wire.RA
	}
	dst = appendBare(dst, q.ID, flags)
	dst = r.appendOPT(dst, q, 0, wire.EDE{})
	wire.SetCounts(dst, 0, 0, 1)
	return dst
}
