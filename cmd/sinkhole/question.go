package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"sinkhole/blocklist/format"
)

// question is what explain asks the policy.
type question struct {
	text   string
	name   []byte     // wire form; nil for an address
	addr   netip.Addr // in the answer
	qtype  uint16
	client netip.Addr
}

func newQuestion(text, qtype, client string) (q question, err error) {
	q.text = text
	if client != "" {
		if q.client, err = netip.ParseAddr(client); err != nil {
			return q, fmt.Errorf("--client: found %q, expected an IP address", client)
		}
		q.client = q.client.Unmap()
	}
	if q.addr, err = netip.ParseAddr(text); err == nil {
		q.addr = q.addr.Unmap()
	} else if q.name, err = questionName(text); err != nil {
		return q, err
	}
	q.qtype, err = questionType(qtype, q.addr)
	return q, err
}

// isAbout tells whether an entry, as the guard writes it, is what is asked or
// covers it.
func (q *question) isAbout(entry string) bool {
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		return prefix.Contains(q.addr)
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		return addr == q.addr
	}
	if q.name == nil {
		return false
	}
	asked, name := format.Text(q.name), strings.TrimPrefix(entry, "*.")
	return asked == name || strings.HasSuffix(asked, "."+name)
}

// questionName refuses what responders paste from reports instead of asking for
// a name that no list can hold: it would be found not to be listed.
func questionName(text string) ([]byte, error) {
	if strings.ContainsAny(text, "/:@[]() \t") {
		return nil, fmt.Errorf("found %q, expected a domain name or an IP address%s", text, hostHint(text))
	}
	name, err := format.Name(nil, text)
	if err != nil {
		return nil, fmt.Errorf("found %q, expected a domain name or an IP address: %w", text, err)
	}
	return name, nil
}

// hostHint is the host inside a URL, a host with a port, or a defanged name.
func hostHint(text string) string {
	host := strings.NewReplacer("[.]", ".", "(.)", ".", "[:]", ":").Replace(text)
	if _, rest, found := strings.Cut(host, "://"); found {
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	if endpoint, err := netip.ParseAddrPort(host); err == nil {
		return fmt.Sprintf(": did you mean %s", endpoint.Addr())
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return fmt.Sprintf(": did you mean %s", addr)
	}
	if name, _, found := strings.Cut(host, ":"); found {
		host = name
	}
	if _, err := format.Name(nil, host); err != nil || host == "" || strings.ContainsAny(host, "@[]() ") {
		return ""
	}
	return ": did you mean " + host
}

func questionType(text string, addr netip.Addr) (uint16, error) {
	if text == "" {
		if addr.Is6() {
			return dns.TypeAAAA, nil
		}
		return dns.TypeA, nil
	}
	return typeNamed(text)
}

func typeNamed(text string) (uint16, error) {
	upper := strings.ToUpper(text)
	if t, known := dns.StringToType[upper]; known {
		return t, nil
	}
	if number, found := strings.CutPrefix(upper, "TYPE"); found { // RFC 3597 section 5
		if t, err := strconv.ParseUint(number, 10, 16); err == nil {
			return uint16(t), nil
		}
	}
	return 0, fmt.Errorf("--type: found %q, expected a DNS type such as A, AAAA, HTTPS or TYPE65", text)
}
