package format

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// realData is the folder of real lists, which are not part of the project.
func realData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SINKHOLE_REAL_DATA")
	if dir == "" {
		t.Skip("SINKHOLE_REAL_DATA is not set to a folder of real lists")
	}
	return dir
}

// TestRealLists holds the counts of the real lists: those that their README
// gives, else those of a reading by hand, noted here. The reasons: the
// urlhaus-filter lists hold one .onion name; its wildcard form writes 4,985
// addresses as wildcards; of stalkerware.network.csv an address called a domain is
// malformed, and two URLs with paths are left to the guard.
func TestRealLists(t *testing.T) {
	dir := realData(t)
	for _, tt := range []struct {
		file                             string
		kind                             Kind
		names, addresses                 int
		fromURL                          int // of the names
		malformed, refused, inapplicable int
	}{
		{"infostealer.domains.txt", Domains, 113_741, 0, 0, 0, 0, 0},
		{"infostealer.hosts", Hosts, 113_741, 0, 0, 0, 0, 0}, // the localhost lines apart
		{"infostealer.ips.txt", Domains, 0, 17_909, 0, 0, 0, 0},
		{"infostealer.csv", CSV, 115_363, 18_285, 0, 0, 0, 0},
		{"infostealer.rpz", RPZ, 227_482, 17_909, 0, 0, 0, 0},
		{"formats/hagezi-fake.adblock.txt", Adblock, 4990, 0, 0, 0, 0, 0}, // 10 lines of comments
		{"formats/hagezi-fake.dnsmasq.txt", Dnsmasq, 4990, 0, 0, 0, 0, 0},
		{"formats/hagezi-fake.domains.txt", Domains, 4990, 0, 0, 0, 0, 0},
		{"formats/hagezi-fake.hosts.txt", Hosts, 4990, 0, 0, 0, 0, 0},
		{"formats/hagezi-fake.unbound.conf", Unbound, 4989, 0, 0, 0, 0, 0}, // and a line "server:"
		{"formats/hagezi-fake.wildcard.txt", Domains, 4990, 0, 0, 0, 0, 0},
		{"formats/urlhaus-filter.ag.txt", Adblock, 9, 4985, 0, 0, 0, 0}, // 6 lines of comments
		{"formats/urlhaus-filter.agh.txt", Adblock, 9, 4985, 0, 0, 0, 0},
		{"formats/urlhaus-filter.bind.conf", BIND, 2678, 0, 0, 0, 1, 0},
		{"formats/urlhaus-filter.dnsmasq.conf", Dnsmasq, 2678, 0, 0, 0, 1, 0},
		{"formats/urlhaus-filter.domains.txt", Domains, 9, 4985, 0, 0, 0, 0},
		{"formats/urlhaus-filter.hosts.txt", Hosts, 2678, 0, 0, 0, 1, 0},
		{"formats/urlhaus-filter.unbound.conf", Unbound, 2678, 0, 0, 0, 1, 0},
		{"formats/urlhaus-filter.wildcard.txt", Domains, 9, 0, 0, 0, 4985, 0},
		{"formats/urlhaus-filter.rpz.conf", RPZ, 2679, 0, 0, 0, 0, 0},
		{"formats/urlhaus-filter.dnscrypt-blocked-names.txt", Domains, 2678, 0, 0, 0, 1, 0}, // plain names, as lists of names are
		{"formats/urlhaus-filter.dnscrypt-blocked-ips.txt", Domains, 0, 4994, 0, 0, 0, 0},
		{"formats/urlhaus-filter.suricata-sni.rules", Suricata, 10, 984, 0, 0, 0, 0},
		{"formats/stalkerware.network.csv", CSV, 968, 65, 2, 1, 0, 0},
	} {
		t.Run(tt.file, func(t *testing.T) {
			file, err := os.Open(filepath.Join(dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			var names, addresses, fromURL int
			shown := 0
			const show = 5
			result, err := Parse(file, Options{}, func(ind *Indicator) {
				if ind.Trigger == QName {
					names++
				} else {
					addresses++
				}
				if ind.FromURL {
					fromURL++
				}
			}, func(f Fault) {
				if shown++; shown <= show {
					t.Logf("%+v", f)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if result.Kind != tt.kind || names != tt.names || addresses != tt.addresses || fromURL != tt.fromURL ||
				result.Malformed != tt.malformed || result.Refused != tt.refused || result.NotApplicable != tt.inapplicable {
				t.Errorf("%+v with %d names, %d addresses, %d of URLs; want %+v", result, names, addresses, fromURL, tt)
			}
		})
	}
}

// TestRealSameList holds that the forms of one list say the same.
func TestRealSameList(t *testing.T) {
	dir := realData(t)
	for _, family := range [][]string{
		{"hagezi-fake.adblock.txt", "hagezi-fake.dnsmasq.txt", "hagezi-fake.unbound.conf", "hagezi-fake.wildcard.txt"},
		{"urlhaus-filter.bind.conf", "urlhaus-filter.dnsmasq.conf", "urlhaus-filter.hosts.txt", "urlhaus-filter.unbound.conf", "urlhaus-filter.dnscrypt-blocked-names.txt"},
		{"urlhaus-filter.ag.txt", "urlhaus-filter.agh.txt", "urlhaus-filter.domains.txt"},
	} {
		var first map[string]bool
		for _, name := range family {
			file, err := os.Open(filepath.Join(dir, "formats", name))
			if err != nil {
				t.Fatal(err)
			}
			found := make(map[string]bool)
			if _, err := Parse(file, Options{}, func(ind *Indicator) {
				if ind.Trigger == QName {
					found[Text(ind.Name)] = true
				} else {
					found[ind.Prefix.String()] = true
				}
			}, func(Fault) {}); err != nil {
				t.Fatal(err)
			}
			file.Close()
			if first == nil {
				first = found
			}
			if n := len(first) - len(found); n < -1 || n > 1 { // the last line of each form is cut at 5,000
				t.Errorf("%s has %d entries, %s %d", family[0], len(first), name, len(found))
			}
			other := 0
			for entry := range found {
				if !first[entry] {
					other++
				}
			}
			if other > 1 {
				t.Errorf("%s has %d entries that %s has not", name, other, family[0])
			}
		}
	}
}

// TestRealForeignLists holds that what is not read is named.
func TestRealForeignLists(t *testing.T) {
	dir := realData(t)
	for _, tt := range []struct{ file, want string }{
		{"formats/stalkerware.misp-event.json.zst", "zstd-compressed"},
		{"infostealer.refused.csv", `CSV without a column "indicator"`},
	} {
		t.Run(tt.file, func(t *testing.T) {
			file, err := os.Open(filepath.Join(dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			result, err := Parse(file, Options{}, func(*Indicator) {}, func(Fault) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, error %v; want one that says %q", result, err, tt.want)
			}
		})
	}
}
