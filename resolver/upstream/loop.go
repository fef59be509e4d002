package upstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// probePrefix begins the label that proves a loop, so that whoever sees it in a log
	// knows what it is; secretLen is how much of the rest nobody can guess.
	probePrefix = "sinkhole-loop-probe-"
	secretLen   = 16
	// ProbeLabel is the length of that label.
	ProbeLabel = len(probePrefix) + 2*secretLen
	// secretFor is how long a name is waited for that has not come back.
	secretFor = 30 * time.Second
	// loopEvery is how often a server is looked at, loopAgain how soon once more where
	// that told nothing, or found a loop: then doubled up to loopEvery.
	loopEvery = 10 * time.Minute
	loopAgain = 30 * time.Second
	// loopLook is how often the servers of a roster are gone through.
	loopLook = time.Second

	typeTXT = 16
)

// loopZone is where names that prove a loop lie, if not in a zone with servers of its
// own. It must be one that resolvers on the way neither serve themselves (as they do
// empty.as112.arpa, RFC 7535) nor can tell what is not in it: net is signed with opt-out,
// which proves nothing of a name (RFC 5155 section 6), so none is denied unasked (RFC
// 8198). Nobody can register such a name before it is sent.
const loopZone = "\x03net\x00"

// loops are the names that were sent to servers to see whether they come back to us.
type loops struct {
	mu   sync.Mutex
	sent map[[secretLen]byte]*loopProbe
}

// loopProbe is one name on its way.
type loopProbe struct {
	roster   *roster
	server   *server
	sent     time.Time
	returned atomic.Bool
}

// Returned tells whether a query that we got, by its name in lower-case wire form, is one
// that we sent ourselves to find out whether a server leads back to us. Then that server
// is not asked any more while it does. Nobody can guess such a name, and it counts once.
func (f *Forwarder) Returned(name []byte) bool {
	var secret [secretLen]byte
	if len(name) <= ProbeLabel || int(name[0]) != ProbeLabel {
		return false
	}
	digits, ok := bytes.CutPrefix(name[1:1+ProbeLabel], []byte(probePrefix))
	if _, err := hex.Decode(secret[:], digits); !ok || err != nil {
		return false
	}
	f.loops.mu.Lock()
	p := f.loops.sent[secret]
	delete(f.loops.sent, secret)
	f.loops.mu.Unlock()
	if p == nil {
		return false
	}
	p.returned.Store(true)
	p.roster.looped(p.server)
	return true
}

// send draws a name for a probe. Those that did not come back for long are forgotten.
func (l *loops) send(r *roster, s *server, now time.Time) (name []byte, p *loopProbe) {
	var secret [secretLen]byte
	rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	p = &loopProbe{roster: r, server: s, sent: now}
	l.mu.Lock()
	defer l.mu.Unlock()
	for old, q := range l.sent {
		if now.Sub(q.sent) > secretFor {
			delete(l.sent, old)
		}
	}
	if l.sent == nil {
		l.sent = map[[secretLen]byte]*loopProbe{}
	}
	l.sent[secret] = p
	name = append([]byte{byte(ProbeLabel)}, probePrefix...)
	name = hex.AppendEncode(name, secret[:])
	if r.zone != nil {
		if len(name)+len(r.zone) > maxName {
			return nil, p
		}
		return append(name, r.zone...), p
	}
	return append(name, loopZone...), p
}

// loopState is what is known of a server in one roster.
type loopState struct {
	looping bool
	busy    bool // it is being looked at
	next    time.Time
	again   time.Duration
}

// findLoops looks at the servers of a roster that are due, beside the exchange that
// comes upon it.
func (f *Forwarder) findLoops(r *roster, now time.Time) {
	last := r.looked.Load()
	if !f.findsLoops || now.UnixNano()-last < int64(loopLook) || !r.looked.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	f.works.start(func() {
		servers, _ := r.current(now)
		for _, s := range r.dueForLoops(servers, now) {
			if !f.works.start(func() { f.findLoop(r, s) }) {
				return
			}
		}
	})
}

func (f *Forwarder) findLoop(r *roster, s *server) {
	ctx, cancel := context.WithTimeout(f.closing, min(f.timeout, probeWithin))
	defer cancel()
	told, returned := f.sendsBack(ctx, r, s)
	if told && !returned && s.encrypted == nil && s.proofs.kept.Load() == 1 { // and once more is enough
		_, returned = f.sendsBack(ctx, r, s)
	}
	r.seen(s, time.Now(), told && !returned)
}

// sendsBack sends a server a name, and learns what it gives back of a query. told is
// false where it did not answer.
func (f *Forwarder) sendsBack(ctx context.Context, r *roster, s *server) (told, returned bool) {
	name, p := f.loops.send(r, s, time.Now())
	if name == nil || !f.sockets.take(ctx) {
		return false, false
	}
	defer f.sockets.give()
	told = f.introduce(ctx, s, newProbe(name, typeTXT)) == nil
	return told, p.returned.Load()
}

// introduce asks a server with all that it may give back; where it does not answer that,
// once more without.
func (f *Forwarder) introduce(ctx context.Context, s *server, q query) error {
	if s.encrypted != nil {
		_, _, err := f.ask(ctx, s, q)
		return err
	}
	first, cancel := context.WithTimeout(ctx, f.timeout/2)
	defer cancel()
	now := time.Now()
	asked := q.clone().learning(s, now)
	if s.withoutEDNS(now) {
		asked = q.clone()
	}
	_, _, err := f.plain.proven(first, s, asked)
	if err == nil {
		s.proofs.choked.Store(0)
		return nil
	}
	if _, _, again := f.plain.proven(ctx, s, q); again != nil {
		return again
	}
	s.proofs.chokes(time.Now())
	return nil
}

// dueForLoops are those servers that are to be looked at now. What is known of others
// is forgotten.
func (r *roster) dueForLoops(servers []*server, now time.Time) (due []*server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.loops {
		if !slices.Contains(servers, s) {
			delete(r.loops, s)
		}
	}
	if r.loops == nil {
		r.loops = map[*server]*loopState{}
	}
	for _, s := range servers {
		state := r.loops[s]
		if state == nil {
			state = &loopState{again: loopAgain}
			r.loops[s] = state
		}
		if !state.busy && !now.Before(state.next) {
			state.busy = true
			due = append(due, s)
		}
	}
	r.publish()
	return due
}

// seen notes what a look at a server has told: that it leads elsewhere, or nothing.
func (r *roster) seen(s *server, now time.Time, elsewhere bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.loops[s]
	if state == nil {
		return
	}
	state.busy = false
	if !elsewhere {
		state.next, state.again = now.Add(state.again), min(2*state.again, loopEvery)
		return
	}
	if state.looping {
		s.log.Info("upstream server does not lead back to this resolver any more: it is asked again")
	}
	*state = loopState{next: now.Add(loopEvery), again: loopAgain}
	r.publish()
}

// looped notes that a server leads back to us.
func (r *roster) looped(s *server) {
	s.counters.loops.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.loops[s]
	if state == nil {
		return
	}
	if !state.looping {
		s.log.Error("upstream server leads back to this resolver, a forwarding loop: it is not asked while it does; have it ask others, or take it out of upstream.servers or upstream.zones",
			zap.String("zone", r.zoneText()))
	}
	state.looping = true
	r.publish()
}

// publish tells usable which servers loop; the caller holds mu.
func (r *roster) publish() {
	var all []*server
	for s, state := range r.loops {
		if state.looping {
			all = append(all, s)
		}
	}
	r.looping.Store(&all)
}

// loopsNow tells whether a server leads back to us.
func (r *roster) loopsNow(s *server) bool {
	all := r.looping.Load()
	return all != nil && slices.Contains(*all, s)
}

// usable are those servers that do not lead back to us.
func (r *roster) usable(servers []*server) []*server {
	return slices.DeleteFunc(servers, r.loopsNow)
}

// zoneText is the zone of the roster as a person reads it.
func (r *roster) zoneText() string {
	var text []byte
	for name := r.zone; len(name) > 1; name = name[1+int(name[0]):] {
		text = append(append(text, name[1:1+int(name[0])]...), '.')
	}
	if len(text) == 0 {
		return "."
	}
	return string(text)
}
