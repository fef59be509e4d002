package resolver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// signedBIND is a BIND with the signed zone example, and the key that it is to be
// believed by.
func signedBIND(t *testing.T) (addr string, key *dns.DNSKEY) {
	t.Helper()
	program, dir, port := tool(t, "named"), t.TempDir(), freePort(t)
	check(t, os.WriteFile(filepath.Join(dir, "zone"), []byte("$TTL 300\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\nalias CNAME www\n*.wild A 192.0.2.2\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "net"), []byte("$TTL 300\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n"), 0o600))
	config := filepath.Join(dir, "named.conf")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `options { directory %q; pid-file none; session-keyfile none; recursion yes; dnssec-validation no; empty-zones-enable no;
  listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; }; };
controls { };
zone "example" { type primary; file "zone"; dnssec-policy default; inline-signing yes; };
zone "net" { type primary; file "net"; };
`, dir, port), 0o600))
	e := runEngine(t, "bind", port, func(said string) bool { return strings.Contains(said, " running\n") }, program, "-n", "1", "-g", "-c", config)
	eventually(t, "the zone is signed", func() bool {
		m, _, err := dnssecQuery(e.addr, "example.", dns.TypeDNSKEY, false)
		if err != nil || len(m.Answer) < 2 {
			return false
		}
		for _, rr := range m.Answer {
			if k, ok := rr.(*dns.DNSKEY); ok && k.Flags == 257 {
				key = k
			}
		}
		m, _, err = dnssecQuery(e.addr, "www.example.", dns.TypeA, false)
		return key != nil && err == nil && len(m.Answer) == 2
	})
	return e.addr, key
}

func dnssecQuery(addr, name string, qtype uint16, checkingDisabled bool) (*dns.Msg, string, error) {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.SetEdns0(1232, true)
	m.CheckingDisabled = checkingDisabled
	reply, _, err := new(dns.Client).Exchange(m, addr)
	if err == nil && reply.Truncated {
		reply, _, err = (&dns.Client{Net: "tcp"}).Exchange(m, addr)
	}
	return reply, addr, err
}

// A validating client behind us (delv, which sets DO and CD) proves what is and what is
// not, from the answers that it gets through us, cached ones too.
func TestValidatingClient(t *testing.T) {
	t.Parallel()
	delv := tool(t, "delv")
	bind, key := signedBIND(t)
	anchors := filepath.Join(t.TempDir(), "anchors")
	check(t, os.WriteFile(anchors, fmt.Appendf(nil, "trust-anchors { \"example.\" static-key %d %d %d %q; };\n", key.Flags, key.Protocol, key.Algorithm, key.PublicKey), 0o600))
	k := newRig(t, rigOptions{servers: []string{bind}, loops: true})
	host, port, err := net.SplitHostPort(k.listener.Addr().String())
	check(t, err)
	for range 2 {
		for name, want := range map[string]string{
			"www.example A":      "; fully validated\nwww.example.",
			"alias.example A":    "; fully validated\nalias.example.",
			"x.wild.example A":   "; fully validated\nx.wild.example.",
			"www.example AAAA":   "; negative response, fully validated",
			"nosuch.example A":   "; negative response, fully validated",
			"example DNSKEY":     "; fully validated\nexample.",
			"a.nosuch.example A": "; negative response, fully validated",
		} {
			args := append([]string{"@" + host, "-p", port, "-a", anchors, "+root=example."}, strings.Fields(name)...)
			out, err := exec.Command(delv, args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
	}
}

// Behind a validating upstream AD goes to those who set AD or DO. What is bogus fails with
// the upstream's reason, unless CD is set.
func TestValidatingUpstream(t *testing.T) {
	t.Parallel()
	unbound := tool(t, "unbound")
	bind, key := signedBIND(t)
	wrong := *key
	wrong.Flags, wrong.PublicKey = 257, strings.Repeat("A", len(key.PublicKey)-2)+"=="
	for _, test := range []struct {
		what   string
		anchor dns.DNSKEY
		valid  bool
	}{{"valid", *key, true}, {"bogus", wrong, false}} {
		dir, port := t.TempDir(), freePort(t)
		config := filepath.Join(dir, "unbound.conf")
		check(t, os.WriteFile(config, fmt.Appendf(nil, `server:
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@%s
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  ede: yes
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor: "example. DNSKEY %d %d %d %s"
forward-zone:
  name: "."
  forward-addr: %s
remote-control:
  control-enable: no
`, dir, port, test.anchor.Flags, test.anchor.Protocol, test.anchor.Algorithm, test.anchor.PublicKey, strings.ReplaceAll(bind, ":", "@")), 0o600))
		e := runEngine(t, "unbound", port, func(said string) bool { return strings.Contains(said, "start of service") }, unbound, "-d", "-c", config)
		k := newRig(t, rigOptions{servers: []string{e.addr}, loops: true})
		ask := func(do, ad, cd bool) (*dns.Msg, uint16) {
			q := new(dns.Msg).SetQuestion("www.example.", dns.TypeA)
			q.SetEdns0(1232, do)
			q.AuthenticatedData, q.CheckingDisabled = ad, cd
			m, _, err := new(dns.Client).Exchange(q, k.listener.Addr().String())
			check(t, err)
			for _, o := range m.IsEdns0().Option {
				if ede, ok := o.(*dns.EDNS0_EDE); ok {
					return m, ede.InfoCode
				}
			}
			return m, 0
		}
		for range 2 {
			for _, flags := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
				do, ad := flags[0], flags[1]
				m, ede := ask(do, ad, false)
				if test.valid && (len(m.Answer) == 0 || m.AuthenticatedData != (do || ad)) {
					t.Errorf("DO %v, AD %v: %v", do, ad, m)
				}
				if !test.valid && (m.Rcode != dns.RcodeServerFailure || ede < 6 || ede > 12) { // of RFC 8914 those of DNSSEC
					t.Errorf("bogus, DO %v, AD %v: EDE %d, %v", do, ad, ede, m)
				}
				if m, _ := ask(do, ad, true); len(m.Answer) == 0 || m.AuthenticatedData && !test.valid || !m.CheckingDisabled {
					t.Errorf("%s with CD, DO %v, AD %v: %v", test.what, do, ad, m)
				}
			}
		}
	}
}
