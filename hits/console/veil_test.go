package console

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sinkhole/hits"
)

// What is searched for in an export is on record without naming a client, where the journal
// names none.
func TestExportOnRecordIsVeiled(t *testing.T) {
	veil := hits.Pseudonymous(bytes.Repeat([]byte{1}, 32))
	r := newRig(t, nil)
	r.site.Veil = veil
	const client, peer, mac = "198.51.100.77", "198.51.100.99", "00-00-5e-00-53-77"
	pseudonym := veil.Addr(netip.MustParseAddr(client)).String()
	for _, query := range []string{"client=" + client, "client=" + client + "/32&peer=" + peer, "mac=" + mac, "client=" + pseudonym} {
		if status, body := r.answer("GET", "/api/v1/export?format=csv&"+query, ""); status != 200 {
			t.Fatalf("%s: %d %s", query, status, body)
		}
	}
	all := strings.Join(r.audited(), "\n")
	if n := strings.Count(all, "client="+pseudonym); n != 3 {
		t.Errorf("the pseudonym is on record %d times, expected 3:\n%s", n, all)
	}
	files, err := filepath.Glob(filepath.Join(r.site.Journal, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{client, peer, mac} {
			if bytes.Contains(text, []byte(name)) {
				t.Errorf("%s names %s", file, name)
			}
		}
	}
}
