package blocklist

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

const million = 1_000_000

// nameMaker makes names of real lengths: 22 octets of wire form on average.
type nameMaker struct{ random *rand.Rand }

func newNameMaker(seed uint64) *nameMaker { return &nameMaker{rand.New(rand.NewPCG(seed, seed))} }

// next appends a name in presentation form.
func (m *nameMaker) next(dst []byte) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	label := func(n int) {
		for range n {
			dst = append(dst, letters[m.random.IntN(len(letters))])
		}
	}
	tops := [...]string{"com", "net", "org", "top", "xyz", "info", "ru", "co.uk", "com.br", "pages.example"}
	if m.random.IntN(4) == 0 {
		label(3 + m.random.IntN(5))
		dst = append(dst, '.')
	}
	label(8 + m.random.IntN(12))
	return append(append(dst, '.'), tops[m.random.IntN(len(tops))]...)
}

// writeList writes a generated list in a notation.
func writeList(t testing.TB, kind format.Kind, names int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	m := newNameMaker(1)
	switch kind {
	case format.RPZ:
		fmt.Fprintln(out, "$TTL 60\n@ SOA localhost. root.localhost. 1 60 60 60 60\n@ NS localhost.")
	case format.CSV:
		fmt.Fprintln(out, "indicator,type,family,reference")
	}
	var name []byte
	for i := range names {
		name = m.next(name[:0])
		switch kind {
		case format.Domains:
			out.Write(name)
		case format.Hosts:
			fmt.Fprintf(out, "0.0.0.0 %s", name)
		case format.RPZ:
			fmt.Fprintf(out, "%s CNAME .\n*.%s CNAME .", name, name)
		case format.CSV:
			fmt.Fprintf(out, "%s,domain,Family %d,https://reports.example/analysis/%08d", name, i/3%300, i)
		}
		out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func protecting(specs ...Spec) Configuration {
	return Configuration{Specs: specs, Guard: guard.Options{PublicSuffixes: true, Platforms: true}}
}

// BenchmarkCompile parses, guards and compiles a million names.
func BenchmarkCompile(b *testing.B) {
	for _, kind := range []format.Kind{format.Domains, format.Hosts, format.CSV, format.RPZ} {
		b.Run(string(kind), func(b *testing.B) {
			path := writeList(b, kind, million)
			b.ReportAllocs()
			for b.Loop() {
				l, err := Open(Options{Configuration: protecting(Spec{Name: "list", Source: path})})
				if err != nil {
					b.Fatal(err)
				}
				if n := l.Policy().Indicators(); n < million*99/100 {
					u := l.LastUpdate()
					b.Fatalf("%d indicators: %v", n, u.Err())
				}
			}
		})
	}
}

// BenchmarkReloadMillion reads a million names again of which a few have changed.
func BenchmarkReloadMillion(b *testing.B) {
	path := writeList(b, format.Domains, million)
	l, err := Open(Options{Configuration: protecting(Spec{Name: "list", Source: path})})
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	version := 0
	for b.Loop() {
		b.StopTimer()
		for at := range 1000 {
			text[at*len(text)/1000] = 'a' + byte(version%20)
		}
		version++
		if err := os.WriteFile(path, text, 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if u, err := l.Reload(); err != nil || u.Added == 0 {
			b.Fatalf("%+v, %v", u, err)
		}
	}
}

// BenchmarkIndex compiles a policy from a list that is parsed already.
func BenchmarkIndex(b *testing.B) {
	path := writeList(b, format.CSV, million)
	l, err := Open(Options{Configuration: protecting(Spec{Name: "list", Source: path})})
	if err != nil {
		b.Fatal(err)
	}
	parts := l.content["list"].parts
	for b.Loop() {
		if _, err := compile(1, []compiled{{parts: parts}}, groups{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPolicyMemory bounds what a name costs beyond its own wire form, with the
// list, line, family and reference of each.
func TestPolicyMemory(t *testing.T) {
	sizes := []int{million / 10}
	if os.Getenv("SINKHOLE_MEASURE") != "" {
		sizes = append(sizes, million, 10*million)
	}
	for _, names := range sizes {
		l, err := Open(Options{Configuration: protecting(Spec{Name: "list", Source: writeList(t, format.CSV, names)})})
		if err != nil {
			t.Fatal(err)
		}
		p := l.Policy()
		wire := int64(0)
		for _, entry := range p.entries(0) {
			wire += int64(triggerSize(entry))
		}
		beyond := float64(p.Memory()-wire) / float64(p.Indicators())
		t.Logf("%d names of %.1f octets: %.2f octets beyond each", p.Indicators(), float64(wire)/float64(p.Indicators()), beyond)
		if beyond > 16 {
			t.Errorf("%d names: %.2f octets beyond each, expected at most 16", names, beyond)
		}
		l = nil
		before := heap()
		runtime.KeepAlive(p)
		if all := float64(before) / float64(p.Indicators()); names >= million && all > float64(wire)/float64(p.Indicators())+18 {
			t.Errorf("%d names: the heap has %.1f octets for each", names, all)
		}
	}
}
