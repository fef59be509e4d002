package configs

import (
	"bytes"
	"encoding/csv"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestReferenceIsTheDefaults(t *testing.T) {
	c, err := Parse("sinkhole.yaml", Reference(), "")
	if err != nil {
		t.Fatal(err)
	}
	sampleList := defaultList()
	sampleList.Name, sampleList.Source = "sample", EmbeddedSample
	if want := []List{sampleList}; !reflect.DeepEqual(c.Lists, want) {
		t.Errorf("lists: got %+v, want %+v", c.Lists, want)
	}
	c.Lists, c.source = nil, source{}
	if want := Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestReferenceStatesEveryKey(t *testing.T) {
	c, err := Parse("sinkhole.yaml", Reference(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range schema() {
		if name, ok := strings.CutPrefix(f.schema, "groups[]."); ok {
			if !strings.Contains(string(Reference()), name+" (") && !strings.Contains(string(Reference()), "of "+name+",") {
				t.Errorf("%s: not in the comment on groups", f.schema)
			}
			continue
		}
		if !c.Stated(strings.Replace(f.schema, "[]", "[0]", 1)) {
			t.Errorf("%s: not stated", f.schema)
		}
	}
}

func TestEmbedded(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Lists) != 1 || c.Lists[0].Source != EmbeddedSample || !filepath.IsAbs(c.Hits.Journal.Path) {
		t.Errorf("got lists %+v, journal %s", c.Lists, c.Hits.Journal.Path)
	}
}

func TestEmbeddedBytesCannotBeChanged(t *testing.T) {
	Reference()[0], Sample()[0] = 'x', 'x'
	if Reference()[0] == 'x' || Sample()[0] == 'x' {
		t.Error("a caller can change what is embedded")
	}
}

func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(paths) < 2 {
		t.Fatalf("found %v, error %v, expected an example for an ISP and one for an enterprise", paths, err)
	}
	for _, path := range append(paths, "docker.yaml") {
		c, err := Load(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(c.Lists) == 0 || c.beyondLoopback() == nil || !c.Metrics.Listen.IsValid() {
			t.Errorf("%s: expected lists, a listener beyond loopback and metrics", path)
		}
	}
}

func TestContainerNeedsNoRoot(t *testing.T) {
	c, err := Load("docker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range append(c.Listen.DNS, c.Console.Listen, c.Metrics.Listen) {
		if l.Port() < 1024 {
			t.Errorf("%s needs a privilege", l)
		}
	}
}

// The sample list names what nobody can own: RFC 2606 and 6761 names, RFC 5737
// and 3849 addresses.
func TestSampleIsReserved(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(Sample())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Split("indicator,type,family,confidence,first_seen,last_seen,expires,reference,tlp,action", ",")
	if !slices.Equal(rows[0], header) {
		t.Errorf("header %v, want %v", rows[0], header)
	}
	reserved := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}
	kinds := make(map[string]int)
	for _, row := range rows[1:] {
		indicator, kind := row[0], row[1]
		kinds[kind]++
		if kind == "domain" {
			if !strings.HasSuffix(indicator, ".example") {
				t.Errorf("%s is not below example", indicator)
			}
			continue
		}
		p, err := parsePrefix(indicator)
		if err != nil || !slices.ContainsFunc(reserved, func(r netip.Prefix) bool { return r.Contains(p.Addr()) && r.Bits() <= p.Bits() }) {
			t.Errorf("%s is not within documentation addresses (%v)", indicator, err)
		}
	}
	if kinds["domain"] < 15 || kinds["ipv4"] < 2 || kinds["ipv6"] < 1 || len(kinds) != 3 {
		t.Errorf("got %v of each type", kinds)
	}
	for _, name := range []string{"lumma.example", "vidar.example", "redline.example"} {
		if !strings.Contains(string(Sample()), "\n"+name+",") {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestMarkdownHasEveryKey(t *testing.T) {
	table := Markdown()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if got, want := len(lines)-2, len(schema()); got != want {
		t.Errorf("got %d rows, want %d", got, want)
	}
	for _, f := range schema() {
		if f.doc == "" {
			t.Errorf("%s: no meaning", f.schema)
		}
		if strings.Count(table, "| `"+f.schema+"` | `") != 1 {
			t.Errorf("%s: not in the table once", f.schema)
		}
	}
	for _, row := range []string{
		"| `hits.journal.keep` | `90d` | closed segments older than this are removed |",
		"| `cache.memory` | `64MiB` | bound of the cache |",
		"| `sinkhole.ttl` | `60s` | TTL of the answer |",
		"| `allow_file` | `\"\"` |",
		"| `listen.dns` | `[127.0.0.1:5300, [::1]:5300]` |",
	} {
		if !strings.Contains(table, row) {
			t.Errorf("no row %s", row)
		}
	}
}

// What the schema says of its words is what is accepted: a meaning that lists
// words lists all of them.
func TestMeaningsNameEveryWord(t *testing.T) {
	for _, f := range schema() {
		v := f.value
		if v.Kind() == reflect.Slice {
			v = reflect.New(v.Type().Elem()).Elem()
		}
		w, ok := v.Interface().(word)
		if !ok {
			continue
		}
		for _, one := range w.words() {
			if f.schema != "lists[].action" && !strings.Contains(f.doc, one) {
				t.Errorf("%s: the meaning does not name %q", f.schema, one)
			}
		}
	}
}
