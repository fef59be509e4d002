package upstream

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// Strategy is the order in which servers are asked that are up.
type Strategy uint8

const (
	Ordered Strategy = iota // as configured
	Fastest                 // by how long they took of late
	Random                  // any first
)

const (
	// exploreEvery is of how many queries one is asked of a second server too, to
	// learn whether it is faster by now.
	exploreEvery = 64
	// fasterBy is how much less another server must take to be asked first from now
	// on: four fifths of what the one before does.
	fasterBy, fasterOf = 4, 5
)

// arrange orders servers by standing, and those that are up by the strategy.
func (r *roster) arrange(servers []*server) []*server {
	if len(servers) < 2 {
		return servers
	}
	standings := make(map[*server]standing, len(servers))
	for _, s := range servers {
		standings[s] = s.health.standing()
	}
	slices.SortStableFunc(servers, func(a, b *server) int { return cmp.Compare(standings[a], standings[b]) })
	n := 0
	for n < len(servers) && standings[servers[n]] == up {
		n++
	}
	switch first := servers[:n]; r.strategy {
	case Random:
		rand.Shuffle(n, func(i, j int) { first[i], first[j] = first[j], first[i] })
	case Fastest:
		r.sort(first)
	}
	return servers
}

// sort puts the favourite first, which another must be clearly faster than to become
// it, and behind it the others by what they took; those that were not measured last.
func (r *roster) sort(servers []*server) {
	slices.SortStableFunc(servers, func(a, b *server) int {
		one, other := a.smoothed(), b.smoothed()
		if one == 0 || other == 0 {
			return cmp.Compare(other, one)
		}
		return cmp.Compare(one, other)
	})
	i := slices.Index(servers, r.favourite.Load())
	if i < 0 || servers[0].smoothed()*fasterOf < servers[i].smoothed()*fasterBy {
		i = 0
	}
	if len(servers) > 0 {
		favourite := servers[i]
		copy(servers[1:i+1], servers[:i])
		servers[0] = favourite
		r.favourite.Store(favourite)
	}
}

// explores counts a query, and tells whether it is one that is asked of two servers.
func (r *roster) explores() bool {
	return r.strategy == Fastest && (r.exploring.CompareAndSwap(true, false) || r.queries.Add(1)%exploreEvery == 0)
}

// leaves is explores for a reader, which leaves such a query to Exchange.
func (r *roster) leaves() bool {
	if r.strategy != Fastest || r.queries.Add(1)%exploreEvery != 0 {
		return false
	}
	r.exploring.Store(true)
	return true
}

// explore moves one of the servers that are up, each in its turn, behind the first;
// false if there is none.
func (r *roster) explore(servers []*server) bool {
	n := 0
	for n < len(servers) && servers[n].health.standing() == up {
		n++
	}
	if n < 2 {
		return false
	}
	i := 1 + int(r.turn.Add(1)%uint32(n-1))
	explored := servers[i]
	copy(servers[2:i+1], servers[1:i])
	servers[1] = explored
	return true
}

// smoothed is how long the server took of late; 0: it was not measured.
func (s *server) smoothed() time.Duration { return time.Duration(s.rtt.Load()) }

// took takes in how long a reply took.
func (s *server) took(d time.Duration) {
	const weight = 4
	for {
		old := s.rtt.Load()
		next := int64(max(d, 1))
		if old > 0 {
			next = max(old+(next-old)/weight, 1)
		}
		if s.rtt.CompareAndSwap(old, next) {
			return
		}
	}
}

// tookLonger takes in that a reply had not come after some time.
func (s *server) tookLonger(than time.Duration) {
	if than > s.smoothed() {
		s.took(than)
	}
}
