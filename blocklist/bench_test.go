package blocklist

import (
	"math/rand/v2"
	"net/netip"
	"os"
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

// BenchmarkJudge looks names up in a million, and in ten million where
// SINKHOLE_MEASURE is set. Two yardsticks run beside it: the same names looked up
// in a Go map, once for each label, and single loads from memory of the policy's
// size, each waiting for the one before: no look-up that leaves the processor's
// caches once can cost less.
func BenchmarkJudge(b *testing.B) {
	b.Run("1M", func(b *testing.B) { judgeNames(b, million) })
	b.Run("10M", func(b *testing.B) {
		if os.Getenv("SINKHOLE_MEASURE") == "" {
			b.Skip("skipped: takes 3 GB; runs with SINKHOLE_MEASURE=1")
		}
		judgeNames(b, 10*million)
	})
}

func judgeNames(b *testing.B, size int) {
	listed := generated(size, 1, "")
	p := policyOf(b, listed)
	inMap := make(map[string]uint32, size)
	for i, name := range listed {
		inMap[string(name)] = uint32(i)
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
		b.Run("together/"+test.name, func(b *testing.B) {
			b.ReportAllocs()
			var found [MaxTogether]Found
			for i := 0; b.Loop(); i++ {
				at := i % MaxTogether
				if at == 0 {
					start := i % (million - MaxTogether)
					p.FindAll(test.names[start:start+MaxTogether], found[:])
				}
				var v Verdict
				name := test.names[(i-at)%(million-MaxTogether)+at]
				if p.JudgeFound(netip.Addr{}, name, &found[at], 0, &v); v.Decision != test.want {
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
	b.Run("load", func(b *testing.B) {
		ring := randomRing(36 * size / 4) // 22 octets of name and 14 beyond
		var at uint32
		for b.Loop() {
			at = ring[at]
		}
		if int(at) >= len(ring) {
			b.Fatal(at)
		}
	})
}

// BenchmarkJudgeAddress looks an address up among 20,000.
func BenchmarkJudgeAddress(b *testing.B) {
	builder := newBuilder(&Spec{}, format.Sinkhole, b.TempDir())
	builder.addFile("file")
	for i := range 20_000 {
		addr := netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)})
		err := builder.add(&format.Indicator{Trigger: format.ResponseIP, Prefix: netip.PrefixFrom(addr, 32)})
		if err != nil {
			b.Fatal(err)
		}
	}
	p := policyFrom(b, builder)
	for _, test := range []struct {
		name string
		addr string
		want Decision
	}{
		{"miss", "203.0.113.1", None},
		{"hit", "192.0.2.1", Enforce},
	} {
		addrs := []netip.Addr{netip.MustParseAddr(test.addr)}
		b.Run(test.name, func(b *testing.B) {
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

// policyOf is one list that blocks each name and all below it.
func policyOf(b *testing.B, names [][]byte) *Policy {
	builder := newBuilder(&Spec{}, format.Sinkhole, b.TempDir())
	builder.addFile("file")
	for i, name := range names {
		if err := builder.add(&format.Indicator{Line: i + 1, Name: name, Scope: format.Subtree, Confidence: -1}); err != nil {
			b.Fatal(err)
		}
	}
	return policyFrom(b, builder)
}

func policyFrom(b *testing.B, builder *builder) *Policy {
	s, err := builder.finish()
	if err != nil {
		b.Fatal(err)
	}
	p, err := compile(1, []compiled{{List: List{Name: "feed"}, parts: []listPart{{segment: s}}}}, groups{})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// randomRing is one cycle through all its n places in random order (Sattolo's
// algorithm): each place names the next.
func randomRing(n int) []uint32 {
	random := rand.New(rand.NewPCG(1, 2))
	ring := make([]uint32, n)
	for i := range ring {
		ring[i] = uint32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := random.IntN(i)
		ring[i], ring[j] = ring[j], ring[i]
	}
	return ring
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
