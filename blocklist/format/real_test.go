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

func TestRealLists(t *testing.T) {
	dir := realData(t)
	for _, tt := range []struct {
		file               string
		kind               Kind
		names, addresses   int
		malformed, refused int
	}{
		{"infostealer.domains.txt", Domains, 113_741, 0, 0, 0},
		{"infostealer.hosts", Hosts, 113_741, 0, 0, 0},
		{"infostealer.ips.txt", Domains, 0, 17_909, 0, 0},
		{"infostealer.csv", CSV, 115_363, 18_285, 0, 0},
		{"infostealer.rpz", RPZ, 227_482, 17_909, 0, 0},
		{"formats/hagezi-fake.domains.txt", Domains, 4990, 0, 0, 0},
		{"formats/hagezi-fake.hosts.txt", Hosts, 4990, 0, 0, 0},
		{"formats/hagezi-fake.wildcard.txt", Domains, 4990, 0, 0, 0},
		{"formats/urlhaus-filter.domains.txt", Domains, 9, 4985, 0, 0},
		{"formats/urlhaus-filter.hosts.txt", Hosts, 2678, 0, 0, 1},
		{"formats/urlhaus-filter.wildcard.txt", Domains, 9, 0, 0, 4985},
		{"formats/urlhaus-filter.rpz.conf", RPZ, 2679, 0, 0, 0},
		{"formats/urlhaus-filter.dnscrypt-blocked-names.txt", Domains, 2678, 0, 0, 1},
		{"formats/urlhaus-filter.dnscrypt-blocked-ips.txt", Domains, 0, 4994, 0, 0},
		{"formats/stalkerware.network.csv", CSV, 966, 65, 1, 2},
	} {
		t.Run(tt.file, func(t *testing.T) {
			file, err := os.Open(filepath.Join(dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			var names, addresses int
			shown := 0
			const show = 5
			result, err := Parse(file, Options{}, func(ind *Indicator) {
				if ind.Trigger == QName {
					names++
				} else {
					addresses++
				}
			}, func(f Fault) {
				if shown++; shown <= show {
					t.Logf("%+v", f)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if result.Kind != tt.kind || names != tt.names || addresses != tt.addresses || result.Malformed != tt.malformed || result.Refused != tt.refused {
				t.Errorf("%s, %d names, %d addresses, %d malformed, %d refused; want %s, %d, %d, %d, %d", result.Kind, names, addresses, result.Malformed, result.Refused,
					tt.kind, tt.names, tt.addresses, tt.malformed, tt.refused)
			}
		})
	}
}

// TestRealForeignLists holds that the notations not read yet are named.
func TestRealForeignLists(t *testing.T) {
	dir := realData(t)
	for _, tt := range []struct{ file, want string }{
		{"formats/hagezi-fake.adblock.txt", "adblock notation"},
		{"formats/urlhaus-filter.ag.txt", "adblock notation"},
		{"formats/urlhaus-filter.agh.txt", "adblock notation"},
		{"formats/hagezi-fake.dnsmasq.txt", "dnsmasq notation"},
		{"formats/urlhaus-filter.dnsmasq.conf", "dnsmasq notation"},
		{"formats/hagezi-fake.unbound.conf", "unbound notation"},
		{"formats/urlhaus-filter.unbound.conf", "unbound notation"},
		{"formats/urlhaus-filter.bind.conf", "BIND zone notation"},
		{"formats/urlhaus-filter.suricata-sni.rules", "Suricata rule notation"},
		{"formats/spyware-indicators.stix21.json", "a STIX (JSON) document"},
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
