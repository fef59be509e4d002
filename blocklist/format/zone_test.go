package format

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// zoneRecords are records of the zone rpz.test. that a file and a transfer must
// read alike.
const zoneRecords = `rpz.test. 60 IN SOA localhost. root.localhost. 1 2 3 4 5
rpz.test. 60 IN NS localhost.
rpz.test. 60 IN TXT "of the zone"
Bad.Example.RPZ.test. 60 IN CNAME .
*.bad.example.rpz.test. 60 IN CNAME *.
*.rpz.test. 60 IN CNAME .
a.example.rpz.test. 60 IN CNAME RPZ-Passthru.
b.example.rpz.test. 60 IN CNAME rpz-drop.
c.example.rpz.test. 60 IN CNAME rpz-tcp-only.
d.example.rpz.test. 60 IN CNAME d.example.
e.example.rpz.test. 60 IN CNAME Landing.Example.
*.f.example.rpz.test. 60 IN CNAME *.landing.example.
g.example.rpz.test. 7 IN A 192.0.2.1
g.example.rpz.test. 7 IN AAAA 2001:db8::1
h.example.rpz.test. 7 IN MX 10 Mail.example.
i.example.rpz.test. 7 IN TXT "a; b" "c"
j.example.rpz.test. 7 IN HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.1
k.example.rpz.test. 7 IN TYPE65400 \# 3 010203
l\.m.example.rpz.test. 7 IN CNAME .
\$.example.rpz.test. 7 IN CNAME .
\#.example.rpz.test. 7 IN CNAME .
32.1.2.0.192.rpz-ip.rpz.test. 60 IN CNAME .
24.0.2.0.192.rpz-client-ip.rpz.test. 60 IN CNAME rpz-drop.
48.zz.1.db8.2001.rpz-ip.rpz.test. 60 IN CNAME .
24.1.2.0.192.rpz-ip.rpz.test. 60 IN CNAME .
32.1.2.0.192.rpz-nsip.rpz.test. 60 IN CNAME .
ns.example.rpz-nsdname.rpz.test. 60 IN CNAME .
n.example.rpz.test. 60 IN CNAME rpz-odd.
o.example.rpz.test. 60 IN CNAME rpz-drop.rpz.test.
p.example.rpz.test. 60 IN NS ns.example.
q.example.rpz.test. 60 IN DNAME other.example.
r.example.rpz.test. 60 IN RRSIG CNAME 13 4 300 20260101000000 20250101000000 1 rpz.test. AAAA
rpz.test. 60 IN DNSKEY 257 3 13 AAAA
elsewhere.example. 60 IN CNAME .
`

func packed(t testing.TB, rr dns.RR) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestZoneReader holds that a record in wire form says what it says in a file.
func TestZoneReader(t *testing.T) {
	zone := NewZoneReader([]byte("\x03RPZ\x04test\x00"))
	for line := range strings.Lines(zoneRecords) {
		file := parse("$ORIGIN rpz.test.\n@ SOA . . 1 2 3 4 5\nfirst.example CNAME .\n"+strings.Replace(line, "\tSOA", "", 1), Options{Kind: RPZ})
		if strings.Contains(line, " SOA ") {
			file = parse("$ORIGIN rpz.test.\n"+line+"first.example CNAME .\n", Options{Kind: RPZ})
		}
		if file.err != nil {
			t.Fatal(file.err)
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		record := packed(t, rr)
		before := bytes.Clone(record)
		zone.Record(record, func(ind *Indicator) {
			if ind.Line != 0 {
				t.Errorf("%s: line %d", line, ind.Line)
			}
			_, text, _ := strings.Cut(describe(ind), " ")
			got = append(got, text)
		}, func(f Fault) { got = append(got, className(f)+": "+f.Reason) })
		if !bytes.Equal(record, before) {
			t.Errorf("%s: the record was written to", line)
		}
		var want []string
		for _, entry := range file.entries {
			if _, text, _ := strings.Cut(entry, " "); !strings.Contains(text, "first.example") {
				want = append(want, text)
			}
		}
		for _, f := range file.faults {
			want = append(want, className(f)+": "+f.Reason)
		}
		if strings.HasPrefix(line, "elsewhere") && len(got) == 1 && len(want) == 1 {
			continue // the advice differs: a file may be mended otherwise
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: got %q, want %q as in a file", line, got, want)
		}
	}
}

// TestZoneReaderBadRecords holds that what is no record is a fault.
func TestZoneReaderBadRecords(t *testing.T) {
	const head = "\x03bad\x07example\x03rpz\x04test\x00"
	for _, record := range []string{
		"", "\x00", head, head + "\x00\x05\x00\x01\x00\x00\x00\x3c\x00", head + "\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x05\x00",
		head + "\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x00",
		head + "\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x00",
		head + "\x00\x05\x00\x03\x00\x00\x00\x3c\x00\x01\x00",
		head + "\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x03\xc0\x00\x02",
		head + "\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x00",
		head + "\x00\x29\x00\x01\x00\x00\x00\x3c\x00\x00",
		head + "\x00\xfb\x00\x01\x00\x00\x00\x3c\x00\x00",
		"\xc0\x00\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x01\x00",
		strings.Repeat("\x3f"+strings.Repeat("a", 63), 5) + "\x00\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x01\x00",
	} {
		faults := 0
		NewZoneReader([]byte("\x03rpz\x04test\x00")).Record([]byte(record), func(ind *Indicator) { t.Errorf("%q gives %s", record, describe(ind)) },
			func(f Fault) {
				if faults++; className(f) != "malformed" {
					t.Errorf("%q: %+v", record, f)
				}
			})
		if faults != 1 {
			t.Errorf("%q: %d faults", record, faults)
		}
	}
}

// FuzzZoneRecord holds that any octets end in at most one indicator or fault,
// and that the text of a sound record reads alike in a file.
func FuzzZoneRecord(f *testing.F) {
	for line := range strings.Lines(zoneRecords) {
		rr, err := dns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed(f, rr))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		var got []string
		NewZoneReader([]byte("\x03rpz\x04test\x00")).Record(record, func(ind *Indicator) {
			checkIndicator(t, ind)
			_, text, _ := strings.Cut(describe(ind), " ")
			got = append(got, text)
		}, func(f Fault) {
			if f.Reason == "" {
				t.Fatal("a fault without a reason")
			}
			got = append(got, className(f))
		})
		if len(got) > 1 {
			t.Fatalf("%q from one record", got)
		}
		rr, n, err := dns.UnpackRR(record, 0)
		if err != nil || n != len(record) || rr.Header().Class != dns.ClassINET || rr.Header().Ttl > 1<<31-1 || rr.Header().Rrtype == dns.TypeSOA ||
			!dns.IsSubDomain("rpz.test.", rr.Header().Name) || !bytes.Equal(packedOrNil(rr), record) {
			return
		}
		line := rr.String()
		if again, err := dns.NewRR(line); err != nil || !bytes.Equal(packedOrNil(again), record) {
			return // the library does not read its own text back
		}
		if line[0] == '$' || line[0] == '#' {
			line = `\` + line // the library leaves bare what begins a directive, or a comment of careless lists
		}
		file := parse("$ORIGIN rpz.test.\n@ SOA . . 1 2 3 4 5\nfirst.example CNAME .\n"+line+"\n", Options{Kind: RPZ})
		var want []string
		for _, entry := range file.entries[1:] {
			_, text, _ := strings.Cut(entry, " ")
			want = append(want, text)
		}
		for _, f := range file.faults {
			want = append(want, className(f))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%s: got %q, want %q as in a file", line, got, want)
		}
	})
}

func packedOrNil(rr dns.RR) []byte {
	buf := make([]byte, 1<<17)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil
	}
	return buf[:n]
}
