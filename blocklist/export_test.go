package blocklist

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

// exportNow is the time of the random policies, in Unix seconds.
const exportNow = 100

func export(t testing.TB, p *Policy, o ExportOptions) (string, Exported) {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Unix(exportNow, 0)
	}
	var b bytes.Buffer
	done, err := p.Export(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), done
}

// randomPolicy is one whose entries all have the same trigger.
func randomPolicy(t testing.TB, random *rand.Rand, trigger format.Trigger) (model, *Policy) {
	t.Helper()
	choices := make([]byte, 40+random.IntN(1000))
	for i := range choices {
		choices[i] = byte(random.Uint32())
	}
	d := dice{choices}
	lists := d.lists()
	var all []compiled
	for i := range lists {
		l := &lists[i]
		for _, e := range d.entries() {
			if e.Trigger != trigger || trigger == format.QName && e.name == "" {
				continue
			}
			if e.Action == format.LocalData {
				e.Data = record(netip.AddrFrom4([4]byte{198, 51, 100, e.Data[0]}))
			}
			l.entries = append(l.entries, e)
		}
		r := segmentOf(t, &l.spec, l.entries)
		all = append(all, compiled{List: l.spec.list(), parts: []listPart{{segment: r.segment}}})
	}
	p, err := compile(1, all, groups{})
	if err != nil {
		t.Fatal(err)
	}
	return lists, p
}

// record is an A record whose owner is the root.
func record(a netip.Addr) []byte {
	return append([]byte{0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4}, a.AsSlice()...)
}

// reread compiles what was exported as the one list of a policy.
func reread(t testing.TB, text string, kind format.Kind) *Policy {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export")
	write(t, path, text)
	s := Spec{Name: "export", Source: path, Format: kind}
	r := readLocal(&s, &terms{action: format.Sinkhole})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, text)
	}
	if len(r.faults.shown) > 0 {
		t.Fatalf("%v\n%s", &r.faults.shown[0], text)
	}
	p, err := compile(1, []compiled{{List: s.list(), parts: []listPart{{segment: r.segment}}}}, groups{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// outcome is what a client gets by a verdict, as a zone can say it.
func outcome(p *Policy, v *Verdict) string {
	switch r := rulingOf(v); {
	case r.decision == Allow:
		return "passthru"
	case r.decision != Enforce:
		return "none"
	case r.action == format.Sinkhole:
		return "[198.51.100.99]"
	case r.action == format.Refused:
		return "nxdomain"
	case r.action == format.LocalData:
		var all []string
		p.LocalData(r.rule, func(rr []byte) { all = append(all, netip.AddrFrom4([4]byte(rr[len(rr)-4:])).String()) })
		slices.Sort(all)
		return fmt.Sprint(slices.Compact(all))
	default:
		return r.action.String()
	}
}

func questionOutcome(p *Policy, client netip.Addr, name string) string {
	var v Verdict
	p.JudgeQuestion(client, wireName(name), exportNow, &v)
	return outcome(p, &v)
}

func answerOutcome(p *Policy, addr netip.Addr) string {
	var v Verdict
	p.JudgeAnswer(nil, nil, []netip.Addr{addr}, exportNow, &v)
	return outcome(p, &v)
}

func rpzOptions() ExportOptions {
	return ExportOptions{Format: ExportRPZ, IPv4: Sink{Mode: SinkAddress, Addr: netip.MustParseAddr("198.51.100.99")}, TTL: time.Minute}
}

// someNames are all names of up to four labels that the dice know, and one more.
func someNames() (all []string) {
	level := []string{""}
	for range 4 {
		var next []string
		for _, below := range level {
			for _, label := range []string{"a", "b", "bb", "c", "d", "x"} {
				next = append(next, strings.TrimSuffix(label+"."+below, "."))
			}
		}
		all = append(all, next...)
		level = next
	}
	return all
}

func someAddrs() (all []netip.Addr) {
	for i := range 6 {
		all = append(all, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}),
			netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: byte(i)}),
			netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 8: 1, 15: byte(i)}))
	}
	return append(all, netip.MustParseAddr("192.0.3.1"), netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("3000::"),
		netip.MustParseAddr("192.0.2.255"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), netip.MustParseAddr("255.255.255.255"))
}

// A zone that was exported decides as all lists together did, in our reading and
// in that of DNS, where a wildcard ends at the closest encloser.
func TestExportZoneOfNames(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	names := someNames()
	for range 150 {
		_, p := randomPolicy(t, random, format.QName)
		text, _ := export(t, p, rpzOptions())
		again := reread(t, text, format.RPZ)
		zone := parseZone(text)
		for _, name := range names {
			want := questionOutcome(p, netip.Addr{}, name)
			if got := questionOutcome(again, netip.Addr{}, name); got != want {
				t.Fatalf("%s: our reading says %s, expected %s\n%s", name, got, want, text)
			}
			if got := zone.outcome(name); got != want {
				t.Fatalf("%s: a DNS server says %s, expected %s\n%s", name, got, want, text)
			}
		}
	}
}

// textZone is a zone as RFC 1034 section 4.3.2 reads it: what owners have, and
// the names that exist.
type textZone struct {
	records map[string][]string
	exists  map[string]bool
}

func parseZone(text string) textZone {
	z := textZone{records: map[string][]string{}, exists: map[string]bool{"": true}}
	for line := range strings.Lines(text) {
		owner, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if owner == "@" || owner[0] == ';' || owner[0] == '$' {
			continue
		}
		fields := strings.Fields(rest)
		z.records[owner] = append(z.records[owner], fields[len(fields)-1])
		for above := owner; above != ""; _, above, _ = strings.Cut(above, ".") {
			z.exists[above] = true
		}
	}
	return z
}

func (z textZone) outcome(name string) string {
	if !z.exists[name] {
		above := name
		for !z.exists[above] {
			_, above, _ = strings.Cut(above, ".")
		}
		name = strings.TrimSuffix("*."+above, ".")
	}
	all := slices.Compact(slices.Sorted(slices.Values(z.records[name])))
	if len(all) != 1 || strings.Trim(all[0], "0123456789.") == "" && all[0] != "." {
		if len(all) == 0 {
			return "none"
		}
		return fmt.Sprint(all)
	}
	switch all[0] {
	case ".":
		return "nxdomain"
	case "*.":
		return "nodata"
	}
	return strings.TrimSuffix(strings.TrimPrefix(all[0], "rpz-"), ".")
}

func TestExportZoneOfAddresses(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	addrs := someAddrs()
	for range 150 {
		_, p := randomPolicy(t, random, format.ResponseIP)
		text, done := export(t, p, rpzOptions())
		if done.LeftOut["prefixes of all addresses"] > 0 {
			continue
		}
		again := reread(t, text, format.RPZ)
		for _, a := range addrs {
			if got, want := answerOutcome(again, a), answerOutcome(p, a); got != want {
				t.Fatalf("%s: %s, expected %s\n%s", a, got, want, text)
			}
		}
	}
}

func TestExportZoneOfClients(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	addrs := someAddrs()
	for range 150 {
		_, p := randomPolicy(t, random, format.ClientIP)
		text, done := export(t, p, rpzOptions())
		if done.LeftOut["prefixes of all addresses"] > 0 {
			continue
		}
		again := reread(t, text, format.RPZ)
		for _, a := range addrs {
			if got, want := questionOutcome(again, a, "x"), questionOutcome(p, a, "x"); got != want {
				t.Fatalf("%s: %s, expected %s\n%s", a, got, want, text)
			}
		}
	}
}

func TestExportRanges(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	addrs := someAddrs()
	for range 150 {
		_, p := randomPolicy(t, random, format.ResponseIP)
		text, _ := export(t, p, ExportOptions{Format: ExportNFTables})
		all := parseRanges(t, text)
		for i := 1; i < len(all); i++ {
			if before := all[i-1]; before[0].Is4() == all[i][0].Is4() && (!before[1].Less(all[i][0]) || before[1].Next() == all[i][0]) {
				t.Fatalf("the ranges %v and %v overlap or touch\n%s", before, all[i], text)
			}
		}
		for _, a := range addrs {
			var v Verdict
			p.JudgeAnswer(nil, nil, []netip.Addr{a}, exportNow, &v)
			in := slices.ContainsFunc(all, func(r [2]netip.Addr) bool {
				return r[0].BitLen() == a.BitLen() && r[0].Compare(a) <= 0 && a.Compare(r[1]) <= 0
			})
			special := slices.ContainsFunc(guard.SpecialUse(), func(block netip.Prefix) bool { return block.Contains(a) })
			if want := rulingOf(&v).blocks() && !special; in != want {
				t.Fatalf("%s is in a range: %v, expected %v\n%s", a, in, want, text)
			}
		}
	}
}

func parseRanges(t *testing.T, text string) (all [][2]netip.Addr) {
	t.Helper()
	for line := range strings.Lines(text) {
		_, elements, found := strings.Cut(strings.TrimSpace(line), " { ")
		if !strings.HasPrefix(line, "add element") || !found {
			continue
		}
		for _, r := range strings.Split(strings.TrimSuffix(elements, " }"), ", ") {
			first, last, wide := strings.Cut(r, "-")
			if !wide {
				last = first
			}
			all = append(all, [2]netip.Addr{netip.MustParseAddr(first), netip.MustParseAddr(last)})
		}
	}
	return all
}

// openText opens lists of files with these contents, in order of their names;
// those called "allow" exempt.
func openText(t *testing.T, contents map[string]string) *Policy {
	t.Helper()
	var specs []Spec
	dir := t.TempDir()
	for name, text := range contents {
		path := filepath.Join(dir, name)
		write(t, path, text)
		s := spec(name, path)
		s.Allow = strings.HasPrefix(name, "allow")
		specs = append(specs, s)
	}
	slices.SortFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) })
	return open(t, Options{Configuration: Configuration{Specs: specs}}).Policy()
}

func exampleLists() map[string]string {
	return map[string]string{
		"allow": "good.evil.example\n192.0.2.66\nbank.example\n",
		"police.csv": `indicator,type,family,confidence,first_seen,last_seen,expires,reference,tlp,action
evil.example,domain,Lumma Stealer,90,2025-01-09,2025-04-30T10:00:00Z,2999-01-01,"https://case.example/1?a=b,c",amber,
old.example,domain,Vidar,,,,2020-01-01,,,
watched.example,domain,Vidar,,,,,,,log
bank.example,domain,,,,,,,,
evil.example,domain,Vidar,20,,,,,,
drop.example,domain,,,,,,,,drop
192.0.2.0/25,cidr,Vidar,,,,,,,
2001:db8::66,ipv6,"Vidar, the old",,,,,,,nxdomain
`,
		"zone.rpz": `$ORIGIN rpz.
@ SOA localhost. hostmaster.localhost. 1 3600 600 86400 60
exact.example CNAME .
*.below.example CNAME *.
safe.example CNAME search.example.
tcp.example CNAME rpz-tcp-only.
www.evil.example CNAME rpz-passthru.
data.example TXT "two words"
32.7.113.0.203.rpz-client-ip CNAME rpz-drop.
`,
	}
}

func TestExportDomains(t *testing.T) {
	text, done := export(t, openText(t, exampleLists()), ExportOptions{Format: ExportDomains, Now: time.Now()})
	const want = `# names that are blocked; "*." where only those below are
# entries of these lists that are not for everybody: TLP:AMBER 1
# except good.evil.example
drop.example
evil.example
exact.example
*.below.example
www.evil.example
`
	if text != want {
		t.Errorf("found\n%s\nexpected\n%s", text, want)
	}
	if done.Entries != 5 || done.LeftOut["that the names below are not blocked"] != 1 || done.LeftOut["names that are excepted below one that is blocked"] != 1 ||
		done.LeftOut["answers of a list's own, and tcp-only"] != 3 {
		t.Errorf("found %+v", done)
	}
}

func TestExportCSV(t *testing.T) {
	p := openText(t, exampleLists())
	text, done := export(t, p, ExportOptions{Format: ExportCSV, Now: time.Now(), Lists: []string{"police.csv"}})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		row[12], row[14] = filepath.Base(row[12]), row[14][:7]
	}
	want := [][]string{
		csvColumns(),
		{"good.evil.example", "domain", "", "", "", "", "", "", "", "passthru", "subtree", "allow", "allow", "1", "sha256:"},
		{"bank.example", "domain", "", "", "", "", "", "", "", "passthru", "subtree", "allow", "allow", "3", "sha256:"},
		{"drop.example", "domain", "", "", "", "", "", "", "", "drop", "subtree", "police.csv", "police.csv", "7", "sha256:"},
		{"evil.example", "domain", "Lumma Stealer", "90", "2025-01-09T00:00:00Z", "2025-04-30T10:00:00Z", "2999-01-01T00:00:00Z", "https://case.example/1?a=b,c", "AMBER", "sinkhole", "subtree", "police.csv", "police.csv", "2", "sha256:"},
		{"evil.example", "domain", "Vidar", "20", "", "", "", "", "", "sinkhole", "subtree", "police.csv", "police.csv", "6", "sha256:"},
		{"192.0.2.0/25", "ipv4", "Vidar", "", "", "", "", "", "", "sinkhole", "", "police.csv", "police.csv", "8", "sha256:"},
		{"192.0.2.66", "ipv4", "", "", "", "", "", "", "", "passthru", "", "allow", "allow", "2", "sha256:"},
		{"2001:db8::66", "ipv6", "Vidar, the old", "", "", "", "", "", "", "nxdomain", "", "police.csv", "police.csv", "9", "sha256:"},
	}
	// Times beyond 2106 do not fit where times are kept.
	want[4][6] = ""
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("found\n%v\nexpected\n%v", rows, want)
	}
	if done.Entries != 8 {
		t.Errorf("found %+v", done)
	}
	again, _ := export(t, reread(t, text, format.CSV), ExportOptions{Format: ExportCSV, Now: time.Now()})
	if a, b := evidence(t, text), evidence(t, again); !reflect.DeepEqual(a, b) {
		t.Errorf("read again\n%v\nexpected\n%v", b, a)
	}
}

// evidence is what our own reading takes from an export.
func evidence(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i] = rows[i][:10]
	}
	return rows
}

func TestExportZone(t *testing.T) {
	o := rpzOptions()
	o.Now = time.Unix(1_800_000_000, 0)
	text, _ := export(t, openText(t, exampleLists()), o)
	const want = `; what is in force at 2027-01-15T08:00:00Z
$TTL 60
@ SOA localhost. hostmaster.localhost. 1800000000 3600 600 604800 60
@ NS localhost.
; entries of these lists that are not for everybody: TLP:AMBER 1
good.evil.example CNAME rpz-passthru.
*.good.evil.example CNAME rpz-passthru.
bank.example CNAME rpz-passthru.
*.bank.example CNAME rpz-passthru.
drop.example CNAME rpz-drop.
*.drop.example CNAME rpz-drop.
evil.example A 198.51.100.99
*.evil.example A 198.51.100.99
exact.example CNAME .
*.below.example CNAME *.
safe.example 3600 CNAME search.example.
tcp.example CNAME rpz-tcp-only.
data.example 3600 TYPE16 \# 10 0974776f20776f726473
32.7.113.0.203.rpz-client-ip CNAME rpz-drop.
25.0.2.0.192.rpz-ip A 198.51.100.99
32.66.2.0.192.rpz-ip CNAME rpz-passthru.
128.66.zz.db8.2001.rpz-ip CNAME .
`
	if text != want {
		t.Errorf("found\n%s\nexpected\n%s", text, want)
	}
	again, _ := export(t, reread(t, text, format.RPZ), o)
	sorted := func(text string) []string {
		lines := slices.Sorted(strings.Lines(strings.ReplaceAll(text, " 60 A ", " A ")))
		return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, ";") }) // a zone states no TLP
	}
	if !slices.Equal(sorted(again), sorted(want)) {
		t.Errorf("read and written again\n%s\nexpected\n%s", again, want)
	}
	tool(t, "named-checkzone", "-i", "none", "rpz.sinkhole", exported(t, text))
}

func TestExportOfNothing(t *testing.T) {
	p := compileEntries(t)
	for _, f := range ExportFormats() {
		if text, done := export(t, p, ExportOptions{Format: f}); done.Entries != 0 || text == "" {
			t.Errorf("%s: %d entries in %q", f, done.Entries, text)
		}
	}
}

func TestExportOfWhatIsNot(t *testing.T) {
	p := openText(t, exampleLists())
	for _, o := range []ExportOptions{
		{Format: ExportRPZ, Lists: []string{"polce.csv"}},
		{Format: ExportRPZ, Lists: []string{"allow"}},
		{Format: "xml"},
	} {
		if _, err := p.Export(&bytes.Buffer{}, o); err == nil || !strings.Contains(err.Error(), "expected one of") {
			t.Errorf("%v: %v, expected what there is", o, err)
		}
	}
}

type fullDisk struct{}

var errFull = fmt.Errorf("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestExportToFullDisk(t *testing.T) {
	p := openText(t, exampleLists())
	for _, f := range ExportFormats() {
		if _, err := p.Export(fullDisk{}, ExportOptions{Format: f, Now: time.Now()}); err == nil {
			t.Errorf("%s: no error", f)
		}
	}
}

// What firewalls load is what the tool takes.
func TestExportToNFTables(t *testing.T) {
	var list strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&list, "44.0.%d.%d\n2001:db8:%x::/48\n", i/120, i%120*2, i*2)
	}
	p := openText(t, map[string]string{"a.txt": list.String() + "203.0.113.0/24\n203.0.113.9\n", "allow": "203.0.113.8\n"})
	text, done := export(t, p, ExportOptions{Format: ExportNFTables, Now: time.Now()})
	if n := len(parseRanges(t, text)); n != 2402 || done.Entries != 2402 {
		t.Errorf("%d ranges, %d counted, expected 2402", n, done.Entries)
	}
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Skip("nft is not installed, or this is not root, who alone may run it")
	}
	tool(t, "nft", "-c", "-f", exported(t, text))
}

func exported(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export")
	write(t, path, text)
	return path
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("SINKHOLE_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

// Whatever a policy gets in addition, the one that exports judge by must have.
func TestNarrowedHasAll(t *testing.T) {
	p := openText(t, exampleLists())
	a, b := reflect.ValueOf(p).Elem(), reflect.ValueOf(p.narrowed(nil)).Elem()
	for i := range a.NumField() {
		switch name := a.Type().Field(i).Name; name {
		case "answers", "clients", "groups":
		default:
			if !a.Field(i).IsZero() && b.Field(i).IsZero() {
				t.Errorf("%s is missing", name)
			}
		}
	}
}
