package guard

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sinkhole/blocklist/format"
)

// protected opens a guard with everything built in, one file to protect and one
// of popular names.
func protected(t testing.TB) *Guard {
	t.Helper()
	return open(t, Options{
		PublicSuffixes: true,
		Platforms:      true,
		Files: []string{write(t, "own.txt", `# ours
corp.example
*.lan.example   # and all below
.shop.example
192.0.2.0/24
2001:db8::1
`)},
		Hold: []string{write(t, "popular.csv", "1,popular.example\n2,www.news.example\n3,203.0.113.7\n4,*.deep.example\n")},
	})
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNames(t *testing.T) {
	const exact, subtree, below = format.Exact, format.Subtree, format.Below
	g := protected(t)
	for _, test := range []struct {
		name  string
		scope format.Scope
		want  Outcome
		kind  Kind
	}{
		{"evil.example", subtree, Accept, ""},
		{"a.b.evil.example", exact, Accept, ""},

		// Public suffixes, of registries and of hosters.
		{"com", subtree, Refuse, PublicSuffix},
		{"co.uk", exact, Refuse, PublicSuffix},
		{"duckdns.org", subtree, Refuse, PublicSuffix},
		{"github.io", below, Refuse, PublicSuffix},
		{"evil.duckdns.org", subtree, Accept, ""},
		{"evil.co.uk", subtree, Accept, ""},
		{"xn--p1ai", subtree, Refuse, PublicSuffix},
		{"xn--55qx5d.cn", subtree, Refuse, PublicSuffix},
		{"no-such-tld", subtree, Refuse, PublicSuffix},
		{".", below, Refuse, PublicSuffix},
		// Above a suffix that nothing else protects.
		{"k12.ma.us", subtree, Refuse, PublicSuffix},
		{"akershus.no", subtree, Refuse, PublicSuffix},
		{"akershus.no", exact, Accept, ""},
		// Wildcard rules: what matches the "*" alone is one customer.
		{"at.ply.gg", subtree, Refuse, PublicSuffix},
		{"at.ply.gg", exact, Refuse, PublicSuffix},
		{"customer.at.ply.gg", subtree, Accept, ""},
		{"ec2-192-0-2-1.compute-1.amazonaws.com", subtree, Accept, ""},
		{"compute-1.amazonaws.com", below, Refuse, PublicSuffix},
		{"ck", subtree, Refuse, PublicSuffix},
		{"anything.ck", subtree, Accept, ""},
		{"www.ck", subtree, Accept, ""}, // an exception
		{"city.kawasaki.jp", subtree, Accept, ""},
		{"kawasaki.jp", subtree, Refuse, PublicSuffix},

		// Platforms.
		{"bit.ly", exact, Refuse, Platform},
		{"t.me", subtree, Refuse, Platform},
		{"evil.wordpress.com", subtree, Accept, ""},
		{"drive.google.com", exact, Refuse, Platform},
		{"google.com", subtree, Refuse, Platform}, // above drive.google.com
		{"google.com", exact, Accept, ""},         // no list of popular names has it here
		{"mooo.com", subtree, Hold, Platform},
		{"evil.mooo.com", subtree, Accept, ""},

		// The operator's own.
		{"corp.example", exact, Refuse, Protected},
		{"corp.example", below, Refuse, Protected},
		{"example", subtree, Refuse, Protected},
		{"www.corp.example", subtree, Accept, ""},
		{"lan.example", subtree, Refuse, Protected},
		{"host.lan.example", exact, Refuse, Protected},
		{"a.host.lan.example", subtree, Refuse, Protected},
		{"shop.example", subtree, Refuse, Protected},
		{"a.shop.example", subtree, Accept, ""},

		// Popular names.
		{"popular.example", exact, Hold, Popular},
		{"popular.example", below, Hold, Popular},
		{"a.popular.example", subtree, Accept, ""},
		{"news.example", subtree, Hold, Popular},
		{"news.example", below, Hold, Popular},
		{"news.example", exact, Accept, ""},
		{"a.deep.example", exact, Hold, Popular},
	} {
		i := &format.Indicator{Name: wire(t, test.name), Scope: test.scope}
		got := g.Judge(i)
		if got.Outcome != test.want || got.Kind != test.kind {
			t.Errorf("%s (scope %d): got %v %q (%s), want %v %q", test.name, test.scope, got.Outcome, got.Kind, got.Reason, test.want, test.kind)
		}
		if got.Outcome == Accept && got.Reason != "" || strings.HasSuffix(got.Reason, ".") {
			t.Errorf("%s: reason %q", test.name, got.Reason)
		}
		i.Action = format.PassThru
		if got := g.Judge(i); got != (Finding{}) {
			t.Errorf("%s as PASSTHRU: got %v, want it accepted: it blocks nothing", test.name, got)
		}
	}
}

// The host of a URL with a path is refused where the same name alone is held.
func TestNamesFromURLs(t *testing.T) {
	g := protected(t)
	for _, test := range []struct {
		name string
		want Outcome
		kind Kind
	}{
		{"evil.example", Accept, ""},
		{"evil.duckdns.org", Accept, ""},
		{"duckdns.org", Refuse, PublicSuffix},
		{"discord.com", Refuse, Platform},
		{"www.pastebin.com", Refuse, Platform},
		{"www.example.pastebin.com", Accept, ""},
		{"popular.example", Refuse, Popular},
		{"www.popular.example", Refuse, Popular},
		{"wwww.popular.example", Accept, ""},
		{"www.evil.example", Accept, ""},
	} {
		got := g.Judge(&format.Indicator{Name: wire(t, test.name), Scope: format.Exact, FromURL: true})
		if got.Outcome != test.want || got.Kind != test.kind {
			t.Errorf("%s: got %v %q (%s), want %v %q", test.name, got.Outcome, got.Kind, got.Reason, test.want, test.kind)
		}
		if got.Outcome == Refuse && !strings.Contains(got.Reason, "only the path is bad") {
			t.Errorf("%s: the reason says nothing of the URL: %s", test.name, got.Reason)
		}
	}
}

func TestPrefixes(t *testing.T) {
	const line, rule = false, true
	g := protected(t)
	for _, test := range []struct {
		prefix string
		policy bool
		want   Outcome
		kind   Kind
	}{
		{"198.51.100.1/32", line, Accept, ""}, // documentation is nobody's
		{"8.8.8.0/24", line, Accept, ""},
		{"2001:db8::2/128", line, Accept, ""},

		{"10.1.2.3/32", line, Refuse, Special},
		{"10.1.2.3/32", rule, Refuse, Special},
		{"10.0.0.0/8", line, Refuse, Special},
		{"10.0.0.0/8", rule, Accept, ""}, // rebinding protection
		{"10.0.0.0/9", rule, Refuse, Special},
		{"fc00::/7", rule, Accept, ""},
		{"fd00::/8", rule, Refuse, Special},
		{"172.16.0.0/11", line, Refuse, Wide},
		{"100.64.0.0/9", rule, Refuse, Wide},
		{"192.160.0.0/12", rule, Refuse, Special},
		{"192.168.1.0/24", line, Refuse, Special},
		{"100.64.3.4/32", line, Refuse, Special},
		{"127.0.0.1/32", line, Refuse, Special},
		{"0.0.0.0/32", line, Refuse, Special},
		{"169.254.169.254/32", line, Refuse, Special},
		{"224.0.0.251/32", line, Refuse, Special},
		{"255.255.255.255/32", line, Refuse, Special},
		{"::1/128", line, Refuse, Special},
		{"::/128", rule, Accept, ""},
		{"fe80::1/128", line, Refuse, Special},
		{"64:ff9b::c633:6401/128", line, Refuse, Special},

		{"0.0.0.0/0", rule, Refuse, Wide},
		{"104.0.0.0/8", rule, Refuse, Wide},
		{"104.0.0.0/11", line, Refuse, Wide},
		{"104.0.0.0/12", line, Accept, ""},
		{"2a00::/28", rule, Refuse, Wide},
		{"2a00::/29", line, Accept, ""},

		{"192.0.2.7/32", line, Refuse, Protected},
		{"192.0.2.0/24", line, Refuse, Protected},
		{"192.0.0.0/16", line, Refuse, Special}, // 192.0.0.0/24
		{"2001:db8::/32", line, Refuse, Protected},
		{"203.0.113.7/32", line, Hold, Popular},
		{"203.0.112.0/20", line, Hold, Popular},
		{"203.0.113.8/32", line, Accept, ""},
	} {
		i := &format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix(test.prefix), Action: format.NXDomain, Policy: test.policy}
		got := g.Judge(i)
		if got.Outcome != test.want || got.Kind != test.kind {
			t.Errorf("%s (rule of a zone: %t): got %v %q (%s), want %v %q", test.prefix, test.policy, got.Outcome, got.Kind, got.Reason, test.want, test.kind)
		}
	}
}

// One entry must not decide for half of the clients, nor let them off.
func TestClients(t *testing.T) {
	g := protected(t)
	for prefix, want := range map[string]Outcome{
		"0.0.0.0/1": Refuse, "0.0.0.0/0": Refuse, "10.0.0.0/8": Refuse, "198.50.0.0/15": Refuse, "198.51.0.0/16": Accept, "10.1.0.0/16": Accept,
		"192.0.2.7/32": Accept, "::/0": Refuse, "fc00::/7": Refuse, "2001:db8::/31": Refuse, "2001:db8::/32": Accept, "2001:db8::1/128": Accept,
	} {
		for _, action := range []format.Action{format.NXDomain, format.Drop, format.PassThru, format.Log, format.LocalData} {
			i := &format.Indicator{Trigger: format.ClientIP, Prefix: netip.MustParsePrefix(prefix), Action: action, Policy: true}
			got := g.Judge(i)
			if got.Outcome != want || want == Refuse && got.Kind != Wide || want == Accept && got != (Finding{}) {
				t.Errorf("%s, %v: got %+v, want %v", prefix, action, got, want)
			}
			approved, err := NewOverrides([]string{Entry(i)})
			if err != nil || !approved.Has(i) {
				t.Errorf("%s cannot be approved: %v", prefix, err)
			}
		}
	}
}

// What everybody's machines need, and what of arpa can be an indicator.
func TestEssentialNames(t *testing.T) {
	const line, rule = false, true
	g := protected(t)
	for _, test := range []struct {
		name   string
		policy bool
		want   Outcome
		kind   Kind
	}{
		{"root-servers.net", line, Refuse, Essential},
		{"a.root-servers.net", line, Refuse, Essential},
		{"gtld-servers.net", rule, Refuse, Essential},
		{"use-application-dns.net", line, Refuse, Essential},
		{"letsencrypt.org", line, Refuse, Essential},
		{"acme-v02.api.letsencrypt.org", line, Refuse, Essential},
		{"community.letsencrypt.org", line, Accept, ""},
		{"r3.o.lencr.org", line, Refuse, Essential},
		{"ocsp.digicert.com", line, Refuse, Essential},
		{"digicert.com", line, Refuse, Essential},
		{"windowsupdate.com", line, Refuse, Essential},
		{"ctldl.windowsupdate.com", line, Refuse, Essential},
		{"evil-windowsupdate.com", line, Accept, ""},
		{"time.windows.com", line, Refuse, Essential},
		{"windows.com", line, Refuse, Essential}, // above it
		{"pool.ntp.org", line, Refuse, Essential},
		{"2.debian.pool.ntp.org", line, Refuse, Essential},
		{"captive.apple.com", line, Refuse, Essential},

		{"arpa", line, Refuse, PublicSuffix},
		{"in-addr.arpa", line, Refuse, PublicSuffix},
		{"10.in-addr.arpa", line, Refuse, Essential},
		{"10.in-addr.arpa", rule, Accept, ""}, // answered at home (RFC 6303)
		{"8.in-addr.arpa", rule, Refuse, Essential},
		{"51.198.in-addr.arpa", line, Refuse, Essential},
		{"100.51.198.in-addr.arpa", line, Accept, ""},
		{"1.168.192.in-addr.arpa", line, Refuse, Essential},
		{"1.168.192.in-addr.arpa", rule, Accept, ""},
		{"7.100.51.198.in-addr.arpa", line, Accept, ""},
		{"mail.7.100.51.198.in-addr.arpa", line, Accept, ""},
		{"256.51.198.in-addr.arpa", line, Refuse, Essential},
		{"1.0.0.2.ip6.arpa", line, Refuse, Essential},
		{"8.b.d.0.1.0.0.2.ip6.arpa", line, Refuse, Essential},
		{"0.c.3.0.8.b.d.0.1.0.0.2.ip6.arpa", line, Accept, ""},
		{"phishing.0.c.3.0.8.b.d.0.1.0.0.2.ip6.arpa", line, Accept, ""},
		{"0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", line, Refuse, Essential},
		{"g.c.3.0.8.b.d.0.1.0.0.2.ip6.arpa", line, Refuse, Essential},
		{"ipv4only.arpa", line, Refuse, Essential},
		{"resolver.arpa", rule, Refuse, Essential},
		{"router.home.arpa", line, Refuse, Essential},
		{"a.in-addr-servers.arpa", line, Refuse, Essential},
		{"arpa.example", line, Accept, ""},
		{`10.in-addr\004arpa`, line, Accept, ""}, // no label arpa
		{`10.x\004arpa.example`, line, Accept, ""},
		{`a.10\004arpa`, line, Accept, ""},
	} {
		i := &format.Indicator{Name: wire(t, test.name), Scope: format.Subtree, Action: format.NXDomain, Policy: test.policy}
		if got := g.Judge(i); got.Outcome != test.want || got.Kind != test.kind {
			t.Errorf("%s (rule of a zone: %t): got %v %q (%s), want %v %q", test.name, test.policy, got.Outcome, got.Kind, got.Reason, test.want, test.kind)
		}
	}
	if got := open(t, Options{}).Judge(&format.Indicator{Name: wire(t, "10.in-addr.arpa"), Scope: format.Subtree}); got != (Finding{}) {
		t.Errorf("without what is built in: %+v, want it accepted", got)
	}
}

func TestReasons(t *testing.T) {
	own := write(t, "own.txt", "\n*.corp.example\n192.0.2.0/24\n")
	popular := write(t, "popular.txt", "news.example\n")
	g := open(t, Options{PublicSuffixes: true, Platforms: true, Files: []string{own}, Hold: []string{popular}})
	name := func(name string, scope format.Scope) *format.Indicator {
		return &format.Indicator{Name: wire(t, name), Scope: scope}
	}
	fromURL := name("news.example", format.Exact)
	fromURL.FromURL = true
	for want, i := range map[string]*format.Indicator{
		"co.uk is a public suffix; list the full names below it that are meant, or approve the entry":                                                                        name("co.uk", format.Exact),
		"at.ply.gg is above public suffixes (a wildcard rule); list the full names below it that are meant, or approve the entry":                                            name("at.ply.gg", format.Subtree),
		"*.akershus.no stands above nes.akershus.no, a public suffix, and would block it; list the full names below it that are meant, or approve the entry":                 name("akershus.no", format.Below),
		"zip2 is a single label, which would block a whole top-level domain; list the full names below it that are meant, or approve the entry":                              name("zip2", format.Exact),
		"tr.im is a shared platform (URL shorteners); list the full names below it that are meant, or approve the entry":                                                     name("tr.im", format.Exact),
		"mooo.com is used by many (dynamic DNS); approve the entry if it is meant":                                                                                           name("mooo.com", format.Subtree),
		"corp.example is protected (" + own + ":2); take it out of that file or approve the entry if it is meant":                                                            name("corp.example", format.Exact),
		"a.corp.example stands below corp.example, protected (" + own + ":2) together with all names below it; take it out of that file or approve the entry if it is meant": name("a.corp.example", format.Exact),
		"news.example is a popular name (" + popular + ":1); approve the entry if it is meant":                                                                               name("news.example", format.Exact),
		"news.example is a popular name (" + popular + ":1), and the entry is a URL of which only the path is bad; approve the entry if it is meant":                         fromURL,
		"192.0.2.1 overlaps 192.0.2.0/24, protected (" + own + ":3); take it out of that file or approve the entry if it is meant": {
			Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.1/32")},
		"root-servers.net is essential to everybody (servers and signals of the DNS); approve the entry if it is meant":                                                name("root-servers.net", format.Exact),
		"8.in-addr.arpa is in arpa, which the DNS itself needs, and stands for more than the names of a public /24 or, of IPv6, /48; approve the entry if it is meant": name("8.in-addr.arpa", format.Subtree),
		"104.0.0.0/8 is shorter than /12 and would block a good part of the Internet; list the networks that are meant, or approve the entry": {
			Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("104.0.0.0/8")},
		"0.0.0.0/1 is shorter than /16 and would decide for all clients in it; list the networks that are meant, or approve the entry": {
			Trigger: format.ClientIP, Prefix: netip.MustParsePrefix("0.0.0.0/1")},
		"192.160.0.0/12 contains 192.168.0.0/16, private (RFC 1918), which says nothing about malware; protection against rebinding is an RPZ rule for the whole block; approve the entry if it is meant": {
			Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.160.0.0/12")},
		"10.1.2.3/32 is in 10.0.0.0/8, private (RFC 1918), which says nothing about malware; protection against rebinding is an RPZ rule for the whole block; approve the entry if it is meant": {
			Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("10.1.2.3/32")},
	} {
		if got := g.Judge(i).Reason; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What is not asked for is not protected; special-use addresses always are.
func TestNothingProtected(t *testing.T) {
	g := open(t, Options{})
	for _, name := range []string{"com", "co.uk", "bit.ly", "google.com", "."} {
		if got := g.Judge(&format.Indicator{Name: wire(t, name), Scope: format.Subtree}); got.Outcome != Accept {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if got := g.Judge(&format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("10.1.2.3/32")}); got.Kind != Special {
		t.Errorf("10.1.2.3: got %v", got)
	}
}

// A current Public Suffix List adds to the one that is built in.
func TestSuffixFile(t *testing.T) {
	path := write(t, "public_suffix_list.dat", `// This Source Code Form is subject to ...

// ===BEGIN ICANN DOMAINS===
new-tld
рф
// ===END ICANN DOMAINS===
// ===BEGIN PRIVATE DOMAINS===
hoster.example   trailing words are no part of it
*.wild.example
!not.wild.example
// ===END PRIVATE DOMAINS===
`)
	g := open(t, Options{Files: []string{path}})
	for name, want := range map[string]Outcome{
		"new-tld": Refuse, "xn--p1ai": Refuse, "hoster.example": Refuse, "wild.example": Refuse, "example": Refuse,
		"a.hoster.example": Accept, "a.wild.example": Accept, "not.wild.example": Accept, "com": Accept,
	} {
		got := g.Judge(&format.Indicator{Name: wire(t, name), Scope: format.Subtree})
		if got.Outcome != want || want == Refuse && (got.Kind != PublicSuffix || !strings.Contains(got.Reason, path)) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"a.example\nb example\n":                `:2: found "b example", expected a name, *.name, an address or a prefix on each line`,
		"10.0.0.1/8\n":                          `:1: found 10.0.0.1/8 with bits set beyond its length, expected 10.0.0.0/8 for the network or 10.0.0.1 for the one address`,
		"*\n":                                   `:1: found "*", expected a name, *.name, an address or a prefix on each line`,
		"https://a.example/\n":                  `:1: found "https://a.example/", expected a name, *.name, an address or a prefix on each line`,
		"\n\na..example\n":                      `:3: found "a..example", an empty label, expected one dot between labels; expected a name, *.name, an address or a prefix on each line`,
		"17,\n":                                 `:1: found a rank without a name, expected a name, *.name, an address or a prefix on each line`,
		".\n":                                   `:1: found the root, which everything is below; expected a name, *.name, an address or a prefix on each line`,
		"<html>\n":                              `:1: found "<html>", expected a name, *.name, an address or a prefix on each line`,
		strings.Repeat("a", 70<<10):             `:1: a line of more than 65536 octets, expected one name, address or prefix a line: is this another file?`,
		"// ===BEGIN ICANN DOMAINS===\n*.a.*\n": `:2: found "*.a.*", expected a rule of the Public Suffix List`,
		"\x1f\x8b\x08":                          `: ends in the middle of its compressed data, expected a whole file: copy or download it again (unexpected EOF)`,
	} {
		path := write(t, "bad.txt", text)
		for key, o := range map[string]Options{"guard.files[0]: ": {Files: []string{path}}, "guard.hold[0]: ": {Hold: []string{path}}} {
			if _, err := Open(o); err == nil || err.Error() != key+path+want {
				t.Errorf("%.40q: got  %v\nwant %s", text, err, key+path+want)
			}
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.txt")
	if _, err := Open(Options{Hold: []string{missing}}); err == nil || !strings.HasPrefix(err.Error(), "guard.hold[0]: "+missing+": ") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want an error that begins with the key and the file", err)
	}
}

// TestAllBadLines are told, so that one run is enough to mend a file; of a file
// that is another altogether only the first.
func TestAllBadLines(t *testing.T) {
	few := write(t, "few.txt", "a.example\nb example\nc.example\nd example\n")
	many := write(t, "many.txt", strings.Repeat("no name\n", maxFaults+5))
	_, err := Open(Options{Files: []string{write(t, "good.txt", "a.example\n"), few}, Hold: []string{many}})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2+maxFaults+1 {
		t.Fatalf("%d lines:\n%v", len(lines), err)
	}
	for i, want := range map[int]string{
		0: "guard.files[1]: " + few + ":2: found \"b example\", ", 1: "guard.files[1]: " + few + ":4: found \"d example\", ",
		2: "guard.hold[0]: " + many + ":1: ", len(lines) - 1: "guard.hold[0]: " + many + ": and 5 more lines",
	} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d: %s\nwant %s", i, lines[i], want)
		}
	}
}

func TestDigest(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	text := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text(a, "a.example\n")
	text(b, "b.example\n")
	seen := make(map[string]Options)
	for _, o := range []Options{
		{}, {PublicSuffixes: true}, {Platforms: true}, {PublicSuffixes: true, Platforms: true},
		{Files: []string{a}}, {Files: []string{b}}, {Files: []string{a, b}}, {Hold: []string{a}}, {Files: []string{a}, Hold: []string{b}},
	} {
		digest := open(t, o).Digest()
		if other, found := seen[digest]; found {
			t.Errorf("%+v and %+v have one digest", o, other)
		}
		seen[digest] = o
		if again := open(t, o).Digest(); again != digest || !strings.HasPrefix(digest, "sha256:") {
			t.Errorf("%+v: digest %s, then %s", o, digest, again)
		}
	}
	text(a, "c.example\n")
	if _, found := seen[open(t, Options{Files: []string{a}}).Digest()]; found {
		t.Error("another content has the same digest")
	}
}

func TestOverrides(t *testing.T) {
	o, err := NewOverrides([]string{"tr.im", "*.Пример.рф.", "192.0.2.0/24", "2001:db8::1", "."})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		i    format.Indicator
		want bool
	}{
		{format.Indicator{Name: wire(t, "tr.im"), Scope: format.Exact}, true},
		{format.Indicator{Name: wire(t, "tr.im"), Scope: format.Below}, true},
		{format.Indicator{Name: wire(t, "a.tr.im")}, false},
		{format.Indicator{Name: wire(t, "im")}, false},
		{format.Indicator{Name: wire(t, "пример.рф"), Scope: format.Subtree}, true},
		{format.Indicator{Name: []byte{0}, Scope: format.Below}, true},
		{format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.0/24")}, true},
		{format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.1/32")}, false},
		{format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix("2001:db8::1/128")}, true},
	} {
		if got := o.Has(&test.i); got != test.want {
			t.Errorf("%s: got %t, want %t", Entry(&test.i), got, test.want)
		}
		if (*Overrides)(nil).Has(&test.i) {
			t.Errorf("%s: approved by nobody", Entry(&test.i))
		}
		// What a finding calls the entry approves it.
		self, err := NewOverrides([]string{Entry(&test.i)})
		if err != nil || !self.Has(&test.i) {
			t.Errorf("%s does not approve itself (error %v)", Entry(&test.i), err)
		}
	}
	if _, err := NewOverrides([]string{"a..b"}); err == nil {
		t.Error("a..b is approved")
	}
}

func TestConcurrentJudging(t *testing.T) {
	g := protected(t)
	i := &format.Indicator{Name: wire(t, "a.host.lan.example"), Scope: format.Subtree}
	want := g.Judge(i)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				if got := g.Judge(i); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
	all.Wait()
}
