package feed

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// zoneText writes a zone as a master file, RFC 1035 section 5: a comment,
// $ORIGIN, $TTL, the SOA record, then a record a line. Within one zone the line
// of a record depends on nothing but the record, so that a line can be found
// again.
type zoneText struct {
	apex   []byte
	ttl    uint32 // of records that state none
	w      *bufio.Writer
	line   []byte
	limit  int64 // octets
	length int64
	count  int // records
}

func newZoneText(w io.Writer, apex []byte, limit int64) *zoneText {
	return &zoneText{apex: apex, w: bufio.NewWriterSize(w, 256<<10), limit: limit}
}

// begin writes what stands before the records. The time in the comment makes
// the digest of every transfer one of its own.
func (z *zoneText) begin(soa record, how string, now time.Time) error {
	return z.beginAt(soa.ttl(), soa, how, now)
}

// beginAt is begin with another TTL for the records that state none.
func (z *zoneText) beginAt(ttl uint32, soa record, how string, now time.Time) error {
	z.ttl = ttl
	z.line = append(z.line[:0], "; "...)
	z.line = fmt.Appendf(z.line, "%s, serial %d, %s, %s\n", nameText(z.apex), soa.serial(), how, now.UTC().Format(time.RFC3339Nano))
	z.line = append(z.line, "$ORIGIN "...)
	z.line = appendNameText(z.line, z.apex)
	z.line = fmt.Appendf(z.line, ".\n$TTL %d\n", z.ttl)
	if err := z.put(); err != nil {
		return err
	}
	return z.add(soa)
}

// add writes a record.
func (z *zoneText) add(r record) error {
	z.line = appendRecordText(z.line[:0], r, z.apex, z.ttl)
	z.count++
	return z.put()
}

func (z *zoneText) put() error {
	if z.length += int64(len(z.line)); z.length > z.limit {
		return errLongText(z.limit)
	}
	_, err := z.w.Write(z.line)
	return err
}

func errLongText(limit int64) error {
	return fmt.Errorf("more than %s as text, expected at most that much", size(limit))
}

func (z *zoneText) flush() error { return z.w.Flush() }

// appendRecordText appends a record as a line, with its end. The owner is
// written without the apex.
func appendRecordText(to []byte, r record, apex []byte, ttl uint32) []byte {
	if below := r.owner - len(apex); below > 0 {
		to = appendNameText(to, r.wire[:below])
	} else {
		to = append(to, '@')
	}
	if r.ttl() != ttl {
		to = append(to, ' ')
		to = strconv.AppendUint(to, uint64(r.ttl()), 10)
	}
	data := r.data()
	switch kind := r.kind(); {
	case kind == typeCNAME:
		to = append(to, " CNAME "...)
		to = append(appendNameText(to, data), '.')
	case kind == typeA && len(data) == 4:
		to = append(to, " A "...)
		to = netip.AddrFrom4([4]byte(data)).AppendTo(to)
	case kind == typeAAAA && len(data) == 16 && !netip.AddrFrom16([16]byte(data)).Is4In6():
		to = append(to, " AAAA "...)
		to = netip.AddrFrom16([16]byte(data)).AppendTo(to)
	default:
		to = appendDataText(to, r)
	}
	return append(to, '\n')
}

// appendDataText writes type and data of any record; types that hardly anybody
// reads in the form that every type has, RFC 3597 section 5.
func appendDataText(to []byte, r record) []byte {
	switch r.kind() {
	case typeSOA, dns.TypeNS, dns.TypePTR, dns.TypeMX, dns.TypeTXT, dns.TypeSRV:
		if rr, n, err := dns.UnpackRR(r.wire, 0); err == nil && n == len(r.wire) {
			to = append(append(append(to, ' '), dns.Type(r.kind()).String()...), ' ')
			return append(to, strings.TrimPrefix(rr.String(), rr.Header().String())...)
		}
	}
	to = fmt.Appendf(to, " %s \\# %d ", typeText(r.kind()), len(r.data()))
	return hex.AppendEncode(to, r.data())
}

// appendNameText appends the labels of a name in wire form, without a dot at the
// end. Octets that mean something in a master file are escaped.
func appendNameText(to, wire []byte) []byte {
	first := true
	for at := 0; at < len(wire) && wire[at] != 0; at += 1 + int(wire[at]) {
		if !first {
			to = append(to, '.')
		}
		first = false
		for _, c := range wire[at+1 : at+1+int(wire[at])] {
			switch {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '*', 'A' <= c && c <= 'Z':
				to = append(to, c)
			default:
				to = append(to, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			}
		}
	}
	return to
}

// typeText is the mnemonic of a type where reading it gives the type again, else
// its number (RFC 3597 section 5). The library has names that it does not read.
func typeText(kind uint16) string {
	if name := dns.Type(kind).String(); dns.StringToType[strings.ToUpper(name)] == kind { // the reader folds case
		return name
	}
	return fmt.Sprintf("TYPE%d", kind)
}
