package upstream_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/upstream"
)

// authority issues certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	der, a.key = a.sign(a.cert)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	by := a.key
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for a name or an address.
func (a *authority) issue(name string, until time.Time) tls.Certificate {
	a.t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	der, key := a.sign(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) config(name string, protocols ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue(name, time.Now().Add(time.Hour))}, NextProtos: protocols}
}

// files writes a certificate with its key for a server that is no part of the test.
func (a *authority) files(name string) (cert, key string) {
	a.t.Helper()
	c := a.issue(name, time.Now().Add(time.Hour))
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	cert, key = dir+"/cert.pem", dir+"/key.pem"
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

// tlsPeer is a server over TLS. Its handler has each connection to itself.
type tlsPeer struct {
	net.Listener
	accepted, queries atomic.Int64
}

const peerName = "dns.example"

func startTLS(t testing.TB, config *tls.Config, handle func(p *tlsPeer, conn *tls.Conn, number int64)) *tlsPeer {
	t.Helper()
	return startTLSAt(t, "127.0.0.1:0", config, handle)
}

func startTLSAt(t testing.TB, addr string, config *tls.Config, handle func(p *tlsPeer, conn *tls.Conn, number int64)) *tlsPeer {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &tlsPeer{Listener: l}
	var serving sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			number := p.accepted.Add(1)
			serving.Go(func() {
				defer func() {
					conn.Close()
					mu.Lock()
					delete(open, conn)
					mu.Unlock()
				}()
				secured := tls.Server(conn, config)
				if secured.Handshake() == nil {
					handle(p, secured, number)
					secured.Close()
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return p
}

// server is how the peer is configured.
func (p *tlsPeer) server(name string) string { return "tls://" + p.Addr().String() + "#" + name }

// next reads one query; nil at the end.
func (p *tlsPeer) next(conn io.Reader) []byte {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return nil
	}
	p.queries.Add(1)
	return query
}

// honestTLS answers each query in turn.
func honestTLS(p *tlsPeer, conn *tls.Conn, _ int64) {
	for query := p.next(conn); query != nil; query = p.next(conn) {
		conn.Write(framed(answer(query, truth)))
	}
}

// silentTLS reads on and says nothing.
func silentTLS(p *tlsPeer, conn *tls.Conn, _ int64) {
	for p.next(conn) != nil {
	}
}

func secureForwarder(t testing.TB, a *authority, timeout time.Duration, servers ...string) *upstream.Forwarder {
	t.Helper()
	return forwarder(t, upstream.Options{Servers: servers, Timeout: timeout, RootCAs: a.roots()})
}

// optionsOf are the EDNS options of a packed query.
func optionsOf(t testing.TB, query []byte) map[uint16][]byte {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(query); err != nil {
		t.Errorf("the query does not unpack: %v", err)
		return nil
	}
	options := map[uint16][]byte{}
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			switch option := option.(type) {
			case *dns.EDNS0_PADDING:
				options[option.Option()] = option.Padding
			default:
				options[option.Option()] = []byte{}
			}
		}
	}
	return options
}

// isPadded checks what an encrypted server gets of newQuery.
func isPadded(t testing.TB, query []byte, keepalive bool) {
	t.Helper()
	options := optionsOf(t, query)
	padding, padded := options[dns.EDNS0PADDING]
	if _, kept := options[dns.EDNS0TCPKEEPALIVE]; len(query)%128 != 0 || !padded || kept != keepalive || bytes.Trim(padding, "\x00") != nil {
		t.Errorf("got a query of %d octets with options %v, want a multiple of 128, padding, keepalive %v", len(query), options, keepalive)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s not yet: %s", what)
		}
	}
}
