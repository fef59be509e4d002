package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"sinkhole/hits"
)

// Where an address is stands in what hits events gives out, by the configuration.
func TestEventsAreLocated(t *testing.T) {
	dir := t.TempDir()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	_, network, _ := net.ParseCIDR("192.0.2.0/24")
	if err := tree.Insert(network, mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500), "country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}}); err != nil {
		t.Fatal(err)
	}
	var database bytes.Buffer
	if _, err := tree.WriteTo(&database); err != nil {
		t.Fatal(err)
	}
	const line = `{"@timestamp":"2026-02-01T03:04:05.000000001Z","event":{"kind":"alert","dataset":"sinkhole.hit","id":"1","sequence":1},"client":{"ip":"192.0.2.7","port":4000},"sinkhole":{"count":1}}` + "\n"
	for name, data := range map[string][]byte{
		"x.mmdb": database.Bytes(), "x.txt": []byte("bad.example\n"), "hits/hits-0000000001-20260201T000000Z.jsonl": []byte(line),
		"c.yaml": []byte("lists: [{name: x, source: x.txt}]\nhits: {journal: {path: hits}, geo: [x.mmdb]}\n"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, messages bytes.Buffer
	if err := events(filepath.Join(dir, "hits"), hits.Filter{}, eventFlags{format: "jsonl"}, details(filepath.Join(dir, "c.yaml")), &out, &messages); err != nil {
		t.Fatal(err)
	}
	if want := `"client":{"as":{"number":64500,"organization":{"name":""}},"geo":{"country_iso_code":"DE"},"ip":"192.0.2.7"`; !strings.Contains(out.String(), want) || messages.Len() > 0 {
		t.Errorf("got %s%s, want %s", &out, &messages, want)
	}
}
