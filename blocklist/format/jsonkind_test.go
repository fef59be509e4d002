package format

import (
	"strings"
	"testing"
)

func TestKindOfJSON(t *testing.T) {
	for _, tt := range []struct {
		head string
		want Kind
	}{
		{`{"type": "bundle", "id": "bundle--1"`, STIX},
		{`{"id": "bundle--1", "objects": [`, STIX},
		{`{"more": false, "objects": []}`, STIX},
		{`[{"type": "indicator", "spec_version": "2.1"}]`, STIX},
		{`{"Event": {"info": "the bundle \"spec_version\""`, MISP},
		{`{"response": []}`, MISP},
		{`[{"uuid": "x", "Attribute": [`, MISP},
		{`{"00000000-0000-4000-8000-000000000001": {"Orgc": {}}}`, MISP},
		{`{"response": [{"Event"`, MISP},
		{`{"1": [{"ioc_value": "x"`, ThreatFox},
		{`{"query_status": "ok", "data": [{"id": "1", "ioc": "Event"`, ThreatFox},
		{`{"1": [{"dateadded": "x", "url": "x"`, URLhaus},
		{`{"query_status": "ok", "urls": [{"id": "1", "urlhaus_reference": "x"`, URLhaus},
		{`{"error": "Event"}`, kindJSON},
		{`{"type": "bundles"}`, kindJSON},
		{`{"type": {"type": "bundle"}}`, kindJSON},
		{`{"a": {"objects": 1, "response": 2}}`, kindJSON},
		{`{}`, kindJSON},
		{`[]`, kindJSON},
		{`{"Event`, kindJSON},
		{strings.Repeat("[", maxLine), kindJSON},
		{strings.Repeat(`{"a":`, maxLine/5), kindJSON},
	} {
		if got := kindOfJSON([]byte(tt.head)); got != tt.want {
			t.Errorf("%.80s: %s, want %s", tt.head, got, tt.want)
		}
	}
}
