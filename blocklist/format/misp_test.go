package format

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMISPForms(t *testing.T) {
	const event = `{"info": "x", "Attribute": [{"type": "domain", "to_ids": true, "value": "bad.example"}]}`
	for _, tt := range []struct {
		name, list string
		want       []string
	}{
		{"an event by itself", event, []string{"1 subtree bad.example"}},
		{"an event", `{"Event": ` + event + `}`, []string{"1 subtree bad.example"}},
		{"an array of events", `[{"Event": ` + event + `}, ` + event + `]`, []string{"1 subtree bad.example", "1 subtree bad.example"}},
		{"an answer", `{"response": [{"Event": ` + event + `}]}`, []string{"1 subtree bad.example"}},
		{"an answer without an array", `{"response": {"Event": ` + event + `}}`, []string{"1 subtree bad.example"}},
		{"an answer of attributes", `{"response": {"Attribute": [{"type": "ip-dst", "to_ids": true, "value": "192.0.2.1", "Event": {"info": "x"}}]}}`, []string{"1 response-ip 192.0.2.1/32"}},
		{"an answer without events", `{"response": []}`, nil},
		{"events one after the other", "{\"Event\": " + event + "}\n{\"Event\": " + event + "}\n", []string{"1 subtree bad.example", "2 subtree bad.example"}},
		{"an empty object", `{}`, nil},
		{"an event without attributes", `{"Event": {"info": "x"}}`, nil},
		{"a comment of two lines", `{"Attribute": [{"type": "domain", "value": "bad.example", "comment": "one\ntwo\u001b\u009b"}]}`, []string{`1 subtree bad.example reference="one two  "`}},
		{"no word on detection", `{"Attribute": [{"type": "domain", "value": "bad.example"}]}`, []string{"1 subtree bad.example"}},
		{"attributes around an event", `{"Attribute": [{"type": "domain", "value": "a.example"}], "Event": ` + event + `}`, []string{"1 subtree a.example", "1 subtree bad.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, parse(tt.list, Options{Kind: MISP}), tt.want...) })
	}
}

// TestMISPEventsApart holds that what one event says does not pass to the next.
func TestMISPEventsApart(t *testing.T) {
	const attributes = `"Attribute": [{"type": "domain", "value": "bad.example"}]`
	expect(t, parse(`[{`+attributes+`, "Tag": [{"name": "tlp:red"}, {"name": "misp-galaxy:rat=\"NjRAT\""}]}, {`+attributes+`}]`, Options{}),
		`1 subtree bad.example family="NjRAT" tlp="RED"`, "1 subtree bad.example")
}

// TestMISPOwnTagsFirst holds that what an attribute says goes before what its
// event says, also of an event within another.
func TestMISPOwnTagsFirst(t *testing.T) {
	tags := func(confidence, tlp string) string {
		return `"Tag": [{"name": "misp:confidence-level=\"` + confidence + `\""}, {"name": "tlp:` + tlp + `"}]`
	}
	expect(t, parse(`{`+tags("fairly-confident", "green")+`, "Attribute": [{"type": "domain", "value": "a.example"}, {"type": "domain", "value": "b.example", `+
		tags("completely-confident", "clear")+`}], "Event": {"Attribute": [{"type": "domain", "value": "c.example"}], `+tags("unconfident", "red")+`}}`, Options{}),
		`1 subtree a.example tlp="GREEN" confidence=50`, `1 subtree b.example tlp="CLEAR" confidence=100`, `1 subtree c.example tlp="RED" confidence=0`)
}

const mispUUID = "00000000-0000-4000-8000-000000000001"

// TestMISPReference holds by what a responder finds an indicator at the source:
// the attribute's or the event's link, else the event.
func TestMISPReference(t *testing.T) {
	const (
		event     = `"uuid": "` + mispUUID + `"`
		link      = `{"type": "link", "to_ids": false, "value": "https://ref.example/1"}`
		attribute = `{"type": "domain", "value": "bad.example"}`
		commented = `{"type": "domain", "value": "bad.example", "comment": "the C2"}`
		linked    = `{"type": "domain", "value": "bad.example", "comment": "https://ref.example/2"}`
	)
	for _, tt := range []struct{ name, list, want string }{
		{"the event before", `{"Event": {` + event + `, "Attribute": [` + attribute + `]}}`, "misp:event/" + mispUUID},
		{"the event behind", `{"Attribute": [` + commented + `], ` + event + `}`, "misp:event/" + mispUUID},
		{"an object", `{"Event": {` + event + `, "Object": [{"uuid": "x", "Attribute": [` + attribute + `]}]}}`, "misp:event/" + mispUUID},
		{"the event's link", `{` + event + `, "Attribute": [` + commented + `, ` + link + `]}`, "https://ref.example/1"},
		{"the attribute's link", `{` + event + `, "Attribute": [` + linked + `, ` + link + `]}`, "https://ref.example/2"},
		{"an attribute with its event", `{"response": {"Attribute": [{"type": "domain", "value": "bad.example", "comment": "the C2", "Event": {"id": "1", ` + event + `}}]}}`, "misp:event/" + mispUUID},
		{"no UUID", `{"uuid": "<script>", "Attribute": [` + commented + `]}`, "the C2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expectEntries(t, parse(tt.list, Options{Kind: MISP}), `1 subtree bad.example reference="`+tt.want+`"`)
		})
	}
	got := parse(`{"uuid": "`+mispUUID+`", "message": "x"}`, Options{Kind: MISP})
	if got.err == nil || !strings.Contains(got.err.Error(), "no MISP event (members found: uuid, message)") {
		t.Errorf("an answer that is no event: %v", got.err)
	}
}

// expectEntries is expect for a list of which something is left out.
func expectEntries(t *testing.T, got outcome, want ...string) {
	t.Helper()
	if got.err != nil || !slices.Equal(got.entries, want) {
		t.Errorf("%q, %v; want %q", got.entries, got.err, want)
	}
}

// TestMISPDoubts holds what makes an indicator less certain.
func TestMISPDoubts(t *testing.T) {
	const warned = `"warnings": [{"match": "bad.example", "warninglist_id": 1, "warninglist_name": "Top 1000"}]`
	attribute := func(more string) string { return `{"type": "domain", "value": "bad.example"` + more + `}` }
	risk := func(level string) string { return `"Tag": [{"name": "false-positive:risk=\"` + level + `\""}]` }
	for _, tt := range []struct{ name, list, want string }{
		{"a hit of a warning list", `{"Attribute": [` + attribute(", "+warned) + `]}`, " doubtful"},
		{"no hit", `{"Attribute": [` + attribute(`, "warnings": []`) + `]}`, ""},
		{"a high risk", `{"Attribute": [` + attribute(", "+risk("high")) + `]}`, " doubtful"},
		{"a medium risk of the event", `{"Attribute": [` + attribute("") + `], ` + risk("medium") + `}`, " doubtful"},
		{"a low risk", `{"Attribute": [` + attribute(", "+risk("low")) + `]}`, ""},
		{"a risk not judged", `{"Attribute": [` + attribute(", "+risk("cannot-be-judged")) + `]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, parse(tt.list, Options{Kind: MISP}), "1 subtree bad.example"+tt.want) })
	}
	expect(t, parse(`[{"Attribute": [`+attribute("")+`], `+risk("high")+`}, {"Attribute": [`+attribute("")+`]}]`, Options{Kind: MISP}),
		"1 subtree bad.example doubtful", "1 subtree bad.example")
}

// TestMISPAppName holds that the app of an object is the family where no tag names
// one, wherever in the object its name stands.
func TestMISPAppName(t *testing.T) {
	const (
		domain = `{"type": "domain", "object_relation": "domain", "value": "bad.example"}`
		name   = `{"type": "text", "object_relation": "name", "to_ids": false, "value": "TheTruthSpy"}`
		tag    = `"Tag": [{"name": "misp-galaxy:malpedia=\"Vidar\""}]`
	)
	for _, tt := range []struct{ name, list, want string }{
		{"the name first", `{"Object": [{"name": "android-app", "Attribute": [` + name + `, ` + domain + `]}]}`, ` family="TheTruthSpy"`},
		{"the name last", `{"Object": [{"Attribute": [` + domain + `, ` + name + `], "name": "android-app"}]}`, ` family="TheTruthSpy"`},
		{"a family of the event", `{"Object": [{"name": "android-app", "Attribute": [` + name + `, ` + domain + `]}], ` + tag + `}`, ` family="Vidar"`},
		{"another object", `{"Object": [{"name": "person", "Attribute": [` + name + `, ` + domain + `]}]}`, ""},
		{"the next object", `{"Object": [{"name": "android-app", "Attribute": [` + name + `]}, {"name": "android-app", "Attribute": [` + domain + `]}]}`, ""},
		{"no object", `{"Attribute": [` + name + `, ` + domain + `]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expectEntries(t, parse(tt.list, Options{Kind: MISP}), "1 subtree bad.example"+tt.want)
		})
	}
}

func TestMISPFails(t *testing.T) {
	const uuid = "00000000-0000-4000-8000-000000000001"
	for _, tt := range []struct{ name, list, want string }{
		{"an error", `{"name": "Authentication failed", "message": "x", "url": "/events"}`, "line 1: a JSON object that is no MISP event (members found: name, message, url), expected Event"},
		{"a manifest", `{"` + uuid + `": {"info": "x", "Orgc": {"name": "CERT"}}}`, "the manifest of a MISP feed, which names events and holds none"},
		{"an answer that is text", `{"response": "no"}`, `found '"', expected a MISP event`},
		{"an event twice", `{"Event": {"info": "x"}, "Event": {"info": "x"}}`, `the member "Event" is there twice`},
		{"cut short", "{\"Event\": {\n\"Attribute\": [{\"type\": \"domain\",", "line 2: the JSON document ends too early"},
		{"no JSON", "bad.example\n", "line 1: found 'b', expected a JSON document"},
		{"deep events", strings.Repeat(`{"Event":`, 1000), "nested more than 64 deep"},
		{"nothing but broken values", `{"Attribute": [{"type": "domain", "value": "a b"}]}`, "no usable entry and 1 malformed lines"},
		{"garbage without end", `{"Attribute": [` + strings.Repeat(`{"type": "domain", "value": "a b"},`, manyMalformed) + "\n\n\n", "10000 malformed lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(tt.list, Options{Kind: MISP})
			if got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
				t.Errorf("%+v, error %v; want one that says %q", got.result, got.err, tt.want)
			}
		})
	}
}

// FuzzMISPEvents makes up events, their members in any order, of which it knows
// what they mean.
func FuzzMISPEvents(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := &mispModel{Rand: rand.New(rand.NewPCG(seed, 2))}
		var events []string
		for range 1 + m.IntN(3) {
			events = append(events, m.event())
		}
		list := `{"response": [` + strings.Join(events, ",") + "]}"
		emitted, result, err := checkedParse(t, []byte(list), Options{Kind: MISP})
		if err != nil || result.NotApplicable != m.leftOut || result.Malformed+result.Refused > 0 {
			t.Fatalf("%s\n%+v, %v; want %d not applicable", list, result, err, m.leftOut)
		}
		var got []string
		for i := range emitted {
			_, text, _ := strings.Cut(describe(&emitted[i]), " ")
			got = append(got, text)
		}
		if !slices.Equal(got, m.want) {
			t.Fatalf("%s\ngot\n%s\nwant\n%s", list, strings.Join(got, "\n"), strings.Join(m.want, "\n"))
		}
	})
}

// mispModel makes up events and keeps what they mean.
type mispModel struct {
	*rand.Rand
	want    []string
	leftOut int
	made    int
}

// mispModelTags are tags that the test makes up.
type mispModelTags struct {
	tags     []map[string]any
	tlp      string
	families []string
}

func (m *mispModel) tags() (made mispModelTags) {
	add := func(name string) { made.tags = append(made.tags, map[string]any{"name": name, "colour": "#ffffff"}) }
	for _, tlp := range []string{"clear", "green", "red"} { // the strictest last
		if m.IntN(4) == 0 {
			add("tlp:" + tlp)
			made.tlp = strings.ToUpper(tlp)
		}
	}
	malpedia := m.IntN(4) == 0
	if malpedia {
		add(`misp-galaxy:malpedia="Lumma Stealer"`)
		made.families = []string{"Lumma Stealer"}
	}
	for _, name := range []string{"A", "B"} {
		if m.IntN(4) == 0 {
			add(`misp-galaxy:tool="` + name + `"`)
			if !malpedia {
				made.families = append(made.families, name)
			}
		}
	}
	if m.IntN(4) == 0 {
		add("type:OSINT")
	}
	return made
}

func (m *mispModel) event() string {
	tags := m.tags()
	var names []func() // what the attributes mean, once the objects are known
	attributes := func(object string, gone bool) json.RawMessage {
		var all []string
		for range m.IntN(4) {
			text, means := m.attribute(tags, object, gone)
			all = append(all, text)
			if means != nil {
				names = append(names, means)
			}
		}
		return json.RawMessage("[" + strings.Join(all, ",") + "]")
	}
	members := map[string]any{"info": "x", "Tag": tags.tags, "date": "2026-01-01", "RelatedEvent": []any{map[string]any{"Event": map[string]any{"Attribute": "x"}}}}
	// One kind of attribute in an event: the order of the two is that of the text.
	if m.IntN(2) == 0 {
		members["Attribute"] = attributes("", false)
	} else {
		var objects []string
		for range m.IntN(3) {
			object := map[string]any{"name": "x"}
			seen, gone := "", m.IntN(4) == 0
			if m.IntN(2) == 0 {
				object["first_seen"], seen = "2026-01-02T00:00:00+00:00", " first=2026-01-02T00:00:00Z"
			}
			if gone {
				object["deleted"] = true
			}
			object["Attribute"] = attributes(seen, gone)
			objects = append(objects, shuffled(m.Rand, object))
		}
		members["Object"] = json.RawMessage("[" + strings.Join(objects, ",") + "]")
	}
	for _, means := range names {
		means()
	}
	return `{"Event": ` + shuffled(m.Rand, members) + "}"
}

// attribute makes one up; means adds to what is wanted.
func (m *mispModel) attribute(event mispModelTags, object string, gone bool) (text string, means func()) {
	m.made++
	name := fmt.Sprintf("n%d.example", m.made)
	own := m.tags()
	members := map[string]any{"type": "domain", "value": name, "to_ids": true, "Tag": own.tags, "uuid": "x"}
	switch m.IntN(6) {
	case 0:
		members["to_ids"] = false
		m.leftOut++
	case 1:
		members["type"] = "sha256"
		m.leftOut++
	case 2:
		members["deleted"] = true
		m.leftOut++
	default:
		means = func() {
			if gone {
				return
			}
			if own.tlp == "" {
				own.tlp = event.tlp
			}
			if own.tlp != "" {
				own.tlp = fmt.Sprintf(" tlp=%q", own.tlp)
			}
			families := own.families
			if len(families) == 0 {
				families = event.families
			}
			for _, family := range families {
				m.want = append(m.want, fmt.Sprintf("subtree %s family=%q%s%s", name, family, own.tlp, object))
			}
			if len(families) == 0 {
				m.want = append(m.want, "subtree "+name+own.tlp+object)
			}
		}
	}
	return shuffled(m.Rand, members), means
}

// FuzzMISP holds that nothing is emitted of what encoding/json does not take.
func FuzzMISP(f *testing.F) {
	seed(f, `{"Event":{"info":"x","Attribute":[{"type":"domain|ip","to_ids":true,"value":"bad.example|192.0.2.1","first_seen":"2026-01-01T00:00:00Z"}],"Tag":[{"name":"tlp:red"}]}}`,
		`{"response":[{"Event":{"Object":[{"deleted":true,"Attribute":[{"type":"ip-dst|port","value":"192.0.2.1|80"}]}]}}]}`)
	f.Fuzz(func(t *testing.T, list []byte) { fuzzJSONList(t, list, MISP) })
}
