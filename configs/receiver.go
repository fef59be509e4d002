package configs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Receiver is where hits are sent: hits.syslog or hits.dnstap.
type Receiver struct {
	Network string // udp, tcp, tls or unix
	Address string // host:port, or the path of a socket

	CA, Certificate, Key string // PEM files of a tls receiver; "": the system's authorities, no certificate of ours
}

// Ports that a receiver has unless its address says another (RFC 5426, RFC 5425).
const (
	portSyslog    = 514
	portSyslogTLS = 6514
)

// SyslogReceiver is that of hits.syslog, the zero Receiver where there is none.
func (h *Hits) SyslogReceiver() (Receiver, error) {
	const expected = `expected udp://, tcp:// or tls:// and an address, as in "tls://logs.example:6514"`
	return parseReceiver(h.Syslog, expected, map[string]int{"udp": portSyslog, "tcp": 0, "tls": portSyslogTLS})
}

// DnstapReceiver is that of hits.dnstap, the zero Receiver where there is none.
func (h *Hits) DnstapReceiver() (Receiver, error) {
	const expected = `expected unix:// or tcp:// and an address, as in "unix:///run/dnstap.sock" or "tcp://192.0.2.9:6000"`
	return parseReceiver(h.Dnstap, expected, map[string]int{"unix": 0, "tcp": 0})
}

// parseReceiver reads a URL of one of the schemes, each with its port, 0 where it has none.
func parseReceiver(s, expected string, schemes map[string]int) (r Receiver, err error) {
	if s == "" {
		return r, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return r, fmt.Errorf("found %q, %s", s, expected)
	}
	port, known := schemes[u.Scheme]
	if !known {
		return r, fmt.Errorf("found %q, %s", s, expected)
	}
	r.Network = u.Scheme
	if u.Scheme == "unix" {
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
			return Receiver{}, fmt.Errorf(`found %q, expected the whole path of a socket, as in "unix:///run/dnstap.sock"`, s)
		}
		r.Address = u.Path
		return r, nil
	}
	if u.Path != "" {
		return Receiver{}, fmt.Errorf("found %q with the path %q, %s", s, u.Path, expected)
	}
	if r.Address, err = receiverAddress(u, port); err != nil {
		return Receiver{}, fmt.Errorf("found %q%w, %s", s, err, expected)
	}
	return r, r.parameters(s, u)
}

// receiverAddress is host:port of a URL. The error goes on a sentence.
func receiverAddress(u *url.URL, port int) (string, error) {
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
		return "", fmt.Errorf(" with the host %q", host)
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return "", fmt.Errorf(" with port %q", text)
		}
		port = int(n)
	}
	if port == 0 {
		return "", fmt.Errorf(" without a port")
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

func isHostName(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-._", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// parameters reads ca, certificate and key.
func (r *Receiver) parameters(s string, u *url.URL) error {
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("found %q, whose parameters cannot be read: %w", s, err)
	}
	for name, values := range given {
		file := map[string]*string{"ca": &r.CA, "certificate": &r.Certificate, "key": &r.Key}[name]
		switch {
		case file == nil || r.Network != "tls":
			return fmt.Errorf("found %q with the parameter %q, expected none but ca, certificate and key of a tls:// address", s, name)
		case len(values) != 1 || !filepath.IsAbs(values[0]):
			return fmt.Errorf("found %q with the parameter %q, expected the whole path of one PEM file, as in ?ca=/etc/ssl/logs.pem", s, name)
		}
		*file = values[0]
	}
	if (r.Certificate == "") != (r.Key == "") {
		return fmt.Errorf("found %q with one of certificate and key, expected both or none", s)
	}
	return nil
}

// TLS reads the files of a tls receiver.
func (r *Receiver) TLS() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: found no certificate, expected those of the receiver's authorities in PEM form", r.CA)
		}
	}
	if r.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(r.Certificate, r.Key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", r.Certificate, r.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// receivers checks the addresses that hits are sent to.
func (v *validator) receivers() {
	if _, err := v.Hits.SyslogReceiver(); err != nil {
		v.fault("hits.syslog", "%v", err)
	}
	if _, err := v.Hits.DnstapReceiver(); err != nil {
		v.fault("hits.dnstap", "%v", err)
	}
	if _, _, err := v.Hits.StreamReceiver(); err != nil {
		v.fault("hits.stream", "%v", err)
	}
}
