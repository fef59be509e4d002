package format

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSTIXForms(t *testing.T) {
	const reference = ` reference="indicator--1"`
	const indicator = `{"type": "indicator", "id": "indicator--1", "pattern": "[domain-name:value = 'bad.example']"}`
	for _, tt := range []struct {
		name, list string
		want       []string
	}{
		{"a bundle", `{"type": "bundle", "objects": [` + indicator + `]}`, []string{"1 subtree bad.example" + reference}},
		{"a TAXII envelope", `{"more": false, "objects": [` + indicator + `]}`, []string{"1 subtree bad.example" + reference}},
		{"an empty TAXII envelope", `{"more": false}`, nil},
		{"an empty object", `{}`, nil},
		{"an array of objects", `[` + indicator + `]`, []string{"1 subtree bad.example" + reference}},
		{"an empty bundle", `{"type": "bundle", "id": "bundle--1"` + `, "objects": []}`, nil},
		{"two pages", "{\"objects\": [" + indicator + "]}\n{\"objects\": [" + strings.ReplaceAll(indicator, "--1", "--2") + "]}",
			[]string{"1 subtree bad.example" + reference, "2 subtree bad.example" + strings.ReplaceAll(reference, "--1", "--2")}},
		{"the same on two pages", "{\"objects\": [" + indicator + "]}\n{\"objects\": [" + indicator + "]}", []string{"1 subtree bad.example" + reference}},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, parse(tt.list, Options{Kind: STIX}), tt.want...) })
	}
}

func TestSTIXMatch(t *testing.T) {
	list := `{"objects": [{"type": "indicator", "id": "indicator--1", "pattern": "[domain-name:value = 'bad.example']"}]}`
	expect(t, parse(list, Options{Match: "exact"}), "1 exact bad.example reference=\"indicator--1\"")
}

func TestSTIXWarnsOfMorePages(t *testing.T) {
	got := parse(`{"more": true, "next": "2", "objects": []}`, Options{})
	if got.err != nil || len(got.result.Warnings) != 1 || !strings.Contains(got.result.Warnings[0], "more objects follow") {
		t.Errorf("%+v, %v", got.result, got.err)
	}
}

func TestSTIXFails(t *testing.T) {
	for _, tt := range []struct{ name, list, want string }{
		{"another document", "\n{\"title\": \"Not found\", \"http_status\": \"404\"}", `line 2: a JSON document without the member "objects"`},
		{"objects that are none", `{"objects": {"a": 1}}`, "expected an array of STIX objects"},
		{"objects twice", `{"objects": [], "objects": []}`, `the member "objects" is there twice`},
		{"cut short", "{\"objects\": [\n{\"type\": \"indicator\",\n", "line 3: the JSON document ends too early"},
		{"no JSON", "bad.example\n", "line 1: found 'b', expected a JSON document"},
		{"deep", `{"objects": [` + strings.Repeat(`{"a":`, 1000), "nested more than 64 deep"},
		{"nothing but broken patterns", `{"objects": [{"type": "indicator", "pattern": "["}]}`, "no usable entry and 1 malformed lines"},
		{"garbage without end", `{"objects": [` + strings.Repeat(`{"type": "indicator", "pattern": "["},`, manyMalformed) + "\n\n\n", "10000 malformed lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parse(tt.list, Options{Kind: STIX})
			if got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
				t.Errorf("%+v, error %v; want one that says %q", got.result, got.err, tt.want)
			}
		})
	}
}

// TestSTIXFamiliesBounded holds that an indicator is listed under so many
// families and no more.
func TestSTIXFamiliesBounded(t *testing.T) {
	var objects []string
	for i := range maxFamilies + 5 {
		objects = append(objects,
			fmt.Sprintf(`{"type": "malware", "id": "malware--%d", "name": "Family %[1]d"}`, i),
			fmt.Sprintf(`{"type": "relationship", "relationship_type": "indicates", "source_ref": "indicator--1", "target_ref": "malware--%d"}`, i))
	}
	objects = append(objects, `{"type": "indicator", "id": "indicator--1", "pattern": "[domain-name:value = 'bad.example']"}`)
	got := parse(`{"objects": [`+strings.Join(objects, ",")+`]}`, Options{})
	if got.err != nil || len(got.entries) != maxFamilies || len(got.result.Warnings) != 1 || !strings.Contains(got.result.Warnings[0], "families left out: 5") {
		t.Errorf("%d entries, %+v, %v", len(got.entries), got.result, got.err)
	}
}

// shuffled writes a JSON object with its members in any order.
func shuffled(r *rand.Rand, members map[string]any) string {
	var parts []string
	for name, value := range members {
		raw, ok := value.(json.RawMessage)
		if !ok {
			raw, _ = json.Marshal(value)
		}
		parts = append(parts, fmt.Sprintf("%q:%s%s", name, []string{"", " ", "\n"}[r.IntN(3)], raw))
	}
	slices.Sort(parts)
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}

// stixModel is a bundle as the test makes it up, and what it means by joins
// over maps.
type stixModel struct {
	*rand.Rand
	objects    []string
	indicators map[string]stixModelIndicator // the latest version by id
	families   map[string][]string           // by id of the indicator
	malware    map[string]string
	tlps       map[string]string
}

type stixModelIndicator struct {
	modified int
	revoked  bool
	names    []string
	markings []string
	expires  bool
}

func newSTIXModel(seed uint64) *stixModel {
	m := &stixModel{
		Rand:       rand.New(rand.NewPCG(seed, 1)),
		indicators: make(map[string]stixModelIndicator), families: make(map[string][]string),
		malware: map[string]string{"malware--0": "Family A", "malware--1": "Family B", "malware--2": "Family A"},
		tlps: map[string]string{
			"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "GREEN",
			"marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "AMBER+STRICT",
			"marking-definition--a": "AMBER", "marking-definition--b": "CLEAR", "marking-definition--absent": "",
		},
	}
	for range m.IntN(12) {
		m.indicator()
	}
	for range m.IntN(12) {
		m.relationship()
	}
	for id, name := range m.malware {
		m.add(map[string]any{"type": "malware", "id": id, "name": name})
	}
	m.add(map[string]any{"type": "marking-definition", "id": "marking-definition--a", "definition": map[string]any{"tlp": "amber"}})
	m.add(map[string]any{"type": "marking-definition", "id": "marking-definition--b", "extensions": map[string]any{tlpExtension: map[string]any{"tlp_2_0": "clear"}}})
	slices.Sort(m.objects)
	m.Shuffle(len(m.objects), func(i, j int) { m.objects[i], m.objects[j] = m.objects[j], m.objects[i] })
	return m
}

func (m *stixModel) add(members map[string]any) {
	m.objects = append(m.objects, shuffled(m.Rand, members))
}

func (m *stixModel) indicator() {
	id := fmt.Sprintf("indicator--%d", m.IntN(6))
	// Each version is of a time of its own, so that the order does not matter.
	version := stixModelIndicator{modified: len(m.objects), revoked: m.IntN(8) == 0, expires: m.IntN(2) == 0}
	var comparisons []string
	for range 1 + m.IntN(2) {
		name := fmt.Sprintf("n%d-%d.example", len(m.objects), len(version.names))
		version.names = append(version.names, name)
		comparisons = append(comparisons, "domain-name:value = '"+name+"'")
	}
	members := map[string]any{
		"type": "indicator", "id": id, "pattern": "[" + strings.Join(comparisons, " OR ") + "]",
		"modified": time.Unix(int64(version.modified), 0).UTC().Format(time.RFC3339), "description": strings.Repeat("\"x\\", m.IntN(5)),
	}
	if version.revoked {
		members["revoked"] = true
	}
	if version.expires {
		members["valid_until"] = "2030-01-02T03:04:05Z"
	}
	for marking := range m.tlps {
		version.markings = append(version.markings, marking)
	}
	slices.Sort(version.markings)
	m.Shuffle(len(version.markings), func(i, j int) {
		version.markings[i], version.markings[j] = version.markings[j], version.markings[i]
	})
	version.markings = version.markings[:m.IntN(3)]
	members["object_marking_refs"] = version.markings
	m.add(members)
	if old, ok := m.indicators[id]; !ok || version.modified > old.modified {
		m.indicators[id] = version
	}
}

func (m *stixModel) relationship() {
	source, target := fmt.Sprintf("indicator--%d", m.IntN(8)), fmt.Sprintf("malware--%d", m.IntN(4))
	members := map[string]any{"type": "relationship", "relationship_type": "indicates", "source_ref": source, "target_ref": target}
	switch name := m.malware[target]; m.IntN(6) {
	case 0:
		members["revoked"] = true
	case 1:
		members["relationship_type"] = "related-to"
	default:
		if name != "" && !slices.Contains(m.families[source], name) {
			m.families[source] = append(m.families[source], name)
		}
	}
	m.add(members)
}

// entries are what the bundle means, without lines.
func (m *stixModel) entries() (all []string) {
	ranks := []string{"", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"}
	for id, version := range m.indicators {
		if version.revoked {
			continue
		}
		tlp := 0
		for _, marking := range version.markings {
			tlp = max(tlp, slices.Index(ranks, m.tlps[marking]))
		}
		rest := fmt.Sprintf(" reference=%q", id)
		if tlp > 0 {
			rest += fmt.Sprintf(" tlp=%q", ranks[tlp])
		}
		if version.expires {
			rest += " expires=2030-01-02T03:04:05Z"
		}
		for _, name := range version.names {
			for _, family := range m.families[id] {
				all = append(all, fmt.Sprintf("subtree %s family=%q%s", name, family, rest))
			}
			if len(m.families[id]) == 0 {
				all = append(all, "subtree "+name+rest)
			}
		}
	}
	slices.Sort(all)
	return all
}

// FuzzSTIXJoins makes up bundles, their objects and members in any order, of
// which it knows what they mean.
func FuzzSTIXJoins(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := newSTIXModel(seed)
		list := `{"objects": [` + strings.Join(m.objects, ",") + "]}"
		emitted, result, err := checkedParse(t, []byte(list), Options{Kind: STIX})
		if err != nil || result.Malformed+result.Refused > 0 {
			t.Fatalf("%s\n%+v, %v", list, result, err)
		}
		var got []string
		for i := range emitted {
			_, text, _ := strings.Cut(describe(&emitted[i]), " ")
			got = append(got, text)
		}
		slices.Sort(got)
		if want := m.entries(); !slices.Equal(got, want) {
			t.Fatalf("%s\ngot\n%s\nwant\n%s", list, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// FuzzSTIX holds that nothing is emitted of what encoding/json does not take.
func FuzzSTIX(f *testing.F) {
	seed(f, `{"objects":[{"type":"indicator","id":"indicator--1","pattern":"[domain-name:value = 'bad.example']","valid_until":"2027-01-01T00:00:00Z","confidence":5}]}`,
		`{"type":"bundle","objects":[{"type":"indicator","pattern":"[ipv4-addr:value ISSUBSET '192.0.2.0/24' OR url:value IN ('http://bad.example/a','x')]"}]}`,
		`[{"type":"malware","id":"malware--1","name":"x"},{"type":"relationship","relationship_type":"indicates","source_ref":"indicator--1","target_ref":"malware--1"}]`)
	f.Fuzz(func(t *testing.T, list []byte) { fuzzJSONList(t, list, STIX) })
}

// fuzzJSONList holds that a list in JSON is taken only if encoding/json takes
// it, and that its names stand in lists of names as they do here.
func fuzzJSONList(t *testing.T, list []byte, kind Kind) {
	emitted, _, err := checkedParse(t, list, Options{Kind: kind})
	if err != nil {
		return
	}
	if head := trim(list); len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		if _, err := oracleDocuments(list); err != nil {
			t.Fatalf("a list was taken that encoding/json does not take: %v", err)
		}
	}
	for i := range emitted {
		text := emitted[i].Prefix.String()
		if emitted[i].Trigger == QName {
			text = Text(emitted[i].Name)
		}
		again, _, err := checkedParse(t, []byte(text), Options{Kind: Domains})
		if err != nil || len(again) != 1 || string(again[0].Name) != string(emitted[i].Name) || again[0].Prefix != emitted[i].Prefix {
			t.Fatalf("%q as a list: %+v, %v", text, again, err)
		}
	}
}
