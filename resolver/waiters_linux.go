package resolver

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/upstream"
	"sinkhole/resolver/wire"
)

// maxKept is the longest query that may wait, in octets; longer ones are for the
// library.
const maxKept = 512

// maxFree is how much memory of waiters and exchanges is kept for the next ones.
const maxFree = 1024

// placeShare is the part of the places that one client may have.
const placeShare = 4

// maxFreeClients is for how many clients an exchange keeps its memory.
const maxFreeClients = 64

// endedLook is how often a reader that has ended looks whether upstreams are still
// to be waited for.
const endedLook = 20 * time.Millisecond

// waiters are the queries of one reader that wait for upstreams: asked and
// answered in the reader's own goroutine. Identical questions share one exchange.
// What does not go the usual way (see [upstream.Ports]) is handed back: the reader
// gives it to the library, as if it had just come.
//
// A nil *waiters takes nothing.
type waiters struct {
	prompt    *prompt
	resolver  *Resolver
	datagrams *datagrams
	ports     *upstream.Ports
	places    int                // for queries that wait
	waiting   int                // queries that do
	clients   map[netip.Addr]int // and how many of each client

	exchanges      map[string]*outgoing // by cache key
	oldest, newest *outgoing            // in the order of asking
	handed         []*waiter            // for the library, from the first on
	freeExchanges  []*outgoing
	freeWaiters    []*waiter

	// Of the reply that is settled.
	reply     []byte
	admission admission
	got       fetched
}

// outgoing is one question on its way upstream, and those who wait for the reply.
type outgoing struct {
	asked        upstream.Asked
	key          string
	generation   uint64 // of the cache
	older, newer *outgoing
	clients      []*waiter
}

// waiter is one query of a client, with what it takes to answer it later.
type waiter struct {
	request request
	from    sender
	msg     [maxKept]byte
	length  int // of msg
}

// newWaiters returns nil for a resolver without ports.
func newWaiters(p *prompt, d *datagrams) *waiters {
	if p.resolver.ports == nil {
		return nil
	}
	w := &waiters{clients: map[netip.Addr]int{}, prompt: p, resolver: p.resolver, datagrams: d, exchanges: map[string]*outgoing{}, places: p.resolver.places()}
	w.ports = p.resolver.ports(d.watch)
	d.waiters = w
	return w
}

// take takes the query that the reader has just read as msg, unless it is for the
// library. When too many wait, the oldest exchange is given up for it, if it has had
// as long as an upstream may well need; else it is too many itself, or what is given
// up for it would be answered by now, and so would nothing be. Who asks what is under
// way already waits beside twice as many.
func (w *waiters) take(q *request, msg []byte) fate {
	if w == nil || !q.asks || len(msg) > maxKept {
		return forLibrary
	}
	var buffer [cache.MaxKey]byte
	key := q.appendKey(buffer[:0])
	x := w.exchanges[string(key)]
	if client := q.client.Addr(); w.clients[client] >= w.ofClient() && !w.resolver.settings.Load().believes(client) {
		w.prompt.count.shed.Add(1)
		w.resolver.cache.Missed(key)
		return tooMany
	}
	if w.waiting >= w.places && (x == nil || w.waiting >= 2*w.places) && q.received.Sub(w.oldest.asked.Started()) < w.resolver.fairWait {
		w.prompt.count.shed.Add(1)
		w.resolver.cache.Missed(key)
		return tooMany
	}
	shed := false
	for ; x == nil && w.oldest != nil && w.waiting >= w.places; shed = true {
		w.shed(w.oldest)
	}
	for ; w.waiting >= 2*w.places; shed = true {
		w.shed(w.oldest)
		x = w.exchanges[string(key)]
	}
	if x != nil {
		w.prompt.count.coalesced.Add(1)
	} else if x = w.begin(q, key); x == nil {
		if shed { // the memory for the answer was used
			w.handed = append(w.handed, w.keep(q, msg))
			return taken
		}
		return forLibrary
	}
	w.await(1)
	w.clients[q.client.Addr()]++
	w.resolver.cache.Missed(key)
	x.clients = append(x.clients, w.keep(q, msg))
	return taken
}

// begin asks an upstream; nil where that is for the library.
func (w *waiters) begin(q *request, key []byte) *outgoing {
	x := last(&w.freeExchanges)
	if x == nil {
		x = &outgoing{}
		x.asked.Owner = x
	}
	var buffer [512]byte
	x.key, x.generation = string(key), w.resolver.cache.Generation()
	if !w.resolver.asked.begin(x.key) {
		w.freeExchanges = append(w.freeExchanges, x)
		return nil
	}
	if !w.ports.Ask(&x.asked, appendUpstreamQuery(buffer[:0], &q.Query), q.received) {
		w.resolver.asked.end(x.key)
		w.freeExchanges = append(w.freeExchanges, x)
		return nil
	}
	w.exchanges[x.key] = x
	x.older, x.newer = w.newest, nil
	if w.newest != nil {
		w.newest.newer = x
	} else {
		w.oldest = x
	}
	w.newest = x
	return x
}

func (w *waiters) keep(q *request, msg []byte) *waiter {
	c := last(&w.freeWaiters)
	if c == nil {
		c = &waiter{}
	}
	c.request = *q
	c.request.seen = glance{} // of a batch that will be over
	c.length = copy(c.msg[:], msg)
	w.datagrams.asker(&c.from)
	return c
}

// last takes the last one out; nil where there is none.
func last[T any](free *[]*T) *T {
	n := len(*free)
	if n == 0 {
		return nil
	}
	taken := (*free)[n-1]
	*free = (*free)[:n-1]
	return taken
}

// end takes an exchange out. Its memory is used again after release.
func (w *waiters) end(x *outgoing) {
	delete(w.exchanges, x.key)
	w.resolver.asked.end(x.key)
	if x.older != nil {
		x.older.newer = x.newer
	} else {
		w.oldest = x.newer
	}
	if x.newer != nil {
		x.newer.older = x.older
	} else {
		w.newest = x.older
	}
	x.older, x.newer = nil, nil
	w.await(-len(x.clients))
	for _, c := range x.clients {
		client := c.request.client.Addr()
		if w.clients[client]--; w.clients[client] <= 0 {
			delete(w.clients, client)
		}
	}
}

// ofClient is in how many of the places one client's queries may wait: what upstreams
// hold back for long must not go out to one address at once (DNSBomb, CVE-2024-33655).
// Forwarders ask for many.
func (w *waiters) ofClient() int { return max(w.places/placeShare, minPlaces) }

// await counts clients that wait from now on, or no more.
func (w *waiters) await(clients int) {
	w.waiting += clients
	w.prompt.count.waiting.Add(int64(clients))
}

func (w *waiters) release(x *outgoing) {
	clear(x.clients)
	if x.clients = x.clients[:0]; cap(x.clients) > maxFreeClients {
		x.clients = nil
	}
	x.key = ""
	if len(w.freeExchanges) < maxFree {
		w.freeExchanges = append(w.freeExchanges, x)
	}
}

func (w *waiters) releaseWaiter(c *waiter) {
	c.request = request{} // refers to an entry
	if len(w.freeWaiters) < maxFree {
		w.freeWaiters = append(w.freeWaiters, c)
	}
}

// busy tells whether a query waits.
func (w *waiters) busy() bool { return w != nil && w.oldest != nil }

// handsBack tells whether next has something.
func (w *waiters) handsBack() bool { return w != nil && len(w.handed) > 0 }

// flush sends what is asked and not sent yet.
func (w *waiters) flush() {
	if w == nil || w.oldest == nil {
		return
	}
	w.ports.Flush()
	w.ports.Unsent(func(a *upstream.Asked) {
		x := a.Owner.(*outgoing)
		w.end(x)
		w.handBack(x)
	})
}

// receive answers with the replies that came to a port.
func (w *waiters) receive(fd int, now time.Time) {
	defer func() { w.prompt.faulty(recover(), notAnswered) }()
	w.ports.Receive(fd, now, func(a *upstream.Asked, reply []byte) {
		x := a.Owner.(*outgoing)
		w.end(x)
		if reply == nil {
			w.handBack(x)
		} else {
			w.settle(x, reply)
		}
	})
}

// settle answers everyone who waits for a reply.
func (w *waiters) settle(x *outgoing, reply []byte) {
	w.got = fetched{key: x.key}
	w.keepReply(x, reply, &w.got)
	w.answer(x, &w.got)
}

// keepReply makes an entry of a reply. After a fault there is none, and no reason.
func (w *waiters) keepReply(x *outgoing, reply []byte, got *fetched) {
	defer func() { w.prompt.faulty(recover(), notAnswered) }()
	w.reply = append(w.reply[:0], reply...)
	e, err := w.resolver.keep(&w.admission, w.reply, x.asked.Query(), x.key, x.generation, x.asked.Server())
	if err != nil {
		got.failure = wire.EDE{Code: failureCode(err)}
		return
	}
	got.entry = e
}

// answer answers everyone of an exchange with what came of it.
func (w *waiters) answer(x *outgoing, got *fetched) {
	for _, c := range x.clients {
		c.request.fetched = got
		if w.respond(c) {
			w.releaseWaiter(c)
		} else {
			w.handed = append(w.handed, c)
		}
	}
	w.release(x)
}

// respond answers one client. It reports false where that takes another upstream,
// and then the library is to do it.
func (w *waiters) respond(c *waiter) (done bool) {
	r := w.resolver
	done = true
	defer func() {
		if w.prompt.faulty(recover(), notAnswered) {
			w.send(c, w.prompt.afterFault(&c.request))
		}
	}()
	c.request.waits, c.request.asks = false, false
	answer := r.respond(&c.request, w.datagrams.room())
	if c.request.waits {
		return false
	}
	w.send(c, answer)
	return true
}

// send counts and sends the answer to a client, which gets none where it is nil.
func (w *waiters) send(c *waiter, answer []byte) {
	w.prompt.count.queries[w.prompt.transport].Add(1)
	if answer == nil {
		w.prompt.count.unanswered(&c.request)
		return
	}
	w.prompt.count.answer(answer)
	w.datagrams.answerTo(&c.from, answer)
}

// handBack gives the clients of an exchange to the library.
func (w *waiters) handBack(x *outgoing) {
	w.handed = append(w.handed, x.clients...)
	w.release(x)
}

// next gives a query that is for the library, nil if there is none. What the
// library has no room for is answered SERVFAIL.
func (w *waiters) next() (msg []byte, from *peer) {
	for w != nil && len(w.handed) > 0 {
		c := w.handed[0]
		w.handed[0] = nil
		if w.handed = w.handed[1:]; len(w.handed) == 0 {
			w.handed = nil
		}
		if w.prompt.full() {
			w.fail(c)
			continue
		}
		q := &c.request
		from = &peer{remote: q.client, local: q.server, balancer: q.balancer, proxy: q.proxy, received: q.received}
		if c.from.told > 0 {
			from.oob = slices.Clone(c.from.control[:c.from.told])
		}
		msg = slices.Clone(c.msg[:c.length])
		w.releaseWaiter(c)
		return msg, from
	}
	return nil, nil
}

func keyOf(q *request) string {
	var buffer [cache.MaxKey]byte
	return string(cache.AppendKey(buffer[:0], q.QName(), q.Type, q.Class, q.DO, q.CD))
}

// leisure is how long the reader may wait for something else; negative: for ever.
func (w *waiters) leisure(now time.Time, ended bool) time.Duration {
	switch {
	case w == nil || w.oldest == nil && len(w.handed) == 0:
		return -1
	case len(w.handed) > 0:
		return 0
	}
	left := w.oldest.asked.Started().Add(w.patience(ended)).Sub(now)
	if ended {
		left = min(left, endedLook)
	}
	return max(left, 0)
}

// patience is how long an exchange is waited for. When reading has ended nothing
// can be handed back, and more of it is left.
func (w *waiters) patience(ended bool) time.Duration {
	if ended {
		return w.ports.Timeout()
	}
	return w.ports.Patience()
}

// expire ends the exchanges that were waited for long enough.
func (w *waiters) expire(now time.Time, ended bool) {
	if w == nil {
		return
	}
	for w.oldest != nil && now.Sub(w.oldest.asked.Started()) >= w.patience(ended) {
		x := w.oldest
		w.ports.Cancel(&x.asked)
		w.end(x)
		if ended {
			w.answer(x, &fetched{key: x.key, failure: wire.EDE{Code: dns.ExtendedErrorCodeNoReachableAuthority}})
		} else {
			w.handBack(x)
		}
	}
}

// shed answers the clients of an exchange SERVFAIL, since too many wait.
func (w *waiters) shed(x *outgoing) {
	w.ports.Drop(&x.asked)
	w.prompt.count.shed.Add(uint64(len(x.clients)))
	w.end(x)
	w.answer(x, &fetched{key: x.key, failure: wire.EDE{Code: dns.ExtendedErrorCodeNoReachableAuthority}})
}

// fail answers a query that nobody can be asked for any more.
func (w *waiters) fail(c *waiter) {
	c.request.fetched = &fetched{key: keyOf(&c.request), failure: wire.EDE{Code: dns.ExtendedErrorCodeNoReachableAuthority}}
	c.request.refused = true // a list that came meanwhile may lead to another name
	w.respond(c)
	w.releaseWaiter(c)
}

// close forgets all that waits.
func (w *waiters) close() {
	if w == nil {
		return
	}
	for w.oldest != nil {
		w.end(w.oldest)
	}
	w.handed = nil
	w.ports.Close()
}
