package export

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

func detailsOf(*hits.Record) Details {
	return Details{
		hits.Who{Name: "=laptop", Owner: "Example \"Inc\"", Site: "HQ", Subscriber: "S1", Shared: true},
		hits.Place{ASN: 64500, Organization: "Example Net", Country: "DE", Sector: "Finance"},
	}
}

// What is known beside a line stands in it where ECS has a field, and the line stays as it was.
func TestDetailsInJSON(t *testing.T) {
	for _, format := range []string{"json", "jsonl"} {
		plain, detailed := render(t, format, Options{}, record(nil)), render(t, format, Options{Details: detailsOf}, record(nil))
		var a, b any
		for text, to := range map[string]*any{plain: &a, detailed: &b} {
			if err := json.Unmarshal([]byte(text), to); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		if list, ok := b.([]any); ok {
			a, b = a.([]any)[0], list[0]
		}
		client, own := b.(map[string]any)["client"].(map[string]any), b.(map[string]any)["sinkhole"].(map[string]any)
		got, _ := json.Marshal([]any{client["as"], client["geo"], own["who"]})
		want := `[{"number":64500,"organization":{"name":"Example Net"}},{"country_iso_code":"DE"},` +
			`{"name":"=laptop","owner":"Example \"Inc\"","sector":"Finance","shared":true,"site":"HQ","subscriber":"S1"}]`
		if string(got) != want {
			t.Errorf("%s: got %s, want %s", format, got, want)
		}
		delete(client, "as")
		delete(client, "geo")
		delete(own, "who")
		x, _ := json.Marshal(a)
		if y, _ := json.Marshal(b); !bytes.Equal(x, y) {
			t.Errorf("%s: the rest changed: %s, want %s", format, y, x)
		}
	}
}

func TestWithin(t *testing.T) {
	for line, want := range map[string]string{
		`{"a":{"x":{"client":{"n":1}}},"client":{}}`: `{"a":{"x":{"client":{"n":1}}},"client":{M}}`,
		`{"a":"\"client\":{", "client" : { "n":1}}`:  `{"a":"\"client\":{", "client" : {M, "n":1}}`,
		`{"client":1}`: `{"client":1}`, `{"a":1}`: `{"a":1}`, `{"client`: `{"client`, `[]`: `[]`,
	} {
		if got := string(within([]byte(line), "client", []byte("M"))); got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
}

func TestDetailsInColumns(t *testing.T) {
	o := Options{Details: detailsOf}
	rows := readCSV(t, render(t, "csv", o, record(nil)))
	for column, want := range map[string]string{
		"client_name": "'=laptop", "owner": `Example "Inc"`, "site": "HQ", "subscriber": "S1", "shared": "true",
		"asn": "64500", "as_organization": "Example Net", "country": "DE", "sector": "Finance",
	} {
		if rows[0][column] != want {
			t.Errorf("csv %s: %q, want %q", column, rows[0][column], want)
		}
	}
	rows = readCSV(t, render(t, "shadowserver", o, record(nil)))
	for column, want := range map[string]string{
		"src_hostname": "'=laptop", "src_asn": "64500", "src_geo": "DE", "src_sector": "Finance", "src_owner": `Example "Inc"`, "src_site": "HQ", "src_subscriber": "S1",
	} {
		if rows[0][column] != want {
			t.Errorf("shadowserver %s: %q, want %q", column, rows[0][column], want)
		}
	}
	if text := render(t, "table", o, record(nil)); !strings.Contains(text, "WHO") || !strings.Contains(text, `=laptop, S1, Example "Inc", HQ, shared, AS64500 DE`) {
		t.Errorf("table: %s", text)
	}
	var bundle struct{ Objects []map[string]any }
	if err := json.Unmarshal([]byte(render(t, "stix", o, record(nil))), &bundle); err != nil {
		t.Fatal(err)
	}
	system := slices.IndexFunc(bundle.Objects, func(o map[string]any) bool { return o["type"] == "autonomous-system" })
	if system < 0 || bundle.Objects[system]["number"] != 64500.0 || bundle.Objects[system]["name"] != "Example Net" {
		t.Fatalf("no autonomous system: %v", bundle.Objects)
	}
	if !slices.ContainsFunc(bundle.Objects, func(o map[string]any) bool {
		refs, _ := o["belongs_to_refs"].([]any)
		return o["value"] == "192.0.2.7" && len(refs) == 1 && refs[0] == bundle.Objects[system]["id"]
	}) {
		t.Errorf("the address belongs to none: %v", bundle.Objects)
	}
}

// One file an autonomous system or owner; subscribers who share an address have a row each.
func TestReportBy(t *testing.T) {
	owners := map[uint16]string{1: "Bank", 2: "bank", 3: "bank", 4: "", 5: "unknown", 6: "Ü/../x"}
	who := func(r *hits.Record) (d Details) {
		d.Owner, d.Subscriber, d.ASN = owners[r.Client.Port], string(rune('a'+r.Client.Port)), uint32(r.Client.Port/2)
		return d
	}
	for by, want := range map[string]string{
		ByOwner: `^bank bank-[0-9a-f]{8} unknown unknown-[0-9a-f]{8} x-[0-9a-f]{8}$`,
		ByASN:   `^as1 as2 as3 unknown$`,
	} {
		p := NewReport(ReportOptions{Day: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), By: by, Options: Options{Details: who}})
		for port := range uint16(6) {
			for range 2 {
				if err := p.Add(record(func(r *hits.Record) { r.Client.Port = port + 1 })); err != nil {
					t.Fatal(err)
				}
			}
		}
		dir := t.TempDir()
		names, err := p.Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for i, name := range names {
			if m := intelmqName.FindStringSubmatch(name); m == nil || m[1] != "event4_sinkhole_dns" {
				t.Errorf("%s: %q", name, m)
			}
			names[i] = strings.TrimSuffix(strings.TrimPrefix(name, "2026-02-01-event4_sinkhole_dns-"), ".csv")
			text, err := os.ReadFile(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			rows += len(readCSV(t, string(text)))
		}
		if text := strings.Join(names, " "); !regexp.MustCompile(want).MatchString(text) || rows != 6 {
			t.Errorf("%s: files %q with %d rows, want %q", by, names, rows, want)
		}
	}
}
