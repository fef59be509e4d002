package export

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

// intelmqName is how IntelMQ's parser reads a file's name; the first group has to be that of
// a report it knows.
var intelmqName = regexp.MustCompile(`^(?:\d{4}-\d{2}-\d{2}-)?(\w+)(-\w+)*\.csv$`)

func TestReport(t *testing.T) {
	day := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	from := func(ip string, mods ...func(*hits.Record)) *hits.Record {
		return record(func(r *hits.Record) {
			r.Client.IP = netip.MustParseAddr(ip)
			for _, mod := range mods {
				mod(r)
			}
		})
	}
	p := NewReport(ReportOptions{Day: day, By: ByPrefix, Bits4: 24, Bits6: 48})
	for _, r := range []*hits.Record{
		from("192.0.2.7", func(r *hits.Record) { r.Sinkhole.Count = 5 }),
		from("192.0.2.7", func(r *hits.Record) { r.Time, r.Client.Port = r.Time.Add(-time.Second), 1 }),
		from("192.0.2.7", func(r *hits.Record) { r.Time, r.Client.Port = r.Time.Add(time.Second), 2 }),
		from("192.0.2.7", func(r *hits.Record) { r.Threat.Indicator.Name = "other.example" }),
		from("192.0.2.200"), from("198.51.100.1"), from("2001:db8:0:1::1"), from("2001:db8:0:2::1"), from("2001:db8:1::1"),
		from("192.0.2.9", func(r *hits.Record) { r.Sinkhole.Expected = true }),
		from("0.0.0.0"), lostRecord(),
	} {
		if err := p.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for range 2 {
		names, err := p.Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"2026-02-01-event4_sinkhole_dns-192-0-2-0-24.csv", "2026-02-01-event4_sinkhole_dns-198-51-100-0-24.csv",
			"2026-02-01-event4_sinkhole_dns-2001-0db8-0000-0000-0000-0000-0000-0000-48.csv", "2026-02-01-event4_sinkhole_dns-2001-0db8-0001-0000-0000-0000-0000-0000-48.csv",
		}
		if !slices.Equal(names, want) {
			t.Errorf("got %q", names)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if m := intelmqName.FindStringSubmatch(e.Name()); m == nil || m[1] != "event4_sinkhole_dns" {
			t.Errorf("%s: %q", e.Name(), m)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	rows := readCSV(t, string(text))
	if len(rows) != 3 || rows[0]["count"] != "7" || rows[0]["src_port"] != "1" || rows[0]["timestamp"] != "2026-02-01 03:04:04.123456" || rows[1]["count"] != "1" || rows[2]["src_ip"] != "192.0.2.200" {
		t.Errorf("%d rows: %v", len(rows), rows)
	}
	if _, err := p.Write(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("without a directory: %v", err)
	}
}
