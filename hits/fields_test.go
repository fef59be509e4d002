package hits

import (
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The table in DESIGN.md, which users read, has every field of the journal's
// lines by its whole path, and no other.
func TestEveryFieldIsDocumented(t *testing.T) {
	documented, written := documentedFields(t), writtenFields(t)
	for path := range written {
		if !documented[path] {
			t.Errorf("%s is written and not documented", path)
		}
	}
	for path := range documented {
		if !written[path] {
			t.Errorf("%s is documented and never written", path)
		}
	}
	if len(written) < 90 {
		t.Errorf("only %d fields found", len(written))
	}
}

// What reads the journal looks for the fields under the paths that they have.
func TestEveryFieldOfARecordIsWritten(t *testing.T) {
	written := writtenFields(t)
	n := 0
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct && typ.Elem() != reflect.TypeFor[netip.Addr]() {
				path += "[]"
			}
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || typ == reflect.TypeFor[netip.Addr]() || typ == reflect.TypeFor[netip.Prefix]() {
			if n++; !written[path] {
				t.Errorf("Record reads %s, which is never written", path)
			}
			return
		}
		for f := range typ.Fields() {
			if key := f.Tag.Get("json"); f.Anonymous {
				walk(f.Type, path)
			} else if key != "-" {
				walk(f.Type, strings.TrimPrefix(path+"."+key, "."))
			}
		}
	}
	walk(reflect.TypeFor[Record](), "")
	if n < 90 {
		t.Errorf("only %d fields found", n)
	}
}

// documentedFields reads the tables of the section Fields. A cell names fields by
// their path; one that begins with a dot is under the object of the path before
// it. What an object[] has is in its meaning.
func documentedFields(t *testing.T) map[string]bool {
	t.Helper()
	doc, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n## Fields\n")
	if !found {
		t.Fatal("DESIGN.md has no section Fields")
	}
	quoted := regexp.MustCompile("`[^`]+`")
	fields := map[string]bool{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		cell := cells[0]
		if len(cells) == 3 { // of the journal's own records: action, when, fields
			cell = cells[2]
		} else if len(cells) != 2 {
			continue
		}
		object := ""
		for _, path := range quoted.FindAllString(cell, -1) {
			path = strings.Trim(path, "`")
			switch {
			case strings.HasPrefix(path, "."):
				fields[object+path] = true
			case strings.HasSuffix(path, "[]"):
				for _, field := range quoted.FindAllString(cells[1], -1) {
					fields[path+"."+strings.Trim(field, "`")] = true
				}
			case path == "@timestamp" || strings.Contains(path, "."):
				object = path[:max(strings.LastIndexByte(path, '.'), 0)]
				fields[path] = true
			}
		}
	}
	return fields
}

// writtenFields are the paths of the fields in lines that leave nothing out.
func writtenFields(t *testing.T) map[string]bool {
	t.Helper()
	full := &testPolicy{indicators: []Indicator{fullPolicy.indicators[0], fullPolicy.indicators[1]}}
	everything := func(h *Hit) {
		h.Group = "north"
		identity := fullIdentity
		identity.Addr = netip.Addr{} // with one there is no port
		h.Forwarder, h.Expected, h.Identity = true, true, &identity
		h.Evidence, h.NRules, h.Rules, h.MoreRules = full, 2, [MaxRules]uint64{0, 1}, 1
		h.Trigger, h.Value, h.Chain = TriggerCNAME, wireName("bad", "example"), wireName("bad", "example")
	}
	e := newEncoder(testObserver, 0, nil)
	lines := e.appendHit(nil, testHit(everything), testTime)
	for _, keys := range []int{1, 0} { // merged by indicator, merged by client
		m := newMerger(0, time.Second)
		m.maxKeys, m.maxPairs = keys, 1
		for port := range uint16(MaxMergedPorts + 1) {
			m.admit(testHit(func(h *Hit) {
				everything(h)
				h.Client = netip.AddrPortFrom(h.Client.Addr(), port)
			}), testTime)
		}
		m.flush(testTime, true, 1, func(g *group) { lines = e.appendGroup(lines, g, testTime) })
	}
	lines = e.appendOwn(lines, ownRecord{
		action: actionStart, kind: "start", outcome: outcome(false), previousStop: stopUnclean, tornBytes: 1, lost: losses{1, 1}, accounting: new(Accounting),
	}, testTime)

	lines = e.appendConnection(lines, testConnection(func(c *Connection) {
		c.Noise, c.Forwarder, c.Expected, c.Count, c.Payload = true, true, true, 2, []byte("x")
	}), testTime)
	lines = e.appendAudit(lines, &Audit{
		User: "alice", Role: "admin", Client: netip.MustParseAddrPort("192.0.2.9:40000"), Action: "allow", Object: "good.example", Reason: "ours",
	}, testTime)

	fields := map[string]bool{}
	var walk func(value any, path string)
	walk = func(value any, path string) {
		switch v := value.(type) {
		case map[string]any:
			for key, field := range v {
				walk(field, strings.TrimPrefix(path+"."+key, "."))
			}
		case []any:
			for _, element := range v {
				if _, object := element.(map[string]any); object {
					walk(element, path+"[]")
				} else {
					walk(element, path)
				}
			}
		default:
			fields[path] = true
		}
	}
	for line := range strings.Lines(string(lines)) {
		var value any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Fatal(err)
		}
		walk(value, "")
	}
	return fields
}
