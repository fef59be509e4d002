package resolver

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"sinkhole/hits"
)

const (
	// maxStreams bounds the queries of one connection that are under way at once.
	maxStreams = 100
	// queryWait is how long a query may take to come whole, from its first octet.
	queryWait = 5 * time.Second
	// takeWait is how long a client may take for an answer.
	takeWait = 3 * time.Second
	// encryptedIdleWait is how long a connection without a query stays open.
	encryptedIdleWait = 30 * time.Second
	// queueShare is the part of a queue of hits that each has: what is encrypted comes
	// slower than datagrams do.
	queueShare = 4
)

// encrypted is what the listeners with HTTP and QUIC share.
type encrypted struct {
	tls, quic *guests

	stalled     atomic.Uint64 // queries that did not come whole in time
	rejected    atomic.Uint64 // HTTP requests that are no DNS over HTTPS
	violated    atomic.Uint64 // connections closed since the client broke RFC 9250
	validated   atomic.Uint64 // QUIC clients that had to prove their address first (Retry)
	handshaking atomic.Int64  // QUIC connections without a finished handshake
}

func newEncrypted() *encrypted {
	return &encrypted{tls: newGuests(int64(connectionLimit())), quic: newGuests(maxQUICConnections)}
}

// EncryptedStats are the counts of DNS over HTTPS and over QUIC since start.
type EncryptedStats struct {
	TLS, QUIC GuestStats // HTTP/2 and HTTP/1.1; HTTP/3 and DNS over QUIC
	Stalled   uint64     // queries given up since they did not come whole in time
	Rejected  uint64     // HTTP requests that are no DNS over HTTPS, answered 4xx
	Violated  uint64     // QUIC connections closed since the client broke RFC 9250
	Validated uint64     // QUIC clients that had to prove their address first
}

// GuestStats are those of the connections of one kind.
type GuestStats struct {
	Connections, Queries int64  // open, and under way, now
	Crowded, Busy        uint64 // connections and queries turned away since there were too many
}

func (e *encrypted) stats() EncryptedStats {
	return EncryptedStats{
		TLS: e.tls.stats(), QUIC: e.quic.stats(), Stalled: e.stalled.Load(), Rejected: e.rejected.Load(),
		Violated: e.violated.Load(), Validated: e.validated.Load(),
	}
}

func (g *guests) stats() GuestStats {
	return GuestStats{Connections: g.connections.Load(), Queries: g.queries.Load(), Crowded: g.crowded.Load(), Busy: g.busy.Load()}
}

// Certify gives the certificate for a handshake, as [tls.Config.GetCertificate].
type Certify func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// serverTLS is what all encrypted listeners ask of TLS. There is no early data (0-RTT):
// whoever replays it would make hits of a client that asked nothing.
func serverTLS(certify Certify, protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certify, NextProtos: protocols}
}

// admitted tells whether a client may have a connection: where others get REFUSED,
// all may, to be told so.
func (r *Resolver) admitted(client netip.Addr) bool {
	s := r.settings.Load()
	if s.DropOthers && !s.allowed(client) {
		r.count.ignored.Add(1)
		return false
	}
	return true
}

// arrived is what is known of a query that a connection brought just now.
func (h *handler) arrived(client, server netip.AddrPort) arrival {
	return arrival{client: client, server: server, transport: h.transport, received: time.Now(), queue: h.queue}
}

// endpoint is an address of a socket, IPv4-mapped ones as IPv4.
func endpoint(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

// network is the name for package net of a listener on addr.
func network(kind string, addr netip.AddrPort, dualStack bool) string {
	switch {
	case addr.Addr().Is4():
		return kind + "4"
	case addr.Addr().IsUnspecified() && dualStack:
		return kind
	}
	return kind + "6"
}

// transports are all that a query may come over.
func transports() []hits.Transport {
	return []hits.Transport{hits.UDP, hits.TCP, hits.DoT, hits.DoH, hits.DoH3, hits.DoQ}
}
