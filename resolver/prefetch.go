package resolver

// maxPrefetches bounds the exchanges for what the cache still has. Each may take a
// socket and as long as an exchange may.
const maxPrefetches = maxMisses / 32

// minPlaces is for how many clients every reader has room.
const minPlaces = 256

// places is how many queries of its clients may wait with one reader.
func (r *Resolver) places() int { return max(maxMisses/r.readers, minPlaces) }

// prefetch asks again, in the background and for nobody, for what the cache has just
// answered q with and will not have for long. It is no query of a client: it is not
// counted as one, never a hit, and its answer is judged when it is given.
func (r *Resolver) prefetch(q *request) {
	if r.prefetching.Add(1) > maxPrefetches {
		r.prefetching.Add(-1)
		r.count.prefetchesDropped.Add(1)
		return
	}
	query, key := q.Query, string(q.appendKey(nil))
	go func() {
		defer r.prefetching.Add(-1)
		if r.crowded() {
			r.count.prefetchesDropped.Add(1)
			return
		}
		r.count.prefetches.Add(1)
		_, _, _ = r.pending.Do(key, func() (any, error) { return r.fetchSafely(&query, key) })
	}()
}

// crowded tells whether clients wait for upstreams in half of the places that there
// are for them, anywhere: what nobody waits for is not to be asked then.
func (r *Resolver) crowded() bool {
	if r.misses.Load() > maxMisses/2 {
		return true
	}
	r.counting.Lock()
	defer r.counting.Unlock()
	for _, c := range r.counters {
		if c.waiting.Load() > int64(r.places()/2) {
			return true
		}
	}
	return false
}
