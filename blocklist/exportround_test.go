package blocklist

import (
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/format"
)

// TestExportCSVDecides reads random policies back from their export as the one
// list: it decides about every name and address as the policy did. What the form
// cannot say is counted, and only there may the two differ.
func TestExportCSVDecides(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	for _, tt := range []struct {
		name   string
		suffix string // of all names; with it a list can have them
		lacks  []string
	}{
		{"names that a list can have", ".net.test", []string{lacksAnswers, lacksPrefixes}},
		{"any names", "", []string{lacksAnswers, lacksPrefixes, lacksNames}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			for _, name := range append(someNames(), "") {
				names = append(names, strings.Trim(name+tt.suffix, "."))
			}
			whole, exempt := 0, 0
			for range 70 {
				p := mixedPolicy(t, random, tt.suffix)
				text, done := export(t, p, ExportOptions{Format: ExportCSV})
				if lacks := maps.Clone(done.LeftOut); len(lacks) == 0 {
					whole++
				} else {
					for _, what := range tt.lacks {
						delete(lacks, what)
					}
					if len(lacks) > 0 {
						t.Fatalf("left out %v\n%s", lacks, text)
					}
				}
				again := reread(t, text, format.CSV)
				for _, name := range names {
					got, want := decided(again, name, netip.Addr{}), decided(p, name, netip.Addr{})
					if want == "passthru" {
						exempt++
					}
					if got != want && !(done.LeftOut[lacksAnswers] > 0 && want == "local-data") && done.LeftOut[lacksNames] == 0 {
						t.Fatalf("%s: %s, expected %s; left out %v\n%s", name, got, want, done.LeftOut, text)
					}
				}
				for _, a := range someAddrs() {
					got, want := decided(again, "", a), decided(p, "", a)
					if got != want && !(done.LeftOut[lacksAnswers] > 0 && want == "local-data") && done.LeftOut[lacksPrefixes] == 0 {
						t.Fatalf("%s: %s, expected %s; left out %v\n%s", a, got, want, done.LeftOut, text)
					}
				}
			}
			if whole < 10 || exempt < 1000 {
				t.Errorf("%d policies of which nothing was left out, %d exempt names: too few to tell", whole, exempt)
			}
		})
	}
}

const (
	lacksAnswers  = "answers of a list's own"
	lacksNames    = "names that a list cannot have: single labels, numbers and the like"
	lacksPrefixes = "prefixes that a list cannot have: too wide, or of loopback"
)

// mixedPolicy is a random one of names and addresses; its names end in a suffix.
func mixedPolicy(t *testing.T, random *rand.Rand, suffix string) *Policy {
	t.Helper()
	choices := make([]byte, 20+random.IntN(600))
	for i := range choices {
		choices[i] = byte(random.Uint32())
	}
	d := dice{choices}
	var all []compiled
	for _, l := range d.lists() {
		for _, e := range d.entries() {
			if e.Trigger == format.ClientIP {
				continue
			}
			if e.name = strings.Trim(e.name+suffix, "."); e.Trigger != format.QName {
				e.name = ""
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
	return p
}

// decided is what a policy decides about a name or, without one, an address.
func decided(p *Policy, name string, addr netip.Addr) string {
	var v Verdict
	if addr.IsValid() {
		p.JudgeAnswer(nil, nil, []netip.Addr{addr}, exportNow, &v)
	} else {
		p.JudgeQuestion(addr, wireName(name), exportNow, &v)
	}
	switch r := rulingOf(&v); r.decision {
	case Allow:
		return "passthru"
	case Enforce:
		return r.action.String()
	}
	return "none"
}

// TestExportCSVExceptions are those of every kind of list.
func TestExportCSVExceptions(t *testing.T) {
	p := openText(t, map[string]string{
		"adblock": "[Adblock Plus 2.0]\n||ads.test^\n@@||ok.ads.test^\n",
		"allow":   "allowed.evil.test\n192.0.2.7\n",
		"domains": "evil.test\n192.0.2.0/24\n",
		"zone": "$ORIGIN rpz.\n@ SOA localhost. hostmaster.localhost. 1 3600 600 86400 60\nworse.test CNAME .\n*.worse.test CNAME .\n" +
			"fine.worse.test CNAME rpz-passthru.\n24.0.100.51.198.rpz-ip CNAME .\n32.9.100.51.198.rpz-ip CNAME rpz-passthru.\n",
	})
	text, done := export(t, p, ExportOptions{Format: ExportCSV, Now: time.Now()})
	if len(done.LeftOut) > 0 {
		t.Errorf("left out %v", done.LeftOut)
	}
	again := reread(t, text, format.CSV)
	for name, want := range map[string]string{
		"evil.test": "sinkhole", "x.evil.test": "sinkhole", "allowed.evil.test": "passthru", "x.allowed.evil.test": "passthru",
		"ads.test": "sinkhole", "ok.ads.test": "passthru", "worse.test": "nxdomain", "fine.worse.test": "passthru", "x.fine.worse.test": "nxdomain", "other.test": "none",
	} {
		if got := decided(again, name, netip.Addr{}); got != want {
			t.Errorf("%s: %s, expected %s\n%s", name, got, want, text)
		}
	}
	for addr, want := range map[string]string{"192.0.2.8": "sinkhole", "192.0.2.7": "passthru", "198.51.100.8": "nxdomain", "198.51.100.9": "passthru"} {
		if got := decided(again, "", netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, expected %s\n%s", addr, got, want, text)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row[0] == "allowed.evil.test" && (row[9] != "passthru" || row[10] != "subtree" || row[11] != "allow" || row[13] != "1") {
			t.Errorf("the exception lacks its evidence: %q", row)
		}
	}
}

// TestExportCSVRows are no more than what is in force, and those that decide before
// a reader has had enough of a name.
func TestExportCSVRows(t *testing.T) {
	contents := map[string]string{
		"allow":  "good.test\ndeep.good.test\n",
		"zone-z": "$ORIGIN rpz.\n@ SOA localhost. hostmaster.localhost. 1 3600 600 86400 60\n*.many.test CNAME rpz-drop.\n",
		"past":   "indicator,expires\nold.test,2020-01-01\nmany.test,2020-01-01\n",
		"more":   "deep.good.test\nold.test\n",
	}
	for i := range maxRulesPerList + 4 {
		contents[fmt.Sprintf("list-%02d", i)] = fmt.Sprintf("indicator,scope,family\nmany.test,exact,family %d\n", i)
	}
	p := openText(t, contents)
	text, _ := export(t, p, ExportOptions{Format: ExportCSV, Now: time.Now()})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string][]string{}
	for _, row := range rows[1:] {
		said[row[0]] = append(said[row[0]], row[9]+" "+row[10]+" "+row[11])
	}
	if n := len(said["many.test"]); n != maxRulesPerList+4 || len(said["*.many.test"]) != 1 {
		t.Errorf("many.test: %q, %q", said["many.test"], said["*.many.test"])
	}
	for name, want := range map[string]string{"good.test": "passthru subtree allow", "deep.good.test": "", "old.test": "sinkhole subtree more", "*.many.test": "drop below zone-z"} {
		if got := strings.Join(said[name], "; "); got != want {
			t.Errorf("%s: %q, expected %q", name, got, want)
		}
	}
	again := reread(t, text, format.CSV)
	for name, want := range map[string]string{"many.test": "sinkhole", "x.many.test": "drop", "deep.good.test": "passthru"} {
		if got := decided(again, name, netip.Addr{}); got != want {
			t.Errorf("%s: %s, expected %s\n%s", name, got, want, text)
		}
	}
}

// TestExportCSVOwnAddresses tells that a list's own sinkhole addresses are left out.
func TestExportCSVOwnAddresses(t *testing.T) {
	s := spec("own", exported(t, "evil.test\n"))
	s.IPv4 = Sink{Mode: SinkAddress, Addr: netip.MustParseAddr("203.0.113.5")}
	p := open(t, Options{Configuration: specsOf(s)}).Policy()
	if text, done := export(t, p, ExportOptions{Format: ExportCSV, Now: time.Now()}); done.LeftOut["sinkhole addresses of a list's own"] != 1 || done.Entries != 1 {
		t.Errorf("%+v\n%s", done, text)
	}
}

// TestExportMarks counts what is not for everybody, by form.
func TestExportMarks(t *testing.T) {
	p := openText(t, map[string]string{
		"a.csv": "indicator,tlp,action,expires\na.test,red,,\nb.test,amber,,\nb.test,amber+strict,,\nc.test,clear,,\nd.test,red,log,\ne.test,red,,2020-01-01\n" +
			"f.test,red,passthru,\n192.0.2.1,green,,\n",
		"b.csv": "indicator,tlp\na.test,red\n",
		"allow": "indicator,tlp\ngood.test,red\n",
	})
	const head = " entries of these lists that are not for everybody: "
	for _, tt := range []struct {
		form  ExportFormat
		lists []string
		want  string
	}{
		{ExportRPZ, nil, ";" + head + "TLP:RED 2, TLP:AMBER+STRICT 1, TLP:AMBER 1, TLP:GREEN 1\n"},
		{ExportDomains, nil, "#" + head + "TLP:RED 2, TLP:AMBER+STRICT 1, TLP:AMBER 1\n"},
		{ExportDomains, []string{"b.csv"}, "#" + head + "TLP:RED 1\n"},
		{ExportNFTables, nil, "#" + head + "TLP:GREEN 1\n"},
		{ExportNFTables, []string{"b.csv"}, ""},
	} {
		text, _ := export(t, p, ExportOptions{Format: tt.form, Lists: tt.lists, Now: time.Now()})
		if tt.want == "" && strings.Contains(text, head) || !strings.Contains(text, tt.want) {
			t.Errorf("%s of %v: found\n%s\nexpected %q", tt.form, tt.lists, text, tt.want)
		}
	}
}
