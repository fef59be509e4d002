package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// SourceKind is where a list comes from.
type SourceKind string

// The kinds of list sources.
const (
	SourceFiles    SourceKind = "files"    // a path or glob
	SourceEmbedded SourceKind = "embedded" // [EmbeddedSample]
	SourceURL      SourceKind = "url"      // https://, or http:// on loopback
	SourceZone     SourceKind = "zone"     // rpz:// and rpzs://, a zone transferred from its primary
)

// Kind is where the list comes from.
func (l List) Kind() SourceKind {
	scheme, _, found := strings.Cut(l.Source, "://")
	switch {
	case l.Source == EmbeddedSample:
		return SourceEmbedded
	case !found:
		return SourceFiles
	case scheme == schemeZone || scheme == schemeZoneTLS:
		return SourceZone
	}
	return SourceURL
}

// Remote reports whether the list comes over the network.
func (l List) Remote() bool { return l.Kind() == SourceURL || l.Kind() == SourceZone }

// Zone is a response policy zone on its primary.
type Zone struct {
	Primary netip.AddrPort
	Name    string // of the zone, without the final dot
	TLS     bool   // RFC 9103
	// ServerName is what the primary's certificate must be for; empty: its
	// address.
	ServerName string
}

// Zone is the zone of a list whose kind is [SourceZone].
func (l List) Zone() (Zone, error) { return parseZone(l.Source) }

const (
	schemeZone    = "rpz"
	schemeZoneTLS = "rpzs"

	// minRefresh spares the servers of others.
	minRefresh = time.Minute
)

// parseZone reads rpz://address[:port]/zone and rpzs://address[:port]/zone#name.
func parseZone(s string) (Zone, error) {
	const expected = `expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`
	scheme, rest, _ := strings.Cut(s, "://")
	z := Zone{TLS: scheme == schemeZoneTLS}
	if strings.ContainsAny(rest, "@?") { // perhaps a secret
		return z, fmt.Errorf("found a user, a password or a query (@ or ?), %s; a key goes to tsig", expected)
	}
	rest, name, named := strings.Cut(rest, "#")
	primary, zone, found := strings.Cut(rest, "/")
	if !found || primary == "" || zone == "" {
		return z, fmt.Errorf("found %q, %s", s, expected)
	}
	port := uint16(portDNS)
	if z.TLS {
		port = portEncrypted
	}
	var err error
	if z.Primary, err = parsePrimary(primary, port); err != nil {
		return z, fmt.Errorf("found %q with %w; %s", s, err, expected)
	}
	z.Name = strings.TrimSuffix(zone, ".")
	if err := checkName(z.Name); err != nil {
		return z, fmt.Errorf("found %q with the zone %q: %w", s, zone, err)
	}
	z.ServerName = name
	switch {
	case named && !z.TLS:
		return z, fmt.Errorf("found %q with the name of a certificate, expected rpzs:// before it, or no name", s)
	case named:
		if err := checkName(name); err != nil {
			return z, fmt.Errorf("found %q with the certificate's name %q: %w", s, name, err)
		}
	}
	return z, nil
}

// parsePrimary reads the address of a primary. A name would be asked of this
// very resolver, and NOTIFY is believed by address.
func parsePrimary(s string, port uint16) (netip.AddrPort, error) {
	if rest, found := strings.CutPrefix(s, "localhost"); found && (rest == "" || rest[0] == ':') {
		s = "127.0.0.1" + rest
	}
	addrPort, err := netip.ParseAddrPort(s)
	if err != nil {
		var addr netip.Addr
		addr, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		addrPort = netip.AddrPortFrom(addr, port)
	}
	addr := addrPort.Addr().Unmap()
	switch {
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("the primary %q, which is no address and port", s)
	case addrPort.Port() == 0:
		return netip.AddrPort{}, errors.New("port 0")
	case addr.IsUnspecified() || addr.IsMulticast():
		return netip.AddrPort{}, fmt.Errorf("%s, which is not the address of one server", addr)
	}
	return netip.AddrPortFrom(addr, addrPort.Port()), nil
}

// checkName checks a domain name of letters, digits, hyphens and underscores,
// without a final dot.
func checkName(s string) error {
	const longest = 253
	if s == "" || len(s) > longest {
		return fmt.Errorf("found %d characters, expected a domain name of 1 to %d", len(s), longest)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("expected a domain name: labels of 1 to 63 letters, digits, hyphens and underscores, with a dot between them")
		}
	}
	return nil
}

// listSource checks that the source of a list is written as its kind is.
func (v *validator) listSource(key string, l List) {
	source := l.Source
	_, path, _ := strings.Cut(source, "://")
	switch {
	case source == "":
		v.fault(key, "found no source, expected a path or glob, as in: source: lists/operation-secure.csv")
	case source != EmbeddedSample && strings.HasPrefix(source, "embedded:"):
		v.fault(key, "found %q, expected %q, the only embedded list", source, EmbeddedSample)
	case strings.HasPrefix(source, "file://"):
		v.fault(key, "found %q, expected a path without file://; write %q", source, path)
	case l.Kind() == SourceZone:
		if _, err := parseZone(source); err != nil {
			v.fault(key, "%s", err)
		}
	case l.Kind() == SourceURL:
		v.listURL(key, source)
	case l.Kind() == SourceFiles:
		if _, err := filepath.Match(source, ""); err != nil {
			v.fault(key, "found %q, expected a path or glob; a bracket in it is not closed", source)
		}
	}
}

// listURL shows of a URL what cannot be a key.
func (v *validator) listURL(key, source string) {
	u, err := url.Parse(source)
	if err != nil {
		v.fault(key, "%s, expected https://host/path", urlFault(source, err))
		return
	}
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && addr.IsLoopback()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		v.fault(key, "found %q, expected a path or glob, https://host/path or rpz://address:port/zone", shown)
	case u.Hostname() == "":
		v.fault(key, "found %q without a host, expected https://host/path", shown)
	case u.Scheme == "http" && !loopback:
		v.fault(key, "found %q, expected https://: who stands between could change the list (http:// is taken with a loopback address)", shown)
	}
}

// urlFault words the error of what is no URL. That of package net/url may show
// what stands before the host: a password that is not escaped.
func urlFault(source string, err error) error {
	if at := strings.LastIndexByte(source, '@'); at >= 0 {
		scheme, _, _ := strings.Cut(source, "://")
		if _, err = url.Parse(scheme + "://" + source[at+1:]); err == nil {
			return errors.New("found a character before @, in user or password, that stands for something else in a URL; write it as % and two hexadecimal digits")
		}
	}
	if fault, ok := errors.AsType[*url.Error](err); ok {
		err = fault.Err
	}
	return fmt.Errorf("found no URL (%w)", err)
}

// listSecrets checks that what proves us to the source is whole, and meant for a
// source of its kind.
func (v *validator) listSecrets(key string, l List) {
	kind := l.Kind()
	if l.Source == "" {
		return
	}
	v.secret(key+".auth", "header", l.Auth.Header, l.Auth.SecretFile, kind == SourceURL, "an https:// source")
	v.secret(key+".tsig", "name", l.TSIG.Name, l.TSIG.SecretFile, kind == SourceZone, "an rpz:// source")
	if algorithm := key + ".tsig.algorithm"; l.TSIG.Name == "" && l.TSIG.SecretFile == "" && l.TSIG.Algorithm != TSIGSHA256 {
		v.fault(algorithm, "found %s without a key, expected %[2]s.tsig.name and %[2]s.tsig.secret_file too; or leave tsig out", l.TSIG.Algorithm, key)
	}
	if name := strings.TrimSuffix(l.TSIG.Name, "."); name != "" {
		if err := checkName(name); err != nil {
			v.fault(key+".tsig.name", "found %q: %s", l.TSIG.Name, err)
		}
	}
	// The octets of a token, RFC 9110 section 5.6.2.
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	if strings.Trim(strings.ToLower(l.Auth.Header), token) != "" {
		v.fault(key+".auth.header", "found %q, expected the name of an HTTP header, as in Authorization or X-API-Key", l.Auth.Header)
	}
}

func (v *validator) secret(key, part, name, file string, fits bool, source string) {
	switch {
	case name == "" && file == "":
	case !fits:
		v.fault(v.statedOf(key+"."+part, key+".secret_file"), "found a value, but it is for %s; leave the key out", source)
	case name == "":
		v.fault(key+".secret_file", "found %q without %s.%s, expected both or neither", file, key, part)
	case file == "":
		v.fault(key+"."+part, "found %q without %s.secret_file, expected both or neither", name, key)
	}
}

// listTimes checks refresh and expires against each other.
func (v *validator) listTimes(key string, l List) {
	switch {
	case l.Refresh < minRefresh:
		v.fault(key+".refresh", "found %s, expected at least %s", formatDuration(l.Refresh), formatDuration(minRefresh))
	case l.Expires > 0 && l.Expires < minRefresh:
		v.fault(key+".expires", "found %s, expected at least %s, or 0s for never", formatDuration(l.Expires), formatDuration(minRefresh))
	case l.Expires > 0 && l.Kind() == SourceURL && l.Expires < l.Refresh:
		v.fault(v.statedOf(key+".expires", key+".refresh"), "found expires %s below refresh %s, expected it not to be below: the list would run out between two fetches",
			formatDuration(l.Expires), formatDuration(l.Refresh))
	}
	if l.Kind() == SourceZone && l.Format != FormatAuto && l.Format != FormatRPZ {
		v.fault(key+".format", "found %s, but a transferred zone is rpz; leave the key out", l.Format)
	}
}
