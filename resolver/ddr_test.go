package resolver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// records asks over UDP and gives the answer section as text.
func records(t *testing.T, k *rig, name string, typ uint16) string {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	answer, err := dns.Exchange(m, k.listener.Addr().String())
	check(t, err)
	if answer.Rcode != dns.RcodeSuccess {
		t.Errorf("%s: %s", name, dns.RcodeToString[answer.Rcode])
	}
	if len(answer.Answer) == 0 && (len(answer.Ns) != 1 || answer.Ns[0].Header().Rrtype != dns.TypeSOA) {
		t.Errorf("%s: no answer and no SOA: %v", name, answer.Ns)
	}
	return joinRecords(answer.Answer)
}

// Clients that ask over plain DNS are told of the encrypted listeners, and of nothing
// else; the upstream is asked nothing.
func TestDesignatedListenersAreTold(t *testing.T) {
	t.Parallel()
	z := newZone(t, trapZone)
	k := newRig(t, rigOptions{servers: []string{z.addr}})
	const name = "_dns.resolver.arpa."
	if got := records(t, k, name, dns.TypeSVCB); got != "" {
		t.Errorf("without encrypted listeners: %s", got)
	}
	names := []string{"*.dns.example", "DNS.example", "other.example"}
	k.Designate(func() []string { return names }, []Endpoint{
		{netip.MustParseAddrPort("[::]:443"), []string{"h2", "h3"}, DoHTemplate},
		{netip.MustParseAddrPort("192.0.2.53:853"), []string{"dot"}, ""},
		{netip.MustParseAddrPort("[2001:db8::53]:8853"), []string{"doq"}, ""},
		{netip.MustParseAddrPort("0.0.0.0:853"), []string{"doq"}, ""},
	})
	owner := name + "\t300\tIN\tSVCB\t"
	want := strings.Join([]string{
		owner + `1 dns.example. alpn="h2,h3" port="443" ipv4hint="127.0.0.1" dohpath="/dns-query{?dns}"`,
		owner + `2 dns.example. alpn="dot" port="853" ipv4hint="192.0.2.53"`,
		owner + `3 dns.example. alpn="doq" port="8853" ipv6hint="2001:db8::53"`,
		owner + `4 dns.example. alpn="doq" port="853" ipv4hint="127.0.0.1"`,
	}, "\n")
	if got := records(t, k, name, dns.TypeSVCB); got != want {
		t.Errorf("%s\nexpected\n%s", got, want)
	}
	if got := records(t, k, "_DNS.Resolver.ARPA.", dns.TypeSVCB); strings.Count(got, "SVCB") != 4 {
		t.Errorf("in another spelling: %s", got)
	}
	for _, typ := range []uint16{dns.TypeA, dns.TypeHTTPS, dns.TypeTXT} {
		if got := records(t, k, name, typ); got != "" {
			t.Errorf("type %d: %s", typ, got)
		}
	}
	for _, other := range []string{"resolver.arpa.", "_dns._dns.resolver.arpa.", "x_dns.resolver.arpa."} {
		if got := records(t, k, other, dns.TypeSVCB); got != "" {
			t.Errorf("%s: %s", other, got)
		}
	}
	k.Designate(func() []string { return []string{"*.dns.example"} }, []Endpoint{{netip.MustParseAddrPort("[::]:443"), []string{"h2"}, DoHTemplate}})
	if got := records(t, k, name, dns.TypeSVCB); got != "" {
		t.Errorf("with a wildcard certificate: %s", got)
	}
	if asked := z.take(); len(asked) > 0 {
		t.Errorf("the upstream was asked %q", asked)
	}
}
