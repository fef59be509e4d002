package feed

import (
	"math/rand/v2"
	"time"
)

// zonePlan says when a primary is asked next. Every wait has a part by chance, so
// that many resolvers do not ask at once.
type zonePlan struct {
	timers   Timers
	refresh  time.Duration // as the SOA record says, within Timers
	retry    time.Duration // likewise
	expire   time.Duration // likewise
	failures int           // since the last success
	chance   func() float64
}

func newZonePlan(t Timers) zonePlan {
	p := zonePlan{timers: t, chance: rand.Float64}
	p.refresh, p.retry, p.expire = t.MinRefresh, t.MinRetry, 0
	return p
}

// follow takes the times of an SOA record, RFC 1035 section 3.3.13.
func (p *zonePlan) follow(soa record) {
	t := p.timers
	p.refresh = min(max(soa.refresh(), t.MinRefresh), t.MaxRefresh)
	p.retry = min(max(soa.retry(), t.MinRetry), t.MaxRetry)
	p.expire = max(soa.expire(), t.MinExpire, p.refresh+p.retry)
}

// start is how long to wait at first, where the primary last confirmed at some
// time that the copy is current. A secondary that was away asks at once.
func (p *zonePlan) start(known bool) time.Duration {
	if !known {
		return 0
	}
	return time.Duration(p.chance() * float64(min(p.refresh/10, time.Second)))
}

// succeeded is how long to wait after the primary has answered.
func (p *zonePlan) succeeded() time.Duration {
	p.failures = 0
	return p.about(p.refresh)
}

// failed is how long to wait after a failure: retry, then twice as long each
// time, but no longer than refresh or MaxRetry unless retry is longer itself.
func (p *zonePlan) failed() time.Duration {
	wait := p.retry << min(p.failures, 16)
	if most := max(p.retry, min(p.refresh, p.timers.MaxRetry)); wait > most || wait <= 0 {
		wait = most
	}
	p.failures++
	return p.about(wait)
}

// about is d or up to a tenth less: never later than the zone says.
func (p *zonePlan) about(d time.Duration) time.Duration {
	return d - time.Duration(p.chance()*float64(d/10))
}

// bucket bounds how often something happens: burst times at once, then one each
// interval.
type bucket struct {
	every time.Duration
	burst int
	full  time.Time // when the bucket is full again; the zero time: it is
}

// take tells how long to wait until it may happen; 0: it may, and has.
func (b *bucket) take(now time.Time) time.Duration {
	if b.full.Before(now) {
		b.full = now
	}
	if wait := b.full.Sub(now) - time.Duration(b.burst-1)*b.every; wait > 0 {
		return wait
	}
	b.full = b.full.Add(b.every)
	return 0
}
