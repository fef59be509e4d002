package format

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Kind is a notation in which a list is written.
type Kind string

// The notations that are read. Auto leaves the choice to the content.
const (
	Auto      Kind = "auto"
	Domains   Kind = "domains"
	Hosts     Kind = "hosts"
	Adblock   Kind = "adblock"
	Dnsmasq   Kind = "dnsmasq"
	Unbound   Kind = "unbound"
	BIND      Kind = "bind"
	Dnscrypt  Kind = "dnscrypt"
	RPZ       Kind = "rpz"
	CSV       Kind = "csv"
	STIX      Kind = "stix"
	MISP      Kind = "misp"
	ThreatFox Kind = "threatfox"
	URLhaus   Kind = "urlhaus"
	Suricata  Kind = "suricata"
)

// kinds are the notations that are read, as messages name them.
func kinds() []Kind {
	return []Kind{Domains, Hosts, Adblock, Dnsmasq, Unbound, BIND, Dnscrypt, RPZ, CSV, STIX, MISP, ThreatFox, URLhaus, Suricata}
}

// knownKinds is a list of kinds for a sentence, with "or" before the last.
func knownKinds() string {
	all := kinds()
	var b strings.Builder
	for i, kind := range all {
		switch {
		case i == len(all)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(kind))
	}
	return b.String()
}

// Options says how a list is to be read.
type Options struct {
	// Kind is the notation; empty is Auto.
	Kind Kind
	// Match is "subtree", "exact" or empty for what the notation means: exact
	// for hosts, subtree for most others. An entry that states its scope itself
	// ("*.name", ".name", every RPZ record, "||name^") keeps it.
	Match string
}

// Result counts what a list held.
type Result struct {
	Kind Kind // the notation read; Auto if the list ended before it showed
	// Lines counts every line, comments and blank ones included.
	Lines int
	// Entries counts the indicators emitted.
	Entries int
	// Malformed, Refused and NotApplicable count the faults. Each fault is in one
	// of them: what is not applicable is not counted as refused.
	Malformed, Refused, NotApplicable int
	// Warnings are sentences on the list as a whole.
	Warnings []string
	// Origin is the RPZ zone's name as far as the file tells it.
	Origin string
}

// Parse reads a list to its end, hands each indicator to emit and each entry
// left out to fault, both in the order of the file. An indicator handed to emit
// is the parser's again once emit returns.
//
// An error means that the list fails as a whole and that every indicator
// emitted before is to be thrown away: it is that of r, or the content is no
// list, with an [Error] where one line shows it. The Result then says how far
// the reading came.
func Parse(r io.Reader, o Options, emit func(*Indicator), fault func(Fault)) (Result, error) {
	out := &sink{emit: emit, fault: fault}
	in := newLines(r)
	err := read(in, out, o)
	out.result.Lines = in.read
	if in.err != nil {
		err = in.err
	}
	return out.result, err
}

// ErrManifest is the error of the manifest of a MISP feed: it names events, which
// are in the files beside it, and holds none.
var ErrManifest = errors.New("the manifest of a MISP feed, which names events and holds none: give its address, ending in manifest.json, as the source")

// Error is why a list fails as a whole, where one line of it shows that.
type Error struct {
	Line int // 1-based
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the error without its place.
func (e *Error) Unwrap() error { return e.Err }

func read(in *lines, out *sink, o Options) error { //nolint:gocyclo // a case for each notation
	if o.Kind == "" {
		o.Kind = Auto
	}
	out.result.Kind = o.Kind
	scopes, err := scopesOf(o.Match)
	if err != nil {
		return err
	}
	seen, err := look(in)
	if err != nil {
		return err
	}
	if err := readable(seen, o.Kind, in); err != nil {
		return err
	}
	if o.Kind == Auto {
		out.result.Kind = seen
	}
	switch out.result.Kind {
	case Auto:
		return nil // comments only: an empty list
	case Domains:
		readDomains(in, out, scopes(Subtree))
	case Hosts:
		readHosts(in, out, scopes(Exact))
	case Adblock:
		readAdblock(in, out, scopes(Exact))
	case Dnsmasq:
		readDnsmasq(in, out, scopes(Subtree))
	case Unbound:
		readUnbound(in, out, scopes(Subtree))
	case BIND:
		readBIND(in, out, scopes(Subtree))
	case Dnscrypt:
		readDnscrypt(in, out, scopes(Subtree))
	case Suricata:
		readSuricata(in, out, scopes(Subtree))
	case RPZ:
		readRPZ(in, out)
	case CSV:
		err = readCSV(in, out, scopes(Subtree))
	case STIX:
		err = readSTIX(in, out, scopes(Subtree))
	case MISP:
		err = readMISP(in, out, scopes(Subtree))
	case ThreatFox:
		err = readThreatFox(in, out, scopes(Subtree))
	case URLhaus:
		err = readURLhaus(in, out, scopes(Subtree))
	default:
		return fmt.Errorf("unknown list format %q, expected %s or %s", o.Kind, Auto, knownKinds())
	}
	if err != nil {
		return err
	}
	if err := out.verdict(); err != nil {
		if seen != "" && seen != Auto && seen != out.result.Kind {
			return fmt.Errorf("%w; it looks like %s", err, seen)
		}
		return err
	}
	return nil
}

// scopesOf gives the scope of entries that state none, from that of their
// notation.
func scopesOf(match string) (func(Scope) Scope, error) {
	switch match {
	case "":
		return func(s Scope) Scope { return s }, nil
	case "exact":
		return func(Scope) Scope { return Exact }, nil
	case "subtree":
		return func(Scope) Scope { return Subtree }, nil
	}
	return nil, fmt.Errorf("unknown match %q, expected subtree, exact or nothing", match)
}
