package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sinkhole/hits"
)

const evil = "=cmd()|\x1b[2J\r\n\u202e\u2028\u009b\xff,;\"é"

func record(mod func(*hits.Record)) *hits.Record {
	r := new(hits.Record)
	r.Time = time.Date(2026, 2, 1, 3, 4, 5, 123456789, time.UTC)
	r.Event.Dataset, r.Event.Action = hits.DatasetHit, "sinkhole"
	r.Client = hits.Endpoint{IP: netip.MustParseAddr("192.0.2.7"), Port: 40111}
	r.DNS.Question.Name, r.DNS.Question.Type = "a.bad.example", "A"
	r.Threat.Indicator.Name = "bad.example"
	r.Sinkhole.Families = []string{"Lumma Stealer", "Vidar"}
	r.Sinkhole.Lists = []hits.RecordList{{Name: "op-secure", Line: 17}, {Name: "op-secure", Line: 18}, {Name: "second"}}
	r.Sinkhole.Count = 1
	if mod != nil {
		mod(r)
	}
	if r.Raw == nil {
		raw, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		r.Raw = raw
	}
	return r
}

func evilRecord() *hits.Record {
	return record(func(r *hits.Record) {
		r.DNS.Question.Name, r.DNS.Question.Type, r.Event.Action = evil, evil, evil
		r.Sinkhole.Families = []string{evil, evil}
		r.Sinkhole.Lists = []hits.RecordList{{Name: evil}}
		r.Threat.Indicator.Name, r.Threat.Indicator.Reference = evil, evil
		r.Raw = []byte("{\"x\":\"\u2028\u009b\xff\U000e0001\",\t\"y\":1}")
	})
}

func lostRecord() *hits.Record {
	return record(func(r *hits.Record) {
		*r = hits.Record{Time: r.Time}
		r.Event.Dataset, r.Event.Action = hits.DatasetJournal, "lost"
		r.Sinkhole.Lost = 12
	})
}

func render(t testing.TB, format string, o Options, records ...*hits.Record) string {
	t.Helper()
	var out bytes.Buffer
	w, err := New(format, &out, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestNewSaysWhichFormatsThereAre(t *testing.T) {
	for format, want := range map[string]string{
		"xml": `unknown format "xml": expected one of table, csv, json, jsonl, stix, shadowserver, misp`, "": "unknown format",
	} {
		if _, err := New(format, nil, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", format, err)
		}
	}
	for _, format := range Formats() {
		if _, err := New(format, nil, Options{}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestNoFormatReachesTheTerminal(t *testing.T) {
	for _, format := range Formats() {
		for _, o := range []Options{{}, {Width: 80}, {Live: true}} {
			for _, r := range render(t, format, o, evilRecord(), record(nil), evilRecord()) {
				if !unicode.IsPrint(r) && r != '\n' && (r != '\r' || format != "csv") {
					t.Errorf("%s: %U goes out", format, r)
				}
			}
		}
	}
}

func TestJSONIsOneArray(t *testing.T) {
	for n := range 4 {
		var records []*hits.Record
		for i := range n {
			records = append(records, record(func(r *hits.Record) { r.Event.Sequence = uint64(i) }))
		}
		var back []hits.Record
		text := render(t, "json", Options{}, records...)
		if err := json.Unmarshal([]byte(text), &back); err != nil || len(back) != n {
			t.Errorf("%d records read back from %q: %v", len(back), text, err)
		}
		for i := range back {
			if back[i].Event.Sequence != uint64(i) {
				t.Errorf("record %d is number %d", i, back[i].Event.Sequence)
			}
		}
	}
}

func TestJSONLinesAreTheJournals(t *testing.T) {
	r := record(nil)
	if got := render(t, "jsonl", Options{}, r, r); got != string(r.Raw)+"\n"+string(r.Raw)+"\n" {
		t.Errorf("got %s", got)
	}
	if got, want := render(t, "jsonl", Options{}, evilRecord()), `{"x":"\u2028\u009b\ufffd\udb40\udc01", "y":1}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func readCSV(t *testing.T, text string) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, cell := range row {
			m[rows[0][i]] = cell
		}
		out = append(out, m)
	}
	return out
}

func TestCSV(t *testing.T) {
	eighty := 80
	rows := readCSV(t, render(t, "csv", Options{}, record(func(r *hits.Record) {
		r.Sinkhole.Ports, r.Sinkhole.Count, r.Sinkhole.Confidence = []uint16{1, 2}, 5, &eighty
		r.Event.End = r.Time.Add(time.Millisecond)
		r.Sinkhole.Lists[0].Version, r.Sinkhole.Lists[0].File = "sha256:00", "a.csv"
		r.Sinkhole.Lists[2].Version = "sha256:11"
		r.Sinkhole.Group = "north"
		r.Client.MAC, r.Sinkhole.Expected, r.Sinkhole.Identity = "00-00-5E-00-53-23", true, hits.RecordIdentity{Trusted: true, Source: "edns65001", CPE: "=1"}
		r.Sinkhole.Peer, r.Sinkhole.ECS.Subnet = hits.RecordPeer{IP: netip.MustParseAddr("198.51.100.9"), Port: 53, Proxy: "v2"}, netip.MustParsePrefix("10.1.2.0/24")
	}), lostRecord(), record(nil)))
	for column, want := range map[string]string{
		"time": "2026-02-01T03:04:05.123456789Z", "last_time": "2026-02-01T03:04:05.124456789Z",
		"client_ip": "192.0.2.7", "client_port": "40111", "ports": "1 2", "source_proven": "false", "name": "a.bad.example",
		"families": "Lumma Stealer; Vidar", "lists": "op-secure:17; op-secure:18; second", "count": "5", "confidence": "80",
		"list_versions": "sha256:00; ; sha256:11", "list_files": "a.csv; ; ", "group": "north",
		"client_mac": "00-00-5E-00-53-23", "peer_ip": "198.51.100.9", "peer_port": "53", "proxy": "v2", "forwarder": "false", "expected": "true",
		"identity_source": "edns65001", "identity_trusted": "true", "cpe_id": "'=1", "ecs_subnet": "10.1.2.0/24", "device_id": "", "fingerprint": "",
	} {
		if rows[0][column] != want {
			t.Errorf("%s: %q, want %q", column, rows[0][column], want)
		}
	}
	if r := rows[1]; r["dataset"] != hits.DatasetJournal || r["action"] != "lost" || r["count"] != "12" || r["source_proven"] != "" || r["client_ip"] != "" {
		t.Errorf("lost record: %v", r)
	}
	if r := rows[2]; r["list_versions"] != "" || r["list_files"] != "" {
		t.Errorf("lists without version and file: %v", r)
	}
	// Scripts go by the order: new columns stand at the end.
	want := "time last_time client_ip client_port ports ports_truncated source_proven transport server_ip server_port name type" +
		" registered_domain response_code action mode address trigger scope value indicator_type indicator families lists confidence" +
		" reference tlp count observer dataset id sequence list_versions list_files group" +
		" client_mac peer_ip peer_port proxy forwarder expected identity_source identity_trusted cpe_id device_id ecs_subnet fingerprint" +
		" evidence joined hit_id noise connections destination_ip destination_port protocol bytes first_sha256 http_method http_host url_path" +
		" query_sha256 user_agent tls_server_name tls_alpn ja4" +
		" client_name owner site subscriber shared asn as_organization country sector"
	if got := render(t, "csv", Options{}); got != `"`+strings.ReplaceAll(want, " ", `","`)+"\"\r\n" {
		t.Errorf("without records: %q", got)
	}
}

func TestCSVHoldsNoFormula(t *testing.T) {
	for _, start := range []string{"=1+1", "+1", "-1", "@sum", " =1", "＝1", "\t=1", "\r=1", "\n=1"} {
		rows := readCSV(t, render(t, "csv", Options{}, record(func(r *hits.Record) { r.DNS.Question.Name = start })))
		if got := rows[0]["name"]; !strings.HasPrefix(got, "'") && !strings.HasPrefix(got, `\`) {
			t.Errorf("%q became %q", start, got)
		}
	}
	for _, r := range strings.Split(render(t, "csv", Options{}, evilRecord()), "\r\n") {
		if r != "" && (r[0] != '"' || r[len(r)-1] != '"') {
			t.Errorf("a field is not in quotes: %s", r)
		}
	}
}

func TestTableFitsItsTerminal(t *testing.T) {
	records := []*hits.Record{record(nil), evilRecord(), lostRecord(), record(func(r *hits.Record) {
		r.Client = hits.Endpoint{IP: netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666"), Port: 65535}
		r.DNS.Question.Name = strings.Repeat("very-long.", 24) + "bad.example"
	})}
	for _, live := range []bool{false, true} {
		for width := 20; width < 300; width++ {
			text := render(t, "table", Options{Width: width, Live: live}, records...)
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			if len(lines) != len(records)+1 {
				t.Fatalf("width %d: %d lines", width, len(lines))
			}
			for _, l := range lines {
				if n := utf8.RuneCountInString(l); n > width {
					t.Errorf("width %d: a line of %d: %s", width, n, l)
				}
			}
			if width >= 40 && !strings.HasSuffix(strings.Fields(lines[4])[indexOf(lines[0], "NAME")], "example") {
				t.Errorf("width %d: the end of the name is missing: %s", width, lines[4])
			}
		}
	}
}

func indexOf(head, column string) int { return slices.Index(strings.Fields(head), column) }

func TestTable(t *testing.T) {
	got := render(t, "table", Options{}, record(nil), lostRecord())
	want := `TIME                            CLIENT           NAME             TYPE  FAMILY                INDICATOR    LIST               ACTION    COUNT  MARK
2026-02-01T03:04:05.123456789Z  192.0.2.7:40111  a.bad.example    A     Lumma Stealer, Vidar  bad.example  op-secure, second  sinkhole      1
2026-02-01T03:04:05.123456789Z                   (journal: lost)                                                              lost         12
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := render(t, "table", Options{}); !strings.HasPrefix(got, "TIME") || strings.Count(got, "\n") != 1 {
		t.Errorf("without records: %q", got)
	}
}

// The table names the client as well as it is known, and says what keeps a hit from
// being a machine's.
func TestTableTellsWhoAsked(t *testing.T) {
	forwarder := netip.MustParseAddr("198.51.100.9")
	told := func(mod func(*hits.Record)) *hits.Record {
		return record(func(r *hits.Record) {
			r.Client = hits.Endpoint{IP: forwarder, Port: 5353}
			r.Sinkhole.Peer = hits.RecordPeer{IP: forwarder, Port: 5353, Proxy: "none"}
			r.Sinkhole.Identity.Trusted = true
			mod(r)
		})
	}
	text := render(t, "table", Options{},
		told(func(r *hits.Record) {
			r.Client = hits.Endpoint{IP: netip.MustParseAddr("10.1.2.3"), MAC: "00-00-5E-00-53-23"}
		}),
		told(func(r *hits.Record) { r.Client.MAC = "00-00-5E-00-53-23" }),
		told(func(r *hits.Record) { r.Sinkhole.Identity.CPE, r.Sinkhole.Identity.Device = evil, "0102" }),
		told(func(r *hits.Record) { r.Sinkhole.Identity.Trusted, r.Sinkhole.Forwarder = false, true }),
		record(func(r *hits.Record) { r.Sinkhole.Expected, r.Sinkhole.Identity.Source = true, "edns8" }),
	)
	lines := strings.Split(text, "\n")
	for i, want := range []struct{ client, mark string }{
		{"10.1.2.3", "00-00-5E-00-53-23, via 198.51.100.9"},
		{"00-00-5E-00-53-23", "via 198.51.100.9"},
		{"198.51.100.9:5353", "cpe " + Printable(evil) + ", device 0102, via 198.51.100.9"},
		{"198.51.100.9:5353", "forwarder"},
		{"192.0.2.7:40111", "expected"},
	} {
		if line := lines[i+1]; strings.Fields(line)[1] != want.client || !strings.HasSuffix(line, "  "+want.mark) {
			t.Errorf("%s\nwant client %q, mark %q", line, want.client, want.mark)
		}
	}
}

// writes counts what reaches the underlying writer.
type writes struct{ n int }

func (w *writes) Write(p []byte) (int, error) { w.n++; return len(p), nil }

func TestRecordsGoOutAtOnce(t *testing.T) {
	for _, format := range Formats() {
		var out writes
		w, err := New(format, &out, Options{Live: true, Width: 80})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := w.Write(record(func(r *hits.Record) { r.Event.ID = fmt.Sprint(i) })); err != nil || out.n != i+1 {
				t.Errorf("%s: %d writes after %d records: %v", format, out.n, i+1, err)
			}
		}
	}
}

func TestTableStreamsAfterItsSample(t *testing.T) {
	var out writes
	w, _ := New("table", &out, Options{Width: 80})
	for range sampleRows - 1 {
		w.Write(record(nil))
	}
	if out.n != 0 {
		t.Fatal("wrote before the sample was whole")
	}
	w.Write(record(nil))
	before := out.n
	w.Write(record(nil))
	if out.n != before+1 {
		t.Error("did not write at once after the sample")
	}
	if err := w.Close(); err != nil || out.n != before+1 {
		t.Errorf("Close wrote again: %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("pipe closed") }

func TestErrorsOfTheOutputComeBack(t *testing.T) {
	for _, format := range Formats() {
		w, _ := New(format, broken{}, Options{})
		if err := w.Write(record(nil)); err == nil {
			if err := w.Close(); err == nil {
				t.Errorf("%s: no error", format)
			}
		}
	}
}
