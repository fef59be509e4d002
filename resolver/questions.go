package resolver

import (
	"hash/maphash"
	"sync"
)

// maxAlike is how many readers may ask upstreams the same question at a time. Each
// exchange is a chance for forged replies (RFC 5452 section 5); what comes to a
// further reader is for the library, where all share one exchange.
const maxAlike = 2

// questions are those that readers have under way, by cache key, in parts with a
// lock each.
type questions struct {
	seed  maphash.Seed
	parts [64]questionsPart
}

type questionsPart struct {
	mu    sync.Mutex
	asked map[string]int
	_     [48]byte // the next lock is on another cache line
}

func newQuestions() *questions {
	q := &questions{seed: maphash.MakeSeed()}
	for i := range q.parts {
		q.parts[i].asked = map[string]int{}
	}
	return q
}

func (q *questions) part(key string) *questionsPart {
	return &q.parts[maphash.String(q.seed, key)%uint64(len(q.parts))]
}

// begin counts one more who asks, unless there are enough.
func (q *questions) begin(key string) bool {
	p := q.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.asked[key]
	if n >= maxAlike {
		return false
	}
	p.asked[key] = n + 1
	return true
}

func (q *questions) end(key string) {
	p := q.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.asked[key]; n > 1 {
		p.asked[key] = n - 1
	} else {
		delete(p.asked, key)
	}
}
