package hits

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/oklog/ulid/v2"
)

var testObserver = Observer{Name: "res1", Version: "1.0.0"}

// fullPolicy says everything about its two indicators.
var fullPolicy = &testPolicy{indicators: []Indicator{
	{
		Type: "domain-name", Name: "bad.example", Scope: "subtree", Action: "sinkhole",
		List: "op-secure", ListVersion: "sha256:00", File: "a.csv", Line: 17,
		Family: "Lumma Stealer", Confidence: 80, Reference: "https://ref.example/", TLP: "AMBER",
		FirstSeen: time.Date(2025, 1, 9, 0, 0, 0, 0, time.UTC), LastSeen: time.Date(2025, 2, 9, 0, 0, 0, 0, time.UTC),
		Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	},
	{Type: "domain-name", Name: "example", Scope: "below", Action: "log", List: "second", Line: 3, Family: "Vidar", Confidence: -1},
}}

// encodeLine returns the line of h, without the fields that differ each time.
func encodeLine(t *testing.T, h *Hit, g *group) (string, *Record) {
	t.Helper()
	e := newEncoder(testObserver, 41, nil)
	var line []byte
	if g != nil {
		line = e.appendGroup(nil, g, testTime)
	} else {
		line = e.appendHit(nil, h, testTime)
	}
	rec, err := ParseRecord(line)
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if _, err := ulid.ParseStrict(rec.Event.ID); err != nil {
		t.Errorf("event.id: %v", err)
	}
	return strings.Replace(string(line), rec.Event.ID, "ID", 1), rec
}

func TestLineOfAHit(t *testing.T) {
	got, _ := encodeLine(t, testHit(func(h *Hit) { h.Evidence = fullPolicy }), nil)
	want := `{"@timestamp":"2026-02-01T03:04:05.123456789Z","ecs":{"version":"9.4.0"},` +
		`"event":{"kind":"alert","category":["network","intrusion_detection"],"type":["connection","denied"],"action":"sinkhole","outcome":"success","id":"ID","sequence":42,"dataset":"sinkhole.hit"},` +
		`"client":{"ip":"192.0.2.7","port":40111},` +
		`"server":{"ip":"198.51.100.53","port":53},` +
		`"observer":{"name":"res1","type":"dns-sinkhole","version":"1.0.0"},` +
		`"network":{"transport":"udp","protocol":"dns","type":"ipv4"},` +
		`"dns":{"id":"4711","question":{"name":"a.bad.example","type":"A","class":"IN","registered_domain":"bad.example"},"response_code":"NOERROR","header_flags":["RD","RA"],"resolved_ip":["203.0.113.1"]},` +
		`"threat":{"indicator":{"type":"domain-name","name":"bad.example","confidence":"High","first_seen":"2025-01-09T00:00:00Z","last_seen":"2025-02-09T00:00:00Z","provider":"op-secure","reference":"https://ref.example/","marking":{"tlp":"AMBER"}},"feed":{"name":"op-secure"},"software":{"name":"Lumma Stealer","type":"Malware"}},` +
		`"sinkhole":{"time_unix_ns":"1769915045123456789","transport":"udp","trigger":"qname","scope":"subtree","value":"a.bad.example","families":["Lumma Stealer"],"lists":[{"name":"op-secure","version":"sha256:00","file":"a.csv","line":17}],"confidence":80,"expires":"2027-01-01T00:00:00Z","address":"203.0.113.1","ttl":60,"source_proven":false,"peer":{"ip":"192.0.2.7","port":40111,"proxy":"none"},"fingerprint":"rd-edns1232","mode":"enforce","count":1}}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLineSaysOnlyWhatIsTrue(t *testing.T) {
	for _, tt := range []struct {
		name          string
		mod           func(*Hit)
		with, without []string
	}{
		{"drop has no answer", func(h *Hit) { h.Action, h.Answered, h.Sink, h.HasTTL = "drop", false, netip.Addr{}, false },
			[]string{`"action":"drop"`, `"denied"`}, []string{"response_code", "header_flags", "resolved_ip", `"ttl"`, `"address"`}},
		{"observed", func(h *Hit) { h.Action, h.Observe, h.Sink, h.HasTTL = "log", true, netip.Addr{}, false },
			[]string{`"type":["connection","allowed"]`, `"mode":"observe"`, `"response_code":"NOERROR"`}, []string{"resolved_ip", `"ttl"`}},
		{"refused has no record", func(h *Hit) { h.Action, h.RCode, h.Sink, h.TTL, h.HasTTL = "refused", 5, netip.Addr{}, 0, false },
			[]string{`"response_code":"REFUSED"`, `"denied"`}, []string{`"ttl"`, `"address"`}},
		{"a client in a group", func(h *Hit) { h.Group = "north \"1\"" }, []string{`"mode":"enforce","group":"north \"1\"","count":1`}, nil},
		{"a client in none", func(h *Hit) { h.Group = "" }, nil, []string{`"group"`}},
		{"a TTL of 0", func(h *Hit) { h.TTL = 0 }, []string{`"ttl":0`}, nil},
		{"to come back over TCP", func(h *Hit) { h.Action, h.Sink, h.HasTTL, h.Truncated = "tcp-only", netip.Addr{}, false, true },
			[]string{`"type":["connection","denied"]`, `"mode":"enforce"`}, []string{`"ttl"`}},
		{"came back over TCP", func(h *Hit) {
			h.Action, h.Sink, h.HasTTL, h.Satisfied, h.Transport = "tcp-only", netip.Addr{}, false, true, TCP
		},
			[]string{`"type":["connection","allowed"]`, `"mode":"enforce"`}, []string{`"ttl"`, `"address"`}},
		{"expires of one indicator", func(h *Hit) { h.Evidence = fullPolicy }, []string{`"expires":"2027-01-01T00:00:00Z"`}, []string{`"indicators"`}},
		{"nxdomain", func(h *Hit) { h.Action, h.RCode, h.Sink = "nxdomain", 3, netip.Addr{} },
			[]string{`"response_code":"NXDOMAIN"`, `"ttl":60`}, []string{"resolved_ip"}},
		{"mapped client", func(h *Hit) { h.Client = netip.MustParseAddrPort("[::ffff:192.0.2.9]:5") },
			[]string{`"client":{"ip":"192.0.2.9","port":5}`, `"type":"ipv4"`}, []string{"::ffff"}},
		{"link-local client", func(h *Hit) { h.Client = netip.MustParseAddrPort("[fe80::1%eth0]:5") },
			[]string{`"client":{"ip":"fe80::1","port":5}`, `"type":"ipv6"`}, []string{"eth0"}},
		{"DoH", func(h *Hit) { h.Transport, h.SourceProven = DoH, true },
			[]string{`"network":{"transport":"tcp"`, `"transport":"doh"`, `"source_proven":true`}, nil},
		{"DoQ", func(h *Hit) { h.Transport = DoQ }, []string{`"network":{"transport":"udp"`, `"transport":"doq"`}, nil},
		{"truncated", func(h *Hit) { h.Truncated = true }, []string{`"header_flags":["TC","RD","RA"]`}, nil},
		{"cname", func(h *Hit) {
			h.Trigger, h.Value = TriggerCNAME, wireName("x", "bad", "example")
			h.Chain = append(wireName("cdn", "example"), wireName("x", "bad", "example")...)
		}, []string{`"trigger":"cname"`, `"value":"x.bad.example"`, `"chain":["cdn.example","x.bad.example"]`}, nil},
		{"response address", func(h *Hit) {
			h.Trigger, h.Matched = TriggerResponseIP, netip.MustParseAddr("198.51.100.9")
		}, []string{`"trigger":"response-ip"`, `"value":"198.51.100.9"`}, []string{`"chain"`}},
		{"client address", func(h *Hit) { h.Trigger = TriggerClientIP }, []string{`"trigger":"client-ip"`, `"value":"192.0.2.7"`}, nil},
		{"several lists", func(h *Hit) { h.Evidence, h.NRules, h.Rules, h.MoreRules = fullPolicy, 2, [MaxRules]uint64{0, 1}, 4 },
			[]string{`"families":["Lumma Stealer","Vidar"]`, `{"name":"second","line":3}`, `"more_rules":4`, `"feed":{"name":"op-secure"}`,
				`"indicators":[{"type":"domain-name","name":"bad.example"`, `{"type":"domain-name","name":"example","scope":"below","action":"log","list":"second","line":3,"family":"Vidar"}]`}, nil},
		{"no evidence", func(h *Hit) { h.Evidence = nil }, nil, []string{"threat", "families", "lists", "confidence"}},
		{"no rule", func(h *Hit) { h.NRules = 0 }, nil, []string{"threat", "families"}},
		{"too many rules", func(h *Hit) { h.NRules = 255 }, []string{`"families"`}, nil},
		{"unknown type and class", func(h *Hit) { h.QType, h.QClass, h.RCode = 65280, 77, 4000 },
			[]string{`"type":"TYPE65280"`, `"class":"CLASS77"`, `"response_code":"RCODE4000"`}, nil},
		{"root", func(h *Hit) { h.QNameLen = uint8(copy(h.QName[:], "\x00")) }, []string{`"question":{"name":".","type"`}, []string{"registered_domain"}},
		{"no addresses", func(h *Hit) { h.Client, h.Server = netip.AddrPort{}, netip.AddrPort{} },
			[]string{`"client":{}`}, []string{"peer", "invalid", `"type":"ipv`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line, _ := encodeLine(t, testHit(tt.mod), nil)
			for _, s := range tt.with {
				if !strings.Contains(line, s) {
					t.Errorf("lacks %s\n%s", s, line)
				}
			}
			for _, s := range tt.without {
				if strings.Contains(line, s) {
					t.Errorf("has %s\n%s", s, line)
				}
			}
		})
	}
}

func TestConfidenceWords(t *testing.T) {
	for c, want := range map[int]string{-1: "", 0: "None", 1: "Low", 29: "Low", 30: "Medium", 69: "Medium", 70: "High", 100: "High"} {
		if got := confidenceWord(c); got != want {
			t.Errorf("%d: %q, want %q", c, got, want)
		}
	}
}

func TestLineOfMergedHits(t *testing.T) {
	m := newMerger(0, time.Second)
	now := testTime
	for i := range 3 {
		m.admit(testHit(func(h *Hit) {
			h.Time = now.Add(time.Duration(i) * time.Millisecond)
			h.Client = netip.AddrPortFrom(h.Client.Addr(), uint16(5+i%2))
			h.SourceProven = i > 0
		}), now)
	}
	var g *group
	m.flush(now, true, 1, func(got *group) { g = got })
	line, rec := encodeLine(t, nil, g)
	for _, s := range []string{
		`"@timestamp":"2026-02-01T03:04:05.123456789Z"`, `"start":"2026-02-01T03:04:05.123456789Z"`, `"end":"2026-02-01T03:04:05.125456789Z"`,
		`"count":3`, `"merged":"indicator"`, `"last_unix_ns":"1769915045125456789"`, `"ports":[5,6]`, `"source_proven":false`, `"name":"a.bad.example"`,
	} {
		if !strings.Contains(line, s) {
			t.Errorf("lacks %s\n%s", s, line)
		}
	}
	if !rec.HasPort(6) || rec.HasPort(7) || !rec.End().Equal(now.Add(2*time.Millisecond)) {
		t.Errorf("read back: %+v", rec.Sinkhole)
	}
}

func TestLineOfAClientsHits(t *testing.T) {
	m := newMerger(0, time.Second)
	m.maxKeys = 0
	for i := range 20 {
		m.admit(testHit(func(h *Hit) {
			h.Rules[0] = uint64(i)
			if i == 19 {
				h.Action = "nxdomain"
			}
		}), testTime)
	}
	var g *group
	m.flush(testTime, true, 1, func(got *group) { g = got })
	line, rec := encodeLine(t, nil, g)
	if s := rec.Sinkhole; s.Merged != MergedClient || s.Count != 20 || s.IndicatorsDistinct != 20 || len(s.Indicators) != 16 {
		t.Errorf("read back %+v", s)
	}
	if rec.Event.Action != severalActions || strings.Contains(line, `"dns":`) || strings.Contains(line, `"trigger"`) {
		t.Errorf("it says of all hits what is true of one:\n%s", line)
	}
}

// A merged line says denied where one of its hits was, and names the lists of
// all.
func TestMergedLineSpeaksOfAllItsHits(t *testing.T) {
	policy := &testPolicy{indicators: []Indicator{
		{Name: "bad.example", List: "deciding", Family: "Lumma Stealer", Confidence: -1},
		{Name: "a.bad.example", List: "second", Family: "Vidar", Confidence: -1},
		{Name: "b.bad.example", List: "third", Family: "Lumma Stealer", Confidence: -1},
	}}
	for _, kind := range []string{MergedIndicator, MergedClient} {
		m := newMerger(0, time.Second)
		if kind == MergedClient {
			m.maxKeys = 0
		}
		admit := func(satisfied bool, rules ...uint64) {
			m.admit(testHit(func(h *Hit) {
				h.Evidence, h.Action, h.Satisfied = policy, "tcp-only", satisfied
				h.NRules = uint8(copy(h.Rules[:], rules))
			}), testTime)
		}
		merged := func() (line string, rec *Record) {
			m.flush(testTime, true, 1, func(g *group) { line, rec = encodeLine(t, nil, g) })
			return line, rec
		}
		admit(true, 0)
		admit(true, 0, 1)
		admit(false, 0, 2)
		line, rec := merged()
		if rec.Sinkhole.Merged != kind || rec.Sinkhole.Count != 3 {
			t.Fatalf("not merged by %s: %s", kind, line)
		}
		for _, list := range []string{"deciding", "second", "third"} {
			if f := (Filter{List: list}); !f.match(rec) {
				t.Errorf("%s: list %s is not found\n%s", kind, list, line)
			}
		}
		if !rec.HasFamily("vidar") || len(rec.Sinkhole.Families) != 2 || len(rec.Sinkhole.Indicators) != 3 || rec.Threat.Indicator.Name != "bad.example" {
			t.Errorf("%s: it does not name what all hits matched\n%s", kind, line)
		}
		if rec.Event.Type[1] != "denied" {
			t.Errorf("%s: one hit was denied\n%s", kind, line)
		}
		admit(true, 0)
		admit(true, 0)
		if line, rec = merged(); rec.Event.Type[1] != "allowed" || rec.Sinkhole.Mode != "enforce" {
			t.Errorf("%s: every hit got the true answer\n%s", kind, line)
		}
	}
}

// The rules of a group are bounded; what it does not name is counted.
func TestMergedLineBoundsItsRules(t *testing.T) {
	m := newMerger(0, time.Second)
	for i := range uint64(20) {
		m.admit(testHit(func(h *Hit) {
			h.NRules = uint8(copy(h.Rules[:], []uint64{0, 2*i + 1, 2*i + 2}))
			if i == 10 {
				h.MoreRules = 5
			}
		}), testTime)
	}
	m.flush(testTime, true, 1, func(g *group) {
		// Of the eleventh hit neither its two other rules nor the five are named.
		if _, rec := encodeLine(t, nil, g); len(rec.Sinkhole.Indicators) != MaxRules || rec.Sinkhole.MoreRules != 7 {
			t.Errorf("%d indicators and %d more, want %d and 7", len(rec.Sinkhole.Indicators), rec.Sinkhole.MoreRules, MaxRules)
		}
	})
}

func TestMergedAloneIsAnOrdinaryLine(t *testing.T) {
	m := newMerger(0, time.Second)
	m.admit(testHit(nil), testTime)
	m.flush(testTime, true, 1, func(g *group) {
		merged, _ := encodeLine(t, nil, g)
		single, _ := encodeLine(t, testHit(nil), nil)
		if merged != single {
			t.Errorf("got  %s\nwant %s", merged, single)
		}
	})
}

// Neither a queried name nor a list's text may break a line or reach a terminal.
func TestLineIsOneLineWhateverStandsInIt(t *testing.T) {
	evil := "a\n\r\x00\x1b[2J\u2028\u2029\u0085\u009b\x7f\u202e\"\\\xff\xc3 \U000e0001 ok é"
	p := &testPolicy{indicators: []Indicator{{
		Type: evil, Name: evil, Scope: evil, Action: evil, List: evil, ListVersion: evil, File: evil, Family: evil, Reference: evil, TLP: evil,
	}}}
	h := testHit(func(h *Hit) {
		h.Evidence = p
		h.QNameLen = uint8(copy(h.QName[:], wireName("\n\"\\.\u2028", "\x1b]0;x\x07", "example")))
		h.Value = wireName("\"}\n{")
		h.Chain = []byte("\x05\n\r\x00\xff\x80\x00\xc0\x0c")
	})
	e := newEncoder(Observer{evil, evil}, 0, nil)
	line := e.appendHit(nil, h, testTime)
	if bytes.IndexByte(line, '\n') != len(line)-1 {
		t.Errorf("more than one line: %q", line)
	}
	for _, r := range string(line[:len(line)-1]) {
		if !unicode.IsPrint(r) {
			t.Errorf("%U in the line", r)
		}
	}
	if !json.Valid(line) {
		t.Fatalf("not JSON: %s", line)
	}
	rec, err := ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(evil[:len(evil)-len("\xff\xc3 \U000e0001 ok é")], "") + "\ufffd\ufffd \U000e0001 ok é"; rec.Threat.Software.Name != want {
		t.Errorf("family reads back as %q, want %q", rec.Threat.Software.Name, want)
	}
	if want := `\010\"\\\.\226\128\168.\027]0\;x\007.example`; rec.DNS.Question.Name != want {
		t.Errorf("name %q, want %q", rec.DNS.Question.Name, want)
	}
}

func TestIDsRiseWhateverTheClockDoes(t *testing.T) {
	e := newEncoder(testObserver, 0, nil)
	last := ""
	for i := range 1000 {
		now := testTime.Add(time.Duration(i%10) * -time.Hour)
		if id := e.newID(now).String(); id <= last {
			t.Fatalf("%s after %s", id, last)
		} else {
			last = id
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("\x03bad\x07example\x00"), []byte{0xff}, "Lumma\u2028", uint16(1))
	f.Fuzz(func(t *testing.T, qname, chain []byte, family string, n uint16) {
		h := testHit(func(h *Hit) {
			h.QNameLen = uint8(copy(h.QName[:], qname))
			h.Chain, h.QType, h.RCode, h.Trigger, h.Transport = chain, n, n, Trigger(n), Transport(n)
			h.Evidence = &testPolicy{indicators: []Indicator{{Family: family, List: family, Confidence: int(n)}}}
		})
		line := newEncoder(testObserver, 0, nil).appendHit(nil, h, testTime)
		if bytes.IndexByte(line, '\n') != len(line)-1 || !json.Valid(line) {
			t.Fatalf("%q", line)
		}
		for _, r := range string(line[:len(line)-1]) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U in %q", r, line)
			}
		}
		if _, err := ParseRecord(line); err != nil {
			t.Fatal(err)
		}
	})
}

// A string reads back as encoding/json has it, octets that are not UTF-8 as
// U+FFFD, and nothing in it acts on a terminal.
func FuzzQuoted(f *testing.F) {
	f.Add("a\x00\n\"\\ \u2028\u202e\U000e0001\xff\xc3 \ufffd\x7f\u00e9")
	f.Fuzz(func(t *testing.T, s string) {
		quoted := appendQuoted(nil, s)
		if !bytes.Equal(quoted, appendQuoted(nil, []byte(s))) {
			t.Errorf("%q differs from its octets", s)
		}
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil || back != string([]rune(s)) {
			t.Errorf("%q became %s: %q, %v", s, quoted, back, err)
		}
		for _, r := range string(quoted) {
			if !unicode.IsPrint(r) {
				t.Errorf("%U in %q", r, quoted)
			}
		}
	})
}
