package export

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sinkhole/hits"
)

// ReportOptions are the choices of a report.
type ReportOptions struct {
	Day          time.Time // its beginning, UTC
	By           string    // what has a file of its own: ByPrefix, ByASN or ByOwner
	Bits4, Bits6 int       // of a prefix
	Options
}

// What may have a file of its own.
const (
	ByPrefix = "prefix"
	ByASN    = "asn"
	ByOwner  = "owner"
)

// Report is what machines did in a day, each finding once, for one file a prefix, autonomous
// system or owner, in the form of Shadowserver's event4_sinkhole_dns.
type Report struct {
	o        ReportOptions
	findings map[finding]*hits.Record
}

// finding is what makes a row: hits of one client and indicator are the same.
type finding struct {
	client     netip.Addr
	indicator  string
	families   string
	subscriber string // of those who share an address each is one
}

// maxFindings bounds the memory of a report, to some 4 GB.
const maxFindings = 4 << 20

// NewReport returns an empty report.
func NewReport(o ReportOptions) *Report {
	return &Report{o: o, findings: map[finding]*hits.Record{}}
}

// Add takes a record in. The first hit of a finding stands in its row, which counts all.
func (p *Report) Add(r *hits.Record) error {
	if !isFinding(r) {
		return nil
	}
	key := finding{r.Client.IP, r.Threat.Indicator.Name, strings.Join(r.Sinkhole.Families, "\x00"), p.o.details(r).Subscriber}
	if first := p.findings[key]; first != nil {
		n := first.Sinkhole.Count + max(1, r.Sinkhole.Count)
		if r.Time.Before(first.Time) {
			first = reduced(r)
			p.findings[key] = first
		}
		first.Sinkhole.Count = n
		return nil
	}
	if len(p.findings) == maxFindings {
		return fmt.Errorf("the day has more than %d findings, which is more than one report holds: make it of one prefix at a time with --client", maxFindings)
	}
	p.findings[key] = reduced(r)
	return nil
}

// reduced keeps what a row shows.
func reduced(r *hits.Record) *hits.Record {
	o := &hits.Record{Time: r.Time, Client: r.Client}
	o.Event.Dataset = r.Event.Dataset
	o.Network.Transport = r.Network.Transport
	o.DNS.Question = r.DNS.Question
	o.Threat.Indicator.Name = r.Threat.Indicator.Name
	o.Sinkhole.Families, o.Sinkhole.Lists, o.Sinkhole.Count = r.Sinkhole.Families, r.Sinkhole.Lists, max(1, r.Sinkhole.Count)
	o.Sinkhole.Ports, o.Sinkhole.PortsTruncated = r.Sinkhole.Ports, r.Sinkhole.PortsTruncated
	return o
}

// Write makes the files in a directory, and gives their names in order. A file of that name
// is replaced.
func (p *Report) Write(dir string) (names []string, err error) {
	files := make(map[string][]*hits.Record)
	for _, r := range p.findings {
		of := p.word(r)
		files[of] = append(files[of], r)
	}
	words := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		return cmp.Or(p.compare(files[a][0], files[b][0]), cmp.Compare(a, b))
	})
	for _, word := range words {
		rows := files[word]
		slices.SortFunc(rows, func(a, b *hits.Record) int {
			return cmp.Or(a.Client.IP.Compare(b.Client.IP), a.Time.Compare(b.Time), cmp.Compare(a.Threat.Indicator.Name, b.Threat.Indicator.Name))
		})
		name := fmt.Sprintf("%s-event4_sinkhole_dns-%s.csv", p.o.Day.Format(time.DateOnly), word)
		if err := p.writeRows(filepath.Join(dir, name), rows); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// compare puts prefixes into the order of their addresses, and leaves others to their names.
func (p *Report) compare(a, b *hits.Record) int {
	if p.o.By != ByPrefix {
		return 0
	}
	return p.prefix(a.Client.IP).Addr().Compare(p.prefix(b.Client.IP).Addr())
}

// word is what the name of a record's file ends in. IntelMQ takes words of letters, digits and
// underscores there, divided by hyphens.
func (p *Report) word(r *hits.Record) string {
	switch p.o.By {
	case ByASN:
		if n := p.o.details(r).ASN; n != 0 {
			return fmt.Sprintf("as%d", n)
		}
		return unknownWord
	case ByOwner:
		return ownerWord(p.o.details(r).Owner)
	}
	return prefixWord(p.prefix(r.Client.IP))
}

// unknownWord is of findings whose autonomous system or owner is not known.
const unknownWord = "unknown"

// ownerWord has a hash where the name itself does not stand in it: two owners never share a
// file.
func ownerWord(owner string) string {
	const longest = 64
	if owner == "" {
		return unknownWord
	}
	words := strings.FieldsFunc(strings.ToLower(owner), func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
	word := strings.Join(words, "-")
	if word == owner && word != unknownWord && len(word) <= longest {
		return word
	}
	sum := sha256.Sum256([]byte(owner))
	return strings.TrimLeft(word[:min(len(word), longest)]+"-"+hex.EncodeToString(sum[:4]), "-")
}

func (p *Report) prefix(a netip.Addr) netip.Prefix {
	bits := p.o.Bits4
	if a.Is6() {
		bits = p.o.Bits6
	}
	return netip.PrefixFrom(a.WithZone(""), min(bits, a.BitLen())).Masked()
}

func prefixWord(of netip.Prefix) string {
	words := strings.FieldsFunc(of.Addr().StringExpanded(), func(r rune) bool { return r == '.' || r == ':' })
	return fmt.Sprintf("%s-%d", strings.Join(words, "-"), of.Bits())
}

// writeRows replaces a file whole.
func (p *Report) writeRows(path string, rows []*hits.Record) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	out := bufio.NewWriter(f)
	w := newShadowserver(out, p.o.Options)
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			f.Close()
			return err
		}
	}
	const mode = 0o640
	if err := errors.Join(w.Close(), out.Flush(), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
