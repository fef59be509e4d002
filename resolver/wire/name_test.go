package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"sinkhole/resolver/wire"
)

func TestSetName(t *testing.T) {
	var q wire.Query
	spelled := []byte("\x03WwW\x07eXample\x00")
	if !q.SetName(spelled) {
		t.Fatal("refused")
	}
	if !bytes.Equal(q.SpelledName(), spelled) || string(q.QName()) != "\x03www\x07example\x00" || q.NameLen != 13 {
		t.Errorf("got %q, %q, %d", q.SpelledName(), q.QName(), q.NameLen)
	}
	for name, bad := range map[string][]byte{
		"nothing":        nil,
		"no root":        []byte("\x01a"),
		"octets after":   []byte("\x01a\x00\x00"),
		"cut short":      []byte("\x05a\x00"),
		"pointer":        []byte("\x01a\xC0\x0C"),
		"label too long": append([]byte{64}, make([]byte, 65)...),
		"256 octets":     append(bytes.Repeat([]byte("\x02ab"), 85), 0),
	} {
		if q.SetName(bad) {
			t.Errorf("%s: accepted %q", name, bad)
		}
	}
	if !q.SetName(append(bytes.Repeat([]byte("\x01a"), 127), 0)) || q.NameLen != 255 {
		t.Error("a name of 255 octets is refused")
	}
}

func TestParentWalksToTheRoot(t *testing.T) {
	var got []string
	for s := []byte("\x01a\x02bc\x00"); s != nil; s = wire.Parent(s) {
		got = append(got, string(s))
	}
	if want := []string{"\x01a\x02bc\x00", "\x02bc\x00", "\x00"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, want := range map[string]int{"\x00": 0, "\x01a\x00": 1, "\x01a\x02bc\x00": 2} {
		if got := wire.Labels([]byte(name)); got != want {
			t.Errorf("%q has %d labels, got %d", name, want, got)
		}
	}
}

func TestIsSubdomain(t *testing.T) {
	for _, tc := range []struct {
		child, parent string
		want          bool
	}{
		{"\x01a\x02bc\x00", "\x02bc\x00", true},
		{"\x02bc\x00", "\x02bc\x00", true},
		{"\x02bc\x00", "\x00", true},
		{"\x02bc\x00", "\x01a\x02bc\x00", false},
		{"\x03abc\x00", "\x02bc\x00", false},     // a suffix of the text, not of the labels
		{"\x04x\x02bc\x00", "\x02bc\x00", false}, // label with an octet that looks like a length
	} {
		if got := wire.IsSubdomain([]byte(tc.child), []byte(tc.parent)); got != tc.want {
			t.Errorf("%q below %q: got %v", tc.child, tc.parent, got)
		}
	}
}
