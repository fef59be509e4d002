package blocklist

import (
	"net/netip"
	"testing"

	"sinkhole/blocklist/format"
)

// BenchmarkReload is an update of one real list of 113,741 names, the other
// lists (541,020 names in all) carried over; BenchmarkOpen reads them all.
func BenchmarkReload(b *testing.B) {
	lists := openReal(b, realSpecs(realData(b)))
	b.ReportAllocs()
	for b.Loop() {
		if u, err := lists.Reload("infostealer.domains.txt"); err != nil || u.Err() != nil {
			b.Fatal(err, u.Err())
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	specs := realSpecs(realData(b))
	b.ReportAllocs()
	for b.Loop() {
		openReal(b, specs)
	}
}

// generated makes names of real lengths in wire form. They lie one after the
// other, as a query's name lies in the cache when it is judged: what is measured
// is the look-up, not the fetching of the question.
func generated(n int, seed uint64, below string) [][]byte {
	m := newNameMaker(seed)
	all := make([][]byte, n)
	memory := make([]byte, 0, n*(40+len(below)))
	var text []byte
	for i := range all {
		text = m.next(append(text[:0], below...))
		start := len(memory)
		memory = append(memory, wireName(string(text))...)
		all[i] = memory[start:len(memory):len(memory)]
	}
	return all
}

// BenchmarkJudge looks names up in a million; BenchmarkGoMap looks the same names
// up in a Go map with one look-up for each label, as a yardstick.
func BenchmarkJudge(b *testing.B) {
	listed := generated(million, 1, "")
	builder := newBuilder(&Spec{}, format.Sinkhole, b.TempDir())
	builder.addFile("file")
	inMap := make(map[string]uint32, million)
	for i, name := range listed {
		if err := builder.add(&format.Indicator{Line: i + 1, Name: name, Scope: format.Subtree, Confidence: -1}); err != nil {
			b.Fatal(err)
		}
		inMap[string(name)] = uint32(i)
	}
	for i := range 20_000 {
		addr := netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)})
		err := builder.add(&format.Indicator{Trigger: format.ResponseIP, Prefix: netip.PrefixFrom(addr, 32)})
		if err != nil {
			b.Fatal(err)
		}
	}
	s, err := builder.finish()
	if err != nil {
		b.Fatal(err)
	}
	p, err := compile(1, []compiled{{List: List{Name: "feed"}, parts: []listPart{{segment: s}}}}, groups{})
	if err != nil {
		b.Fatal(err)
	}

	for _, test := range []struct {
		name  string
		names [][]byte
		want  Decision
	}{
		{"miss", generated(million, 2, "a.b."), None},
		{"hit-exact", listed, Enforce},
		{"hit-subtree", generated(million, 1, "a.b."), Enforce},
		{"miss-deep", generated(million, 2, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p."), None},
	} {
		b.Run("names/"+test.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				var v Verdict
				if p.JudgeQuestion(netip.Addr{}, test.names[i%million], 0, &v); v.Decision != test.want {
					b.Fatalf("decision %d", v.Decision)
				}
			}
		})
		b.Run("gomap/"+test.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if found := mapFinds(inMap, test.names[i%million]); found != (test.want == Enforce) {
					b.Fatal(found)
				}
			}
		})
	}
	for _, test := range []struct {
		name string
		addr string
		want Decision
	}{
		{"miss", "203.0.113.1", None},
		{"hit", "192.0.2.1", Enforce},
	} {
		addrs := []netip.Addr{netip.MustParseAddr(test.addr)}
		b.Run("prefixes/"+test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var v Verdict
				if p.JudgeAnswer(nil, nil, addrs, 0, &v); v.Decision != test.want {
					b.Fatalf("decision %d", v.Decision)
				}
			}
		})
	}
}

// BenchmarkJudgeNested looks up the name that costs most.
func BenchmarkJudgeNested(b *testing.B) {
	for _, action := range []format.Action{format.Sinkhole, format.Log} {
		b.Run(action.String(), func(b *testing.B) {
			entries, name := nested(64, action)
			p, wire := compileEntries(b, entries), wireName(name)
			b.ReportAllocs()
			for b.Loop() {
				var v Verdict
				p.JudgeQuestion(netip.Addr{}, wire, 0, &v)
			}
		})
	}
}

func mapFinds(m map[string]uint32, name []byte) bool {
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		if _, found := m[string(name[at:])]; found {
			return true
		}
	}
	return false
}
