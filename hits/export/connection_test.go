package export

import (
	"bytes"
	"encoding/csv"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

func connection(mod func(*hits.Record)) *hits.Record {
	r := &hits.Record{Time: time.Date(2026, 2, 1, 3, 4, 5, 0, time.UTC)}
	r.Event.Dataset, r.Event.Action, r.Event.ID = hits.DatasetLanding, "connection", "01ARZ3NDEKTSV4RRFFQ69G5FAW"
	r.Client = hits.Endpoint{IP: netip.MustParseAddr("192.0.2.7"), Port: 50111}
	r.Destination = hits.RecordServer{IP: netip.MustParseAddr("203.0.113.1"), Port: 80}
	r.Network.Transport, r.Network.Protocol = "tcp", "http"
	r.HTTP.Request.Method, r.URL.Domain, r.URL.Path, r.UserAgent.Original = "POST", "a.bad.example", "/gate.php", "=cmd|'/c calc'!A0"
	r.Threat.Indicator.Name = "bad.example"
	r.Sinkhole.Evidence, r.Sinkhole.Joined, r.Sinkhole.HitID, r.Sinkhole.Connections, r.Sinkhole.Bytes = hits.EvidenceSent, hits.JoinedName, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 3, 0
	if mod != nil {
		mod(r)
	}
	return r
}

func rendered(t *testing.T, format string, records ...*hits.Record) string {
	t.Helper()
	var out bytes.Buffer
	w, err := New(format, &out, Options{})
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

func TestTableShowsConnections(t *testing.T) {
	text := rendered(t, "table", connection(nil),
		connection(func(r *hits.Record) {
			r.Network.Protocol, r.URL.Domain, r.Sinkhole.Noise, r.Sinkhole.HitID = "tcp", "", true, ""
		}))
	lines := strings.Split(text, "\n")
	for i, want := range [][]string{1: {"a.bad.example", "http", "bad.example", "connection", "3", "sent, by name"}, 2: {"203.0.113.1:80", "tcp", "sent, noise"}} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d lacks %q: %s", i, w, lines[i])
			}
		}
	}
}

func TestCSVShowsConnections(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(rendered(t, "csv", connection(nil)))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	row := map[string]string{}
	for i, name := range rows[0] {
		row[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"dataset": hits.DatasetLanding, "evidence": "sent", "joined": "name", "hit_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "noise": "false", "count": "",
		"connections": "3", "destination_ip": "203.0.113.1", "destination_port": "80", "protocol": "http", "bytes": "0", "http_method": "POST",
		"http_host": "a.bad.example", "url_path": "/gate.php", "user_agent": "'=cmd|'/c calc'!A0",
	} {
		if row[name] != want {
			t.Errorf("%s: found %q, expected %q", name, row[name], want)
		}
	}
}

// Formats for others are of hits: a connection, noise or not, is in none of them.
func TestConnectionsAreNotInFormatsForOthers(t *testing.T) {
	for _, format := range []string{"shadowserver", "misp", "stix"} {
		for _, noise := range []bool{true, false} {
			if got := rendered(t, format, connection(func(r *hits.Record) { r.Sinkhole.Noise = noise })); strings.Contains(got, "192.0.2.7") || strings.Contains(got, "bad.example") {
				t.Errorf("%s, noise %v: %s", format, noise, got)
			}
		}
	}
}
