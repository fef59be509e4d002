package resolver

import (
	"net/netip"
	"time"

	"github.com/gaissmai/bart"

	"sinkhole/blocklist"
)

// Settings are what a configuration reload may change while queries go on.
type Settings struct {
	Allow       []netip.Prefix // clients that may ask
	Forwarders  []netip.Prefix // clients that ask for others, and are believed when they say who those are
	Disbelieved []uint16       // EDNS options that are not, of whomever: the forwarders' clients may set them
	Expected    []netip.Prefix // clients whose hits are marked: they look up listed names for a living
	DropOthers  bool           // everyone else gets nothing instead of REFUSED
	IPv4, IPv6  blocklist.Sink // sinkhole addresses; SinkInherit is not valid here
	SinkholeTTL time.Duration
	Explain     Explain
	RateLimit   RateLimit
	// ResponsesPerSecond bounds alike answers over UDP to clients of one prefix whose
	// addresses may be forged; 0: no bound.
	ResponsesPerSecond int
	// CookieSecrets are those of server cookies: the first one signs, all are believed.
	// None: a random one, for as long as the process lives.
	CookieSecrets []CookieSecret
	// Nonexistent are names that are answered NXDOMAIN with all below them, beside
	// those that always are: browsers and phones then go on asking here.
	Nonexistent []string
	// KeepSingleLabel has address look-ups for names of one label answered here, with
	// no data.
	KeepSingleLabel bool
}

// Explain is how much the extended DNS errors of policy answers tell a client.
type Explain uint8

const (
	ExplainNone   Explain = iota // no extended DNS error
	ExplainCode                  // the code alone
	ExplainFamily                // and the malware family
	ExplainFull                  // and the list and the indicator
)

// settings is Settings compiled for the data path; immutable.
type settings struct {
	Settings
	allow *bart.Lite
	// forwarders and expected are nil where nobody is one.
	forwarders, expected *bart.Lite
	limits               *limits
	cookieSecrets        []CookieSecret
	local                *nameTree
	ttl                  uint32 // seconds
}

// compileSettings is told the zones that have servers of their own.
func compileSettings(s Settings, zones []string) *settings {
	c := &settings{Settings: s, allow: &bart.Lite{}, forwarders: table(s.Forwarders), expected: table(s.Expected), local: localNames(s.Nonexistent, zones), ttl: uint32(s.SinkholeTTL / time.Second)}
	for _, prefix := range s.Allow {
		c.allow.Insert(prefix.Masked())
	}
	return c
}

// table finds addresses in prefixes; nil if there are none.
func table(prefixes []netip.Prefix) *bart.Lite {
	if len(prefixes) == 0 {
		return nil
	}
	t := &bart.Lite{}
	for _, prefix := range prefixes {
		t.Insert(prefix.Masked())
	}
	return t
}

// believes tells whether a client asks for others, and is believed about them.
func (s *settings) believes(client netip.Addr) bool { return contains(s.forwarders, client) }

// expects tells whether hits of a client are no surprise.
func (s *settings) expects(client netip.Addr) bool { return contains(s.expected, client) }

func contains(t *bart.Lite, client netip.Addr) bool {
	return t != nil && t.Contains(client.Unmap().WithZone(""))
}

// allowed tells whether a client may ask. IPv4-mapped addresses count as IPv4,
// and a zone (fe80::1%eth0) does not matter.
func (s *settings) allowed(client netip.Addr) bool {
	return s.allow.Contains(client.Unmap().WithZone(""))
}
