package format

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestHeld holds that what is put comes back as it was, over many chunks.
func TestHeld(t *testing.T) {
	wire, err := Name(nil, "bad.example")
	if err != nil {
		t.Fatal(err)
	}
	longest, err := Name(nil, strings.Repeat(strings.Repeat("a", 63)+".", 3)+strings.Repeat("b", 61))
	if err != nil || len(longest) != maxName {
		t.Fatalf("%d octets, %v", len(longest), err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	samples := []Indicator{
		{Line: 1, Name: wire, Confidence: -1},
		{Line: 1, Name: longest, Scope: Subtree, FromURL: true, Confidence: 100, TLP: "AMBER+STRICT", Family: strings.Repeat("f", maxWord), Reference: strings.Repeat("r", maxReference)},
		{Line: 1 << 40, Trigger: ResponseIP, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Confidence: 0, FirstSeen: at},
		{Line: 7, Trigger: ResponseIP, Prefix: netip.MustParsePrefix("2001:db8::/32"), Confidence: 50, LastSeen: at, Expires: at.AddDate(8000, 0, 0)},
		{Line: 8, Name: wire, Scope: Below, Confidence: -1, FirstSeen: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), TLP: "RED", Family: "Lumma Stealer"},
	}
	var h held
	for round := range 2 {
		const n = 2000
		for i := range n {
			h.put(&samples[i%len(samples)], uint64(i))
		}
		i := 0
		var out sink
		for ind, owner := range h.all(&out) {
			if owner != uint64(i) || !reflect.DeepEqual(*ind, samples[i%len(samples)]) {
				t.Fatalf("round %d: %d: %d, %+v; want %+v", round, i, owner, *ind, samples[i%len(samples)])
			}
			i++
		}
		if i != n || len(h.chunks) < 3 {
			t.Fatalf("%d of %d came back out of %d chunks", i, n, len(h.chunks))
		}
		h.reset()
	}
	tooLong := Indicator{Line: 1, Name: wire, Reference: strings.Repeat("r", maxReference+1)}
	h.put(&tooLong, 0)
	for ind := range h.all(new(sink)) {
		if ind.Reference != "" {
			t.Errorf("a reference of %d octets was kept", len(ind.Reference))
		}
	}
}

// TestHeldBounded holds that a list ends when it makes us hold too much.
func TestHeldBounded(t *testing.T) {
	h := held{size: maxHeld}
	if err := h.checkSize(7); err != nil {
		t.Error(err)
	}
	h.put(&Indicator{Line: 7, Name: []byte{1, 'a', 0}}, 0)
	if err := h.checkSize(7); err == nil || !strings.Contains(err.Error(), "line 7: more indicators than 256 MiB hold") {
		t.Errorf("error %v of %d octets", err, h.size)
	}
}
