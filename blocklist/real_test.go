package blocklist

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

// realData is the folder of real lists, told by the environment.
func realData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SINKHOLE_REAL_DATA")
	if dir == "" {
		t.Skip("SINKHOLE_REAL_DATA is not set: it names the folder of real lists")
	}
	return dir
}

// realSpecs are the real lists, the infostealer's first and its zone last.
func realSpecs(dir string) (specs []Spec) {
	for _, path := range []string{
		"infostealer.csv", "infostealer.domains.txt", "infostealer.hosts", "infostealer.ips.txt",
		"lists/malicious-domains.domains.txt.zst", "lists/phishing.domains.txt.zst", "lists/malware.domains.txt.zst",
		"infostealer.rpz",
	} {
		specs = append(specs, Spec{Name: path, Source: filepath.Join(dir, path), Format: format.Auto})
	}
	return specs
}

func openReal(t testing.TB, specs []Spec) *Lists {
	t.Helper()
	lists, err := Open(Options{Configuration: Configuration{Specs: specs}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range lists.Status() {
		if s.State != StateOK {
			t.Fatalf("list %s is %s: %s", s.Name, s.State, s.Error)
		}
	}
	return lists
}

func readLines(t testing.TB, path string) (lines []string) {
	t.Helper()
	content, err := feed.Open(path, feed.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	scanner := bufio.NewScanner(content)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestRealLists(t *testing.T) {
	dir := realData(t)
	before := heap()
	start := time.Now()
	lists := openReal(t, realSpecs(dir))
	p := lists.Policy()
	t.Logf("%d indicators, %d rules from %d lists in %v, %d MiB of heap",
		p.Indicators(), p.Rules(), len(p.lists), time.Since(start).Round(time.Millisecond), (heap()-before)>>20)

	now := time.Now().Unix()
	names := readLines(t, filepath.Join(dir, "infostealer.domains.txt"))
	for _, name := range names {
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wireName(name), now, &v)
		if v.Decision != Enforce || v.Action != format.Sinkhole || p.ListOf(v.Rule()).Name != "infostealer.csv" {
			t.Fatalf("%s: decision %d, action %v, %d rules", name, v.Decision, v.Action, v.N)
		}
	}
	addrs := readLines(t, filepath.Join(dir, "infostealer.ips.txt"))
	for _, text := range addrs {
		var v Verdict
		p.JudgeQuestion(netip.Addr{}, wireName("benign.example"), now, &v)
		p.JudgeAnswer(nil, nil, []netip.Addr{netip.MustParseAddr(text)}, now, &v)
		if v.Decision != Enforce || v.Action != format.Sinkhole || v.Match != MatchResponseIP {
			t.Fatalf("%s: decision %d, action %v", text, v.Decision, v.Action)
		}
	}
	if len(names) != 113_741 || len(addrs) != 17_909 {
		t.Errorf("%d names and %d addresses, expected 113,741 and 17,909", len(names), len(addrs))
	}

	start = time.Now()
	u, err := lists.Reload("infostealer.domains.txt")
	if err != nil || u.Err() != nil {
		t.Fatal(err, u.Err())
	}
	if u.Added != 0 || u.Removed != 0 {
		t.Errorf("a reload of the same content added %d and removed %d indicators", u.Added, u.Removed)
	}
	t.Logf("a reload of %d names, the other lists carried over: %v", len(names), time.Since(start).Round(time.Millisecond))
	if before, after := p, lists.Policy(); before.Indicators() != after.Indicators() || before.Rules() != after.Rules() {
		t.Errorf("%d indicators and %d rules after the reload, before %d and %d", after.Indicators(), after.Rules(), before.Indicators(), before.Rules())
	}
}

// TestRealBenign judges popular names by the infostealer lists alone and by the
// general lists alone.
func TestRealBenign(t *testing.T) {
	dir := realData(t)
	var stealer, general []Spec
	for _, s := range realSpecs(dir) {
		if strings.HasPrefix(s.Name, "lists/") {
			general = append(general, s)
		} else {
			stealer = append(stealer, s)
		}
	}
	stealers, generals := openReal(t, stealer).Policy(), openReal(t, general).Policy()
	now := time.Now().Unix()
	for path, expected := range map[string]int{"benign/tranco-top10k.txt": 35, "benign/umbrella-top20k.txt.zst": 44} {
		var blocked []string
		for _, name := range readLines(t, filepath.Join(dir, path)) {
			wire, err := format.Name(nil, name)
			if err != nil {
				t.Fatalf("%s: %s: %v", path, name, err)
			}
			var v Verdict
			if stealers.JudgeQuestion(netip.Addr{}, wire, now, &v); v.Decision != None {
				i := stealers.Indicator(v.Rule())
				t.Errorf("%s: %s is blocked by %s:%d", path, name, i.List, i.Line)
			}
			v = Verdict{}
			if generals.JudgeQuestion(netip.Addr{}, wire, now, &v); v.Decision == Enforce {
				blocked = append(blocked, name)
			}
		}
		t.Logf("%s: the general lists block %d: %s", path, len(blocked), strings.Join(blocked, " "))
		if len(blocked) != expected {
			t.Errorf("%s: the general lists block %d names, expected %d", path, len(blocked), expected)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestRealGuarded has popular names as hold: no list blocks one of them, and
// nothing of the infostealer names is kept out.
func TestRealGuarded(t *testing.T) {
	dir := realData(t)
	popular := []string{filepath.Join(dir, "benign/tranco-top10k.txt"), filepath.Join(dir, "benign/umbrella-top20k.txt.zst")}
	c := protecting(realSpecs(dir)...)
	c.Guard.Hold = popular
	l, err := Open(Options{Configuration: c})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Status() {
		t.Logf("%s: %d entries, %d refused by the guard, %d held", s.Name, s.Entries, s.Kept, s.Held)
		switch {
		case s.Name == "infostealer.domains.txt" && s.Kept+s.Held > 0, s.State != StateOK, s.Kept != len(s.GuardRefused), s.Held != len(s.GuardHeld):
			t.Errorf("status of %s: %s, %d refused, %d held", s.Name, s.State, s.Kept, s.Held)
		}
	}
	p := l.Policy()
	for _, path := range popular {
		for _, name := range readLines(t, path) {
			wire, err := format.Name(nil, name)
			if err != nil {
				t.Fatal(err)
			}
			var v Verdict
			if p.JudgeQuestion(netip.Addr{}, wire, time.Now().Unix(), &v); v.Decision != None {
				i := p.Indicator(v.Rule())
				t.Errorf("%s is blocked by %s:%d", name, i.List, i.Line)
			}
		}
	}
}
