package resolver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

const deniedSOA = "example. 900 SOA ns.example. root.example. 1 3600 600 86400 300"

func nxdomain(m *dns.Msg) { m.Rcode = dns.RcodeNameError }

// The reader answers what an ancestor denies without waiting.
func TestCutByTheReader(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{forward: answering(nxdomain, deniedSOA), specs: specsOf(list(t, "stealers", trapList))})
	respondAt(t, k, "gone.example.", time.Now())
	k.forward = nil // all else is a fault of the test
	p, now, room := newPrompt(k), time.Now(), make([]byte, 0, 4096)
	answer, handled := p.answer(queryOf(t, "www.gone.example.", dns.TypeAAAA), &fuzzPeer, now, room)
	var m dns.Msg
	if check(t, m.Unpack(answer)); !handled || m.Rcode != dns.RcodeNameError || len(m.Ns) != 1 || m.Question[0].Name != "www.gone.example." {
		t.Errorf("%v", &m)
	}
	if s := k.Stats(); s.Cuts != 1 || s.CacheHits != 0 || k.cache.Stats().Misses != 2 {
		t.Errorf("%+v, %+v", s, k.cache.Stats())
	}
	if n := k.cache.Len(); n != 1 {
		t.Errorf("%d entries: names below are not to be kept", n)
	}
}

// An answer made of another's is judged as that is: names in it too, after each change
// of the lists.
func TestCutIsJudged(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{
		forward: answering(func(m *dns.Msg) {
			nxdomain(m)
			m.Ns = append(m.Ns, &dns.NS{Hdr: dns.RR_Header{Name: "gone.example.", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.gone.example."})
			m.Extra = append(m.Extra, &dns.A{Hdr: dns.RR_Header{Name: "ns.gone.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: []byte{198, 51, 100, 7}})
		}, deniedSOA),
		specs: specsOf(list(t, "stealers", trapList)),
	})
	for range 3 {
		if m, ede := askNow(t, k, "www.gone.example."); m.Rcode != dns.RcodeNameError || ede != 0 && ede != dns.ExtendedErrorCodeSynthesized {
			t.Errorf("%v", m)
		}
	}
	askNow(t, k, "gone.example.")
	for range 3 {
		if m, ede := askNow(t, k, "x.gone.example."); m.Rcode != dns.RcodeNameError || ede != dns.ExtendedErrorCodeSynthesized {
			t.Errorf("%v", m)
		}
	}
	reloadWith(t, k, "198.51.100.0/24\n")
	for range 2 {
		if m, ede := askNow(t, k, "x.gone.example."); m.Rcode != dns.RcodeSuccess || ede != dns.ExtendedErrorCodeForgedAnswer {
			t.Errorf("%v", m)
		}
	}
	if found := len(k.hits(t)); found != 2 {
		t.Errorf("%d hits, expected 2", found)
	}
}

// What is made ages, and ends, with what it is made of.
func TestCutEnds(t *testing.T) {
	t.Parallel()
	f := &fickle{answer: answering(nxdomain, deniedSOA)}
	k := newRig(t, rigOptions{forward: f.exchange})
	begin := time.Now()
	respondAt(t, k, "gone.example.", begin)
	if m := respondAt(t, k, "www.gone.example.", begin.Add(100*time.Second)); m.Ns[0].Header().Ttl > 201 || m.Ns[0].Header().Ttl < 199 {
		t.Errorf("%v", m)
	}
	if f.asked.Load() != 1 {
		t.Errorf("asked %d times", f.asked.Load())
	}
	respondAt(t, k, "www.gone.example.", begin.Add(301*time.Second))
	if f.asked.Load() != 2 {
		t.Errorf("asked %d times after its end", f.asked.Load())
	}
}

const signedConfig = `options {
	directory %[1]q; key-directory %[1]q; managed-keys-directory %[1]q; session-keyfile none; pid-file none;
	listen-on port %[2]s { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; minimal-responses no; dnssec-validation no;
};
controls { };
zone "zone.example" { type primary; file "zone.example"; %[3]s };
`

// With BIND for an upstream, of a signed zone and of one that is not: what is told of a
// name below is what BIND itself says of it, proofs included.
func TestCutSaysWhatBINDSays(t *testing.T) {
	t.Parallel()
	for what, signing := range map[string]string{"plain": "", "signed": "dnssec-policy default; inline-signing yes;"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			program, dir, port := tool(t, "named"), t.TempDir(), freePort(t)
			check(t, os.WriteFile(filepath.Join(dir, "zone.example"), []byte(`$TTL 300
@ SOA ns root 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.53
a A 192.0.2.1
host.empty A 192.0.2.2
z A 192.0.2.3
`), 0o600))
			check(t, os.WriteFile(filepath.Join(dir, "named.conf"), fmt.Appendf(nil, signedConfig, dir, port, signing), 0o600))
			bind := runEngine(t, "bind", port, func(said string) bool { return strings.Contains(said, " running\n") },
				program, "-n", "1", "-g", "-c", filepath.Join(dir, "named.conf"))
			k := newRig(t, rigOptions{servers: []string{bind.addr}})
			if what == "signed" {
				eventually(t, "the zone is signed", func() bool {
					return len(exchangeWith(t, bind.addr, "gone.zone.example.", dns.TypeA, true).Ns) > 2
				})
			}
			for _, do := range []bool{false, true} {
				for _, name := range []string{"gone.zone.example.", "www.gone.zone.example.", "a.b.gone.zone.example.", "x.a.zone.example.", "y.x.a.zone.example."} {
					ours, theirs := exchangeWith(t, k.listener.Addr().String(), name, dns.TypeA, do), exchangeWith(t, bind.addr, name, dns.TypeA, do)
					if ours.Rcode != theirs.Rcode || !slices.Equal(textsOf(ours.Ns), textsOf(theirs.Ns)) || len(ours.Answer) != 0 {
						t.Errorf("DO %v\n%v\nBIND:\n%v", do, ours, theirs)
					}
				}
				// An empty non-terminal exists, and what is below it does.
				for _, name := range []string{"empty.zone.example.", "host.empty.zone.example."} {
					if m := exchangeWith(t, k.listener.Addr().String(), name, dns.TypeA, do); m.Rcode != dns.RcodeSuccess {
						t.Errorf("%v", m)
					}
				}
			}
			if s := k.Stats(); s.Cuts != 6 {
				t.Errorf("%d names were told by others, expected 6", s.Cuts)
			}
		})
	}
}

func exchangeWith(t *testing.T, addr, name string, typ uint16, do bool) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, typ)
	q.SetEdns0(1232, do)
	m, _, err := (&dns.Client{Timeout: patience}).Exchange(q, addr)
	check(t, err)
	return m
}

// textsOf are records without their TTLs, in order.
func textsOf(records []dns.RR) (all []string) {
	for _, rr := range records {
		rr = dns.Copy(rr)
		rr.Header().Ttl = 0
		all = append(all, strings.ToLower(rr.String()))
	}
	slices.Sort(all)
	return all
}

// A flood of names below one that does not exist asks nobody, whatever types.
func TestCutStopsAFloodOfNames(t *testing.T) {
	t.Parallel()
	z := newZone(t, "victim.example. 900 SOA ns.victim.example. root.victim.example. 1 3600 600 86400 60\n")
	k := newRig(t, rigOptions{servers: []string{z.addr}})
	c := dialUDP(t, k)
	ask := func(name string, typ uint16) {
		t.Helper()
		send(t, c, queryOf(t, name, typ))
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != wire.RCodeNXDomain {
			t.Fatalf("%x", reply)
		}
	}
	ask("gone.victim.example.", dns.TypeA)
	for i := range 500 {
		ask(fmt.Sprintf("r%d.gone.victim.example.", i), uint16(1+i%40))
	}
	if asked := z.take(); len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
	if k.cache.Len() != 1 {
		t.Errorf("%d entries", k.cache.Len())
	}
}
