package feed

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ZoneSpec is a list that is a response policy zone, transferred from its
// primary.
type ZoneSpec struct {
	Name   string // of the list
	Source string // see [CheckZone]
	TSIG   TSIG
	// SecretFile is read for each check of the zone and gives the secret of the key
	// in place of TSIG.Secret.
	SecretFile string
	Limits     Limits // File: octets of the copy; Text: octets received
}

// Schemes of zones that are transferred.
const (
	zoneScheme    = "rpz"  // over TCP
	zoneTLSScheme = "rpzs" // over TLS, RFC 9103
)

// CheckZone tells whether a zone can be transferred from this source:
//
//	rpz://primary[:53]/zone           over TCP
//	rpzs://primary[:853]/zone[#name]  over TLS; the certificate is for name, or else for primary
//
// The primary is an address (IPv6 in brackets) or a name.
func CheckZone(source string) error {
	_, err := parseZone(source)
	return err
}

// CheckTSIG tells whether a key can be used. Its error does not show the secret.
func CheckTSIG(t TSIG) error {
	_, err := t.key()
	return err
}

// zoneSource is a source that was found right.
type zoneSource struct {
	host    string
	address netip.Addr // of host, if it is one
	port    uint16
	apex    []byte
	tlsName string // empty: without TLS
}

// zone is a spec that was found right.
type zone struct {
	ZoneSpec
	zoneSource
	key *tsigKey
}

func (s ZoneSpec) check() (zone, error) {
	z := zone{ZoneSpec: s}
	var err error
	if z.zoneSource, err = parseZone(s.Source); err != nil {
		return z, err
	}
	if s.SecretFile != "" {
		z.TSIG.Secret = unread
	}
	if z.key, err = z.TSIG.key(); err != nil {
		return z, err
	}
	if s.SecretFile != "" {
		z.key = nil // until the file is read
	}
	z.Limits = s.Limits.withDefaults()
	return z, nil
}

// keyNow is the key with the secret as it is now.
func (z *zone) keyNow() (*tsigKey, error) {
	if z.SecretFile == "" {
		return z.key, nil
	}
	secret, err := readSecret(z.SecretFile)
	if err != nil {
		return nil, err
	}
	t := z.TSIG
	t.Secret = secret
	return t.key()
}

func parseZone(source string) (zoneSource, error) {
	var z zoneSource
	u, err := url.Parse(source)
	if err != nil {
		return z, fmt.Errorf("%w: expected rpz://primary:port/zone", urlFault(source, err))
	}
	source = ShownSource(source)
	port := uint16(53)
	switch u.Scheme {
	case zoneScheme:
	case zoneTLSScheme:
		port = 853
	default:
		return z, fmt.Errorf("%s: scheme %q, expected rpz:// or, over TLS, rpzs://", source, u.Scheme)
	}
	switch {
	case u.User != nil || u.RawQuery != "":
		return z, fmt.Errorf("%s: only a primary and a zone can be named, expected rpz://primary:port/zone; keys go to tsig", source)
	case u.Fragment != "" && u.Scheme == zoneScheme:
		return z, fmt.Errorf("%s: a name for the certificate (#%s) without TLS, expected rpzs://", source, u.Fragment)
	case u.Hostname() == "":
		return z, fmt.Errorf("%s: no primary, expected rpz://primary:port/zone", source)
	}
	z.host = u.Hostname()
	if z.address, err = netip.ParseAddr(z.host); err != nil {
		if strings.Contains(z.host, ":") {
			return z, fmt.Errorf("%s: the primary %q, expected an IPv6 address in brackets, as in rpz://[2001:db8::1]:53/zone", source, u.Host)
		}
		if _, err := parseName(z.host); err != nil {
			return z, fmt.Errorf("%s: the primary: %w", source, err)
		}
	}
	z.address = z.address.Unmap()
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return z, fmt.Errorf("%s: port %s, expected 1 to 65535", source, text)
		}
		port = uint16(n)
	}
	z.port = port
	name := strings.Trim(u.Path, "/")
	if z.apex, err = parseName(name); err != nil || len(z.apex) == 1 {
		return z, fmt.Errorf("%s: %q is no zone, expected rpz://primary:port/zone", source, name)
	}
	if u.Scheme == zoneTLSScheme {
		if z.tlsName = u.Fragment; z.tlsName == "" {
			z.tlsName = strings.TrimSuffix(z.host, ".")
		}
	}
	return z, nil
}

// text is the zone's name for messages.
func (z *zoneSource) text() string { return nameText(z.apex) }

// at is the primary at one of its addresses.
func (z *zoneSource) at(a netip.Addr) string {
	return net.JoinHostPort(a.String(), strconv.Itoa(int(z.port)))
}

// tlsConfig is nil without TLS.
func (z *zoneSource) tlsConfig(o *ZoneOptions) *tls.Config {
	if z.tlsName == "" {
		return nil
	}
	// RFC 9103 section 7.1: TLS 1.3 and the ALPN token of DNS over TLS.
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: o.RootCAs, ServerName: z.tlsName, NextProtos: []string{"dot"}}
}
