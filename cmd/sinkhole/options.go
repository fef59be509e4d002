package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/configs"
	"sinkhole/resolver"
	"sinkhole/resolver/wire"
)

// load reads the configuration; without a file, the embedded one.
func load(file string) (*configs.Config, error) {
	if file == "" {
		return configs.Embedded()
	}
	return configs.Load(file)
}

// namedFaults is how many faults of a configuration a command names that goes
// on in spite of them.
const namedFaults = 3

// journalPath is the directory of the journal, and the way to the running server.
// It is told of a configuration with faults too, with a warning.
func journalPath(file string, messages io.Writer) (string, error) {
	if file == "" {
		c, err := configs.Embedded()
		if err != nil {
			return "", err
		}
		return c.Hits.Journal.Path, nil
	}
	path, err := configs.JournalPath(file)
	faults, _ := errors.AsType[configs.Faults](err)
	if err == nil || path == "" {
		return path, err
	}
	named := faults[:min(len(faults), namedFaults)]
	fmt.Fprintf(messages, "%s\n", named.Error())
	if more := len(faults) - len(named); more > 0 {
		fmt.Fprintf(messages, "and %s\n", plural(more, "more fault", "more faults"))
	}
	fmt.Fprintln(messages, "sinkhole: the configuration has faults (warning): only its hits.journal.path is used here; see sinkhole check")
	return path, nil
}

// action of a word that the configuration has validated.
func action(a configs.Action) format.Action {
	if a == "" {
		return format.Unstated
	}
	parsed, err := format.ParseAction(string(a))
	if err != nil {
		return format.Unstated
	}
	return parsed
}

func sink(s configs.Sink) blocklist.Sink {
	switch s.Kind {
	case configs.SinkAuto:
		return blocklist.Sink{Mode: blocklist.SinkAuto}
	case configs.SinkNone:
		return blocklist.Sink{Mode: blocklist.SinkNone}
	case configs.SinkAddress:
		return blocklist.Sink{Mode: blocklist.SinkAddress, Addr: s.Addr}
	case configs.SinkPrefix:
		return blocklist.Sink{Mode: blocklist.SinkPrefix, Prefix: s.Prefix}
	}
	return blocklist.Sink{Mode: blocklist.SinkInherit}
}

func edeCode(e configs.EDE) uint16 {
	switch e {
	case configs.EDEBlocked:
		return dns.ExtendedErrorCodeBlocked
	case configs.EDECensored:
		return dns.ExtendedErrorCodeCensored
	case configs.EDEFiltered:
		return dns.ExtendedErrorCodeFiltered
	case configs.EDEForged:
		return dns.ExtendedErrorCodeForgedAnswer
	}
	return 0
}

// settings are what a reload may change of the resolver.
func settings(c *configs.Config) (resolver.Settings, error) {
	var secrets []resolver.CookieSecret
	read, err := c.Clients.CookieSecrets()
	for _, secret := range read {
		secrets = append(secrets, secret)
	}
	limit := c.Clients.RateLimit
	return resolver.Settings{
		Allow: c.Clients.Allow, Forwarders: c.Clients.Forwarders, Disbelieved: disbelieved(c.Clients.Believe), Expected: c.Clients.Expected, DropOthers: c.Clients.Refuse == configs.RefuseDrop,
		IPv4: sink(c.Sinkhole.IPv4), IPv6: sink(c.Sinkhole.IPv6), SinkholeTTL: c.Sinkhole.TTL, Explain: explainLevel(c.Sinkhole.Explain),
		RateLimit:          resolver.RateLimit{PerSecond: limit.QueriesPerSecond, Burst: limit.Burst, Bits4: limit.IPv4Prefix, Bits6: limit.IPv6Prefix},
		ResponsesPerSecond: c.Clients.ResponseRateLimit, CookieSecrets: secrets,
		Nonexistent: bypassNames(c.Local.Bypass), KeepSingleLabel: c.Local.SingleLabel == configs.SingleLabelNoData,
	}, err
}

// disbelieved are the EDNS options that a configuration does not believe.
func disbelieved(believe []configs.Belief) (codes []uint16) {
	for _, kind := range []struct {
		belief configs.Belief
		codes  []uint16
	}{
		{configs.BeliefECS, []uint16{wire.OptionECS}},
		{configs.BeliefMAC, []uint16{wire.OptionMAC, wire.OptionMACText}},
		{configs.BeliefCPE, []uint16{wire.OptionCPE}},
		{configs.BeliefUmbrella, []uint16{wire.OptionUmbrella}},
	} {
		if !slices.Contains(believe, kind.belief) {
			codes = append(codes, kind.codes...)
		}
	}
	return codes
}

// bypassNames are the names of sets: Firefox's canary, and the hosts of iCloud
// Private Relay.
func bypassNames(sets []configs.Bypass) (names []string) {
	for _, set := range sets {
		switch set {
		case configs.BypassDoHCanary:
			names = append(names, "use-application-dns.net.")
		case configs.BypassPrivateRelay:
			names = append(names, "mask.icloud.com.", "mask-h2.icloud.com.")
		}
	}
	return names
}

func explainLevel(e configs.Explain) resolver.Explain {
	switch e {
	case configs.ExplainCode:
		return resolver.ExplainCode
	case configs.ExplainFamily:
		return resolver.ExplainFamily
	case configs.ExplainFull:
		return resolver.ExplainFull
	}
	return resolver.ExplainNone
}

func embeddedList(name string) ([]byte, bool) {
	if "embedded:"+name == configs.EmbeddedSample {
		return configs.Sample(), true
	}
	return nil, false
}

// dualStack tells whether a wildcard IPv6 listener is to serve IPv4 too: unless
// an IPv4 listener of its own has the same port.
func dualStack(addr netip.AddrPort, all []netip.AddrPort) bool {
	for _, other := range all {
		if other.Addr().Is4() && other.Port() == addr.Port() {
			return false
		}
	}
	return true
}
