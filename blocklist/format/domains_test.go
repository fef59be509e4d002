package format

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestOddLines decides each category of odd line that real lists hold.
func TestOddLines(t *testing.T) {
	const refusedLine, malformedLine = "refused", "malformed"
	label64 := strings.Repeat("a", 64)
	for _, tt := range []struct{ category, line, want string }{
		{"plain", "bad.example", "subtree bad.example"},
		{"upper case", "LAPTOP-8OQ.Bad.EXAMPLE", "subtree laptop-8oq.bad.example"},
		{"final dot", "bad.example.", "subtree bad.example"},
		{"space around", "\t bad.example \t", "subtree bad.example"},
		{"comment at line end", "bad.example    # was: bäd.example", "subtree bad.example"},
		{"comment at line end", "bad.example\t; note", "subtree bad.example"},
		{"comment at line end", "bad.example // note", "subtree bad.example"},
		{"punycode", "xn--bcher-kva.example", "subtree xn--bcher-kva.example"},
		{"punycode nobody could have registered", "xn--a.example", "subtree xn--a.example"},
		{"non-ASCII", "Bücher.example", "subtree xn--bcher-kva.example"},
		{"non-ASCII, decomposed", "bu\u0308cher.example", "subtree xn--bcher-kva.example"},
		{"non-ASCII dots", "bad。example", "subtree bad.example"},
		{"non-ASCII path", "/Госуслуги.apk", refusedLine},
		{"Latin-1", "b\xfccher.example", malformedLine},
		{"underscore", "m2q_119x._tcp.bad.example", "subtree m2q_119x._tcp.bad.example"},
		{"leading hyphen", "-bad.example", "subtree -bad.example"},
		{"leading digit", "0bad.9example", "subtree 0bad.9example"},
		{"wildcard", "*.bad.example", "subtree bad.example"},
		{"leading dot", ".bad.example", "subtree bad.example"},
		{"glob", "*bad.example", refusedLine},
		{"glob", "ads.*.example", refusedLine},
		{"IPv4", "192.0.2.1", "response-ip 192.0.2.1/32"},
		{"IPv6", "2001:DB8::1", "response-ip 2001:db8::1/128"},
		{"IPv6 with a zone", "fe80::1%eth0", malformedLine},
		{"IPv4-mapped", "::ffff:192.0.2.1", "response-ip 192.0.2.1/32"},
		{"CIDR", "198.51.100.0/24", "response-ip 198.51.100.0/24"},
		{"CIDR", "2001:db8::/32", "response-ip 2001:db8::/32"},
		{"CIDR, IPv4-mapped", "::ffff:192.0.2.0/120", "response-ip 192.0.2.0/24"},
		{"CIDR, wider than IPv4-mapped", "::ffff:0:0/90", malformedLine},
		{"CIDR with host bits", "198.51.100.1/24", malformedLine},
		{"CIDR too long", "198.51.100.1/33", malformedLine},
		{"CIDR too wide", "0.0.0.0/0", refusedLine},
		{"CIDR too wide", "10.0.0.0/7", refusedLine},
		{"CIDR too wide", "2000::/15", refusedLine},
		{"unspecified", "0.0.0.0", refusedLine},
		{"unspecified", "::", refusedLine},
		{"loopback", "127.0.0.53", refusedLine},
		{"loopback", "::1", refusedLine},
		{"loopback within", "::/64", refusedLine},
		{"private", "10.1.2.3", "response-ip 10.1.2.3/32"},
		{"ip:port", "192.0.2.1:8443", "response-ip 192.0.2.1/32"},
		{"ip:port", "192.0.2.1:0", malformedLine},
		{"ip:port", "192.0.2.1:65536", malformedLine},
		{"ip:port", "192.0.2.1:", malformedLine},
		{"[IPv6]:port", "[2001:db8::7f9]:443", "response-ip 2001:db8::7f9/128"},
		{"[IPv6]:port", "[2001:db8:0:0:0:0:0:7f9]", "response-ip 2001:db8::7f9/128"},
		{"[IPv6]:port", "[0:0:0:0:0:ffff:c000:201]:53", "response-ip 192.0.2.1/32"},
		{"[IPv6]:port", "[fe80::bdd9:fd11:ea3f:a4]:135", "response-ip fe80::bdd9:fd11:ea3f:a4/128"},
		{"[IPv6]:port", "[2001:db8::7f9]443", malformedLine},
		{"[IPv6]:port", "[2001:db8::g]", malformedLine},
		{"name:port", "bad.example:8080", "subtree bad.example"},
		{"name:port", "bad.example:http", malformedLine},
		{"scheme and port", "http://192.0.2.1:81", "response-ip 192.0.2.1/32"},
		{"scheme and port", "http://192.0.2.1:8080/products.do", "response-ip 192.0.2.1/32 from-url"},
		{"scheme and port", "http://[2001:db8::1]:81/", "response-ip 2001:db8::1/128"},
		{"scheme", "http://192.0.2.1", "response-ip 192.0.2.1/32"},
		{"other scheme", "ftp://ftp.bad.example", "subtree ftp.bad.example"},
		{"scheme and wildcard", "http://*.bad.example/", refusedLine},
		{"defanged", "hxxp://bad.example/", malformedLine},
		{"defanged", "bad[.]example", malformedLine},
		{"defanged", "192[.]0.2.1", malformedLine},
		{"credentials", "http://user:secret@bad.example/", refusedLine},
		{"e-mail", "someone@bad.example", refusedLine},
		{"host with path", "bad.example/qwj/39f", "subtree bad.example from-url"},
		{"host with path", "https://user.bad.example/a@b?c=http://x/", "subtree user.bad.example from-url"},
		{"host with path", "BÜCHER.example./x", "subtree xn--bcher-kva.example from-url"},
		{"host with path", "1.2.3/x", refusedLine},
		{"host with path", "example/x", refusedLine},
		{"host with path", "*.bad.example/x", refusedLine},
		{"host with path", "bad..example/x", malformedLine},
		{"host with path", "http://user@bad.example/x", refusedLine},
		{"host with path", "hxxp://bad.example/x", malformedLine},
		{"host with path", "oyqfhp3h5yo3kvse.onion/x", refusedLine},
		{"host with path", "127.0.0.1/x", refusedLine},
		{"host with fragment", "bad.example#x", "subtree bad.example from-url"},
		{"host with query", "bad.example?id=1", "subtree bad.example from-url"},
		{"trailing slash", "bad.example/news/", "subtree bad.example from-url"},
		{"trailing slash", "bad.example/", "subtree bad.example"},
		{"trailing slash", "https://bad.example/", "subtree bad.example"},
		{"port and path", "bad.example:443/img/jquery.php", "subtree bad.example from-url"},
		{"port and path", "192.0.2.1:8443/node.js", "response-ip 192.0.2.1/32 from-url"},
		{"address with path", "192.0.2.1/24/", refusedLine},
		{"address with path", "http://192.0.2.1/24", "response-ip 192.0.2.1/32 from-url"},
		{"address with query", "192.0.2.1?24", "response-ip 192.0.2.1/32 from-url"},
		{"address with path", "[2001:db8::1]:81/x", "response-ip 2001:db8::1/128 from-url"},
		{"path only", "/365-Stealer/", refusedLine},
		{"path only", "/two words.apk", refusedLine},
		{"scheme only", "http://", refusedLine},
		{"query only", "?id=1", refusedLine},
		{"scheme and path only", "http:///x", refusedLine},
		{"regular expression", `\b(atz|mtx)[0-9a-z]+\.(example|test)`, refusedLine},
		{"regular expression", `^[a-z]{1,3}\-bad\.(example|test)$`, refusedLine},
		{"regular expression", `[a-z]{3}.bad.example`, refusedLine},
		{"not in public DNS", "oyqfhp3h5yo3kvse.onion", refusedLine},
		{"not in public DNS", "OYQFHP3H5YO3KVSE.ONION.", refusedLine},
		{"label over 63, not in public DNS", label64 + ".onion", refusedLine},
		{"label over 63", label64 + ".example", malformedLine},
		{"name of 300 octets", strings.Repeat(strings.Repeat("a", 59)+".", 5)[:298], malformedLine},
		{"empty label", "bad..example", malformedLine},
		{"only dots", "..", malformedLine},
		{"root", ".", malformedLine},
		{"single label", "example", refusedLine},
		{"single label", "*.example", refusedLine},
		{"single label that is a number", "0x5bf076a8", refusedLine},
		{"numeric last label", "c67f045c2f.bad.1433", refusedLine},
		{"numeric last label", "0000153.0000255.0000011.0000125", refusedLine},
		{"numeric last label", "0056.0151.0121.0114", refusedLine},
		{"numeric last label", "bad.0xf0", refusedLine},
		{"address in a wildcard list", "*.192.0.2.1", refusedLine},
		{"two fields", "bad.example worse.example", malformedLine},
		{"a character names have not", "bad!.example", malformedLine},
		{"a control character", "bad\x01.example", malformedLine},
		{"a comma", "bad.example,", malformedLine},
		{"public suffix bare: the guard's matter", "storage.example", "subtree storage.example"},
	} {
		t.Run(tt.category+" "+tt.line, func(t *testing.T) {
			// A good line keeps the list from failing as a whole.
			got := parse("good.example\n"+tt.line+"\n", Options{Kind: Domains})
			switch tt.want {
			case refusedLine, malformedLine:
				expect(t, got, "1 subtree good.example")
				if len(got.faults) != 1 || got.faults[0].Refused != (tt.want == refusedLine) || got.faults[0].Line != 2 {
					t.Errorf("faults %+v, want one %s on line 2", got.faults, tt.want)
				}
			default:
				expect(t, got, "1 subtree good.example", "2 "+tt.want)
			}
		})
	}
}

func TestLongLines(t *testing.T) {
	for _, length := range []int{maxLine, maxLine + 1, 2 * maxLine, 2*maxLine + 1, 5 * maxLine} {
		long := strings.Repeat("a", length)
		for _, kind := range []Kind{Domains, Hosts} {
			address := ""
			if kind == Hosts {
				address = "0.0.0.0 "
			}
			got := parse(address+"bad.example\n"+long+"\n"+address+"worse.example\n"+long, Options{Kind: kind, Match: "exact"})
			expect(t, got, "1 exact bad.example", "3 exact worse.example")
			if len(got.faults) != 2 || got.faults[0].Line != 2 || got.faults[1].Line != 4 || got.result.Lines != 4 {
				t.Errorf("%s, %d octets: %+v, faults %+v", kind, length, got.result, got.faults)
			}
		}
	}
}

// TestDomainsBareHost tells of what looks like a comment and may be a URL.
func TestDomainsBareHost(t *testing.T) {
	got := parse("good.example // the first\n//m29.example\n //m30.example/path\n//192.0.2.1:80\n// a comment\n//comment\n//= x\n//\n//a.b c\n///////\n", Options{})
	expectEntries(t, got, "1 subtree good.example")
	var at []string
	for _, f := range got.faults {
		at = append(at, fmt.Sprintf("%d:%d %v %s", f.Line, f.Column, f.Refused, f.Text))
	}
	if want := []string{"2:1 true //m29.example", "3:2 true //m30.example/path", "4:1 true //192.0.2.1:80"}; !slices.Equal(at, want) {
		t.Errorf("faults %q, want %q", at, want)
	}
}
