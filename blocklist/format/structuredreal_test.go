package format

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func readReal(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(realData(t), name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".zst") {
		decoder, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer decoder.Close()
		if content, err = decoder.DecodeAll(content, nil); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

// names collects what a list has, and counts what it leaves out.
func names(t *testing.T, list []byte, kind Kind) (found map[string]int, result Result) {
	t.Helper()
	found = make(map[string]int)
	result, err := Parse(bytes.NewReader(list), Options{}, func(ind *Indicator) {
		if ind.Trigger == QName {
			found[Text(ind.Name)]++
		} else {
			found[ind.Prefix.String()]++
		}
	}, func(f Fault) {
		if !f.NotApplicable {
			t.Logf("%+v", f)
		}
	})
	if err != nil || result.Kind != kind {
		t.Fatalf("%+v, %v; want %s", result, err, kind)
	}
	return found, result
}

func compareNames(t *testing.T, got, want map[string]int) {
	t.Helper()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s %d times, want %d", name, got[name], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d different names, want %d", len(got), len(want))
	}
}

// TestRealSTIX compares with a plain walk over the decoded bundle.
func TestRealSTIX(t *testing.T) {
	list := readReal(t, "formats/spyware-indicators.stix21.json")
	var bundle struct {
		Objects []struct{ Type, Pattern string }
	}
	if err := json.Unmarshal(list, &bundle); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]int)
	for _, object := range bundle.Objects {
		if object.Type == "indicator" {
			name := strings.TrimSuffix(strings.TrimPrefix(object.Pattern, "[domain-name:value='"), "']")
			want[strings.ToLower(name)]++
		}
	}
	got, result := names(t, list, STIX)
	compareNames(t, got, want)
	if result.Entries != 175 || result.Malformed+result.Refused+result.NotApplicable != 0 || len(result.Warnings) != 0 {
		t.Errorf("%+v, want 175 entries and no faults", result)
	}
	_, err := Parse(bytes.NewReader(list), Options{}, func(ind *Indicator) {
		if ind.Family != "Wintego Helios" || ind.FirstSeen.Year() != 2024 || ind.Line == 0 {
			t.Errorf("%+v without the malware that it indicates", *ind)
		}
	}, func(Fault) {})
	if err != nil {
		t.Error(err)
	}
}

// TestRealStalkerware holds that both forms of one list name the app as the family.
func TestRealStalkerware(t *testing.T) {
	for _, name := range []string{"formats/stalkerware.misp-event.json.zst", "formats/stalkerware.network.csv"} {
		entries, families := 0, make(map[string]int)
		_, err := Parse(bytes.NewReader(readReal(t, name)), Options{}, func(ind *Indicator) {
			entries++
			families[ind.Family]++
		}, func(Fault) {})
		if err != nil || entries < 1000 || families[""] > 0 || families["TheTruthSpy"] < 10 {
			t.Errorf("%s: %d entries, %d without a family, %d of TheTruthSpy; %v", name, entries, families[""], families["TheTruthSpy"], err)
		}
	}
}

// TestRealMISP compares with a plain walk over the decoded event.
func TestRealMISP(t *testing.T) {
	list := readReal(t, "formats/stalkerware.misp-event.json.zst")
	type attribute struct {
		Type, Value string
		ToIDs       bool `json:"to_ids"`
	}
	var event struct {
		Attribute []attribute
		Object    []struct{ Attribute []attribute }
	}
	if err := json.Unmarshal(list, &event); err != nil {
		t.Fatal(err)
	}
	all := event.Attribute
	for _, object := range event.Object {
		all = append(all, object.Attribute...)
	}
	want := make(map[string]int)
	entries := 0
	for _, a := range all {
		if !a.ToIDs || a.Type != "domain" {
			continue
		}
		if _, err := netip.ParseAddr(a.Value); err == nil {
			t.Errorf("the address %s as a domain", a.Value)
		}
		entries++
		want[strings.ToLower(a.Value)]++
	}
	got, result := names(t, list, MISP)
	compareNames(t, got, want)
	if result.Entries != 1000 || entries != 1000 || result.NotApplicable != len(all)-entries || result.Malformed+result.Refused != 0 {
		t.Errorf("%+v; a plain walk finds %d entries of %d attributes", result, entries, len(all))
	}
}
