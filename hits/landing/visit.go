package landing

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"sinkhole/hits"
)

// Bounds of one connection.
const (
	wholeConnection = 10 * time.Second
	maxOctets       = 64 << 10 // that are read of it
	firstOctets     = 4 << 10  // that are hashed, and perhaps kept
	// toAnswer is for the answer, after the time for reading is over.
	toAnswer = time.Second
	// linger is how long a client that was answered has to close: octets that nobody read
	// when we close would take the answer with them.
	linger = 500 * time.Millisecond
)

// visit reads a connection, and notes what comes.
type visit struct {
	net.Conn
	unread []byte // looked at, and not read yet
	first  []byte // the first octets
	octets uint64
}

// Read ends at the bound.
func (v *visit) Read(p []byte) (int, error) {
	if len(v.unread) > 0 {
		n := copy(p, v.unread)
		v.unread = v.unread[n:]
		return n, nil
	}
	return v.receive(p)
}

func (v *visit) receive(p []byte) (int, error) {
	if v.octets >= maxOctets {
		return 0, io.EOF
	}
	n, err := v.Conn.Read(p[:min(uint64(len(p)), maxOctets-v.octets)])
	v.octets += uint64(n)
	if room := firstOctets - len(v.first); room > 0 {
		v.first = append(v.first, p[:min(n, room)]...)
	}
	return n, err
}

// look receives until there are so many octets that nobody has read; false where there will
// not be.
func (v *visit) look(n int) bool {
	var buf [4 << 10]byte
	for len(v.unread) < n {
		got, err := v.receive(buf[:])
		v.unread = append(v.unread, buf[:got]...)
		if err != nil {
			return len(v.unread) >= n
		}
	}
	return true
}

// note puts into c how much came.
func (v *visit) note(c *hits.Connection, keep bool) {
	c.Bytes = v.octets
	c.First = sha256.Sum256(v.first)
	if keep {
		c.Payload = v.first
	}
}

// visit serves a connection to its end.
func (l *Landing) visit(conn *net.TCPConn) *hits.Connection {
	now := time.Now()
	_ = conn.SetReadDeadline(now.Add(l.whole))
	_ = conn.SetWriteDeadline(now.Add(l.whole + toAnswer))
	c := &hits.Connection{
		Time: now, Last: now, Count: 1, Client: unmapped(conn.RemoteAddr()), Destination: destination(conn),
		Protocol: "tcp", Evidence: hits.EvidenceConnected, Joined: hits.JoinedNone,
	}
	if l.closing() { // its deadline may have been set before ours
		return c
	}
	v := &visit{Conn: conn}
	if v.look(1) && v.unread[0] == recordHandshake {
		l.greetTLS(v, c)
	} else {
		l.greet(v, c)
	}
	return c
}

func (l *Landing) closing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open == nil
}

// greetTLS reads the ClientHello, and what follows it where there is a certificate.
func (l *Landing) greetTLS(v *visit, c *hits.Connection) {
	h, need, err := parseClientHello(v.unread)
	for errors.Is(err, errPartial) && v.look(need) {
		h, need, err = parseClientHello(v.unread)
	}
	if err != nil {
		l.greet(v, c) // the first octet was all that it had of TLS
		return
	}
	c.Protocol, c.ServerName, c.JA4 = "tls", name(h.serverName), h.ja4()
	for _, protocol := range h.alpn {
		c.ALPN = append(c.ALPN, text(protocol))
	}
	if l.o.Certificate == nil {
		v.note(c, l.o.KeepPayload)
		return
	}
	inner := tls.Server(v, &tls.Config{GetCertificate: l.o.Certificate, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true})
	within := &visit{Conn: inner}
	if inner.Handshake() == nil {
		l.greet(within, c)
	}
	c.Protocol = "tls"
	if within.octets == 0 {
		v.note(c, l.o.KeepPayload)
	}
}

// greet reads what a client sends, and answers an HTTP request.
func (l *Landing) greet(v *visit, c *hits.Connection) {
	if !l.request(v, c) {
		_, _ = io.Copy(io.Discard, v)
	}
	v.note(c, l.o.KeepPayload)
	if v.octets > 0 {
		c.Evidence = hits.EvidenceSent
	}
}
