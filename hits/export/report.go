package export

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sinkhole/hits"
)

// Report is what machines did in a day, each finding once, for one file a prefix in the form
// of Shadowserver's event4_sinkhole_dns.
type Report struct {
	day      time.Time // its beginning, UTC
	bits4    int
	bits6    int
	findings map[finding]*hits.Record
}

// finding is what makes a row: hits of one client and indicator are the same.
type finding struct {
	client    netip.Addr
	indicator string
	families  string
}

// maxFindings bounds the memory of a report, to some 4 GB.
const maxFindings = 4 << 20

// NewReport is of the day that begins at a time, with files for prefixes of so many bits.
func NewReport(day time.Time, bits4, bits6 int) *Report {
	return &Report{day: day, bits4: bits4, bits6: bits6, findings: map[finding]*hits.Record{}}
}

// Add takes a record in. The first hit of a finding stands in its row, which counts all.
func (p *Report) Add(r *hits.Record) error {
	if !isFinding(r) {
		return nil
	}
	key := finding{r.Client.IP, r.Threat.Indicator.Name, strings.Join(r.Sinkhole.Families, "\x00")}
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
	return o
}

// Write makes the files in a directory, and gives their names in order. A file of that name
// is replaced.
func (p *Report) Write(dir string) (names []string, err error) {
	rows := make([]*hits.Record, 0, len(p.findings))
	for _, r := range p.findings {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *hits.Record) int {
		return cmp.Or(a.Client.IP.Compare(b.Client.IP), a.Time.Compare(b.Time), cmp.Compare(a.Threat.Indicator.Name, b.Threat.Indicator.Name))
	})
	for len(rows) > 0 {
		of := p.prefix(rows[0].Client.IP)
		n := slices.IndexFunc(rows, func(r *hits.Record) bool { return !of.Contains(r.Client.IP) })
		if n < 0 {
			n = len(rows)
		}
		name := p.fileName(of)
		if err := writeRows(filepath.Join(dir, name), rows[:n]); err != nil {
			return names, err
		}
		names, rows = append(names, name), rows[n:]
	}
	return names, nil
}

func (p *Report) prefix(a netip.Addr) netip.Prefix {
	bits := p.bits4
	if a.Is6() {
		bits = p.bits6
	}
	return netip.PrefixFrom(a.WithZone(""), min(bits, a.BitLen())).Masked()
}

// fileName is what IntelMQ goes by: the day, the report, and words of letters, digits and
// underscores.
func (p *Report) fileName(of netip.Prefix) string {
	words := strings.FieldsFunc(of.Addr().StringExpanded(), func(r rune) bool { return r == '.' || r == ':' })
	return fmt.Sprintf("%s-event4_sinkhole_dns-%s-%d.csv", p.day.Format(time.DateOnly), strings.Join(words, "-"), of.Bits())
}

// writeRows replaces a file whole.
func writeRows(path string, rows []*hits.Record) (err error) {
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
	w := newShadowserver(out)
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
