package upstream

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	encryptedPort = 853 // of TLS (RFC 7858) and QUIC (RFC 9250)
	httpsPort     = 443
)

// endpoint is where an encrypted server is, and who it must prove to be.
type endpoint struct {
	over string     // overTLS, overHTTPS or overQUIC
	host string     // a name, of which addresses are to be found; empty with addr
	addr netip.Addr // valid without host
	port uint16
	name string // what the certificate must be for: a name or an address
	url  string // of overHTTPS
}

// isEncrypted tells the notations of parseEndpoint from those of parseServer.
func isEncrypted(text string) bool { return strings.Contains(text, "://") }

// parseEndpoint reads tls://IP[:port][#name], tls://name[:port], the same of
// quic://, and https://host/path, with #name where host is an address.
func parseEndpoint(text string) (endpoint, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	var e endpoint
	var err error
	switch scheme {
	case overTLS, overQUIC:
		host, name, named := strings.Cut(rest, "#")
		e, err = newEndpoint(scheme, host, name, named, encryptedPort)
	case overHTTPS:
		e, err = parseURL(text)
	default:
		err = fmt.Errorf("unknown scheme %q", scheme)
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("upstream server %q: %w; expected tls://IP[:port]#name, tls://name[:port], the same with quic://, or https://host/path", text, err)
	}
	return e, nil
}

func parseURL(text string) (endpoint, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return endpoint{}, errors.Unwrap(err)
	case u.User != nil:
		return endpoint{}, errors.New("it has a user")
	case u.Path == "":
		return endpoint{}, errors.New("it has no path")
	case strings.ContainsAny(text, "{}"):
		return endpoint{}, errors.New("it is a template")
	}
	e, err := newEndpoint(overHTTPS, u.Host, u.Fragment, u.Fragment != "", httpsPort)
	if err != nil {
		return e, err
	}
	u.Fragment = ""
	u.Host = e.name
	if strings.Contains(e.name, ":") {
		u.Host = "[" + e.name + "]"
	}
	if e.port != httpsPort {
		u.Host = net.JoinHostPort(e.name, strconv.Itoa(int(e.port)))
	}
	e.url = u.String()
	return e, nil
}

func newEndpoint(over, host, name string, named bool, port uint16) (endpoint, error) {
	e := endpoint{over: over, port: port, name: strings.ToLower(strings.TrimSuffix(name, "."))}
	to, err := netip.ParseAddrPort(host)
	if err != nil {
		var addr netip.Addr
		addr, err = netip.ParseAddr(withoutBrackets(host))
		to = netip.AddrPortFrom(addr, port)
	}
	if err == nil {
		if err = checkServer(to); err != nil {
			return e, err
		}
		e.addr, e.port = to.Addr().Unmap(), to.Port()
		if !named {
			e.name = e.addr.WithZone("").String()
		}
		return e, checkCertificateName(e.name)
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		number, err := strconv.ParseUint(host[at+1:], 10, 16)
		if err != nil || number == 0 {
			return e, fmt.Errorf("%q is no port", host[at+1:])
		}
		host, e.port = host[:at], uint16(number)
	}
	if named {
		return e, errors.New("a server given by its name has a certificate for that name, so there is no #name")
	}
	e.host = strings.ToLower(strings.TrimSuffix(host, "."))
	e.name = e.host
	return e, checkHostname(e.host)
}

func withoutBrackets(host string) string {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1]
	}
	return host
}

func notInHostname(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func checkCertificateName(name string) error {
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	return checkHostname(name)
}

// checkHostname takes the names that a certificate can be for.
func checkHostname(name string) error {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInHostname) {
			return fmt.Errorf("%q is no host name", name)
		}
	}
	if len(name) > maxName-2 || strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return fmt.Errorf("%q is no host name", name)
	}
	return nil
}
