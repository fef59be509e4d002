package guard

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sinkhole/blocklist/format"

	"golang.org/x/net/publicsuffix"
)

// protectedLine is one line of a file as the naive model has it.
type protectedLine struct {
	name    string // without a final dot
	deep    bool
	prefix  netip.Prefix
	outcome Outcome
}

// naive looks at every line, in text, and gives the strongest outcome.
func naive(lines []protectedLine, i *format.Indicator) Outcome {
	worst := Accept
	for _, l := range lines {
		if worst < l.outcome && naiveMeets(l, i) {
			worst = l.outcome
		}
	}
	if worst == Hold && i.FromURL {
		worst = Refuse
	}
	return worst
}

func naiveMeets(l protectedLine, i *format.Indicator) bool {
	switch i.Trigger {
	case format.ClientIP:
		return false
	case format.ResponseIP:
		return l.prefix.IsValid() && l.prefix.Overlaps(i.Prefix)
	}
	if l.prefix.IsValid() {
		return false
	}
	escaped := strings.NewReplacer(`\.`, "(dot)")
	name, protected := escaped.Replace(format.Text(i.Name)), escaped.Replace(l.name)
	isBelow := func(a, b string) bool { return strings.HasSuffix(a, "."+b) }
	return name == protected ||
		i.Scope != format.Exact && isBelow(protected, name) ||
		l.deep && isBelow(name, protected) ||
		i.FromURL && name == "www."+protected
}

// FuzzJudge holds the guard against a model that looks at every line. The
// octets choose the lines and entries, out of few labels so that they meet.
func FuzzJudge(f *testing.F) {
	f.Add([]byte("\x01\x22\x13\x44\x85\x06"), []byte("\x01\x22\x13\x44"))
	f.Add([]byte("\x81\x02\xc3\x04\x25\x46\x17\xf8\xff\x00"), []byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc"))
	path := filepath.Join(f.TempDir(), "guard.txt")
	f.Fuzz(func(t *testing.T, protected, entries []byte) {
		var lines []protectedLine
		var texts [2]strings.Builder // protect, hold
		for len(protected) >= 4 && len(lines) < 200 {
			l, text := fuzzLine(protected[:4])
			protected = protected[4:]
			lines = append(lines, l)
			fmt.Fprintln(&texts[Refuse-l.outcome], text)
		}
		paths := [2]string{path + ".protect", path + ".hold"}
		for n := range texts {
			if err := os.WriteFile(paths[n], []byte(texts[n].String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g := open(t, Options{Files: paths[:1], Hold: paths[1:]})
		for len(entries) >= 4 {
			i := fuzzEntry(t, entries[:4])
			entries = entries[4:]
			got := g.Judge(i)
			if want := naive(lines, i); got.Outcome != want {
				t.Errorf("%s (scope %d, URL %t): got %v, want %v, with\n%s--\n%s", Entry(i), i.Scope, i.FromURL, got, want, &texts[0], &texts[1])
			}
			if (got.Outcome == Accept) != (got == Finding{}) {
				t.Errorf("%s: %+v is half a finding", Entry(i), got)
			}
		}
	})
}

// fuzzName is a name of one to four labels out of six.
func fuzzName(b []byte) string {
	labels := [...]string{"a", "b", "www", "example", "b\\.a", "xn--p1ai"}
	var parts []string
	for n := range 1 + int(b[0]&3) {
		parts = append(parts, labels[(int(b[1+n%2])>>(4*(n/2))&15)%len(labels)])
	}
	return strings.Join(parts, ".")
}

// fuzzPrefix lies in few public networks.
func fuzzPrefix(b []byte) netip.Prefix {
	if b[0]&16 != 0 {
		addr := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, b[1] & 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b[2] & 1})
		return netip.PrefixFrom(addr, []int{32, 36, 40, 48, 64, 127, 128}[int(b[2]>>1)%7]).Masked()
	}
	addr := netip.AddrFrom4([4]byte{203, 0, b[1] & 3, b[2]})
	return netip.PrefixFrom(addr, 16+int(b[1]>>2)%17).Masked()
}

func fuzzLine(b []byte) (protectedLine, string) {
	l := protectedLine{outcome: Refuse}
	if b[3]&1 != 0 {
		l.outcome = Hold
	}
	if b[3]&6 == 6 {
		l.prefix = fuzzPrefix(b)
		return l, l.prefix.String()
	}
	l.name = fuzzName(b)
	switch b[3] & 24 {
	case 24:
		l.deep = true
		return l, "*." + l.name
	case 8:
		return l, "." + strings.ToUpper(l.name) + " # comment"
	case 16:
		return l, "17," + l.name + ".\r"
	}
	return l, l.name
}

func fuzzEntry(t *testing.T, b []byte) *format.Indicator {
	if b[3]&6 == 6 {
		trigger := format.ResponseIP
		if b[3]&56 == 56 {
			trigger = format.ClientIP
		}
		return &format.Indicator{Trigger: trigger, Prefix: fuzzPrefix(b)}
	}
	return &format.Indicator{Name: wire(t, fuzzName(b)), Scope: format.Scope(int(b[3]>>3) % 3), FromURL: b[3]&1 != 0}
}

// The Public Suffix List: x/net's look-up, which cannot be asked for the rule,
// tells by a name that nobody lists whether a wildcard stands below a name.
func TestSuffixesAgainstTheLibrary(t *testing.T) {
	g := open(t, Options{PublicSuffixes: true})
	isSuffix := func(name string) bool {
		suffix, _ := publicsuffix.PublicSuffix(name)
		return suffix == name
	}
	hasWildcard := func(name string) bool { return isSuffix("no-such-label." + name) }
	refused, accepted := 0, 0
	check := func(name string) {
		t.Helper()
		_, above, found := strings.Cut(name, ".")
		customer := !isSuffix(name) || found && hasWildcard(above)
		want := Refuse
		if customer && !hasWildcard(name) {
			want = Accept
		}
		if got := g.Judge(&format.Indicator{Name: wire(t, name), Scope: format.Exact}); got.Outcome != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if want == Accept {
			accepted++
		} else {
			refused++
		}
	}
	for rule := range strings.Lines(suffixRules) {
		if rule = strings.TrimSpace(rule); rule == "" || strings.HasPrefix(rule, "//") {
			continue
		}
		name := strings.TrimPrefix(strings.TrimPrefix(rule, "!"), "*.")
		check(name)
		check("no-such-label." + name)
		check("neither.no-such-label." + name)
		for above := name; ; {
			var found bool
			if _, above, found = strings.Cut(above, "."); !found {
				break
			}
			check(above)
			// Whatever stands above a suffix must not cover it.
			for _, scope := range []format.Scope{format.Subtree, format.Below} {
				if got := g.Judge(&format.Indicator{Name: wire(t, above), Scope: scope}); got.Outcome != Refuse || got.Kind != PublicSuffix {
					t.Errorf("%s over %s: got %v, want it refused", above, name, got)
				}
			}
		}
	}
	if refused < 10_000 || accepted < 20_000 {
		t.Errorf("%d names refused and %d accepted, expected more of both", refused, accepted)
	}
}

// FuzzOpen: any file is either read or refused at a place in it.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("example.com\n*.corp.example # ours\n192.0.2.0/24\n2001:db8::1\n7,popular.example\n"))
	f.Add([]byte("// ===BEGIN ICANN DOMAINS===\n*.ck\n!www.ck\ncom\nпример.рф\n// ===END ICANN DOMAINS===\n"))
	f.Add([]byte("\xef\xbb\xbf<html><head>\n"))
	f.Add([]byte("10.0.0.1/8\n"))
	f.Add([]byte("17,\n"))
	f.Add([]byte(strings.Repeat("a.", 200)))
	f.Add([]byte("\x28\xb5\x2f\xfd\x04"))
	path := filepath.Join(f.TempDir(), "guard.txt")
	entries := []*format.Indicator{
		{Name: wire(f, "example.com"), Scope: format.Subtree}, {Name: []byte{0}, Scope: format.Below},
		{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.1/32")},
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := Open(Options{Files: []string{path}, Hold: []string{path}})
		if err != nil {
			lines := strings.Split(err.Error(), "\n")
			if len(lines) > 2*(maxFaults+2) {
				t.Fatalf("%d lines", len(lines))
			}
			for _, line := range lines {
				_, rest, _ := strings.Cut(line, "]: ")
				if !strings.HasPrefix(line, "guard.") || !strings.HasPrefix(rest, path+":") || len(line) > 4096 || strings.ContainsAny(line, "\r\x1b") {
					t.Fatalf("%q does not begin with key and file, or shows too much", line)
				}
			}
			return
		}
		for _, i := range entries {
			g.Judge(i)
		}
	})
}
