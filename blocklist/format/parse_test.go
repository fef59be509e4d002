package format

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// outcome is what Parse made of a list.
type outcome struct {
	entries []string // as describe writes them, those that are taken back too
	taken   int      // of them
	faults  []Fault
	result  Result
	err     error
}

func parse(list string, o Options) outcome {
	var got outcome
	got.result, got.err = Parse(strings.NewReader(list), o,
		func(ind *Indicator) {
			got.entries = append(got.entries, describe(ind))
			if ind.TakesBack {
				got.taken++
			}
		},
		func(f Fault) { got.faults = append(got.faults, f) })
	return got
}

// describe writes an indicator as "LINE TRIGGER VALUE [ACTION] [WHAT ELSE]".
func describe(ind *Indicator) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d ", ind.Line)
	switch ind.Trigger {
	case QName:
		fmt.Fprintf(&b, "%s %s", [...]string{Exact: "exact", Subtree: "subtree", Below: "below"}[ind.Scope], Text(ind.Name))
	case ResponseIP:
		fmt.Fprintf(&b, "response-ip %s", ind.Prefix)
	case ClientIP:
		fmt.Fprintf(&b, "client-ip %s", ind.Prefix)
	}
	if ind.Action != Unstated {
		fmt.Fprintf(&b, " %s", ind.Action)
	}
	for off := 0; off < len(ind.Data); {
		rr, next, err := dns.UnpackRR(ind.Data, off)
		if err != nil {
			fmt.Fprintf(&b, " broken data: %v", err)
			break
		}
		fmt.Fprintf(&b, " [%s]", strings.ReplaceAll(rr.String(), "\t", " "))
		off = next
	}
	if ind.FromURL {
		b.WriteString(" from-url")
	}
	if ind.Doubtful {
		b.WriteString(" doubtful")
	}
	if ind.TakesBack {
		b.WriteString(" taken-back")
	}
	if ind.Precedence != 0 {
		fmt.Fprintf(&b, " order=%d", ind.Precedence)
	}
	for _, context := range []struct{ name, value string }{
		{"family", ind.Family}, {"reference", ind.Reference}, {"tlp", ind.TLP},
	} {
		if context.value != "" {
			fmt.Fprintf(&b, " %s=%q", context.name, context.value)
		}
	}
	if ind.Confidence >= 0 {
		fmt.Fprintf(&b, " confidence=%d", ind.Confidence)
	}
	const layout = "2006-01-02T15:04:05.999Z07:00"
	if !ind.FirstSeen.IsZero() {
		fmt.Fprintf(&b, " first=%s", ind.FirstSeen.Format(layout))
	}
	if !ind.LastSeen.IsZero() {
		fmt.Fprintf(&b, " last=%s", ind.LastSeen.Format(layout))
	}
	if !ind.Expires.IsZero() {
		fmt.Fprintf(&b, " expires=%s", ind.Expires.Format(layout))
	}
	return b.String()
}

func describeFault(f Fault) string {
	return fmt.Sprintf("%d:%d %s %q: %s", f.Line, f.Column, className(f), f.Text, f.Reason)
}

func expect(t *testing.T, got outcome, entries ...string) {
	t.Helper()
	if got.err != nil {
		t.Fatalf("error: %v", got.err)
	}
	if !slices.Equal(got.entries, entries) {
		t.Errorf("entries:\n%s\nwant:\n%s", strings.Join(got.entries, "\n"), strings.Join(entries, "\n"))
	}
	if got.result.Entries != len(got.entries)-got.taken || got.result.Malformed+got.result.Refused+got.result.NotApplicable != len(got.faults) {
		t.Errorf("%+v does not count %d entries and %d faults", got.result, len(got.entries), len(got.faults))
	}
}

// TestParseFails holds what is no list, and what its error says.
func TestParseFails(t *testing.T) {
	manyBad := strings.Repeat("a b\n", 100)
	for _, tt := range []struct {
		name string
		list string
		kind Kind
		want string
	}{
		{"empty", "", Auto, "empty: 0 bytes"},
		{"empty hosts", "", Hosts, "a list without entries needs at least a comment line"},
		{"binary", "bad.example\n\x7fELF\x00\x01", Auto, "line 2: binary content: a NUL octet"},
		{"binary after much text", strings.Repeat("bad.example\n", 20_000) + "\x00", Domains, "line 20001: binary content"},
		{"UTF-16", "\xff\xfeb\x00a\x00d\x00", Auto, "UTF-16 text, expected UTF-8"},
		{"UTF-16 big end first", "\xfe\xff\x00b\x00a\x00d", Domains, "UTF-16 text, expected UTF-8"},
		{"gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00", Auto, "gzip-compressed"},
		{"zstd", "\x28\xb5\x2f\xfd\x24", Auto, "zstd-compressed"},
		{"HTML", "<!DOCTYPE html>\n<html><body>bad.example</body></html>\n", Auto, "an HTML or XML page"},
		{"HTML with the kind given", "\n  <html>\n", Domains, "line 2: an HTML or XML page"},
		{"XML", "<?xml version=\"1.0\"?>\n", Hosts, "an HTML or XML page"},
		{"JSON", `{"error": "not found"}`, Auto, "a JSON document"},
		{"MISP warning list", `{"list": ["good.example"], "name": "popular", "type": "hostname", "version": 1}`, Auto, "names what is innocent: give it as guard.files"},
		{"JSON array", "[\n {\"a\": 1}]", Domains, "a JSON document"},
		{"foreign CSV", "# title\n\nname,kind,advice\nbad.example,x,y\n", Auto, `line 3: CSV without a column "indicator"`},
		{"foreign CSV said to be ours", "# title\n\nname,kind\nbad.example,x\n", CSV, `line 3: CSV without a column "indicator"`},
		{"CSV with semicolons, not named", "# title\nindicator;type\nbad.example;domain\n", Auto, "line 2: CSV fields separated by semicolons or tabs, but the separator must be a comma"},
		{"CSV with tabs", "family\tindicator\nLumma\tbad.example\n", Auto, "line 1: CSV fields separated by semicolons or tabs"},
		{"foreign CSV with semicolons", "name;kind\nbad.example;x\nworse.example;y\n", Auto, "the separator must be a comma"},
		{"CSV without the column", "name,kind\nbad.example,x\n", CSV, `line 1: CSV without a column "indicator" (columns found: name, kind), expected a header row`},
		{"good lines before bad ones", "# title\n" + "good0.example\ngood1.example\n" + strings.Repeat("no list\n", 5), Auto, `line 4: unrecognized content ("no list"), 2 of 7 lines looked at fit: expected`},
		{"CSV with semicolons", "indicator;type\nbad.example;domain\n", CSV, "separated by semicolons"},
		{"CSV with a column twice", "indicator,type,Indicator\nbad.example,domain,x\n", CSV, `names the column "indicator" twice`},
		{"CSV with a broken header", "indicator,\"ty\"pe\n", CSV, "line 1: the CSV header: text after a closing quote"},
		{"STIX where names are wanted", `{"type": "bundle", "id": "bundle--1"}`, Domains, "a stix (JSON) document, expected a list in the notation domains"},
		{"a table in prose", "# title\n\nThe list, of names, has moved.\n| file | what |\n| --- | --- |\n", Auto, "unrecognized content"},
		{"prose called adblock", "The list has moved.\nPlease see elsewhere.\n", Adblock, "no usable entry and 2 malformed lines"},
		{"names called BIND", "bad.example\nworse.example\n", BIND, "expected the bind notation; it looks like domains"},
		{"an error page in plain text", "404: Not Found", Auto, `line 1: unrecognized content ("404: Not Found")`},
		{"prose", "The list has moved.\nPlease see elsewhere.\n", Auto, "line 1: unrecognized content"},
		{"top-level domains", "example\ntest\n", Auto, "unrecognized content"},
		{"nothing good", "a b\nc d\n", Domains, "no usable entry and 2 malformed lines, expected the domains notation"},
		{"nothing good, but known", "0.0.0.0 bad.example\n0.0.0.0 worse.example\n", Domains, "expected the domains notation; it looks like hosts"},
		{"mostly malformed", "bad.example\n" + manyBad, Domains, "100 malformed lines and only 1 entries: is this a list in the domains notation?"},
		{"unknown kind", "bad.example\n", "domain", `unknown list format "domain", expected auto or domains, hosts, adblock,`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(tt.list, Options{Kind: tt.kind})
			if got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
				t.Errorf("%+v, error %v; want one that says %q", got.result, got.err, tt.want)
			}
		})
	}
}

// TestParseRecognizes holds which notation a content is taken for.
func TestParseRecognizes(t *testing.T) {
	header := strings.Repeat("# a long licence\n", 20_000)
	for _, tt := range []struct {
		name, list string
		want       Kind
		entries    int
	}{
		{"comments only", "# nothing listed today\n\n", Auto, 0},
		{"blank only", "\n \n", Auto, 0},
		{"byte order mark only", "\xef\xbb\xbf", Auto, 0},
		{"names", "# title\nbad.example\nworse.example\n", Domains, 2},
		{"names behind a long comment", header + "bad.example\n", Domains, 1},
		{"byte order mark and CRLF", "\xef\xbb\xbfbad.example\r\nworse.example\r\n", Domains, 2},
		{"addresses", "192.0.2.1\n2001:db8::1\n", Domains, 2},
		{"an address in brackets first", "[2001:db8::1]:443\n", Domains, 1},
		{"a stray adblock line among names", "bad.example\nworse.example\n||odd.example^\n", Domains, 2},
		{"hosts", "127.0.0.1 localhost\n0.0.0.0 bad.example\n", Hosts, 1},
		{"hosts with IPv6 and zones", "fe80::1%lo0 localhost\n::\tbad.example\n", Hosts, 1},
		{"our CSV", "type,Indicator\ndomain,bad.example\n", CSV, 1},
		{"our CSV with one column", "\"indicator\"\nbad.example\n", CSV, 1},
		{"our CSV behind a comment", "# TLP:GREEN\nindicator,type\nbad.example,domain\n", CSV, 1},
		{"adblock by its header", "[Adblock Plus 2.0]\n! title\nbad.example\n||worse.example^\n", Adblock, 2},
		{"adblock by its rules", "! title\n||bad.example^\n||worse.example^$all\n", Adblock, 2},
		{"adblock of cosmetic rules", "! title\n##.banner\nbad.example##.ad\n", Adblock, 0},
		{"adblock of exceptions", "@@||good.example^\n", Adblock, 1},
		{"dnsmasq", "# title\naddress=/bad.example/0.0.0.0\nserver=/worse.example/\n", Dnsmasq, 2},
		{"unbound", "server:\n  local-zone: \"bad.example\" always_null\n", Unbound, 1},
		{"unbound's local data", "local-data: \"bad.example A 0.0.0.0\"\n", Unbound, 1},
		{"BIND", "// title\nzone \"bad.example\" { type master; file \"null\"; };\n", BIND, 1},
		{"BIND over several lines", "zone \"bad.example\" IN {\n\ttype master;\n\tnotify no;\n\tfile \"null\";\n};\n", BIND, 1},
		{"dnscrypt", "=bad.example\nads.*\n", Dnscrypt, 1},
		{"dnscrypt's addresses", "192.0.2.*\n", Dnscrypt, 1},
		{"Suricata rules", "# title\nalert tls any any -> any any (msg:\"x\"; tls.sni; content:\"bad.example\"; sid:1;)\n", Suricata, 1},
		{"RPZ by its directive", "$TTL 60\n@ SOA localhost. root.localhost. 1 2 3 4 5\nbad.example CNAME .\n", RPZ, 1},
		{"RPZ by its SOA", "@ IN SOA localhost. root.localhost. 1 2 3 4 5\nbad.example CNAME .\n", RPZ, 1},
		{"RPZ by its records", "; title\nbad.example 60 IN CNAME .\nworse.example CNAME .\n", RPZ, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(tt.list, Options{})
			if got.err != nil || got.result.Kind != tt.want || got.result.Entries != tt.entries {
				t.Errorf("%+v, error %v; want %s with %d entries", got.result, got.err, tt.want, tt.entries)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		kind        Kind
		list, match string
		want        []string
	}{
		{Domains, "bad.example\n*.worse.example", "", []string{"1 subtree bad.example", "2 subtree worse.example"}},
		{Domains, "bad.example\n.worse.example", "exact", []string{"1 exact bad.example", "2 subtree worse.example"}},
		{Hosts, "0.0.0.0 bad.example", "", []string{"1 exact bad.example"}},
		{Hosts, "0.0.0.0 bad.example", "subtree", []string{"1 subtree bad.example"}},
		{CSV, "indicator\nbad.example\n*.worse.example", "", []string{"2 subtree bad.example", "3 subtree worse.example"}},
		{CSV, "indicator\nbad.example\n*.worse.example", "exact", []string{"2 exact bad.example", "3 subtree worse.example"}},
		{RPZ, "@ SOA . . 1 2 3 4 5\nbad.example CNAME .", "subtree", []string{"2 exact bad.example nxdomain"}},
	} {
		expect(t, parse(tt.list, Options{Kind: tt.kind, Match: tt.match}), tt.want...)
	}
	if got := parse("bad.example\n", Options{Match: "wild"}); got.err == nil {
		t.Error("an unknown match was taken")
	}
}
