package guard

import (
	"encoding/csv"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

// realData is the folder of real lists, which is not part of the project.
func realData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SINKHOLE_REAL_DATA")
	if dir == "" {
		t.Skip("SINKHOLE_REAL_DATA is not set: it names the folder of real lists")
	}
	return dir
}

func open(t testing.TB, o Options) *Guard {
	t.Helper()
	g, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// under are files of a folder.
func under(dir string, names ...string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = filepath.Join(dir, name)
	}
	return paths
}

// realFiles are the shared platforms and services among the guard's real files.
func realFiles(dir string) []string {
	return under(dir, "guard/public_suffix_list.dat", "guard/shared-platforms-lots.txt", "guard/url-shorteners.txt",
		"guard/link-in-bio.txt", "guard/ipfs-gateways.txt", "guard/whats-my-ip.txt", "guard/captive-portals.txt")
}

// realRanges are the addresses among them.
func realRanges(dir string) []string {
	return under(dir, "guard/cloudflare-ranges.txt", "guard/fastly-ranges.txt", "guard/telegram-ranges.txt",
		"guard/public-resolvers-v4.txt.zst", "guard/known-sinkholes.txt")
}

// realPopular are the lists of the most popular 10,000 and 20,000 names.
func realPopular(dir string) []string {
	return under(dir, "benign/tranco-top10k.txt", "benign/majestic-top10k.txt", "benign/umbrella-top20k.txt.zst")
}

// everything protects and holds by all real files of names.
func everything(dir string) Options {
	return Options{
		PublicSuffixes: true,
		Platforms:      true,
		Files:          append(realFiles(dir), realRanges(dir)...),
		Hold:           append(realPopular(dir), under(dir, "guard/dynamic-dns.txt.zst", "benign/cloudflare-radar-top100k.txt.zst")...),
	}
}

// eachEntry parses a list.
func eachEntry(t testing.TB, path string, kind format.Kind, visit func(*format.Indicator)) {
	t.Helper()
	content, err := feed.Open(path, feed.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	result, err := format.Parse(content, format.Options{Kind: kind}, visit, func(format.Fault) {})
	if err != nil {
		t.Fatal(err)
	}
	if result.Entries == 0 {
		t.Fatalf("%s: no entry", path)
	}
}

func rows(t testing.TB, path string) []map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		row := make(map[string]string)
		for i, name := range header {
			row[name] = fields[i]
		}
		all = append(all, row)
	}
}

// All dangerous entries are refused or held as advised.
func TestRealDangerousEntries(t *testing.T) {
	dir := realData(t)
	g, builtIn := open(t, everything(dir)), open(t, Options{PublicSuffixes: true, Platforms: true})
	// Refused, though holding them is advised: each stands above a name that
	// another rule refuses to block.
	above := map[string]string{"dyndns.com": "checkip-waw.dyndns.com", "linode.com": "members.linode.com"}
	counts := make(map[string]int)
	for _, row := range rows(t, filepath.Join(dir, "guard/dangerous-entries.csv")) {
		i := &format.Indicator{Name: wire(t, row["name"]), Scope: format.Subtree}
		got, alone := g.Judge(i), builtIn.Judge(i)
		want := Refuse
		if strings.HasPrefix(row["advice"], "hold ") && above[row["name"]] == "" {
			want = Hold
		}
		if got.Outcome != want || !strings.Contains(got.Reason, above[row["name"]]) {
			t.Errorf("%s: got %v (%s), want %v: %s", row["name"], got.Outcome, got.Reason, want, row["advice"])
		}
		if alone.Outcome != Accept {
			counts[row["kind"]]++
		}
		i.FromURL = true
		if got := g.Judge(i); got.Outcome != Refuse {
			t.Errorf("%s of a URL: got %v, want it refused", row["name"], got)
		}
	}
	// What is built in keeps all public suffixes out, and most platforms.
	t.Logf("without files refused or held: %v", counts)
	if counts["public-suffix"] != 514 || counts["shared-platform"] < 25 {
		t.Errorf("without files: %v, expected 514 public suffixes and at least 25 of 33 platforms", counts)
	}
}

// No name of the infostealer lists is refused or held, and no address but those
// of open resolvers and sinkholes.
func TestRealInfostealers(t *testing.T) {
	dir := realData(t)
	for what, o := range map[string]Options{
		"built in": {PublicSuffixes: true, Platforms: true},
		"files": {
			PublicSuffixes: true,
			Platforms:      true,
			Files:          append(realFiles(dir), realRanges(dir)...),
			Hold:           append(realPopular(dir), under(dir, "guard/dynamic-dns.txt.zst")...),
		},
	} {
		g := open(t, o)
		for name, kind := range map[string]format.Kind{
			"infostealer.domains.txt": format.Domains, "infostealer.hosts": format.Hosts, "infostealer.rpz": format.RPZ, "infostealer.ips.txt": format.Domains,
		} {
			eachEntry(t, filepath.Join(dir, name), kind, func(i *format.Indicator) {
				if f := g.Judge(i); f.Outcome != Accept {
					t.Errorf("%s, %s: %+v, want it accepted", what, name, f)
				}
			})
		}
		addresses := 0
		eachEntry(t, filepath.Join(dir, "infostealer.csv"), format.CSV, func(i *format.Indicator) {
			switch f := g.Judge(i); {
			case f.Outcome == Accept:
			case i.Trigger == format.QName:
				t.Errorf("%s, infostealer.csv: %+v, want it accepted", what, f)
			default:
				addresses++
			}
		})
		if want := map[string]int{"built in": 0, "files": 7}[what]; addresses != want {
			t.Errorf("%s: %d rows with addresses refused, want %d", what, addresses, want)
		}
	}
}

// With the popular names as files to hold, no list blocks one of them.
func TestRealBenignNames(t *testing.T) {
	dir := realData(t)
	g := open(t, Options{PublicSuffixes: true, Platforms: true, Hold: realPopular(dir)})
	guarded, unguarded := make(blocks), make(blocks)
	for _, name := range []string{
		"infostealer.domains.txt", "infostealer.csv", "infostealer.hosts", "infostealer.rpz", "lists/malicious-domains.domains.txt.zst",
		"lists/phishing.domains.txt.zst", "lists/malware.domains.txt.zst",
	} {
		eachEntry(t, filepath.Join(dir, name), format.Auto, func(i *format.Indicator) {
			unguarded.add(i)
			if g.Judge(i).Outcome == Accept {
				guarded.add(i)
			}
		})
	}
	names, without := 0, 0
	for _, path := range realPopular(dir) {
		eachEntry(t, path, format.Domains, func(i *format.Indicator) {
			names++
			if by := guarded.by(i.Name); by != "" {
				t.Errorf("%s is blocked by %s", format.Text(i.Name), by)
			}
			if unguarded.by(i.Name) != "" {
				without++
			}
		})
	}
	t.Logf("%d benign names; without the guard %d of them would be blocked", names, without)
	if without < 50 {
		t.Errorf("without the guard only %d benign names are blocked: this test tells nothing", without)
	}
}

// blocks is a naive policy: the scopes under which each name stands.
type blocks map[string][3]bool

func (b blocks) add(i *format.Indicator) {
	if i.Trigger == format.QName {
		scopes := b[string(i.Name)]
		scopes[i.Scope] = true
		b[string(i.Name)] = scopes
	}
}

// by is the entry that blocks a name, empty without.
func (b blocks) by(name []byte) string {
	if s := b[string(name)]; s[format.Exact] || s[format.Subtree] {
		return format.Text(name)
	}
	for len(name) > 1 {
		name = parent(name)
		if s := b[string(name)]; s[format.Subtree] || s[format.Below] {
			return format.Text(name)
		}
	}
	return ""
}

// What the source of the infostealer lists left out as dangerous is refused here
// too, as far as it names a host or an address at all.
func TestRealRefusedInfostealers(t *testing.T) {
	dir := realData(t)
	g := open(t, everything(dir))
	judged := 0
	for _, row := range rows(t, filepath.Join(dir, "infostealer.refused.csv")) {
		switch reason, _, _ := strings.Cut(row["reason"], ":"); reason {
		case "path-only", "regex", "not-in-public-dns": // no entry for the guard
			continue
		}
		judged++
		i := &format.Indicator{FromURL: strings.Contains(row["raw"], "/")}
		if addr, err := netip.ParseAddr(row["host"]); err == nil {
			i.Trigger, i.Prefix = format.ResponseIP, netip.PrefixFrom(addr, addr.BitLen())
		} else {
			i.Name = wire(t, row["host"])
		}
		want := Refuse
		if row["host"] == "kypeti.com" { // a dynamic DNS parent: held
			want = Hold
		}
		if got := g.Judge(i); got.Outcome != want {
			t.Errorf("%s (%s): got %+v, want %v", row["raw"], row["reason"], got, want)
		}
	}
	if judged != 16 {
		t.Errorf("%d rows judged, want 16", judged)
	}
}

// Names taken from URLs with a path: those that infostealer.csv keeps stay.
func TestRealURLs(t *testing.T) {
	dir := realData(t)
	g := open(t, Options{PublicSuffixes: true, Platforms: true, Files: realFiles(dir), Hold: realPopular(dir)})
	n := 0
	for _, row := range rows(t, filepath.Join(dir, "infostealer.csv")) {
		if row["type"] != "domain" || !strings.Contains(row["source_form"], "url_path") {
			continue
		}
		n++
		if f := g.Judge(&format.Indicator{Name: wire(t, row["indicator"]), FromURL: true}); f.Outcome != Accept {
			t.Errorf("%s: %+v", row["indicator"], f)
		}
	}
	if n < 1000 {
		t.Errorf("%d names from URLs, expected more", n)
	}
}

func wire(t testing.TB, name string) []byte {
	t.Helper()
	w, err := format.Name(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
