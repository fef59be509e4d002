// Package guard decides whether an entry of a threat list may block. It keeps
// out what would harm people who have nothing to do with malware: public
// suffixes, shared platforms, popular names, the operator's own names and
// addresses, special-use addresses.
package guard

import (
	"sinkhole/blocklist/format"

	"go.uber.org/zap"
)

// Options says what a guard protects.
type Options struct {
	// PublicSuffixes protects the public suffixes, of registries and of hosters.
	PublicSuffixes bool
	// Platforms protects what is built in: shared platforms, and the names that
	// the DNS itself, certificates, updates and clocks need.
	Platforms bool
	// Files name what is protected beyond that. A line is a name (entries that are
	// it, or cover it from above, are refused), "*.name" (those below it too),
	// ".name" (the same as name), an address or a prefix, each also after a rank
	// ("17,name"); # begins a comment. A copy of public_suffix_list.dat is known by
	// its markers and adds public suffixes. A warning list of MISP (list.json) is
	// read as the names or addresses that it lists.
	Files []string
	// Hold are files of popular names in the same form: an entry that would block
	// one of them is held.
	Hold   []string
	Logger *zap.Logger // nil: silent
}

// Guard judges entries. It is immutable and safe for concurrent use.
type Guard struct {
	suffixes bool
	sources  []source
	names    *names
	trees    *trees
	arpa     sourceID // of the names in arpa that the DNS needs; 0: not protected
	prefixes *prefixes
	digest   string
}

// Open reads all files. An error has a line for each fault, with the key of the
// configuration, the file and, for a bad line, the line; of many bad lines of one
// file the first.
func Open(o Options) (*Guard, error) {
	b, err := build(o)
	if err != nil {
		return nil, err
	}
	g := &Guard{
		suffixes: o.PublicSuffixes,
		sources:  b.sources,
		names:    b.names,
		trees:    b.trees,
		arpa:     b.arpa,
		prefixes: b.prefixes,
		digest:   b.digest(),
	}
	if o.Logger != nil {
		o.Logger.Debug("guard opened", zap.Int("names", b.names.len()), zap.Int("prefixes", b.prefixes.len()),
			zap.Int("files", len(o.Files)+len(o.Hold)), zap.String("digest", g.digest))
	}
	return g, nil
}

// Digest identifies what the guard decides by: its options, the content and
// names of its files, what is built in. Two guards of one digest judge alike.
func (g *Guard) Digest() string { return g.digest }

// Judge says whether the entry may block. What blocks nothing (PASSTHRU) is not
// judged, but for clients: a PASSTHRU for many of them switches the policy off.
// It allocates nothing where it accepts, and keeps nothing of i.
func (g *Guard) Judge(i *format.Indicator) Finding {
	switch {
	case i.Trigger == format.ClientIP:
		return judgeClients(i.Prefix)
	case i.Action == format.PassThru:
		return Finding{}
	case i.Trigger == format.ResponseIP:
		return g.judgePrefix(i)
	case i.Trigger == format.QName && len(i.Name) > 0:
		return g.judgeName(i)
	}
	return Finding{}
}
