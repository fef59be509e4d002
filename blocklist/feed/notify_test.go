package feed

import (
	"crypto/hmac"
	"hash"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func hmacOf(k *tsigKey) hash.Hash { return hmac.New(k.newHash, k.secret) }

// notifyMessage is a NOTIFY as BIND sends it.
func notifyMessage(t testing.TB, zone string, change func(m *dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetNotify(dns.Fqdn(zone))
	m.Answer = rrs(t, "SOA 9")
	if change != nil {
		change(m)
	}
	var raw []byte
	var err error
	if sig := m.IsTsig(); sig != nil {
		raw, _, err = dns.TsigGenerate(m, testSecret, "", false)
	} else {
		m.Compress = true
		raw, err = m.Pack()
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestNotify(t *testing.T) {
	z, err := NewZones(ZoneOptions{Store: &Store{}, Candidate: neverJudged, Increment: neverApplied})
	if err != nil {
		t.Fatal(err)
	}
	// The keepers do not run here: only their wake-up is looked at.
	for name, spec := range map[string]ZoneSpec{
		"plain":  {Source: "rpz://192.0.2.1/rpz.test"},
		"six":    {Source: "rpz://[2001:db8::1]/rpz.test"},
		"signed": {Source: "rpz://192.0.2.2/rpz.test", TSIG: TSIG{"key.test", "hmac-sha256", testSecret}},
		"named":  {Source: "rpz://primary.example/named.test"},
		"idle":   {Source: "rpz://192.0.2.1/other.test"},
	} {
		zone, err := spec.check()
		if err != nil {
			t.Fatal(err)
		}
		if z.keepers == nil {
			z.keepers = map[string]*zoneKeeper{}
		}
		z.keepers[name] = newZoneKeeper(z, zone)
	}
	z.keepers["named"].addresses.Store(&[]netip.Addr{netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("2001:db8::3")})

	sign := func(name, algorithm string, at time.Time) func(m *dns.Msg) {
		return func(m *dns.Msg) { m.SetTsig(name, algorithm, 300, at.Unix()) }
	}
	now := time.Now()
	for _, c := range []struct {
		name  string
		raw   []byte
		from  string
		rcode int // -1: no answer
		tsig  int // error in the answer's TSIG; -1: none
		wakes string
	}{
		{"from the primary", notifyMessage(t, "rpz.test", nil), "192.0.2.1", 0, -1, "plain"},
		{"in upper case", notifyMessage(t, "RPZ.Test", nil), "192.0.2.1", 0, -1, "plain"},
		{"as IPv4 in IPv6", notifyMessage(t, "rpz.test", nil), "::ffff:192.0.2.1", 0, -1, "plain"},
		{"over IPv6", notifyMessage(t, "rpz.test", nil), "2001:db8::1", 0, -1, "six"},
		{"without an answer section", notifyMessage(t, "rpz.test", func(m *dns.Msg) { m.Answer = nil }), "192.0.2.1", 0, -1, "plain"},
		{"a primary known by name", notifyMessage(t, "named.test", nil), "2001:db8::3", 0, -1, "named"},
		{"not signed though there is a key", notifyMessage(t, "rpz.test", nil), "192.0.2.2", 0, -1, "signed"},
		{"from a stranger", notifyMessage(t, "rpz.test", nil), "192.0.2.9", dns.RcodeRefused, -1, ""},
		{"of the primary of another zone", notifyMessage(t, "named.test", nil), "192.0.2.1", dns.RcodeNotAuth, -1, ""},
		{"for an unknown zone", notifyMessage(t, "unknown.test", nil), "192.0.2.1", dns.RcodeNotAuth, -1, ""},
		{"for a zone above", notifyMessage(t, "test", nil), "192.0.2.1", dns.RcodeNotAuth, -1, ""},
		{"signed", notifyMessage(t, "rpz.test", sign("key.test.", dns.HmacSHA256, now)), "192.0.2.2", 0, 0, "signed"},
		{"signed with another algorithm", notifyMessage(t, "rpz.test", sign("key.test.", dns.HmacSHA512, now)), "192.0.2.2", dns.RcodeNotAuth, tsigBadKey, ""},
		{"signed with another key", notifyMessage(t, "rpz.test", sign("other.test.", dns.HmacSHA256, now)), "192.0.2.2", dns.RcodeNotAuth, tsigBadKey, ""},
		{"signed for a zone without a key", notifyMessage(t, "rpz.test", sign("key.test.", dns.HmacSHA256, now)), "192.0.2.1", dns.RcodeNotAuth, tsigBadKey, ""},
		{"signed long ago", notifyMessage(t, "rpz.test", sign("key.test.", dns.HmacSHA256, now.Add(-time.Hour))), "192.0.2.2", dns.RcodeNotAuth, tsigBadTime, ""},
		{"signed, then changed", changed(notifyMessage(t, "rpz.test", sign("key.test.", dns.HmacSHA256, now)), 2, 0x01), "192.0.2.2", dns.RcodeNotAuth, tsigBadSig, ""},
		{"signed by a stranger", notifyMessage(t, "rpz.test", sign("key.test.", dns.HmacSHA256, now)), "192.0.2.9", dns.RcodeRefused, -1, ""},
		{"for another type", notifyMessage(t, "rpz.test", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), "192.0.2.1", dns.RcodeFormatError, -1, ""},
		{"for another class", notifyMessage(t, "rpz.test", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), "192.0.2.1", dns.RcodeFormatError, -1, ""},
		{"without a question", notifyMessage(t, "rpz.test", func(m *dns.Msg) { m.Question = nil }), "192.0.2.1", dns.RcodeFormatError, -1, ""},
		{"a query", notifyMessage(t, "rpz.test", func(m *dns.Msg) { m.Opcode = dns.OpcodeQuery }), "192.0.2.1", dns.RcodeNotImplemented, -1, ""},
		{"an answer", notifyMessage(t, "rpz.test", func(m *dns.Msg) { m.Response = true }), "192.0.2.1", -1, -1, ""},
		{"cut short", notifyMessage(t, "rpz.test", nil)[:30], "192.0.2.1", dns.RcodeFormatError, -1, ""},
		{"less than a header", []byte("short"), "192.0.2.1", -1, -1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := netip.AddrPortFrom(netip.MustParseAddr(c.from), 5353)
			reply := z.Notify(c.raw, addr)
			var woken []string
			for name, k := range z.keepers {
				k.mu.Lock()
				if k.notified {
					woken = append(woken, name)
				}
				k.notified = false
				k.mu.Unlock()
			}
			if got := strings.Join(woken, " "); got != c.wakes {
				t.Errorf("woken: %q, expected %q", got, c.wakes)
			}
			if c.rcode < 0 {
				if reply != nil {
					t.Errorf("answered %x, expected silence", reply)
				}
				return
			}
			m := new(dns.Msg)
			if err := m.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			if !m.Response || m.Rcode != c.rcode || m.Id != uint16(c.raw[0])<<8|uint16(c.raw[1]) {
				t.Errorf("answered\n%s\nexpected response code %s", m, dns.RcodeToString[c.rcode])
			}
			checkReplyTSIG(t, m, reply, c.raw, c.tsig)
		})
	}
	if got := z.Notifies(); got.Believed != 8 || got.Forged != 5 || got.Refused != 5 {
		t.Errorf("counted %+v", got)
	}
}

func changed(raw []byte, at int, bits byte) []byte {
	raw[at] ^= bits
	return raw
}

func checkReplyTSIG(t *testing.T, m *dns.Msg, reply, request []byte, want int) {
	t.Helper()
	sig := m.IsTsig()
	if (sig != nil) != (want >= 0) {
		t.Fatalf("answered\n%s\nexpected a TSIG: %t", m, want >= 0)
	}
	if sig == nil {
		return
	}
	if int(sig.Error) != want {
		t.Errorf("TSIG error %d, expected %d", sig.Error, want)
	}
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil {
		t.Fatal(err)
	}
	if want == 0 {
		if err := dns.TsigVerify(reply, testSecret, q.IsTsig().MAC, false); err != nil {
			t.Errorf("the answer's signature: %v", err)
		}
	}
	if want == tsigBadTime && (len(sig.OtherData) != 12 || sig.MAC == "") {
		t.Errorf("the answer to a wrong time has MAC %q and time %q, expected both", sig.MAC, sig.OtherData)
	}
	if (want == tsigBadKey || want == tsigBadSig) && sig.MAC != "" {
		t.Errorf("the answer is signed, expected no signature by a key that is not proven")
	}
}

// Any octets get an answer that is none to an answer, and harm nothing.
func FuzzNotify(f *testing.F) {
	f.Add(notifyMessage(f, "rpz.test", nil))
	f.Add(notifyMessage(f, "rpz.test", func(m *dns.Msg) { m.SetTsig("key.test.", dns.HmacSHA256, 300, time.Now().Unix()) }))
	f.Add([]byte{})
	z, err := NewZones(ZoneOptions{Store: &Store{}, Candidate: neverJudged, Increment: neverApplied})
	if err != nil {
		f.Fatal(err)
	}
	zone, err := ZoneSpec{Source: "rpz://192.0.2.1/rpz.test", TSIG: TSIG{"key.test", "", testSecret}}.check()
	if err != nil {
		f.Fatal(err)
	}
	z.keepers = map[string]*zoneKeeper{"l": newZoneKeeper(z, zone)}
	from := netip.MustParseAddrPort("192.0.2.1:53")
	f.Fuzz(func(t *testing.T, raw []byte) {
		reply := z.Notify(raw, from)
		if len(raw) < 12 || raw[2]&0x80 != 0 {
			if reply != nil {
				t.Fatalf("answered %x", reply)
			}
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil || !m.Response || len(reply) > len(raw)+200 {
			t.Fatalf("answered %x: %v", reply, err)
		}
	})
}

// A flood has the primary asked now and then, and the last of it not forgotten.
func TestNotifyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket{every: 2 * time.Second, burst: 5}
		taken := 0
		start := time.Now()
		for time.Since(start) < time.Minute {
			if b.take(time.Now()) == 0 {
				taken++
			}
			time.Sleep(time.Millisecond)
		}
		if taken < 34 || taken > 35 {
			t.Errorf("%d checks in a minute, expected 5 at once and one every 2 s", taken)
		}
	})
}

func TestNotifyFloodOfAPrimary(t *testing.T) {
	p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	timers := quickTimers()
	timers.NotifyEvery = 200 * time.Millisecond
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{Timers: timers})
	w.set(ZoneSpec{Name: "l", Source: p.source()})
	w.waitSerial("l", 1)
	before := strings.Count(p.types(), "SOA")
	raw, from := notifyMessage(t, "rpz.test", nil), p.address
	start := time.Now()
	for time.Since(start) < time.Second {
		w.zones.Notify(raw, from)
	}
	p.set(primaryOf(t, "2", nil, [][]string{{"SOA 2", "SOA 1", "a CNAME .", "SOA 2", "SOA 2"}}))
	w.zones.Notify(raw, from) // the one that matters
	w.waitSerial("l", 2)
	checks := strings.Count(p.types(), "SOA") - before
	most := notifyBurst + int(time.Since(start)/timers.NotifyEvery) + 2
	if checks > most {
		t.Errorf("the primary was asked %d times, expected at most %d", checks, most)
	}
	for range 1000 {
		w.zones.Notify(raw, netip.MustParseAddrPort("192.0.2.77:53"))
	}
	if got := w.zones.Notifies(); got.Refused != 1000 {
		t.Errorf("counted %+v, expected 1000 from strangers", got)
	}
}
