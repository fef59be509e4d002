package wire

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// The library reads what is appended as what was meant.
func TestAppendSVCB(t *testing.T) {
	t.Parallel()
	const owner = "_dns.resolver.arpa."
	q := Query{ID: 1, Type: TypeSVCB, Class: ClassIN}
	if !q.SetName([]byte("\x04_dns\x08resolver\x04arpa\x00")) {
		t.Fatal("name")
	}
	target := []byte("\x03dns\x07example\x00")
	for want, p := range map[string]SVCBParams{
		`1 dns.example. alpn="h2,h3" port="443" ipv4hint="192.0.2.1" dohpath="/dns-query{?dns}"`: {
			ALPN: []string{"h2", "h3"}, Port: 443, Hint: netip.MustParseAddr("192.0.2.1"), DoHPath: "/dns-query{?dns}"},
		`1 dns.example. alpn="doq" port="853" ipv6hint="2001:db8::1"`: {ALPN: []string{"doq"}, Port: 853, Hint: netip.MustParseAddr("2001:db8::1")},
		`1 dns.example. alpn="dot" port="8853" ipv4hint="192.0.2.7"`:  {ALPN: []string{"dot"}, Port: 8853, Hint: netip.MustParseAddr("::ffff:192.0.2.7")},
		`1 dns.example.`: {},
	} {
		msg := AppendSVCB(q.AppendResponse(nil, 0, 0), 300, 1, target, p)
		SetCounts(msg, 1, 0, 0)
		var m dns.Msg
		if err := m.Unpack(msg); err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got := m.Answer[0].String(); got != owner+"\t300\tIN\tSVCB\t"+want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}
