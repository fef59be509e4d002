package guard

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"

	"sinkhole/blocklist/format"
)

// generated are names of real lengths (22 octets on average), nearly all of
// which the guard accepts.
func generated(b *testing.B, n int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	tlds := [...]string{"com", "top", "net", "xyz", "co.uk", "duckdns.org", "ru", "info"}
	all := make([][]byte, n)
	arena := make([]byte, 0, 64*n) // in a row, since a parser's buffer is at hand too
	for i := range all {
		var octets [12]byte
		for at := range octets {
			octets[at] = 'a' + byte(random.UintN(26))
		}
		name := string(octets[:5+random.UintN(8)]) + "." + tlds[random.UintN(8)]
		if random.UintN(2) == 0 {
			name = fmt.Sprintf("h%d.%s", random.UintN(1000), name)
		}
		at := len(arena)
		arena = append(arena, wire(b, name)...)
		all[i] = arena[at:]
	}
	return all
}

// popular is a file of n names.
func popular(b *testing.B, n int) string {
	var text []byte
	for _, name := range generated(b, n) {
		text = append(text, "p"+format.Text(name)+"\n"...)
	}
	return write(b, "popular.txt", string(text))
}

func BenchmarkJudge(b *testing.B) {
	names := generated(b, 1_000_000)
	own := write(b, "own.txt", "*.corp.example\n*.lan.example\n192.0.2.0/24\n")
	for _, bench := range []struct {
		name string
		o    Options
	}{
		{"built in", Options{PublicSuffixes: true, Platforms: true}},
		{"own below too", Options{PublicSuffixes: true, Platforms: true, Files: []string{own}}},
		{"30,000 popular", Options{PublicSuffixes: true, Platforms: true, Files: []string{own}, Hold: []string{popular(b, 30_000)}}},
		{"1,000,000 popular", Options{PublicSuffixes: true, Platforms: true, Files: []string{own}, Hold: []string{popular(b, 1_000_000)}}},
	} {
		g := open(b, bench.o)
		b.Run("name/"+bench.name, func(b *testing.B) {
			b.ReportAllocs()
			i := &format.Indicator{Scope: format.Subtree}
			n := 0
			for b.Loop() {
				i.Name = names[n%len(names)]
				n++
				if g.Judge(i).Outcome == Refuse {
					b.Fatalf("%s refused", Entry(i))
				}
			}
		})
	}
	g := open(b, Options{PublicSuffixes: true, Platforms: true, Files: []string{own}})
	b.Run("refused", func(b *testing.B) {
		i := &format.Indicator{Name: wire(b, "google.com"), Scope: format.Subtree}
		for b.Loop() {
			if g.Judge(i).Outcome != Refuse {
				b.Fatal("accepted")
			}
		}
	})
	b.Run("address", func(b *testing.B) {
		b.ReportAllocs()
		i := &format.Indicator{Trigger: format.ResponseIP}
		n := uint32(0)
		for b.Loop() {
			n += 2654435761
			var addr [4]byte
			binary.BigEndian.PutUint32(addr[:], n)
			addr[0] = 8
			i.Prefix = netip.PrefixFrom(netip.AddrFrom4(addr), 32)
			if g.Judge(i).Outcome != Accept {
				b.Fatal("refused")
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 30_000, 1_000_000} {
		o := Options{PublicSuffixes: true, Platforms: true}
		if n > 0 {
			o.Hold = []string{popular(b, n)}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				open(b, o)
			}
		})
	}
}

// The real names against all real files.
func BenchmarkRealJudge(b *testing.B) {
	dir := realData(b)
	g := open(b, Options{PublicSuffixes: true, Platforms: true, Files: append(realFiles(dir), realRanges(dir)...), Hold: realPopular(dir)})
	var all []format.Indicator
	eachEntry(b, filepath.Join(dir, "infostealer.domains.txt"), format.Domains, func(i *format.Indicator) {
		c := *i
		c.Name = append([]byte(nil), i.Name...)
		all = append(all, c)
	})
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		g.Judge(&all[n%len(all)])
		n++
	}
}
