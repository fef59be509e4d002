package hits

import (
	"net/netip"
	"testing"
	"time"
)

func BenchmarkRecord(b *testing.B) {
	q := newQueue(8192, newTestBell())
	done := make(chan struct{})
	go func() { // a writer that does nothing with them
		defer close(done)
		for q.tail.Load()&closedBit == 0 || !q.drained() {
			for q.peek() != nil {
				q.release()
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		h := testHit(nil)
		for pb.Next() {
			q.Record(h)
		}
	})
	b.ReportMetric(float64(q.full.Load())/float64(b.N), "lost/op")
	q.close()
	<-done
}

func BenchmarkEncodeLine(b *testing.B) {
	e := newEncoder(testObserver, 0)
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
	e := newEncoder(testObserver, 0)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		m := newMerger(0, time.Second)
		for _, h := range hits {
			m.admit(h, testTime)
		}
		buf = buf[:0]
		m.flush(testTime, true, len(hits), func(g *group) { buf = e.appendGroup(buf, g, testTime) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(hits)), "ns/hit")
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
