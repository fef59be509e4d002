package hits

import (
	"net/netip"
	"time"
)

// What a connection to the landing is evidence of (sinkhole.evidence).
const (
	// EvidenceConnected is a TCP connection; a ClientHello is no more than that.
	EvidenceConnected = "connected"
	// EvidenceSent is octets of the application, such as an HTTP request.
	EvidenceSent = "sent"
)

// How a connection was found to belong to a hit (sinkhole.joined).
const (
	JoinedName         = "name"          // the client asked for the name that it then named
	JoinedAddress      = "address"       // the client was answered with the address that it then connected to
	JoinedQueryAddress = "query-address" // the address was given to that query alone
	JoinedNone         = "none"
)

// Connection is one connection to the sinkhole address, whole, or several alike ones.
// Its memory belongs to the journal once it is recorded.
type Connection struct {
	Time        time.Time // when it was accepted
	Client      netip.AddrPort
	Destination netip.AddrPort // before a redirection, where the system tells
	Protocol    string         // http, tls or tcp
	Evidence    string
	Count       uint64    // connections that this stands for; 0 is 1
	Last        time.Time // with Count above 1: when the last one was accepted

	Bytes   uint64   // that the client sent, of all of them
	First   [32]byte // SHA-256 of the first 4 KiB; means something with Bytes only
	Payload []byte   // these; nil: not kept

	Method, Referrer, Version string // of HTTP
	Host, Path, UserAgent     string
	Query                     [32]byte // SHA-256 of the query string
	HasQuery                  bool

	ServerName string // of TLS
	ALPN       []string
	JA4        string

	Joined     string
	HitID      string      // event.id of the hit that it belongs to
	Name       string      // that the hit asked for
	Indicators []Indicator // of the hit, else those that match Host or SNI; the deciding one first
	Noise      bool
	Forwarder  bool // Client is a forwarder's
	Expected   bool // of a client that does such things for a living
}

// RecordConnection calls the journal to keep a connection, or counts it as lost where too
// many wait. It never blocks for longer than a copy takes.
func (j *Journal) RecordConnection(c *Connection) {
	if j.landings.put(c) {
		j.bell.wake()
	}
}

// appendConnection appends the line of a connection.
func (e *encoder) appendConnection(dst []byte, c *Connection, now time.Time) []byte {
	l := &e.line
	client := e.veil.addrPort(c.Client)
	l.indicators = append(l.indicators[:0], c.Indicators...)
	if e.veil != nil {
		for i := range l.indicators {
			e.veil.indicator(&l.indicators[i], c.Client.Addr())
		}
	}
	l.text = dst
	e.open(l, c.Time)
	e.addConnectionEvent(l, c, now)
	l.addEndpoint("client", client)
	l.addEndpoint("destination", c.Destination)
	l.raw(e.observer)
	l.addConnectionNetwork(c)
	l.addRequest(c)
	l.addTLS(c)
	if c.Name != "" {
		l.object("dns")
		l.object("question")
		l.string("name", c.Name)
		l.some("registered_domain", registeredDomain(c.Name))
		l.end('}')
		l.end('}')
	}
	if len(l.indicators) > 0 {
		l.addThreat(&l.indicators[0])
	}
	l.addLanding(c)
	return l.close()
}
