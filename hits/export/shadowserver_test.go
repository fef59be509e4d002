package export

import (
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sinkhole/hits"
)

// The columns are those of the report, and each cell is what IntelMQ's conversions take: the
// time without a zone, an address that is one, whole numbers or nothing.
func TestShadowserver(t *testing.T) {
	skipped := []*hits.Record{
		lostRecord(),
		record(func(r *hits.Record) { r.Sinkhole.Expected = true }),
		record(func(r *hits.Record) { r.Sinkhole.Forwarder = true }),
		record(func(r *hits.Record) { r.Client.IP = netip.Addr{} }),
		record(func(r *hits.Record) { r.Client.IP = netip.IPv4Unspecified() }),
	}
	text := render(t, "shadowserver", Options{}, append(skipped,
		record(func(r *hits.Record) { r.Network.Transport, r.Sinkhole.Count = "udp", 7 }),
		record(func(r *hits.Record) {
			r.Client, r.DNS.Question.Name = hits.Endpoint{IP: netip.MustParseAddr("2001:db8::7")}, ""
		}),
	)...)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		strings.Split("timestamp,protocol,src_ip,src_port,src_asn,src_geo,src_region,src_city,src_hostname,src_naics,src_sector,device_vendor,device_type,device_model,severity,infection,family,tag,query_type,query,count", ","),
		{"2026-02-01 03:04:05.123456", "udp", "192.0.2.7", "40111", "", "", "", "", "", "", "", "", "", "", "info", "lumma stealer, vidar", "lumma stealer, vidar", "op-secure, second", "A", "a.bad.example", "7"},
		{"2026-02-01 03:04:05.123456", "", "2001:db8::7", "", "", "", "", "", "", "", "", "", "", "", "info", "lumma stealer, vidar", "lumma stealer, vidar", "op-secure, second", "A", "bad.example", "1"},
	} {
		if !slices.Equal(rows[i], want) {
			t.Errorf("row %d: got %q, want %q", i, rows[i], want)
		}
	}
	if len(rows) != 3 || strings.Contains(text, "\r") {
		t.Errorf("%d rows: %q", len(rows), text)
	}
}

func TestMISPSightings(t *testing.T) {
	text := render(t, "misp", Options{}, lostRecord(), record(func(r *hits.Record) { r.Sinkhole.Expected = true }),
		record(func(r *hits.Record) { r.Observer.Name = "res1" }),
		record(func(r *hits.Record) {
			r.Sinkhole.Indicators = []hits.RecordIndicator{{Name: "bad.example"}, {Name: "192.0.2.66"}}
		}))
	want := []string{
		`{"values":["bad.example"],"type":"0","source":"sinkhole res1","timestamp":1769915045}`,
		`{"values":["bad.example","192.0.2.66"],"type":"0","source":"sinkhole","timestamp":1769915045}`,
	}
	if got := strings.Split(strings.TrimSuffix(text, "\n"), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for line := range strings.Lines(render(t, "misp", Options{}, evilRecord())) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}
