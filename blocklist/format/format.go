package format

import (
	"fmt"
	"io"
)

// Kind is a notation in which a list is written.
type Kind string

// The notations that are read. Auto leaves the choice to the content.
const (
	Auto    Kind = "auto"
	Domains Kind = "domains"
	Hosts   Kind = "hosts"
	RPZ     Kind = "rpz"
	CSV     Kind = "csv"
)

// Options says how a list is to be read.
type Options struct {
	// Kind is the notation; empty is Auto.
	Kind Kind
	// Match is "subtree", "exact" or empty for what the notation means: exact
	// for hosts, subtree for domains and CSV. An entry that states its scope
	// itself ("*.name", ".name", every RPZ record) keeps it.
	Match string
}

// Result counts what a list held.
type Result struct {
	Kind Kind // the notation read; Auto if the list ended before it showed
	// Lines counts every line, comments and blank ones included.
	Lines int
	// Entries counts the indicators emitted.
	Entries int
	// Malformed and Refused count the faults by Fault.Refused.
	Malformed, Refused int
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

// Error is why a list fails as a whole, where one line of it shows that.
type Error struct {
	Line int // 1-based
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the error without its place.
func (e *Error) Unwrap() error { return e.Err }

func read(in *lines, out *sink, o Options) error {
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
	if o.Kind == Auto {
		if err := readable(seen, in); err != nil {
			return err
		}
		out.result.Kind = seen
	}
	switch out.result.Kind {
	case Auto:
		return nil // comments only: an empty list
	case Domains:
		readDomains(in, out, scopes(Subtree))
	case Hosts:
		readHosts(in, out, scopes(Exact))
	case CSV:
		err = readCSV(in, out, scopes(Subtree))
	case RPZ:
		readRPZ(in, out)
	default:
		return fmt.Errorf("unknown list format %q, expected %s, %s, %s, %s or %s", o.Kind, Auto, Domains, Hosts, RPZ, CSV)
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
