package hits

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkRecord is the listener's part alone: a ring's worth of hits, taken out
// again beside the clock.
func BenchmarkRecord(b *testing.B) {
	const length = 8192
	q := newQueue(length, newBell())
	h := testHit(nil)
	b.ReportAllocs()
	for recorded := 0; b.Loop(); recorded++ {
		if recorded == length {
			b.StopTimer()
			for ; recorded > 0; recorded-- {
				q.peek()
				q.release()
			}
			b.StartTimer()
		}
		q.Record(h)
	}
	if q.full.Load() > 0 {
		b.Errorf("%d hits were lost", q.full.Load())
	}
}

func BenchmarkEncodeLine(b *testing.B) {
	e := newEncoder(testObserver, 0, nil)
	h := testHit(func(h *Hit) { h.Evidence = fullPolicy })
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.appendHit(buf[:0], h, testTime)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkMergedSecond is a second of 100,000 hits of 1,000 clients, from the
// queue's slot to the lines.
func BenchmarkMergedSecond(b *testing.B) {
	hits := make([]*Hit, 100_000)
	for i := range hits {
		hits[i] = testHit(func(h *Hit) {
			h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 1000 >> 8), byte(i % 1000)}), uint16(i))
			h.Rules[0] = uint64(i % 3)
		})
	}
	e := newEncoder(testObserver, 0, nil)
	var buf []byte
	b.ReportAllocs()
	m := newMerger(0, time.Second)
	for b.Loop() {
		for _, h := range hits {
			m.admit(h, testTime)
		}
		buf = buf[:0]
		m.flush(testTime, true, len(hits), func(g *group) { buf = e.appendGroup(buf, g, testTime) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(hits)), "ns/hit")
}

// BenchmarkFlood is a second of 100,000 hits of one client on as many names: more
// than there are lines for.
func BenchmarkFlood(b *testing.B) {
	const n = 100_000
	h := testHit(nil)
	e := newEncoder(testObserver, 0, nil)
	var buf []byte
	m := newMerger(10_000, time.Second)
	b.ReportAllocs()
	for b.Loop() {
		h.Time = h.Time.Add(time.Second)
		for i := range n {
			h.Rules[0] = uint64(i)
			if m.admit(h, h.Time) == admitSingle {
				buf = e.appendHit(buf[:0], h, h.Time)
			}
		}
		m.flush(h.Time, true, n, func(g *group) { buf = e.appendGroup(buf[:0], g, h.Time) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/hit")
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	journalFile(b, dir, 5000)
	for b.Loop() {
		n := 0
		if err := Read(b.Context(), dir, Filter{}, func(*Record) error { n++; return nil }); err != nil || n != 5000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/record")
}
