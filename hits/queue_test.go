package hits

import (
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueKeepsOrderAndCountsWhatDoesNotFit(t *testing.T) {
	q := newQueue(5, newBell())
	for i := range 10 {
		q.Record(testHit(func(h *Hit) { h.ID = uint16(i) }))
	}
	if q.taken() != 8 || q.full.Load() != 2 {
		t.Fatalf("taken %d, full %d; want the length 5 rounded up to 8, and 2 lost", q.taken(), q.full.Load())
	}
	for i := range 8 {
		h := q.peek()
		if h == nil || h.ID != uint16(i) {
			t.Fatalf("hit %d: %+v", i, h)
		}
		q.release()
	}
	if q.peek() != nil || !q.drained() {
		t.Error("not empty after all was released")
	}
}

func TestQueueRecordCopies(t *testing.T) {
	q := newQueue(2, newBell())
	h := testHit(nil)
	q.Record(h)
	h.ID, h.QName[1] = 1, 'z'
	if got := q.peek(); got.ID != 4711 || got.QName[1] != 'a' {
		t.Error("the queue holds the caller's memory")
	}
}

// A copy is whole, also in memory that held another hit.
func TestHitIsCopiedWhole(t *testing.T) {
	full := func(octet byte) *Hit {
		h := testHit(nil)
		fields := reflect.ValueOf(h).Elem()
		for i := range fields.NumField() {
			switch f := fields.Field(i); f.Kind() {
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Uint8, reflect.Uint16, reflect.Uint32:
				f.SetUint(uint64(octet))
			case reflect.String:
				f.SetString(string(rune(octet)))
			case reflect.Slice:
				f.SetBytes([]byte{octet})
			case reflect.Array:
				for k := range f.Len() {
					f.Index(k).SetUint(uint64(octet))
				}
			}
		}
		h.Time, h.Evidence = time.Unix(int64(octet), 0), &testPolicy{}
		h.Client, h.Server = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(octet)), netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(octet))
		h.Matched, h.Sink = netip.AddrFrom4([4]byte{octet}), netip.AddrFrom4([4]byte{octet, 1})
		return h
	}
	want, got := full(16), full(16)
	got.set(full(8))
	if reflect.DeepEqual(got, want) {
		t.Fatal("nothing was copied")
	}
	got.set(want)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestQueueForgetsWhatWasReleased(t *testing.T) {
	q := newQueue(2, newBell())
	q.Record(testHit(func(h *Hit) { h.Value, h.Chain = []byte{0}, []byte{0} }))
	s := q.peek()
	q.release()
	if s.Evidence != nil || s.Value != nil || s.Chain != nil {
		t.Error("an idle queue keeps a policy alive")
	}
}

func TestQueueCountsEveryHitOfManyProducers(t *testing.T) {
	const producers, each = 8, 20_000
	q := newQueue(256, newBell())
	seen := make([]int, producers)
	var got uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			h := q.peek()
			if h == nil {
				if q.tail.Load()&closedBit != 0 && q.drained() {
					return
				}
				continue
			}
			p := int(h.QType)
			if int(h.TTL) < seen[p] {
				t.Errorf("producer %d: %d after %d", p, h.TTL, seen[p])
			}
			seen[p] = int(h.TTL)
			got++
			q.release()
		}
	}()
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			h := testHit(func(h *Hit) { h.QType = uint16(p) })
			for i := range each {
				h.TTL = uint32(i)
				q.Record(h)
				if p == 0 && i == each*9/10 {
					q.close() // while the others record
				}
			}
		})
	}
	wg.Wait()
	<-done
	if q.taken() != got {
		t.Errorf("taken %d, read %d", q.taken(), got)
	}
	if sum := got + q.full.Load() + q.late.Load(); sum != producers*each {
		t.Errorf("read %d + full %d + late %d = %d, recorded %d", got, q.full.Load(), q.late.Load(), sum, producers*each)
	}
	if q.late.Load() == 0 {
		t.Error("nothing was recorded after the close")
	}
}

func TestBellWakesASleeperOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBell()
		rang := func() bool {
			begin := time.Now()
			b.wait(time.Second)
			return time.Since(begin) < time.Second
		}
		if b.wake(); rang() {
			t.Error("rang while the writer was awake")
		}
		b.asleep.Store(true)
		for range 3 {
			b.wake()
		}
		if !rang() {
			t.Error("did not ring")
		}
		if rang() {
			t.Error("rang twice")
		}
	})
}

// TestQueueBeyond fills and empties a queue in steps, over several rounds of its ring.
func TestQueueBeyond(t *testing.T) {
	q := newQueue(8, newBell())
	for range 5 {
		for n := range 9 {
			if got := q.Beyond(1, 2); got != (n > 4) {
				t.Fatalf("with %d of 8: beyond the half is %v", n, got)
			}
			if got := q.Beyond(3, 4); got != (n > 6) {
				t.Fatalf("with %d of 8: beyond three quarters is %v", n, got)
			}
			q.Record(&Hit{})
		}
		for range 8 {
			q.release()
		}
		q.Record(&Hit{}) // the next round begins elsewhere
		q.release()
	}
}
