package feed

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// primaryOf answers SOA queries with a serial, and transfers as given: the
// records of each message.
func primaryOf(t testing.TB, serial string, whole, increment [][]string) func(q *dns.Msg, send func(*dns.Msg)) {
	return func(q *dns.Msg, send func(*dns.Msg)) {
		groups := [][]string{{"SOA " + serial}}
		switch q.Question[0].Qtype {
		case dns.TypeAXFR:
			groups = whole
		case dns.TypeIXFR:
			groups = increment
		}
		if groups == nil {
			m := new(dns.Msg)
			send(m.SetRcode(q, dns.RcodeRefused))
			return
		}
		for _, g := range groups {
			replies(q, send, rrs(t, g...))
		}
	}
}

// The zone before each of the increments below.
func zoneAt1() [][]string {
	return [][]string{{"SOA 1", "@ NS localhost.", "a CNAME .", "b CNAME ."}, {"c CNAME .", "d CNAME .", "SOA 1"}}
}

func names(m *zoneModel) string {
	var all []string
	for line := range m.lines {
		rr, _, err := dns.UnpackRR([]byte(line), 0)
		if err != nil {
			return err.Error()
		}
		if rr.Header().Rrtype == dns.TypeCNAME {
			all = append(all, strings.TrimSuffix(rr.Header().Name, ".rpz.test."))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestIncrements(t *testing.T) {
	whole := [][]string{{"SOA 9", "@ NS localhost.", "z CNAME ."}, {"SOA 9"}} // not what the increments lead to
	for _, c := range []struct {
		name      string
		serial    string
		increment [][]string
		want      string // names in force
		came      string // beside "whole 1"
	}{
		{"one step", "2", [][]string{{"SOA 2", "SOA 1", "a CNAME .", "SOA 2", "e CNAME .", "SOA 2"}}, "b c d e", "increment 1 2"},
		{"a record a message", "2", [][]string{{"SOA 2"}, {"SOA 1"}, {"a CNAME ."}, {"SOA 2"}, {"e CNAME ."}, {"SOA 2"}}, "b c d e", "increment 1 2"},
		{"several steps", "4", [][]string{{"SOA 4", "SOA 1", "a CNAME .", "SOA 2", "e CNAME .", "SOA 2", "b CNAME .", "SOA 3", "SOA 3"}, {"SOA 4", "f CNAME .", "SOA 4"}}, "c d e f", "increment 1 4"},
		{"condensed", "9", [][]string{{"SOA 9", "SOA 1", "a CNAME .", "b CNAME .", "SOA 9", "e CNAME .", "f CNAME .", "SOA 9"}}, "c d e f", "increment 1 9"},
		{"there and back", "3", [][]string{{"SOA 3", "SOA 1", "a CNAME .", "SOA 2", "e CNAME .", "SOA 2", "e CNAME .", "SOA 3", "a CNAME .", "SOA 3"}}, "a b c d", "increment 1 3"},
		{"only the serial", "2", [][]string{{"SOA 2", "SOA 1", "SOA 2", "SOA 2"}}, "a b c d", "increment 1 2"},
		{"older, as a person wants it", "0", [][]string{{"SOA 0", "SOA 1", "SOA 0", "SOA 0"}}, "z", "whole 9"},
		{"in the form of a whole zone", "9", [][]string{{"SOA 9", "x CNAME ."}, {"y CNAME .", "SOA 9"}}, "x y", "whole 9"},
		{"an empty whole zone", "9", [][]string{{"SOA 9"}, {"SOA 9"}}, "", "whole 9"},
		{"nothing newer after all", "2", [][]string{{"SOA 1"}}, "a b c d", ""},
		{"upper case", "2", [][]string{{"SOA 2", "SOA 1", "A CNAME .", "SOA 2", "E CNAME .", "SOA 2"}}, "b c d e", "increment 1 2"},

		// What makes no sense has the whole zone transferred.
		{"from another serial", "9", [][]string{{"SOA 9", "SOA 7", "a CNAME .", "SOA 9", "e CNAME .", "SOA 9"}}, "z", "whole 9"},
		{"steps with a gap", "9", [][]string{{"SOA 9", "SOA 1", "SOA 2", "e CNAME .", "SOA 3", "SOA 9", "SOA 9"}}, "z", "whole 9"},
		{"a step back", "9", [][]string{{"SOA 9", "SOA 1", "SOA 0", "SOA 0", "SOA 9", "SOA 9"}}, "z", "whole 9"},
		{"a step too far", "9", [][]string{{"SOA 9", "SOA 1", "SOA 10", "SOA 10", "SOA 9", "SOA 9"}}, "z", "whole 9"},
		{"removed twice", "9", [][]string{{"SOA 9", "SOA 1", "a CNAME .", "a CNAME .", "SOA 9", "SOA 9"}}, "z", "whole 9"},
		{"added twice", "9", [][]string{{"SOA 9", "SOA 1", "SOA 9", "e CNAME .", "e CNAME .", "SOA 9"}}, "z", "whole 9"},
		{"removes what is not there", "9", [][]string{{"SOA 9", "SOA 1", "nobody CNAME .", "SOA 9", "SOA 9"}}, "z", "increment 1 9, whole 9"},
		{"adds what is there", "9", [][]string{{"SOA 9", "SOA 1", "SOA 9", "a CNAME .", "SOA 9"}}, "z", "increment 1 9, whole 9"},
		{"records behind the end", "9", [][]string{{"SOA 9", "SOA 1", "SOA 9", "SOA 9", "e CNAME ."}}, "z", "whole 9"},
		{"outside the zone", "9", [][]string{{"SOA 9", "SOA 1", "SOA 9", "a.other.test. CNAME .", "SOA 9"}}, "z", "whole 9"},
		{"SOA below the apex", "9", [][]string{{"SOA 9", "SOA 1", "a SOA a. b. 9 1 1 1 1", "SOA 9"}}, "z", "whole 9"},
		{"another class", "9", [][]string{{"SOA 9", "SOA 1", "SOA 9", "e CH CNAME .", "SOA 9"}}, "z", "whole 9"},
		{"begins with no SOA", "9", [][]string{{"a CNAME .", "SOA 9"}}, "z", "whole 9"},
		{"a message without records", "9", [][]string{{"SOA 9"}, {}}, "z", "whole 9"},
		{"refused", "9", nil, "z", "whole 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newFakePrimary(t, primaryOf(t, "1", zoneAt1(), nil))
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
			w.set(ZoneSpec{Name: "l", Source: p.source()})
			w.waitSerial("l", 1)
			p.set(primaryOf(t, c.serial, whole, c.increment))
			if err := w.zones.Refresh(t.Context(), "l"); err != nil {
				t.Fatal(err)
			}
			if got := names(w.model("l")); got != c.want {
				t.Errorf("in force is %q, expected %q", got, c.want)
			}
			if got := strings.Join(w.came()[1:], ", "); got != c.came {
				t.Errorf("came %q, expected %q", got, c.came)
			}
			w.checkDisk("l", p.source())
		})
	}
}

func TestWholeZones(t *testing.T) {
	for _, c := range []struct {
		name  string
		whole [][]string
		words []string // none: it comes
	}{
		{"one message", [][]string{{"SOA 9", "a CNAME .", "SOA 9"}}, nil},
		{"a record a message", [][]string{{"SOA 9"}, {"a CNAME ."}, {"SOA 9"}}, nil},
		{"ends with another serial", [][]string{{"SOA 9", "a CNAME ."}, {"SOA 10"}}, []string{"changed while it was sent"}},
		{"ends with another SOA", [][]string{{"SOA 9", "a CNAME ."}, {"@ SOA x. y. 9 1 1 1 1"}}, []string{"changed while it was sent"}},
		{"begins with no SOA", [][]string{{"a CNAME .", "SOA 9"}}, []string{"begins with a CNAME record"}},
		{"outside the zone", [][]string{{"SOA 9", "a.rpz.test.other. CNAME .", "SOA 9"}}, []string{"a.rpz.test.other", "outside the zone rpz.test"}},
		{"a name that ends alike", [][]string{{"SOA 9", "xrpz.test. CNAME .", "SOA 9"}}, []string{"outside the zone"}},
		{"records behind the end", [][]string{{"SOA 9", "SOA 9", "a CNAME ."}}, []string{"behind the last one"}},
		{"a type of no zone", [][]string{{"SOA 9", "a TYPE255 \\# 0", "SOA 9"}}, []string{"ANY"}},
		{"another class", [][]string{{"SOA 9", "a CH CNAME .", "SOA 9"}}, []string{"class CH"}},
		{"empty messages", [][]string{{"SOA 9"}, {}, {}}, []string{"without records"}},
		{"refused", nil, []string{"REFUSED"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newFakePrimary(t, primaryOf(t, "9", c.whole, nil))
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
			w.set(ZoneSpec{Name: "l", Source: p.source()})
			if c.words == nil {
				w.waitSerial("l", 9)
				w.checkDisk("l", p.source())
				return
			}
			w.waitError("l", append(c.words, p.address.String())...)
			if came := w.came(); len(came) != 0 {
				t.Errorf("came %q, expected nothing", came)
			}
			checkTidy(t, w.store, "l")
		})
	}
}

// A primary that never ends is cut off at the bound, whatever it sends.
func TestTransferNeverEnds(t *testing.T) {
	endless := func(t testing.TB) func(q *dns.Msg, send func(*dns.Msg)) {
		first, more := rrs(t, "SOA 9"), rrs(t, many(300)...)
		return func(q *dns.Msg, send func(*dns.Msg)) {
			replies(q, send, first)
			if q.Question[0].Qtype == dns.TypeSOA {
				return
			}
			for range 20_000 { // at most; sending fails once the other side has had enough
				replies(q, send, more)
			}
		}
	}
	for _, c := range []struct {
		name   string
		limits Limits
		bounds Bounds
		words  []string
	}{
		{"octets received", Limits{Text: 200_000}, Bounds{}, []string{"more than 195 KiB", "expected at most"}},
		{"octets as text", Limits{File: 100_000}, Bounds{}, []string{"more than 98 KiB as text"}},
		{"time", Limits{}, Bounds{Total: 200 * time.Millisecond}, []string{"longer than 200ms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newFakePrimary(t, endless(t))
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{Bounds: c.bounds})
			w.set(ZoneSpec{Name: "l", Source: p.source(), Limits: c.limits})
			w.waitError("l", c.words...)
			checkTidy(t, w.store, "l")
		})
	}
}

// A primary that sends a message now and then, but never enough in a window, is
// cut off.
func TestTransferTrickles(t *testing.T) {
	bounds := Bounds{Window: 300 * time.Millisecond, Rate: 4 << 10}
	first, more := rrs(t, "SOA 9"), rrs(t, "a CNAME .")
	p := newFakePrimary(t, func(q *dns.Msg, send func(*dns.Msg)) {
		replies(q, send, first)
		if q.Question[0].Qtype == dns.TypeSOA {
			return
		}
		every := time.NewTicker(20 * time.Millisecond) // some 50 octets each
		defer every.Stop()
		for range 250 { // at most; sending fails once the other side has had enough
			<-every.C
			replies(q, send, more)
		}
	})
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{Bounds: bounds})
	start := time.Now()
	w.set(ZoneSpec{Name: "l", Source: p.source()})
	w.waitError("l", "came in 300ms", "expected at least 4.0 KiB a second", "too slow")
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v, expected a window of 300 ms", took)
	}
	checkTidy(t, w.store, "l")
}

// An increment larger than what may be held in memory is given up for the whole
// zone.
func TestIncrementTooLarge(t *testing.T) {
	a := &assembly{apex: []byte("\x03rpz\x04test\x00"), increment: true, have: 1}
	a.changes.limit = 1000
	var err error
	for i, rr := range rrs(t, append([]string{"SOA 2", "SOA 1"}, many(100)...)...) {
		if err = a.take(asRecordOf(t, rr)); err != nil {
			if i < 5 {
				t.Errorf("refused at record %d already", i)
			}
			break
		}
	}
	checkSays(t, err, "changes more than 1000 B")
}

func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("n%d CNAME .", i))
	}
	return all
}

// asRecordOf packs a record.
func asRecordOf(t testing.TB, rr dns.RR) record {
	t.Helper()
	r, ok := asRecord([]byte(lineOf(rr)))
	if !ok {
		t.Fatalf("no record: %s", rr)
	}
	return r
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{
		{1, 0, true}, {0, 1, false}, {5, 5, false}, {0, 4294967295, true}, {4294967295, 0, false},
		{2147483647, 0, true}, {2147483648, 0, false}, {0, 2147483648, false}, {100, 4294967200, true},
	} {
		if got := newer(c.a, c.b); got != c.want {
			t.Errorf("newer(%d, %d) is %t", c.a, c.b, got)
		}
	}
}

// What a primary answers to the wrong question, or wrongly, is not taken.
func TestAnswersThatDoNotBelong(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(m *dns.Msg)
		words string
	}{
		{"another ID", func(m *dns.Msg) { m.Id++ }, "another ID"},
		{"no answer", func(m *dns.Msg) { m.Response = false }, "no answer"},
		{"another opcode", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, "no answer"},
		{"truncated", func(m *dns.Msg) { m.Truncated = true }, "cut short"},
		{"another name", func(m *dns.Msg) { m.Question[0].Name = "other.test." }, "another question"},
		{"no question", func(m *dns.Msg) { m.Question = nil }, "another question"},
		{"not authoritative", func(m *dns.Msg) { m.Authoritative = false }, "not authoritative"},
		{"no SOA", func(m *dns.Msg) { m.Answer = nil }, "no SOA record"},
		{"SOA of another zone", func(m *dns.Msg) { m.Answer[0].Header().Name = "x.rpz.test." }, "no SOA record"},
		{"NXDOMAIN", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, "no such zone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newFakePrimary(t, func(q *dns.Msg, send func(*dns.Msg)) {
				replies(q, func(m *dns.Msg) {
					c.wrong(m)
					send(m)
				}, rrs(t, "SOA 9"))
			})
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
			w.set(ZoneSpec{Name: "l", Source: p.source()})
			w.waitError("l", c.words)
		})
	}
}
