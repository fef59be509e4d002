package guard

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"net/netip"
	"strings"

	"sinkhole/blocklist/feed"
)

// The rules of the Public Suffix List that golang.org/x/net/publicsuffix has
// compiled in. That package neither lists them, without which nothing can be
// said of a name above a suffix, nor looks one up without allocating; tests hold
// the two equal.
//
//go:embed suffixes.txt
var suffixRules string

//go:embed platforms.txt
var platformNames string

// version is part of the digest: raise it when Judge decides otherwise.
const version = "guard 2"

// builder collects what is protected, the stronger sources first.
type builder struct {
	sources  []source
	names    *names
	trees    *trees
	arpa     sourceID
	prefixes *prefixes
	sum      hash.Hash
}

func build(o Options) (*builder, error) {
	b := &builder{names: newNames(), trees: newTrees(), prefixes: newPrefixes(), sum: sha256.New()}
	fmt.Fprintf(b.sum, "%s\nsuffixes %t\nplatforms %t\n", version, o.PublicSuffixes, o.Platforms)
	var failed error
	for i, path := range o.Files {
		failed = errors.Join(failed, b.file(fmt.Sprintf("guard.files[%d]", i), path, source{Refuse, Protected, "protected", path}))
	}
	if o.PublicSuffixes {
		b.sum.Write([]byte(suffixRules))
		if err := newSuffixReader(b, Refuse, "").all("suffixes.txt", strings.NewReader(suffixRules)); err != nil {
			return nil, err
		}
	}
	if o.Platforms {
		b.sum.Write([]byte(platformNames))
		if err := b.platforms(platformNames); err != nil {
			return nil, err
		}
	}
	for i, path := range o.Hold {
		failed = errors.Join(failed, b.file(fmt.Sprintf("guard.hold[%d]", i), path, source{Hold, Popular, "a popular name", path}))
	}
	if failed != nil {
		return nil, failed
	}
	b.trees.seal()
	return b, nil
}

func (b *builder) digest() string { return "sha256:" + hex.EncodeToString(b.sum.Sum(nil)) }

// add makes s a source, weaker than those before it.
func (b *builder) add(s source) sourceID {
	b.sources = append(b.sources, s)
	return sourceID(len(b.sources))
}

// limits bounds one file. A million popular names are 20 MiB.
func limits() feed.Limits { return feed.Limits{File: 128 << 20, Text: 512 << 20} }

// file reads an operator's file, which the configuration names at key. Each line
// of the error is one fault.
func (b *builder) file(key, path string, s source) error {
	if err := b.read(path, s); err != nil {
		return &keyError{key, err}
	}
	return nil
}

func (b *builder) read(path string, s source) error {
	if len(b.sources) > math.MaxUint16-100 {
		return fmt.Errorf("%s: one file to protect too many, expected at most %d: put several together", path, math.MaxUint16/2)
	}
	content, err := feed.Open(path, limits())
	if err != nil {
		return err
	}
	defer content.Close()
	if err := newListing(b, s).all(path, content); err != nil {
		return err
	}
	fmt.Fprintf(b.sum, "%s %q %s\n", s.outcome, path, content.Digest())
	return nil
}

func (b *builder) prefix(p netip.Prefix, m mark, outcome Outcome) {
	t := &b.prefixes.refuse
	if outcome == Hold {
		t = &b.prefixes.hold
	}
	if _, found := t.Get(p); !found {
		t.Insert(p, m)
	}
}
