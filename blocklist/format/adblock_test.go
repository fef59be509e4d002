package format

import (
	"fmt"
	"strings"
	"testing"
)

// TestAdblock decides what DNS can apply of adblock rules.
func TestAdblock(t *testing.T) {
	const malformedRule, refusedRule, notForDNS = "malformed", "refused", "not applicable"
	for _, tt := range []struct{ rule, want string }{
		{"||bad.example^", "subtree bad.example order=2"},
		{" ||Bad.EXAMPLE^\t", "subtree bad.example order=2"},
		{"||bad.example.^", "subtree bad.example order=2"},
		{"||bad.example^|", "subtree bad.example order=2"},
		{"||bad.example|", "subtree bad.example order=2"},
		{"||bad.example", "subtree bad.example order=2"},
		{"||bad.example^*", "subtree bad.example order=2"},
		{"||bad.example/", "subtree bad.example order=2"},
		{"||bücher.example^", "subtree xn--bcher-kva.example order=2"},
		{"||_tcp.bad.example^", "subtree _tcp.bad.example order=2"},
		{"|bad.example^", "exact bad.example order=2"},
		{"|bad.example|", "exact bad.example order=2"},
		{"bad.example^", "subtree bad.example order=2"},
		{"bad.example", "exact bad.example order=2"},
		{"||*.bad.example^", "below bad.example order=2"},
		{"*.bad.example^", "below bad.example order=2"},
		{".bad.example^", "below bad.example order=2"},
		{"||192.0.2.1^", "response-ip 192.0.2.1/32 order=2"},
		{"192.0.2.1", "response-ip 192.0.2.1/32 order=2"},
		{"||2001:db8::1^", "response-ip 2001:db8::1/128 order=2"},
		{"||[2001:db8::1]^", "response-ip 2001:db8::1/128 order=2"},
		{"0.0.0.0 bad.example # note", "exact bad.example order=2"},
		{"@@||good.example^", "subtree good.example passthru order=1"},
		{"@@|good.example^", "exact good.example passthru order=1"},
		{"@@good.example", "exact good.example passthru order=1"},
		{"@@||192.0.2.1^", "response-ip 192.0.2.1/32 passthru order=1"},
		{"||bad.example^$important", "subtree bad.example"},
		{"@@||good.example^$important", "subtree good.example passthru"},
		{"||bad.example^$all", "subtree bad.example order=2"},
		{"||bad.example^$document", "subtree bad.example order=2"},
		{"||bad.example^$doc,popup", "subtree bad.example order=2"},
		{"||bad.example^$network", "subtree bad.example order=2"},
		{"||bad.example^$all,important", "subtree bad.example"},
		{"||bad.example^$___,important", "subtree bad.example"},
		{"||bad.example$all", "subtree bad.example order=2"},
		{"||bad.example^$badfilter", "subtree bad.example taken-back order=2"},
		{"|bad.example^$badfilter", "exact bad.example taken-back order=2"},
		{"||bad.example^$all,badfilter", "subtree bad.example taken-back order=2"},
		{"||bad.example^$badfilter,important", "subtree bad.example taken-back"},
		{"@@||bad.example^$badfilter", "subtree bad.example passthru taken-back order=1"},
		{"||192.0.2.1^$badfilter", "response-ip 192.0.2.1/32 taken-back order=2"},

		{"||bad.example^$third-party", notForDNS},
		{"||bad.example^$3p", notForDNS},
		{"||bad.example^$all,third-party", notForDNS},
		{"||bad.example^$popup", notForDNS},
		{"||bad.example^$script,image", notForDNS},
		{"||bad.example^$~document", notForDNS},
		{"||bad.example^$domain=good.example|~other.example", notForDNS},
		{"||bad.example^$denyallow=good.example", notForDNS},
		{"||bad.example^$dnstype=AAAA", notForDNS},
		{"||bad.example^$dnsrewrite=NOERROR;A;192.0.2.1", notForDNS},
		{"||bad.example^$client=192.0.2.7", notForDNS},
		{"||bad.example^$ctag=device_tv", notForDNS},
		{"||bad.example^$popup,badfilter", notForDNS},
		{"||bad.example^$third-party,badfilter", notForDNS},
		{"@@||good.example^$document", notForDNS},
		{"@@||good.example^$elemhide", notForDNS},
		{"||bad.example/ads/", notForDNS},
		{"||bad.example^*/ads/", notForDNS},
		{"||bad.example:8080^", notForDNS},
		{"|https://bad.example^", notForDNS},
		{"http://bad.example/", notForDNS},
		{"||ad.", notForDNS},
		{"||ads.bad.", notForDNS},
		{"||ads*.bad.example^", notForDNS},
		{"||*^", notForDNS},
		{"-banner-$image", notForDNS},
		{"&ad_box=", notForDNS},
		{"/^ads[0-9]+\\./", notForDNS},
		{"/banner/*/img^", notForDNS},
		{"@@/ads.js", notForDNS},
		{"bad.example##.banner", notForDNS},
		{"##.banner", notForDNS},
		{"###ad-box", notForDNS},
		{"bad.example#@#.banner", notForDNS},
		{"bad.example#?#div:has(> a)", notForDNS},
		{"bad.example#$#body { color: red }", notForDNS},
		{"bad.example#%#window.x = 1;", notForDNS},
		{"bad.example$$script[data-x]", notForDNS},
		{"[$path=/x]bad.example##.banner", notForDNS},

		{"||example^", refusedRule},
		{"||bad.onion^", refusedRule},
		{"||1.2.3^", refusedRule},
		{"||*.192.0.2.1^", refusedRule},
		{"||127.0.0.1^", refusedRule},

		{"||bad..example^", malformedRule},
		{"||^", malformedRule},
		{"@@", malformedRule},
		{"||" + strings.Repeat("a", 64) + ".example^", malformedRule},
		{"||bad!.example^", malformedRule},
		{"||bad.example^$", malformedRule},
		{"two words", malformedRule},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got := parse("[Adblock Plus 2.0]\n||first.example^\n"+tt.rule+"\n", Options{})
			if got.result.Kind != Adblock {
				t.Fatalf("%+v, error %v", got.result, got.err)
			}
			switch tt.want {
			case malformedRule, refusedRule, notForDNS:
				expect(t, got, "2 subtree first.example order=2")
				if len(got.faults) != 1 || className(got.faults[0]) != tt.want || got.faults[0].Line != 3 {
					t.Errorf("faults %+v, want one %s on line 3", got.faults, tt.want)
				}
			default:
				expect(t, got, "2 subtree first.example order=2", "3 "+tt.want)
			}
		})
	}
}

// TestAdblockComments holds what is read over without a word.
func TestAdblockComments(t *testing.T) {
	got := parse("\xef\xbb\xbf[Adblock Plus 2.0]\r\n! Title: x\r\n!#if ext_abp\r\n# a note\r\n#\r\n#### note\r\n\r\n||bad.example^\r\n", Options{})
	expect(t, got, "8 subtree bad.example order=2")
	if len(got.faults) > 0 {
		t.Errorf("faults %+v", got.faults)
	}
}

// TestAdblockAllCosmetic holds that a list without a rule for DNS is empty, not
// broken.
func TestAdblockAllCosmetic(t *testing.T) {
	got := parse("[Adblock Plus 2.0]\n"+strings.Repeat("bad.example##.banner\n", 200), Options{})
	expect(t, got)
	if got.result.NotApplicable != 200 || len(got.result.Warnings) != 1 {
		t.Errorf("%+v", got.result)
	}
}

// className is what a fault says of its entry, as tests write it.
func className(f Fault) string {
	switch {
	case f.NotApplicable && f.Refused:
		return "not applicable"
	case f.NotApplicable:
		return fmt.Sprintf("not applicable but not refused: %+v", f)
	case f.Refused:
		return "refused"
	}
	return "malformed"
}
