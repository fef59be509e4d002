package resolver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// encryptedRig is a rig with the encrypted listeners too.
type encryptedRig struct {
	*rig
	tls   *Listener
	https *HTTPSListener
	quic  *QUICListener
	roots *x509.CertPool
	ca    string // file of the certificate, for real clients
}

func newEncryptedRig(t testing.TB, o rigOptions) *encryptedRig {
	t.Helper()
	k := &encryptedRig{rig: newRig(t, o)}
	certificate := k.certify(t)
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
	var err error
	k.tls, err = k.ListenTLS(netip.MustParseAddrPort("127.0.0.1:0"), false, nil, get)
	check(t, err)
	k.https, err = k.ListenHTTPS(netip.MustParseAddrPort("127.0.0.1:0"), false, Sockets{}, get)
	check(t, err)
	k.quic, err = k.ListenQUIC(netip.MustParseAddrPort("127.0.0.1:0"), false, nil, get)
	check(t, err)
	stop := k.stop
	k.stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		check(t, errors.Join(k.tls.Shutdown(ctx), k.https.Shutdown(ctx), k.quic.Shutdown(ctx)))
		stop()
	}
	k.rig.stop = k.stop
	t.Cleanup(k.stop)
	if !o.idle {
		k.tls.Serve()
		k.https.Serve()
		k.quic.Serve()
	}
	return k
}

func (k *encryptedRig) certify(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dns.example"}, DNSNames: []string{"dns.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	k.roots = x509.NewCertPool()
	k.roots.AddCert(leaf)
	k.ca = filepath.Join(t.TempDir(), "ca.pem")
	check(t, os.WriteFile(k.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (k *encryptedRig) tlsClient(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: k.roots, ServerName: "dns.example", NextProtos: protocols}
}

func (k *encryptedRig) url() string { return "https://" + k.https.Addr().String() + dohPath }

// h2 is an HTTP client of its own connections, from an address.
func (k *encryptedRig) h2(t testing.TB, from string, protocols ...string) *http.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{TLSClientConfig: k.tlsClient(protocols...), DialContext: dialer.DialContext, ForceAttemptHTTP2: len(protocols) == 0, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func (k *encryptedRig) h3(t testing.TB, from string) *http.Client {
	t.Helper()
	dialer := k.quicDialer(t, from)
	transport := &http3.Transport{TLSClientConfig: k.tlsClient("h3"), Dial: func(ctx context.Context, addr string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
		to, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, err
		}
		return dialer.Dial(ctx, to, c, q)
	}}
	t.Cleanup(func() { transport.Close() })
	return &http.Client{Transport: transport, Timeout: patience}
}

func (k *encryptedRig) quicDialer(t testing.TB, from string) *quic.Transport {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)})
	check(t, err)
	dialer := &quic.Transport{Conn: socket}
	t.Cleanup(func() {
		dialer.Close()
		socket.Close()
	})
	return dialer
}

// doq is a DNS over QUIC connection.
func (k *encryptedRig) doq(t testing.TB, from string) *quic.Conn {
	t.Helper()
	c, err := k.quicDialer(t, from).Dial(t.Context(), net.UDPAddrFromAddrPort(k.quic.Addr()), k.tlsClient("doq"), &quic.Config{})
	check(t, err)
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c
}

// framed is a message with its length.
func framed(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// exchangeDoQ sends octets on a stream, ends it if asked, and reads one answer.
func exchangeDoQ(c *quic.Conn, octets []byte, fin bool) ([]byte, error) {
	s, err := c.OpenStreamSync(context.Background())
	if err != nil {
		return nil, err
	}
	_ = s.SetDeadline(time.Now().Add(patience))
	if _, err := s.Write(octets); err != nil {
		return nil, err
	}
	if fin {
		_ = s.Close()
	}
	all, err := io.ReadAll(s)
	if err != nil {
		return nil, err
	}
	if len(all) < 2 || int(binary.BigEndian.Uint16(all)) != len(all)-2 {
		return nil, fmt.Errorf("a stream of %d octets with length %x", len(all), all[:min(2, len(all))])
	}
	return all[2:], nil
}

// asked is a way to ask: it gives the packed answer, or nil for none.
type asked func(msg []byte) ([]byte, error)

// ways are all transports, each from the address.
func (k *encryptedRig) ways(t testing.TB, from string) map[string]asked {
	body := func(answer *http.Response, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %s: %s", answer.Status, text)
		}
		return text, err
	}
	get := func(c *http.Client) asked {
		return func(msg []byte) ([]byte, error) {
			return body(c.Get(k.url() + "?dns=" + base64.RawURLEncoding.EncodeToString(msg)))
		}
	}
	post := func(c *http.Client) asked {
		return func(msg []byte) ([]byte, error) {
			return body(c.Post(k.url(), dohMediaType, bytes.NewReader(msg)))
		}
	}
	h2, h1, h3 := k.h2(t, from), k.h2(t, from, "http/1.1"), k.h3(t, from)
	plain := func(network string) asked {
		return func(msg []byte) ([]byte, error) {
			dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
			if network == "tcp4" {
				dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
			}
			c, err := dialer.Dial(network, k.listener.Addr().String())
			if err != nil {
				return nil, err
			}
			defer c.Close()
			check(t, c.SetDeadline(time.Now().Add(patience)))
			send(t, c, msg)
			return receive(t, c), nil
		}
	}
	dot := func(msg []byte) ([]byte, error) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		c, err := tls.DialWithDialer(&dialer, "tcp4", k.tls.Addr().String(), k.tlsClient("dot"))
		if err != nil {
			return nil, err
		}
		defer c.Close()
		check(t, c.SetDeadline(time.Now().Add(patience)))
		send(t, c, msg)
		return receive(t, c), nil
	}
	return map[string]asked{
		"udp": plain("udp4"), "tcp": plain("tcp4"), "dot": dot,
		"doh get": get(h2), "doh post": post(h2), "doh http/1.1": post(h1), "doh3 get": get(h3), "doh3 post": post(h3),
		"doq": func(msg []byte) ([]byte, error) { return exchangeDoQ(k.doq(t, from), framed(msg), true) },
	}
}
