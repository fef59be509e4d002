package resolver

import (
	"hash/maphash"
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// limiterSets and limiterWays are the shape of a limiter's table, of 16 octets for
	// each place: 4 MiB.
	limiterSets = 1 << 16
	limiterWays = 4
	// Of so many answers over a limit one is sent all the same, cut down to TC. A client
	// that is no forged one then asks over TCP.
	slip = 2
)

// limiter bounds how often something happens for each of many keys: so many times a second,
// and so many at once. It has a fixed number of places; the key that was idle longest
// makes room for a new one, which begins with all that it may have. All methods may be
// called from any goroutine; there is no lock.
//
// It is the generic cell rate algorithm (ITU-T I.371): for each key, one time is kept.
type limiter struct {
	seed   maphash.Seed
	every  int64 // microseconds for one
	room   int64 // and for as many as may come at once
	places []limited
}

// limited is one key, and when it will have used up nothing, in Unix microseconds.
type limited struct{ key, clear atomic.Uint64 }

// newLimiter makes one for rate times a second, and burst beyond that at once.
func newLimiter(rate, burst int) *limiter {
	every := max(int64(time.Second/time.Microsecond)/int64(rate), 1)
	return &limiter{
		seed: maphash.MakeSeed(), every: every, room: every * int64(rate+burst),
		places: make([]limited, limiterSets*limiterWays),
	}
}

// take notes one time of a key, and reports whether that is within the limit.
func (l *limiter) take(key uint64, now time.Time) bool {
	at := uint64(now.UnixMicro())
	p := l.place(max(key, 1), at)
	for {
		used := p.clear.Load()
		from := max(used, at)
		if from > at+uint64(l.room+l.every) { // the clock was set back
			from = at
		}
		next := from + uint64(l.every)
		if next > at+uint64(l.room) {
			return false
		}
		if p.clear.CompareAndSwap(used, next) {
			return true
		}
	}
}

// place finds the place of a key, or takes that of the key of its set that was idle
// longest.
func (l *limiter) place(key, at uint64) *limited {
	set := l.places[key%limiterSets*limiterWays:][:limiterWays]
	oldest, least := &set[0], uint64(math.MaxUint64)
	for i := range set {
		p := &set[i]
		if p.key.Load() == key {
			return p
		}
		if clear := p.clear.Load(); clear < least {
			oldest, least = p, clear
		}
	}
	oldest.key.Store(key)
	oldest.clear.Store(at)
	return oldest
}

// client is the key of a client's prefix.
func (l *limiter) client(a netip.Addr, bits4, bits6 int) uint64 {
	octets := prefixOf(a, bits4, bits6)
	return maphash.Bytes(l.seed, octets[:])
}

// prefixOf is an address with what is behind its prefix cleared.
func prefixOf(a netip.Addr, bits4, bits6 int) [16]byte {
	octets, bits := a.As16(), bits6
	if a.Is4() {
		bits = 96 + bits4
	}
	for i := range octets {
		switch left := bits - 8*i; {
		case left <= 0:
			octets[i] = 0
		case left < 8:
			octets[i] &= 0xff << (8 - left)
		}
	}
	return octets
}
