package geo

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

// database is one in MaxMind's format, of networks.
func database(t testing.TB, networks map[string]mmdbtype.Map) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, values := range networks {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, values); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func put(t testing.TB, path string, data []byte, at time.Time) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	dir, at := t.TempDir(), time.Now().Add(-time.Hour)
	systems := put(t, filepath.Join(dir, "asn.mmdb"), database(t, map[string]mmdbtype.Map{
		"192.0.2.0/24":   {"autonomous_system_number": mmdbtype.Uint32(64500), "autonomous_system_organization": mmdbtype.String("Example Net")},
		"2001:db8::/32":  {"asn": mmdbtype.String("AS64501"), "as_name": mmdbtype.String("Six"), "country_code": mmdbtype.String("FR")},
		"203.0.113.0/24": {"asn": mmdbtype.String("ASx"), "country": mmdbtype.String("Germany"), "as_name": mmdbtype.String("of none")},
	}), at)
	countries := put(t, filepath.Join(dir, "country.mmdb"), database(t, map[string]mmdbtype.Map{
		"192.0.2.0/25":    {"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}, "sector": mmdbtype.String("Finance")},
		"198.51.100.0/24": {"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("NL")}},
		"2001:db8::/32":   {"country": mmdbtype.String("US")},
		"192.0.2.128/25":  {"autonomous_system_number": mmdbtype.Uint32(1), "sector": mmdbtype.String(strings.Repeat("ü", maxText))},
	}), at)
	g, err := Open([]string{systems, countries}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is remembered
		for address, want := range map[string]hits.Place{
			"192.0.2.7":        {ASN: 64500, Organization: "Example Net", Country: "DE", Sector: "Finance"},
			"::ffff:192.0.2.7": {ASN: 64500, Organization: "Example Net", Country: "DE", Sector: "Finance"},
			"192.0.2.200":      {ASN: 64500, Organization: "Example Net", Sector: strings.Repeat("ü", maxText/2)},
			"198.51.100.1":     {Country: "NL"},
			"2001:db8::1":      {ASN: 64501, Organization: "Six", Country: "FR"},
			"203.0.113.1":      {},
			"10.0.0.1":         {},
		} {
			if got := g.Find(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s: %+v, want %+v", address, got, want)
			}
		}
	}
	if got := g.Find(netip.Addr{}); got != (hits.Place{}) {
		t.Errorf("no address: %+v", got)
	}
}

// A database that changes is read again; one that is broken or gone leaves the old one.
func TestReload(t *testing.T) {
	of := func(n uint32) []byte {
		return database(t, map[string]mmdbtype.Map{"192.0.2.0/24": {"autonomous_system_number": mmdbtype.Uint32(n)}})
	}
	at := time.Now().Add(-time.Hour)
	path := put(t, filepath.Join(t.TempDir(), "asn.mmdb"), of(64500), at)
	g, err := Open([]string{path}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want uint32) {
		t.Helper()
		g.mu.Lock()
		g.looked = time.Time{}
		g.mu.Unlock()
		if got := g.Find(netip.MustParseAddr("192.0.2.1")).ASN; got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	expect(64500)
	put(t, path, of(64501), at.Add(time.Second))
	expect(64501)
	put(t, path, []byte("no database"), at.Add(2*time.Second))
	expect(64501)
	put(t, path, of(64502)[:100], at.Add(3*time.Second))
	expect(64501)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect(64501)
	put(t, path, of(64503), at.Add(4*time.Second))
	expect(64503)
}

func TestFaults(t *testing.T) {
	dir := t.TempDir()
	text := put(t, filepath.Join(dir, "text"), []byte("hello"), time.Now())
	_, err := Open([]string{text, dir, filepath.Join(dir, "none")}, zaptest.NewLogger(t))
	if err == nil {
		t.Fatal("no error")
	}
	for i, want := range []string{text + ": ", dir + ": is a directory, device or pipe", "none: no such file or directory, expected a database in MaxMind's format (.mmdb)"} {
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != 3 || !strings.Contains(lines[i], want) {
			t.Errorf("got %q, want %s", lines, want)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	path := put(b, filepath.Join(b.TempDir(), "asn.mmdb"), database(b, map[string]mmdbtype.Map{"10.0.0.0/8": {"autonomous_system_number": mmdbtype.Uint32(1), "country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}}}), time.Now())
	g, err := Open([]string{path}, zaptest.NewLogger(b))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		g.Find(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
}
