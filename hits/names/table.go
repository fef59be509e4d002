package names

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sinkhole/hits"
)

// entry is a row of an operator's CSV file.
type entry struct {
	prefix      netip.Prefix // of one address too; invalid: only a MAC address
	mac         mac
	first, last uint16 // ports; 0 and 0: all
	from, until int64  // Unix nanoseconds, until is not of it
	timed       bool   // a beginning or an end is told
	who         hits.Who
}

// personal reports whether it tells who had the address for a while, or a part of its ports.
func (e *entry) personal() bool { return e.last != 0 || e.timed }

// span is entries of one key, by their beginning.
type span struct {
	all   []*entry
	reach []int64 // the latest end of the entries up to here
}

func (s *span) sort() {
	slices.SortStableFunc(s.all, func(a, b *entry) int { return cmp.Compare(a.from, b.from) })
	for _, e := range s.all {
		end := e.until
		if n := len(s.reach); n > 0 {
			end = max(end, s.reach[n-1])
		}
		s.reach = append(s.reach, end)
	}
}

// find is the entry that began last, of those of the time that fn takes.
func (s *span) find(at int64, fn func(*entry) bool) *entry {
	if s == nil {
		return nil
	}
	n, _ := slices.BinarySearchFunc(s.all, at, func(e *entry, at int64) int {
		if e.from <= at {
			return -1
		}
		return 1
	})
	for i := n - 1; i >= 0 && s.reach[i] > at; i-- {
		if e := s.all[i]; at < e.until && fn(e) {
			return e
		}
	}
	return nil
}

type spans[K comparable] map[K]*span

func (m spans[K]) put(k K, e *entry) {
	s := m[k]
	if s == nil {
		s = new(span)
		m[k] = s
	}
	s.all = append(s.all, e)
}

func (m spans[K]) at(k K, at int64) *entry {
	return m[k].find(at, func(*entry) bool { return true })
}

// table is all entries of CSV files.
type table struct {
	macs     spans[mac]
	addrs    spans[netip.Addr]
	prefixes spans[netip.Prefix]
	lengths  [2][]int // of prefixes, IPv4 and IPv6, the longest first
	personal bool     // an entry is, or says that an address is shared
}

func newTable(entries []entry) *table {
	t := &table{macs: spans[mac]{}, addrs: spans[netip.Addr]{}, prefixes: spans[netip.Prefix]{}}
	for i := range entries {
		e := &entries[i]
		t.personal = t.personal || e.personal() || e.who.Shared
		if e.mac != (mac{}) {
			t.macs.put(e.mac, e)
		}
		switch p := e.prefix; {
		case !p.IsValid():
		case p.IsSingleIP():
			t.addrs.put(p.Addr(), e)
		default:
			t.prefixes.put(p, e)
			if n := familyOf(p.Addr()); !slices.Contains(t.lengths[n], p.Bits()) {
				t.lengths[n] = append(t.lengths[n], p.Bits())
			}
		}
	}
	for n := range t.lengths {
		slices.SortFunc(t.lengths[n], func(a, b int) int { return b - a })
	}
	for _, s := range t.macs {
		s.sort()
	}
	for _, s := range t.addrs {
		s.sort()
	}
	for _, s := range t.prefixes {
		s.sort()
	}
	return t
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// address is the entry of an address for a client: that of the block with its ports, if there
// are blocks. Shared tells that others may have the address at the time.
func (t *table) address(a netip.Addr, c hits.Client, at int64) (found *entry, shared bool) {
	s := t.addrs[a]
	if s == nil {
		return nil, false
	}
	whole := s.find(at, func(e *entry) bool { return e.last == 0 })
	blocks := s.find(at, func(e *entry) bool { return e.last != 0 }) != nil
	shared = blocks || whole != nil && whole.who.Shared
	if !blocks {
		return whole, shared
	}
	if c.Subscriber != "" && len(c.Ports) == 0 {
		found = s.find(at, func(e *entry) bool { return e.last != 0 && e.who.Subscriber == c.Subscriber })
	}
	for i, port := range c.Ports {
		e := s.find(at, func(e *entry) bool { return e.first <= port && port <= e.last && e.last != 0 })
		if e == nil || i > 0 && found.who != e.who || c.MorePorts {
			return whole, true
		}
		found = e
	}
	if found == nil {
		found = whole
	}
	return found, shared
}

// eachPrefix hands out the entries of prefixes that an address is in, the longest first.
func (t *table) eachPrefix(a netip.Addr, at int64, fn func(*entry)) {
	if !a.IsValid() {
		return
	}
	for _, bits := range t.lengths[familyOf(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if e := t.prefixes.at(p, at); e != nil {
			fn(e)
		}
	}
}

// header is the first line of a CSV file.
type header struct {
	separator byte
	columns   map[string]int
	names     []string
}

func (h *header) has(name string) bool { _, ok := h.columns[name]; return ok }

// parseHeader finds the separator too: a spreadsheet may write semicolons or tabs.
func parseHeader(line string) (*header, error) {
	h := &header{separator: ',', columns: make(map[string]int)}
	for _, c := range []byte{';', '\t'} {
		if strings.Count(line, string(c)) > strings.Count(line, string(h.separator)) {
			h.separator = c
		}
	}
	fields, err := fieldsOf(line, h.separator)
	if err != nil {
		return nil, err
	}
	for i, f := range fields {
		f = strings.ToLower(strings.TrimSpace(f))
		if h.has(f) {
			return nil, fmt.Errorf("found the column %q twice, expected each once", f)
		}
		h.columns[f] = i
		h.names = append(h.names, f)
	}
	return h, nil
}

// row is a line of a CSV file.
type row struct {
	h      *header
	fields []string
}

func (h *header) row(line string) (row, error) {
	fields, err := fieldsOf(line, h.separator)
	return row{h, fields}, err
}

// get is a field, "" where the line or the header has none.
func (r row) get(name string) string {
	i, ok := r.h.columns[name]
	if !ok || i >= len(r.fields) {
		return ""
	}
	return strings.TrimSpace(r.fields[i])
}

// fieldsOf divides a line (RFC 4180, but that a field has no line end).
func fieldsOf(line string, separator byte) (fields []string, err error) {
	for {
		if !strings.HasPrefix(line, `"`) {
			field, rest, more := strings.Cut(line, string(separator))
			fields = append(fields, field)
			if !more {
				return fields, nil
			}
			line = rest
			continue
		}
		var b strings.Builder
		line = line[1:]
		for {
			i := strings.IndexByte(line, '"')
			if i < 0 {
				return nil, errors.New(`found a " without another, expected a field to end on its line`)
			}
			b.WriteString(line[:i])
			if line = line[i+1:]; !strings.HasPrefix(line, `"`) {
				break
			}
			b.WriteByte('"')
			line = line[1:]
		}
		fields = append(fields, b.String())
		switch {
		case line == "":
			return fields, nil
		case line[0] != separator:
			return nil, fmt.Errorf(`found %q behind a ", expected the separator %q`, line[:1], separator)
		}
		line = line[1:]
	}
}

// tableColumns are those of an operator's file.
func tableColumns() []string {
	return []string{"address", "prefix", "mac", "ports", "port_from", "port_to", "from", "until", "name", "owner", "site", "subscriber", "shared"}
}

// tableParser reads an operator's file.
type tableParser struct {
	header *header
	same   map[string]string // texts that stood before
}

func (p *tableParser) line(c *content, line []byte) error {
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	if p.header == nil {
		return p.head(string(line))
	}
	r, err := p.header.row(string(line))
	if err != nil {
		return err
	}
	e, err := p.entry(r)
	if err != nil {
		return err
	}
	c.entries = append(c.entries, e)
	return nil
}

func (p *tableParser) head(line string) (err error) {
	p.same = make(map[string]string)
	if p.header, err = parseHeader(line); err != nil {
		return err
	}
	for _, name := range p.header.names {
		if !slices.Contains(tableColumns(), name) {
			return fmt.Errorf("found the column %q, which is left out, expected some of %s", name, strings.Join(tableColumns(), ", "))
		}
	}
	return nil
}

func (p *tableParser) entry(r row) (e entry, err error) {
	if e.prefix, err = prefixOf(r.get("address"), r.get("prefix")); err != nil {
		return e, err
	}
	if s := r.get("mac"); s != "" {
		if e.mac = parseMAC(s); e.mac == (mac{}) {
			return e, fmt.Errorf("found the mac %q, expected one such as 00-00-5E-00-53-23", s)
		}
	}
	if !e.prefix.IsValid() && e.mac == (mac{}) {
		return e, errors.New("found no address, prefix or mac, expected one of them")
	}
	if e.first, e.last, err = portsOf(r); err != nil {
		return e, err
	}
	if e.last != 0 && !e.prefix.IsSingleIP() {
		return e, errors.New("found ports without one address, expected the address whose ports they are")
	}
	e.until = never
	for _, t := range [...]struct {
		column string
		to     *int64
	}{{"from", &e.from}, {"until", &e.until}} {
		if s := r.get(t.column); s != "" {
			if *t.to, err = momentOf(s); err != nil {
				return e, fmt.Errorf("%s: %w", t.column, err)
			}
			e.timed = true
		}
	}
	if e.until <= e.from {
		return e, errors.New("found an until that is not after from, expected it to be later")
	}
	if e.who.Shared, err = truthOf(r.get("shared")); err != nil {
		return e, err
	}
	e.who.Name, e.who.Owner = p.text(r.get("name")), p.text(r.get("owner"))
	e.who.Site, e.who.Subscriber = p.text(r.get("site")), p.text(r.get("subscriber"))
	return e, nil
}

// text keeps equal texts once.
func (p *tableParser) text(s string) string {
	if s == "" {
		return ""
	}
	if known, ok := p.same[s]; ok {
		return known
	}
	s = strings.Clone(s)
	p.same[s] = text(s)
	return p.same[s]
}

func prefixOf(address, prefix string) (netip.Prefix, error) {
	if address != "" && prefix != "" {
		return netip.Prefix{}, errors.New("found both address and prefix, expected one of them")
	}
	s := cmp.Or(address, prefix)
	if s == "" {
		return netip.Prefix{}, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("found %q, expected an address or a prefix such as 192.0.2.0/24", s)
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// portsOf is a block of ports, as in 1024-2047, or in two columns.
func portsOf(r row) (first, last uint16, err error) {
	from, to := r.get("port_from"), r.get("port_to")
	if s := r.get("ports"); s != "" {
		var found bool
		if from, to, found = strings.Cut(s, "-"); !found {
			to = from
		}
	}
	if from == "" && to == "" {
		return 0, 0, nil
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
	if errA != nil || errB != nil || a > b || b == 0 {
		return 0, 0, fmt.Errorf("found the ports %q to %q, expected a block such as 1024-2047", from, to)
	}
	return uint16(a), uint16(b), nil
}

// momentOf is a time in RFC 3339, in UTC without a zone, a date, or seconds since 1970.
func momentOf(s string) (int64, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixNano(), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		return seconds(n), nil
	}
	return 0, fmt.Errorf("found %q, expected a time such as 2026-02-01T03:04:05Z, a date or seconds since 1970", s)
}

func truthOf(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "", "0", "no", "false":
		return false, nil
	case "1", "yes", "true", "shared", "cgnat":
		return true, nil
	}
	return false, fmt.Errorf("found shared %q, expected yes or no", s)
}
