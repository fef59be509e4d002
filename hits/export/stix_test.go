package export

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

// What the schemas of OASIS and the standard's text ask of the objects that we write: keys
// that must be, and keys that may be, beyond those of every object.
func stixKeys() map[string]struct{ must, may string } {
	return map[string]struct{ must, may string }{
		"identity":      {"created modified name identity_class", "roles"},
		"indicator":     {"created modified pattern pattern_type valid_from indicator_types", "name created_by_ref confidence valid_until external_references object_marking_refs"},
		"malware":       {"created modified name is_family", "malware_types"},
		"relationship":  {"created modified relationship_type source_ref target_ref", "created_by_ref object_marking_refs"},
		"observed-data": {"created modified first_observed last_observed number_observed object_refs", "created_by_ref external_references object_marking_refs"},
		"sighting":      {"created modified sighting_of_ref", "first_seen last_seen count observed_data_refs where_sighted_refs created_by_ref object_marking_refs"},
		"ipv4-addr":     {"value", ""}, "ipv6-addr": {"value", ""}, "domain-name": {"value", ""},
		"network-traffic": {"protocols src_ref", "dst_ref src_port dst_port start end"},
	}
}

var (
	stixIdentifier = regexp.MustCompile(`^([a-z][a-z0-9-]+[a-z0-9])--[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	stixTimestamp  = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$`)
)

// stixObjectsOf reads a bundle and holds each object to the rules.
func stixObjectsOf(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	var b struct {
		Type, ID string
		Objects  []map[string]any
	}
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if b.Type != "bundle" || !strings.HasPrefix(b.ID, "bundle--") || len(b.Objects) == 0 && strings.Contains(text, "objects") {
		t.Errorf("bundle: %.200s", text)
	}
	keys := stixKeys()
	ids := map[string]bool{}
	for _, o := range b.Objects {
		id, _ := o["id"].(string)
		kind, _ := o["type"].(string)
		if m := stixIdentifier.FindStringSubmatch(id); m == nil || m[1] != kind || o["spec_version"] != "2.1" || ids[id] {
			t.Errorf("object %v", o)
		}
		ids[id] = true
		must, may := strings.Fields(keys[kind].must), strings.Fields(keys[kind].may)
		for _, key := range must {
			if o[key] == nil {
				t.Errorf("%s: %s is missing", kind, key)
			}
		}
		for key, v := range o {
			if !slices.Contains([]string{"type", "id", "spec_version"}, key) && !slices.Contains(must, key) && !slices.Contains(may, key) {
				t.Errorf("%s: unknown key %s", kind, key)
			}
			if list, ok := v.([]any); ok && len(list) == 0 {
				t.Errorf("%s: %s is empty", kind, key)
			}
			if slices.Contains(strings.Fields("created modified valid_from valid_until first_observed last_observed first_seen last_seen start end"), key) && !stixTimestamp.MatchString(v.(string)) {
				t.Errorf("%s: %s is %v", kind, key, v)
			}
		}
	}
	// A reference leads to an object of the bundle, or to a marking of the standard.
	for _, o := range b.Objects {
		for key, v := range o {
			var refs []any
			switch {
			case strings.HasSuffix(key, "_ref"):
				refs = []any{v}
			case strings.HasSuffix(key, "_refs"):
				refs = v.([]any)
			}
			for _, ref := range refs {
				if !ids[ref.(string)] && key != "object_marking_refs" {
					t.Errorf("%s: %s %v leads nowhere", o["type"], key, ref)
				}
			}
		}
	}
	return b.Objects
}

func ofType(all []map[string]any, kind string) (some []map[string]any) {
	for _, o := range all {
		if o["type"] == kind {
			some = append(some, o)
		}
	}
	return some
}

func stixRecord(mod func(*hits.Record)) *hits.Record {
	return record(func(r *hits.Record) {
		r.Event.ID = "01H"
		r.Observer.Name = "res1"
		r.Network.Transport = "udp"
		r.Server = hits.RecordServer{IP: netip.MustParseAddr("198.51.100.3"), Port: 53}
		r.DNS.Question.Name = "example.com"
		r.Threat.Indicator.Type = "domain-name"
		r.Threat.Feed.Name = "op-secure"
		r.Threat.Software.Name = "Lumma Stealer"
		r.Sinkhole.Scope = "exact"
		if mod != nil {
			mod(r)
		}
	})
}

func TestSTIX(t *testing.T) {
	first := time.Date(2025, 1, 9, 0, 0, 0, 0, time.UTC)
	eighty := 80
	one := stixRecord(func(r *hits.Record) {
		r.Threat.Indicator.FirstSeen, r.Threat.Indicator.Reference, r.Threat.Indicator.Marking.TLP = first, "https://lists.example/17", "AMBER"
		r.Sinkhole.Confidence, r.Sinkhole.Expires, r.Sinkhole.Scope = &eighty, first.AddDate(3, 0, 0), "subtree"
		r.Sinkhole.Count, r.Event.End = 5, r.Time.Add(time.Second)
	})
	other := stixRecord(func(r *hits.Record) {
		r.Event.ID, r.Client = "01J", hits.Endpoint{IP: netip.MustParseAddr("2001:db8::7")}
		r.Threat.Software.Name, r.DNS.Question.Name = "", `a\.b.example`
	})
	text := render(t, "stix", Options{}, one, one, other, stixRecord(func(r *hits.Record) { r.Sinkhole.Expected = true }), lostRecord(), evilRecord())
	all := stixObjectsOf(t, text)
	for kind, want := range map[string]int{"identity": 2, "indicator": 3, "malware": 1, "relationship": 1, "observed-data": 3, "sighting": 3, "ipv4-addr": 2, "ipv6-addr": 1, "domain-name": 1, "network-traffic": 3} {
		if got := len(ofType(all, kind)); got != want {
			t.Errorf("%d of %s, want %d", got, kind, want)
		}
	}
	// The ids that another implementation gives 198.51.100.3 and example.com.
	for _, want := range []string{"ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4", "domain-name--bedb4899-d24b-5401-bc86-8f6b4cc18ec7"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	indicator := ofType(all, "indicator")[0]
	for key, want := range map[string]any{
		"pattern": "[domain-name:value = 'bad.example' OR domain-name:value LIKE '%.bad.example']", "pattern_type": "stix", "confidence": 80.0,
		"valid_from": "2025-01-09T00:00:00.000000Z", "valid_until": "2028-01-09T00:00:00.000000Z",
	} {
		if indicator[key] != want {
			t.Errorf("%s: got %v, want %v", key, indicator[key], want)
		}
	}
	sighting := ofType(all, "sighting")[0]
	if sighting["count"] != 5.0 || sighting["first_seen"] != "2026-02-01T03:04:05.123456Z" || sighting["last_seen"] != "2026-02-01T03:04:06.123456Z" || sighting["object_marking_refs"] == nil {
		t.Errorf("%v", sighting)
	}
	// But for its own id, a bundle of the same hits is the same.
	again := render(t, "stix", Options{}, one, one, other, evilRecord())
	if _, a, _ := strings.Cut(text, `"objects"`); !strings.HasSuffix(again, a) {
		t.Error("a second bundle differs")
	}
	if got := stixObjectsOf(t, render(t, "stix", Options{}, lostRecord())); len(got) != 0 {
		t.Errorf("without a hit: %v", got)
	}
	stixObjectsOf(t, render(t, "stix", Options{}))
}

func TestSTIXPatterns(t *testing.T) {
	for _, c := range []struct{ kind, name, scope, want string }{
		{"domain-name", "bad.example", "exact", "[domain-name:value = 'bad.example']"},
		{"domain-name", "bad.example", "below", "[domain-name:value LIKE '%.bad.example']"},
		{"domain-name", `o'x\.y`, "exact", `[domain-name:value = 'o\'x\\.y']`},
		{"ipv4-addr", "192.0.2.7", "exact", "[ipv4-addr:value = '192.0.2.7']"},
		{"ipv4-addr", "192.0.2.0/24", "prefix", "[ipv4-addr:value ISSUBSET '192.0.2.0/24']"},
		{"ipv6-addr", "2001:db8::/32", "prefix", "[ipv6-addr:value ISSUBSET '2001:db8::/32']"},
	} {
		if got := stixPattern(c.kind, c.name, c.scope); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	for tlp, want := range map[string]string{"": "", "x": "", "clear": "613f2e26", "TLP:GREEN": "34098fce", "AMBER": "f88d31f6", "tlp:amber+strict": "5e57c739", "RED": "5e57c739"} {
		if got := strings.Join(tlpMarks(tlp), " "); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: got %q, want %q", tlp, got, want)
		}
	}
}
