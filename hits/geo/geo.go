// Package geo tells where an address is: its autonomous system, country and sector, by databases
// in MaxMind's format.
package geo

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"go.uber.org/zap"

	"sinkhole/hits"
)

const (
	// lookEvery is how often, while somebody asks, it is looked whether a database changed.
	lookEvery = 5 * time.Second
	maxFile   = 1 << 30
	// maxKnown bounds the addresses whose place is remembered.
	maxKnown = 65_536
	maxText  = 128 // octets
)

// Geo is some databases. It is safe for concurrent use.
type Geo struct {
	log *zap.Logger

	mu     sync.Mutex
	files  []*file
	looked time.Time
	known  map[netip.Addr]hits.Place
}

// file is one database. It is held in memory, and not mapped: whoever writes it in place would
// else end us.
type file struct {
	path  string
	size  int64
	mtime time.Time
	db    *maxminddb.Reader // nil: it could not be read yet
}

// Open reads databases. What one does not tell the next does. The error is of those that cannot
// be read, which are read when they change.
func Open(paths []string, log *zap.Logger) (*Geo, error) {
	g := &Geo{log: log, looked: time.Now(), known: make(map[netip.Addr]hits.Place)}
	var faults []error
	for _, path := range paths {
		f := &file{path: path}
		g.files = append(g.files, f)
		if _, err := f.load(); err != nil {
			faults = append(faults, err)
		}
	}
	return g, errors.Join(faults...)
}

// load reads a database that changed. One that cannot be read leaves the old one in force.
func (f *file) load() (changed bool, err error) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w, expected a database in MaxMind's format (.mmdb)", f.path, cause(err))
	case info.Size() == f.size && info.ModTime().Equal(f.mtime):
		return false, nil
	}
	f.size, f.mtime = info.Size(), info.ModTime()
	switch {
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s: is a directory, device or pipe, expected a regular file", f.path)
	case info.Size() > maxFile:
		return false, fmt.Errorf("%s: found %d MiB, expected at most %d", f.path, info.Size()>>20, maxFile>>20)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return false, fmt.Errorf("%s: %w, expected a file that the user (uid %d) can read", f.path, cause(err), os.Geteuid())
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return false, fmt.Errorf("%s: %w, expected a database in MaxMind's format (.mmdb)", f.path, err)
	}
	if after, err := os.Stat(f.path); err != nil || after.Size() != int64(len(data)) || !after.ModTime().Equal(f.mtime) {
		f.size = -1 // it is being written
		return false, fmt.Errorf("%s: is being written: it is read again", f.path)
	}
	f.db = db
	return true, nil
}

func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// Find is where an address is; what is not known is zero.
func (g *Geo) Find(a netip.Addr) (p hits.Place) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return p
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	p, found := g.known[a]
	if found {
		return p
	}
	for _, f := range g.files {
		if f.db != nil {
			f.find(a, &p)
		}
	}
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[a] = p
	return p
}

func (g *Geo) look() {
	if time.Since(g.looked) < lookEvery {
		return
	}
	g.looked = time.Now()
	for _, f := range g.files {
		switch changed, err := f.load(); {
		case err != nil:
			g.log.Warn("a database of hits.geo cannot be read again: the one before holds", zap.Error(err))
		case changed:
			clear(g.known)
		}
	}
}

// found is what databases of several makers have: MaxMind and DB-IP write a number and an
// object, IPinfo "AS64500" and a text.
type found struct {
	Number       any    `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
	ASN          any    `maxminddb:"asn"`
	ASName       string `maxminddb:"as_name"`
	Country      any    `maxminddb:"country"`
	CountryCode  string `maxminddb:"country_code"`
	Registered   any    `maxminddb:"registered_country"`
	Sector       string `maxminddb:"sector"`
}

// find takes over what is not known yet. What a database has in another form it does not tell.
func (f *file) find(a netip.Addr, p *hits.Place) {
	var x found
	if err := f.db.Lookup(a).Decode(&x); err != nil {
		return
	}
	if n := cmp.Or(systemOf(x.Number), systemOf(x.ASN)); n != 0 && p.ASN == 0 {
		p.ASN, p.Organization = n, bounded(cmp.Or(x.Organization, x.ASName))
	}
	p.Country = cmp.Or(p.Country, countryOf(x.Country), countryOf(x.CountryCode), countryOf(x.Registered))
	p.Sector = cmp.Or(p.Sector, bounded(x.Sector))
}

func systemOf(v any) uint32 {
	switch v := v.(type) {
	case uint64:
		if v < 1<<32 {
			return uint32(v)
		}
	case uint32:
		return v
	case string:
		if n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(v), "AS"), 10, 32); err == nil {
			return uint32(n)
		}
	}
	return 0
}

// countryOf is a code of two letters, of a text or an object that has one.
func countryOf(v any) string {
	if o, ok := v.(map[string]any); ok {
		v = o["iso_code"]
	}
	s, _ := v.(string)
	if len(s) != 2 || strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return ""
	}
	return s
}

func bounded(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
