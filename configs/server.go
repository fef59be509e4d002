package configs

import (
	"fmt"
	"net/netip"
	"net/url"
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
	Addr netip.AddrPort // of ServerPlain, ServerTLS and ServerQUIC
	Name string         // that the certificate of ServerTLS or ServerQUIC must have
	URL  string         // of ServerHTTPS
}

func (s Server) String() string {
	switch s.Kind {
	case ServerPlain:
		return s.Addr.String()
	case ServerTLS, ServerQUIC:
		return string(s.Kind) + "://" + s.Addr.String() + "#" + s.Name
	case ServerHTTPS:
		return s.URL
	}
	return string(s.Kind)
}

const (
	portDNS       = 53
	portEncrypted = 853
)

func parseServer(s string) (Server, error) {
	if s == string(ServerSystem) {
		return Server{Kind: ServerSystem}, nil
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		addr, err := parseServerAddr(s, s, portDNS)
		return Server{Kind: ServerPlain, Addr: addr}, err
	}
	switch kind := ServerKind(scheme); kind {
	case ServerTLS, ServerQUIC:
		host, name, _ := strings.Cut(rest, "#")
		if name == "" {
			return Server{}, fmt.Errorf("found %q without the certificate's name, expected %s://IP[:port]#name", s, kind)
		}
		addr, err := parseServerAddr(s, host, portEncrypted)
		return Server{Kind: kind, Addr: addr, Name: name}, err
	case ServerHTTPS:
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return Server{}, fmt.Errorf("found %q, expected https://host/path", s)
		}
		return Server{Kind: kind, URL: s}, nil
	}
	return Server{}, fmt.Errorf("found %q, expected system, IP, IP:port, tls://IP#name, https://host/path or quic://IP#name", s)
}

// parseServerAddr reads IP, IP:port or [IP]; whole is the value for messages.
func parseServerAddr(whole, s string, port uint16) (netip.AddrPort, error) {
	addrPort, err := netip.ParseAddrPort(s)
	if err != nil {
		var addr netip.Addr
		addr, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		addrPort = netip.AddrPortFrom(addr, port)
	}
	addr := addrPort.Addr().Unmap()
	switch {
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
