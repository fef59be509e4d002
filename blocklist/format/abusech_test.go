package format

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFeedForms(t *testing.T) {
	const (
		fox   = `"2026-01-02 03:04:05","1","bad.example","domain","botnet_cc","win.lumma","","Lumma Stealer","","75",`
		want  = `bad.example family="Lumma Stealer" confidence=75 first=2026-01-02T03:04:05Z`
		haus  = `"1","2026-01-02 03:04:05","http://bad.example/","online",`
		wants = `bad.example family="Mirai" reference="https://ref.example/1" first=2026-01-02T03:04:05Z`
	)
	for _, tt := range []struct {
		name string
		kind Kind
		list string
		want []string
	}{
		{"ThreatFox without a header", ThreatFox, fox + `"False","","","0","x"` + "\n", []string{"1 subtree " + want}},
		{"ThreatFox without a header, older", ThreatFox, fox + `"","","0","x"` + "\n", []string{"1 subtree " + want}},
		{"ThreatFox, columns in another order", Auto, "# title\n# ioc_type,new,ioc_value\ndomain,,bad.example\n", []string{"3 subtree bad.example"}},
		{"ThreatFox, the header no comment", Auto, "ioc_value,ioc_type\nbad.example,domain\n", []string{"2 subtree bad.example"}},
		{"ThreatFox, the API", ThreatFox, `{"query_status": "ok", "data": [{"ioc": "bad.example", "ioc_type": "domain"}]}`, []string{"1 subtree bad.example"}},
		{"ThreatFox, an array of rows", Auto, `[{"ioc": "bad.example", "ioc_type": "domain"}]`, []string{"1 subtree bad.example"}},
		{"ThreatFox, an empty export", ThreatFox, `{}`, nil},
		{"ThreatFox, no entries of late", Auto, "# \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\"\r\n# Number of entries: 0\r\n", nil},
		{"URLhaus without a header", URLhaus, haus + `"","malware_download","elf,mirai","https://ref.example/1","x"` + "\n", []string{"1 subtree " + wants}},
		{"URLhaus without a header, older", URLhaus, haus + `"malware_download","elf,mirai","https://ref.example/1","x"` + "\n", []string{"1 subtree " + wants}},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, parse(tt.list, Options{Kind: tt.kind}), tt.want...) })
	}
}

// TestFeedDoubts holds which rows stand for broken-into sites.
func TestFeedDoubts(t *testing.T) {
	for _, tt := range []struct {
		kind       Kind
		list, want string
	}{
		{ThreatFox, "# ioc_value,ioc_type,confidence_level,is_compromised\nbad.example,domain,100,True\n", "2 subtree bad.example doubtful confidence=100"},
		{ThreatFox, "# ioc_value,ioc_type,confidence_level,is_compromised\nbad.example,domain,100,False\n", "2 subtree bad.example confidence=100"},
		{ThreatFox, `{"1": [{"ioc_value": "bad.example", "ioc_type": "domain", "is_compromised": true}]}`, "1 subtree bad.example doubtful"},
		{ThreatFox, `{"1": [{"ioc_value": "bad.example", "ioc_type": "domain", "is_compromised": false}]}`, "1 subtree bad.example"},
		{ThreatFox, `{"1": [{"ioc_value": "bad.example", "ioc_type": "domain", "is_compromised": null}]}`, "1 subtree bad.example"},
		{URLhaus, `{"urls": [{"url": "http://bad.example/", "blacklists": {"spamhaus_dbl": "abused_legit_malware", "surbl": "not listed"}}]}`, "1 subtree bad.example doubtful"},
		{URLhaus, `{"urls": [{"url": "http://bad.example/", "blacklists": {"spamhaus_dbl": "spammer_domain", "surbl": "listed"}}]}`, "1 subtree bad.example"},
	} {
		expect(t, parse(tt.list, Options{Kind: tt.kind}), tt.want)
	}
}

func TestFeedFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind Kind
		list string
		want string
	}{
		{"a wrong key", ThreatFox, `{"query_status": "unknown_auth_key", "data": []}`, `the API answered "unknown_auth_key", expected entries: look at the address and the key`},
		{"an error", URLhaus, "\n{\"error\": \"Unauthorized\"}", `line 2: a JSON object without rows (members found: error), expected an export or an answer of the API in the urlhaus notation`},
		{"an unknown layout", ThreatFox, "a,b,c\n", "line 1: a row of 3 fields and no header, expected one of these headers"},
		{"a column twice", ThreatFox, "# ioc_value,ioc_type,ioc_type\n", `line 1: the CSV header names the column "ioc_type" twice`},
		{"a broken header", ThreatFox, "# ioc_value,\"ioc\"type\",ioc_value\n", "line 1: the CSV header: text after a closing quote"},
		{"cut short", URLhaus, "{\"1\": [{\"url\":", "line 1: the JSON document ends too early"},
		{"nothing but broken rows", ThreatFox, `{"1": [{"ioc": "a b", "ioc_type": "domain"}]}`, "no usable entry and 1 malformed lines"},
		{"garbage without end", ThreatFox, `{"1": [` + strings.Repeat(`{"ioc": "a b", "ioc_type": "domain"},`, manyMalformed) + "\n\n\n", "10000 malformed lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(tt.list, Options{Kind: tt.kind})
			if got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
				t.Errorf("%+v, error %v; want one that says %q", got.result, got.err, tt.want)
			}
		})
	}
}

func TestFeedWithoutResults(t *testing.T) {
	got := parse(`{"query_status": "no_result", "data": "Your search did not yield any results"}`, Options{Kind: ThreatFox})
	if got.err != nil || got.result.Entries != 0 || len(got.result.Warnings) != 1 {
		t.Errorf("%+v, %v", got.result, got.err)
	}
}

// TestURLhausFamilies holds which tags are families: those of malware, and none
// of what else tags say.
func TestURLhausFamilies(t *testing.T) {
	for _, tt := range []struct{ tags, want string }{
		{"32-bit,elf,mips,Mozi", "Mozi"}, {"exe, AgentTesla ,Formbook", "Agent Tesla"}, {"opendir,ua-wget,elf", ""}, {"", ""}, {strings.Repeat("x", 1000) + ",Vidar", "Vidar"},
	} {
		f := newFeed(new(sink), Subtree)
		f.cells[feedTags] = []byte(tt.tags)
		if got := f.urlhausFamily(); got != tt.want {
			t.Errorf("%.40s: %q, want %q", tt.tags, got, tt.want)
		}
	}
}

// FuzzFeedForms holds that the same rows mean the same as CSV and as JSON.
func FuzzFeedForms(f *testing.F) {
	f.Add("bad.example", "domain", "Lumma Stealer", "75", "2026-01-02 03:04:05", "https://ref.example/1", "a,\"b\"")
	f.Add("192.0.2.1:80", "ip:port", "Unknown malware", "", "", "None", "x")
	f.Add("http://bad.example/a b", "url", "", "101", "x", "", "")
	f.Fuzz(func(t *testing.T, value, kind, family, confidence, seen, reference, tags string) {
		cells := []string{value, kind, family, confidence, seen, reference, tags}
		for i, cell := range cells {
			if strings.ContainsAny(cell, "\x00\r\n") || len(cell) > 1000 {
				return
			}
			cells[i] = string([]rune(cell)) // valid UTF-8, which JSON has to be
		}
		for _, form := range []struct {
			kind    Kind
			columns []string
		}{
			{ThreatFox, []string{"ioc_value", "ioc_type", "malware_printable", "confidence_level", "first_seen_utc", "reference", "tags"}},
			{URLhaus, []string{"url", "url_status", "threat", "larted", "dateadded", "urlhaus_link", "tags"}},
		} {
			var table bytes.Buffer
			w := csv.NewWriter(&table)
			w.WriteAll([][]string{form.columns, quoted(cells)})
			row := make(map[string]string)
			for i, column := range form.columns {
				row[column] = cells[i]
			}
			document, err := json.Marshal(map[string]any{"1": []any{row}})
			if err != nil {
				t.Fatal(err)
			}
			a, b := parse("# "+table.String(), Options{Kind: form.kind}), parse(string(document), Options{Kind: form.kind})
			if got, want := outcomeText(a), outcomeText(b); got != want {
				t.Fatalf("CSV %q:\n%s\nJSON %s:\n%s", table.String(), got, document, want)
			}
		}
	})
}

// quoted keeps encoding/csv from writing a row that begins like a comment, or a
// blank one: it puts a blank before, which is taken off.
func quoted(cells []string) []string {
	cells = slices.Clone(cells)
	cells[0] = " " + cells[0]
	return cells
}

// outcomeText is all that a list of one row comes to, without its lines.
func outcomeText(o outcome) string {
	var b strings.Builder
	for _, entry := range o.entries {
		_, text, _ := strings.Cut(entry, " ")
		b.WriteString(text + "\n")
	}
	for _, f := range o.faults {
		fmt.Fprintf(&b, "%v %s\n", f.Refused, f.Reason)
	}
	return b.String()
}

// FuzzThreatFox and FuzzURLhaus hold that nothing is emitted of a JSON document
// that encoding/json does not take.
func FuzzThreatFox(f *testing.F) {
	seed(f, "# \"ioc_value\", \"ioc_type\"\r\n\"bad.example\", \"domain\"\r\n", `{"1":[{"ioc_value":"bad.example","ioc_type":"domain","tags":["a",[1],null]}]}`,
		`{"query_status":"ok","data":[{"ioc":"192.0.2.1:80","ioc_type":"ip:port"}]}`)
	f.Fuzz(func(t *testing.T, list []byte) { fuzzJSONList(t, list, ThreatFox) })
}

func FuzzURLhaus(f *testing.F) {
	seed(f, "# id,dateadded,url\n1,2026-01-02,http://bad.example/a\n", `{"1":[{"url":"http:\/\/bad.example\/a","tags":["Mozi"]}]}`)
	f.Fuzz(func(t *testing.T, list []byte) { fuzzJSONList(t, list, URLhaus) })
}
