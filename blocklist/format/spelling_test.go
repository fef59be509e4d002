package format

import (
	"slices"
	"strings"
	"testing"
)

// TestSpelling holds that in every notation of lines a name may have any case, a
// final dot and letters beyond ASCII, and the list a byte order mark and lines
// that end with CRLF or not at all.
func TestSpelling(t *testing.T) {
	for kind, form := range map[Kind]string{
		Domains: "%", Hosts: "0.0.0.0 %", Adblock: "||%^", Dnsmasq: "address=/%/0.0.0.0", Unbound: `local-zone: "%" static`,
		BIND: `zone "%" { type master; };`, Dnscrypt: "=%", CSV: "%,domain",
		Suricata: `alert tls any any -> any any (tls.sni; content:"%"; sid:1;)`, RPZ: "% CNAME .",
	} {
		t.Run(string(kind), func(t *testing.T) {
			list := map[Kind]string{CSV: "indicator,type\n", RPZ: "$ORIGIN .\n@ SOA . . 1 2 3 4 5\n"}[kind]
			for _, name := range []string{"plain.example", "Upper.EXAMPLE", "final.example.", "Bücher.Example", "xn--Bcher-KVA.example.", "_tcp.under_score.example"} {
				list += strings.ReplaceAll(form, "%", name) + "\n"
			}
			want := []string{"plain.example", "upper.example", "final.example", "xn--bcher-kva.example", "xn--bcher-kva.example", "_tcp.under_score.example"}
			for _, text := range []string{list, "\xef\xbb\xbf" + list, strings.ReplaceAll(list, "\n", "\r\n"), strings.TrimSuffix(list, "\n"), strings.ReplaceAll(list, "\n", "\n\n")} {
				for _, wanted := range []Kind{Auto, kind} {
					var got []string
					result, err := Parse(strings.NewReader(text), Options{Kind: wanted}, func(ind *Indicator) { got = append(got, Text(ind.Name)) },
						func(f Fault) { t.Errorf("fault %+v", f) })
					if err != nil || result.Kind != kind || !slices.Equal(got, want) {
						t.Errorf("%q: %+v, %v, names %q", text, result, err, got)
					}
				}
			}
		})
	}
}
