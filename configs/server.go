package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ServerKind is the transport to an upstream server.
type ServerKind string

// The kinds of upstream servers.
const (
	ServerSystem ServerKind = "system" // those of /etc/resolv.conf, as it changes
	ServerPlain  ServerKind = "plain"  // UDP, TCP when truncated
	ServerTLS    ServerKind = "tls"
	ServerHTTPS  ServerKind = "https"
	ServerQUIC   ServerKind = "quic"
)

// Server is one upstream server.
type Server struct {
	Kind ServerKind
	Addr netip.AddrPort // not valid of a server given by its name
	Host string         // its name and port
	Name string         // that the certificate of an encrypted server must have
	Path string         // of ServerHTTPS, with the query
	Text string         // of an encrypted server, as it stands in the file
}

func (s Server) String() string {
	switch s.Kind {
	case ServerPlain:
		return s.Addr.String()
	case ServerSystem:
		return string(s.Kind)
	}
	return s.Text
}

// same is true for two ways to write one server.
func (s Server) same(other Server) bool {
	s.Text, other.Text = "", ""
	return s == other
}

const (
	portDNS       = 53
	portEncrypted = 853
	portHTTPS     = 443
)

const expectedServer = "expected system, IP, IP:port, tls://IP#name, tls://name, https://host/path, quic://IP#name or quic://name"

func parseServer(s string) (Server, error) {
	if s == string(ServerSystem) {
		return Server{Kind: ServerSystem}, nil
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		addr, err := parseServerAddr(s, s, portDNS)
		return Server{Kind: ServerPlain, Addr: addr}, err
	}
	var server Server
	var err error
	switch kind := ServerKind(scheme); kind {
	case ServerTLS, ServerQUIC:
		host, name, named := strings.Cut(rest, "#")
		server, err = parseEncrypted(s, host, name, named, portEncrypted)
	case ServerHTTPS:
		server, err = parseURLServer(s)
	default:
		err = fmt.Errorf("found %q, %s", s, expectedServer)
	}
	server.Kind, server.Text = ServerKind(scheme), s
	return server, err
}

func parseURLServer(s string) (Server, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Server{}, fmt.Errorf("found no URL (%w), expected https://host/path", errors.Unwrap(err))
	case u.User != nil:
		return Server{}, errors.New("found a user (before @), which metrics and logs would show, expected https://host/path")
	case strings.ContainsAny(s, "{}"):
		return Server{}, fmt.Errorf("found %q, a template, expected https://host/path, without what is in braces", s)
	case u.Host == "" || u.Path == "":
		return Server{}, fmt.Errorf("found %q, expected https://host/path, as in https://dns.example/dns-query", s)
	}
	server, err := parseEncrypted(s, u.Host, u.Fragment, u.Fragment != "", portHTTPS)
	server.Path = u.RequestURI()
	return server, err
}

// parseEncrypted reads host, an address or a name with or without a port, and the
// certificate's name; whole is the value for messages.
func parseEncrypted(whole, host, name string, named bool, port uint16) (Server, error) {
	if looksLikeAddress(host) {
		addr, err := parseServerAddr(whole, host, port)
		if err == nil && !named {
			name = addr.Addr().WithZone("").String()
		}
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if _, isAddr := netip.ParseAddr(name); err == nil && isAddr != nil {
			if err = checkName(name); err != nil {
				err = fmt.Errorf("found %q with the certificate's name %q: %w", whole, name, err)
			}
		}
		return Server{Addr: addr, Name: name}, err
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		number, err := strconv.ParseUint(host[at+1:], 10, 16)
		if err != nil || number == 0 {
			return Server{}, fmt.Errorf("found %q, expected a port from 1 to 65535", whole)
		}
		host, port = host[:at], uint16(number)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if err := checkName(host); err != nil {
		return Server{}, fmt.Errorf("found %q with the host %q: %w", whole, host, err)
	}
	if named {
		return Server{}, fmt.Errorf("found %q, expected no #name: the certificate of a server given by its name must be for that name", whole)
	}
	return Server{Host: net.JoinHostPort(host, strconv.Itoa(int(port))), Name: host}, nil
}

// looksLikeAddress tells what is meant as an address from names: the last label of
// a name is not a number.
func looksLikeAddress(host string) bool {
	if strings.HasPrefix(host, "[") || strings.Count(host, ":") > 1 {
		return true
	}
	name, _, _ := strings.Cut(host, ":")
	name = strings.TrimSuffix(name, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

// parseServerAddr reads IP, IP:port or [IP]; whole is the value for messages.
func parseServerAddr(whole, s string, port uint16) (netip.AddrPort, error) {
	addrPort, err := netip.ParseAddrPort(s)
	if err != nil {
		var addr netip.Addr
		bare := s
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			bare = s[1 : len(s)-1]
		}
		addr, err = netip.ParseAddr(bare)
		addrPort = netip.AddrPortFrom(addr, port)
	}
	addr := addrPort.Addr().Unmap()
	switch {
	case err != nil && whole != s:
		return netip.AddrPort{}, fmt.Errorf("found %q with the host %q, which is no address, %s", whole, s, expectedServer)
	case err != nil && len(s) > 1 && strings.ContainsAny(s[:1], "abcdefghijklmnopqrstuvwxyz") && !strings.Contains(s, "::"):
		hint := didYouMean(s, []string{string(ServerSystem)})
		return netip.AddrPort{}, fmt.Errorf("found %q, expected system, IP or IP:port; a server is given by its address, not its name%s", whole, hint)
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf(`found %q, expected system, IP or IP:port, as in "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"`, whole)
	case addrPort.Port() == 0:
		return netip.AddrPort{}, fmt.Errorf("found %q, expected a port from 1 to 65535", whole)
	case addr.IsUnspecified() || addr.IsMulticast():
		return netip.AddrPort{}, fmt.Errorf("found %q, expected the address of one server", whole)
	}
	return netip.AddrPortFrom(addr, addrPort.Port()), nil
}
