package feed

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func neverJudged(context.Context, Candidate) Judgement { return Reject(errors.New("not expected")) }
func neverApplied(context.Context, *Increment) error   { return errors.New("not expected") }

func TestCheckZone(t *testing.T) {
	for _, c := range []struct {
		source string
		want   string   // host port zone certificate
		words  []string // of the error
	}{
		{"rpz://192.0.2.1/rpz.example", "192.0.2.1 53 rpz.example ", nil},
		{"rpz://192.0.2.1:5353/RPZ.Example.", "192.0.2.1 5353 rpz.example ", nil},
		{"rpz://[2001:db8::1]:5353/rpz.example", "2001:db8::1 5353 rpz.example ", nil},
		{"rpz://primary.example/rpz", "primary.example 53 rpz ", nil},
		{"rpzs://primary.example/rpz.example", "primary.example 853 rpz.example primary.example", nil},
		{"rpzs://192.0.2.1:8853/rpz.example#xfr.example", "192.0.2.1 8853 rpz.example xfr.example", nil},
		{"rpzs://192.0.2.1/rpz.example", "192.0.2.1 853 rpz.example 192.0.2.1", nil},
		{"https://192.0.2.1/rpz.example", "", []string{"scheme", "rpz://", "rpzs://"}},
		{"rpz:///rpz.example", "", []string{"no primary"}},
		{"rpz://192.0.2.1", "", []string{"no zone"}},
		{"rpz://2001:db8::1/rpz", "", []string{"in brackets"}},
		{"rpz://::1/rpz", "", []string{"in brackets"}},
		{"rpz://192.0.2.1/", "", []string{"no zone"}},
		{"rpz://192.0.2.1/.", "", []string{"no zone"}},
		{"rpz://192.0.2.1/a/b..c", "", []string{"no zone"}},
		{"rpz://192.0.2.1:0/rpz", "", []string{"port 0"}},
		{"rpz://192.0.2.1:70000/rpz", "", []string{"port"}},
		{"rpz://user:pass@192.0.2.1/rpz", "", []string{"tsig"}},
		{"rpz://192.0.2.1/rpz?key=x", "", []string{"tsig"}},
		{"rpz://192.0.2.1/rpz#name", "", []string{"rpzs://"}},
		{"rpz://bad..name/rpz", "", []string{"no domain name"}},
		{"rpz://%zz/rpz", "", []string{"rpz://primary:port/zone"}},
		{"", "", []string{"scheme"}},
	} {
		err := CheckZone(c.source)
		if c.words != nil {
			checkSays(t, err, c.words...)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		z, _ := parseZone(c.source)
		got := strings.Join([]string{z.host, itoa(z.port), z.text(), z.tlsName}, " ")
		if got != c.want {
			t.Errorf("%s is %q, expected %q", c.source, got, c.want)
		}
	}
}

func itoa(n uint16) string {
	text := ""
	for ; n > 0; n /= 10 {
		text = string(rune('0'+n%10)) + text
	}
	return text
}

func TestZonePlan(t *testing.T) {
	soa := func(refresh, retry, expire string) record {
		return asRecordOf(t, rrs(t, "@ SOA a. b. 1 "+refresh+" "+retry+" "+expire+" 60")[0])
	}
	p := newZonePlan(Timers{}.withDefaults())
	p.chance = func() float64 { return 0 }
	check := func(what string, got, want time.Duration) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %s, expected %s", what, got, want)
		}
	}
	p.follow(soa("3600", "600", "86400"))
	check("refresh", p.succeeded(), time.Hour)
	check("expire", p.expire, 24*time.Hour)
	for _, want := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		check("retry", p.failed(), want)
	}
	check("refresh after failures", p.succeeded(), time.Hour)
	check("first retry again", p.failed(), 10*time.Minute)

	p.follow(soa("0", "0", "0"))
	p.succeeded()
	check("shortest refresh", p.succeeded(), 30*time.Second)
	check("shortest retry", p.failed(), 10*time.Second)
	check("shortest expire", p.expire, time.Hour)

	p.follow(soa("4294967295", "4294967295", "4294967295"))
	check("longest refresh", p.succeeded(), 24*time.Hour)
	check("longest retry", p.failed(), time.Hour)
	check("longest expire", p.expire, 4294967295*time.Second)

	p.chance = func() float64 { return 0.999 }
	p.follow(soa("1000", "100", "5000"))
	if got := p.succeeded(); got < 900*time.Second || got > 901*time.Second {
		t.Errorf("with chance at its most %s, expected a tenth less than 1000 s", got)
	}
}

func TestZonesSet(t *testing.T) {
	p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	good := ZoneSpec{Name: "l", Source: p.source()}
	err := w.zones.Set([]ZoneSpec{good, {Name: "bad", Source: "rpz://x"}, good,
		{Name: "key", Source: p.source(), TSIG: TSIG{"k", "hmac-md5", "x"}}})
	checkSays(t, err, "list bad", "list l: configured twice", "list key", "hmac-md5")
	w.waitSerial("l", 1)
	for _, name := range []string{"bad", "key"} {
		if w.status(name).Error == "" {
			t.Errorf("%s shows no error", name)
		}
		if err := w.zones.Refresh(t.Context(), name); err == nil {
			t.Errorf("%s can be refreshed", name)
		}
	}
	if _, ok := w.zones.Status("nobody"); ok {
		t.Error("a zone that is not configured has a status")
	}
	checkSays(t, w.zones.Refresh(t.Context(), "nobody"), "nobody")

	same := w.zones.keepers["l"]
	w.set(good)
	if w.zones.keepers["l"] != same {
		t.Error("the same spec began anew")
	}
	other := newFakePrimary(t, primaryOf(t, "7", [][]string{{"SOA 7", "q CNAME .", "SOA 7"}}, nil))
	w.set(ZoneSpec{Name: "l", Source: other.source()})
	w.waitSerial("l", 7) // another source: nothing of the old copy counts
	if got := names(w.model("l")); got != "q" {
		t.Errorf("in force is %q", got)
	}
	w.set()
	if _, ok := w.zones.Status("l"); ok {
		t.Error("a zone that was taken away has a status")
	}
	if err := w.zones.Close(); err != nil {
		t.Fatal(err)
	}
	checkSays(t, w.zones.Set([]ZoneSpec{good}), "closed")
}

// A primary known by name is asked at each of its addresses.
func TestPrimaryByName(t *testing.T) {
	p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	var lookups atomic.Int32
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if lookups.Add(1) == 1 {
			return nil, errors.New("the resolver is not there yet")
		}
		if host != "primary.example" {
			t.Errorf("looked up %s", host)
		}
		return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("127.0.0.0")}, nil
	}})
	source := strings.Replace(p.source(), "127.0.0.1", "primary.example", 1)
	w.set(ZoneSpec{Name: "l", Source: source})
	w.waitError("l", "primary.example", "not there yet")
	w.waitSerial("l", 1)
	if reply := w.zones.Notify(notifyMessage(t, "rpz.test", nil), netip.MustParseAddrPort("127.0.0.1:999")); reply[3]&0xF != 0 {
		t.Errorf("NOTIFY of the primary is answered %x", reply)
	}
}

// Close does not wait for a primary that has stopped in the middle.
func TestZonesClose(t *testing.T) {
	begun := make(chan struct{}, 100)
	p := newFakePrimary(t, func(q *dns.Msg, send func(*dns.Msg)) {
		replies(q, send, rrs(t, "SOA 9"))
		if q.Question[0].Qtype != dns.TypeSOA {
			begun <- struct{}{}
		}
	})
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	w.set(ZoneSpec{Name: "l", Source: p.source()})
	<-begun
	waiting := make(chan error, 1)
	go func() { waiting <- w.zones.Refresh(context.Background(), "l") }()
	start := time.Now()
	if err := w.zones.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %s", took)
	}
	if err := <-waiting; err == nil {
		t.Error("who waits is told that the zone was transferred")
	}
	checkTidy(t, w.store, "l")
}

// A list that is given up in the middle of a transfer leaves the next one of its
// name alone.
func TestZonesSetWhileTransferring(t *testing.T) {
	begun := make(chan struct{}, 100)
	stuck := newFakePrimary(t, func(q *dns.Msg, send func(*dns.Msg)) {
		replies(q, send, rrs(t, "SOA 9"))
		if q.Question[0].Qtype != dns.TypeSOA {
			begun <- struct{}{}
		}
	})
	good := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	w.set(ZoneSpec{Name: "l", Source: stuck.source()})
	<-begun
	w.set(ZoneSpec{Name: "l", Source: good.source()})
	w.waitSerial("l", 1)
	w.checkDisk("l", good.source())
}
