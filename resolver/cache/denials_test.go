package cache_test

import (
	"strings"
	"testing"

	"sinkhole/resolver/cache"
)

// wireOf makes a wire name out of labels.
func wireOf(text string) (name []byte) {
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label != "" {
			name = append(append(name, byte(len(label))), label...)
		}
	}
	return append(name, 0)
}

// nothing is an answer that says that a name does not exist, or, with answers, that
// something else does not.
func nothing(name string, qtype uint16, do bool, rcode uint16, answers byte) *cache.Entry {
	e := &cache.Entry{
		Key: cache.AppendKey(nil, wireOf(name), qtype, 1, do, false), RCode: rcode,
		Stored: second, Expires: 100 * second,
	}
	question := e.Key[:len(e.Key)-1]
	e.QuestionEnd = uint16(12 + len(question))
	e.Packed = append([]byte{0, 0, 0x80, byte(rcode), 0, 1, 0, answers, 0, 1, 0, 0}, question...)
	e.Packed = append(e.Packed, soa...)
	return e
}

// soa is that of the zone example.
const soa = "\x07example\x00\x00\x06\x00\x01\x00\x00\x00\x3c\x00\x16\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x3c"

func TestDenied(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("a.", 40) + "gone.example"
	c := cache.New(cache.Options{Memory: 1 << 20})
	if c.Denied(cache.AppendKey(nil, wireOf("www.gone.example"), 1, 1, false, false), second) != nil {
		t.Error("an empty cache denies a name")
	}
	c.Put(nothing("gone.example", 28, false, 3, 0))
	c.Put(nothing("signed.example", 28, true, 3, 0))
	c.Put(nothing("alias.example", 1, false, 3, 1))
	c.Put(nothing("here.example", 1, false, 0, 0))
	c.Put(nothing("failed.example", 1, false, 2, 0))
	for _, name := range []string{"tld", "office.lan"} {
		ofRoot := nothing(name, 1, false, 3, 0)
		ofRoot.Packed = append(ofRoot.Packed[:ofRoot.QuestionEnd], soa[8:]...)
		c.Put(ofRoot)
	}
	long := nothing("long.example", 1, false, 3, 0)
	long.Packed = append(long.Packed, make([]byte, 17000)...)
	c.Put(long)
	for _, test := range []struct {
		name   string
		do     bool
		at     int64
		denier string
	}{
		{"gone.example", false, 2, "gone.example"},
		{"www.gone.example", false, 2, "gone.example"},
		{"a.b.c.d.gone.example", false, 99, "gone.example"},
		{deep, false, 2, "gone.example"},
		{"tld", false, 2, "tld"},
		{"a.tld", false, 2, ""},
		{"office.lan", false, 2, "office.lan"},
		{"dc.office.lan", false, 2, ""},
		{"www.gone.example", false, 100, ""},
		{"www.gone.example", true, 2, ""},
		{"www.signed.example", true, 2, "signed.example"},
		{"www.signed.example", false, 2, ""},
		{"begone.example", false, 2, ""},
		{"example", false, 2, ""},
		{"www.alias.example", false, 2, ""},
		{"www.here.example", false, 2, ""},
		{"www.failed.example", false, 2, ""},
		{"www.long.example", false, 2, ""},
		{".", false, 2, ""},
	} {
		e := c.Denied(cache.AppendKey(nil, wireOf(test.name), 16, 1, test.do, false), test.at*second)
		switch {
		case e == nil && test.denier != "":
			t.Errorf("%s is not denied", test.name)
		case e != nil && test.denier == "":
			t.Errorf("%s is denied by %q", test.name, e.Key)
		case e != nil && string(e.Key[:len(e.Key)-5]) != string(wireOf(test.denier)):
			t.Errorf("%s is denied by %q", test.name, e.Key)
		}
	}
	if c.Denied(cache.AppendKey(nil, wireOf("www.gone.example"), 1, 3, false, false), 2*second) != nil {
		t.Error("a name of another class is denied")
	}
	c.Put(nothing("gone.example", 28, false, 0, 0)) // it exists by now
	if c.Denied(cache.AppendKey(nil, wireOf("www.gone.example"), 1, 1, false, false), 2*second) != nil {
		t.Error("denied by what was replaced")
	}
}

func TestDeniedDoesNotAllocate(t *testing.T) {
	c := cache.New(cache.Options{Memory: 1 << 20})
	c.Put(nothing("gone.example", 28, false, 3, 0))
	k, other := cache.AppendKey(nil, wireOf("a.b.gone.example"), 1, 1, false, false), cache.AppendKey(nil, wireOf("a.b.here.example"), 1, 1, false, false)
	if n := testing.AllocsPerRun(100, func() {
		if c.Denied(k, second) == nil || c.Denied(other, second) != nil {
			t.Error("not as expected")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkDenied is what a miss costs more where some names are denied.
func BenchmarkDenied(b *testing.B) {
	c := cache.New(cache.Options{Memory: 64 << 20})
	c.Put(nothing("gone.example", 28, false, 3, 0))
	for name, k := range map[string][]byte{
		"denied": cache.AppendKey(nil, wireOf("www.sub.gone.example"), 1, 1, false, false),
		"not":    cache.AppendKey(nil, wireOf("www.sub.here.example"), 1, 1, false, false),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Denied(k, second)
			}
		})
	}
}
