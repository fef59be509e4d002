package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// SinkKind is the form of a [Sink].
type SinkKind string

// The forms of a sinkhole address.
const (
	SinkInherit SinkKind = ""        // a list's: as sinkhole.ipv4 or sinkhole.ipv6 says
	SinkAuto    SinkKind = "auto"    // the address that the client asked
	SinkNone    SinkKind = "none"    // no address: NODATA
	SinkAddress SinkKind = "address" // Addr
	SinkPrefix  SinkKind = "prefix"  // each hit its own address from Prefix
)

// Sink is the address given for a listed name, of the family that its key
// names.
type Sink struct {
	Kind   SinkKind
	Addr   netip.Addr
	Prefix netip.Prefix
}

func (s Sink) String() string {
	switch s.Kind {
	case SinkAddress:
		return s.Addr.String()
	case SinkPrefix:
		return s.Prefix.String()
	}
	return string(s.Kind)
}

// parseSink reads any form; that the family fits the key, and that a list alone
// may inherit, is validated later.
func parseSink(s string) (Sink, error) {
	switch kind := SinkKind(s); kind {
	case SinkInherit, SinkAuto, SinkNone:
		return Sink{Kind: kind}, nil
	}
	if strings.Contains(s, "/") {
		p, err := parsePrefix(s)
		return Sink{Kind: SinkPrefix, Prefix: p}, err
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		hint := didYouMean(s, []string{"auto", "none"})
		return Sink{}, fmt.Errorf("found %q, expected an address without a port, a prefix, none or auto%s", s, hint)
	}
	return Sink{Kind: SinkAddress, Addr: addr.Unmap()}, nil
}
