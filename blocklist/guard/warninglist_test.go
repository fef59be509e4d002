package guard

import (
	"net/netip"
	"strings"
	"testing"

	"sinkhole/blocklist/format"
)

const hostnames = `{
  "description": "Event contains one or more entries of known shared hosts",
  "list": [
    "shared.example",
    ".dotted.example",
    "192.0.2.7"
  ],
  "matching_attributes": ["domain", "hostname", "url"],
  "name": "Shared hosts",
  "type": "hostname",
  "version": 20240101
}
`

func TestWarninglist(t *testing.T) {
	g := open(t, Options{Files: []string{
		write(t, "hosts.json", hostnames),
		write(t, "ranges.json", "\xef\xbb\xbf\n"+`{"list": ["198.51.100.0/24", "2001:db8::/32"], "type": "cidr"}`),
	}, Hold: []string{write(t, "popular.json", `{"type": "string", "list": ["popular.example"]}`)}})
	for name, want := range map[string]Outcome{
		"shared.example": Refuse, "customer.shared.example": Accept, "dotted.example": Refuse, "popular.example": Hold, "other.example": Accept,
	} {
		f := g.Judge(&format.Indicator{Name: wire(t, name), Scope: format.Subtree})
		if f.Outcome != want {
			t.Errorf("%s: got %v (%s), want %v", name, f.Outcome, f.Reason, want)
		}
		if name == "dotted.example" && !strings.Contains(f.Reason, "hosts.json:5)") {
			t.Errorf("%s: %s, want the line", name, f.Reason)
		}
	}
	for prefix, want := range map[string]Outcome{"192.0.2.7/32": Refuse, "198.51.100.9/32": Refuse, "2001:db8:1::/48": Refuse, "203.0.113.1/32": Accept} {
		if f := g.Judge(&format.Indicator{Trigger: format.ResponseIP, Prefix: netip.MustParsePrefix(prefix)}); f.Outcome != want {
			t.Errorf("%s: got %v (%s), want %v", prefix, f.Outcome, f.Reason, want)
		}
	}
}

func TestWarninglistFaults(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(hostnames, `"hostname",
  "ver`, `"regex",
  "ver`, 1): `: found a warning list of type "regex", expected one of names or addresses (hostname, string, cidr): leave it out`,
		strings.Replace(hostnames, "192.0.2.7", "https://a.example/x", 1): ":6: found \"https://a.example/x\", expected a name",
		hostnames[:120]:                         ":4: the JSON document ends in its middle: download it again",
		`{"list": [17]}`:                        ":1: json: ",
		`{"list": "a"}`:                         ":1: expected an array as \"list\"",
		`{"Event": {}}`:                         ":1: found a JSON object without the member \"list\"",
		"{\n\"list\": [\"a.example\"]\n,\n? 1}": ":4: ",
	} {
		path := write(t, "list.json", text)
		_, err := Open(Options{Files: []string{path}})
		if err == nil || !strings.HasPrefix(err.Error(), "guard.files[0]: "+path+want) {
			t.Errorf("%.60q: got %v, want %s", text, err, want)
		}
	}
}
