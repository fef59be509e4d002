//go:build !race

package format

import (
	"bufio"
	"io"
	"runtime"
	"testing"
)

// TestStructuredMemory holds what a long feed makes us hold: nothing that grows
// where an entry stands for itself, and little for each entry where the end of
// the document may say more of it.
func TestStructuredMemory(t *testing.T) {
	for _, tt := range []struct {
		name      string
		entries   int
		fixed     uint64 // octets
		perEntry  uint64
		wantBytes int
	}{
		{"threatfox.json", 520_000, 2 << 20, 0, 300 << 20},
		{"stix minified", 60_000, 4 << 20, 250, 40 << 20},
		{"misp", 100_000, 4 << 20, 120, 25 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w := io.Pipe()
			go func() {
				b := bufio.NewWriterSize(w, 1<<20)
				structured(b, tt.name, tt.entries)
				b.Flush()
				w.Close()
			}()
			gauge := &heapGauge{r: r, every: tt.wantBytes / 10}
			gauge.sample()
			base := gauge.highest
			result, err := Parse(gauge, Options{}, func(*Indicator) {}, func(Fault) {})
			if err != nil || result.Entries != tt.entries || gauge.read < tt.wantBytes {
				t.Fatalf("%d octets: %+v, %v", gauge.read, result, err)
			}
			if grown, bound := gauge.highest-base, tt.fixed+uint64(tt.entries)*tt.perEntry; grown > bound {
				t.Errorf("%d octets held of a feed of %d, want at most %d", grown, gauge.read, bound)
			} else {
				t.Logf("%d octets held of a feed of %d", grown, gauge.read)
			}
		})
	}
}

// heapGauge notes how large the heap is while a stream is read.
type heapGauge struct {
	r           io.Reader
	read, every int
	next        int
	highest     uint64
}

func (g *heapGauge) Read(p []byte) (int, error) {
	if g.read >= g.next {
		g.next += g.every
		g.sample()
	}
	n, err := g.r.Read(p)
	g.read += n
	if err == io.EOF {
		g.sample()
	}
	return n, err
}

func (g *heapGauge) sample() {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	g.highest = max(g.highest, stats.HeapAlloc)
}
