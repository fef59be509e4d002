package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Reverse DNS is asked slowly: names are an extra.
const (
	reverseEvery  = 100 * time.Millisecond // at most one question
	reverseFor    = time.Hour              // an answer holds, also that there is none
	reverseFaults = time.Minute            // and a failure
	reverseWithin = 10 * time.Minute       // of a hit older than that the name may be another now
	reverseTakes  = 5 * time.Second
	maxWanted     = 1024   // addresses that wait
	maxAsked      = 65_536 // whose answers are remembered
)

// reverse asks for the names of addresses.
type reverse struct {
	wanted chan wanted

	mu    sync.Mutex
	known map[netip.Addr]time.Time // until when it is not asked for

	asked, unnamed, unasked atomic.Uint64
}

type wanted struct {
	addr netip.Addr
	at   time.Time // of the hit
}

func newReverse() *reverse {
	return &reverse{wanted: make(chan wanted, maxWanted), known: make(map[netip.Addr]time.Time)}
}

// want has an address asked for, unless it was lately. It does not wait.
func (r *reverse) want(a netip.Addr, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Before(r.known[a]) {
		return
	}
	if len(r.known) >= maxAsked {
		for a, until := range r.known {
			if now.After(until) {
				delete(r.known, a)
			}
		}
		if len(r.known) >= maxAsked {
			r.unasked.Add(1)
			return
		}
	}
	select {
	case r.wanted <- wanted{a, at}:
		r.known[a] = now.Add(reverseFor)
	default:
		r.unasked.Add(1)
	}
}

func (r *reverse) run(ctx context.Context, n *Names) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-r.wanted:
			r.ask(ctx, n, w)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reverseEvery):
		}
	}
}

func (r *reverse) ask(ctx context.Context, n *Names, w wanted) {
	ctx, cancel := context.WithTimeout(ctx, reverseTakes)
	defer cancel()
	r.asked.Add(1)
	name, err := n.o.Reverse(ctx, w.addr)
	if name = hostName(name); err != nil || name == "" {
		r.unnamed.Add(1)
		if e, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !e.IsNotFound) {
			n.log.Debug("the name of an address was not found out", zap.Stringer("address", w.addr), zap.Error(err))
			r.mu.Lock()
			r.known[w.addr] = time.Now().Add(reverseFaults)
			r.mu.Unlock()
		}
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := held{from: w.at.UnixNano(), until: time.Now().Add(reverseFor).UnixNano(), name: name, source: reverseSource}
	n.named.put(w.addr, n.named.by[w.addr].add(h))
	n.forgotten.Add(uint64(n.named.bound(maxHeld)))
}

// private reports whether an address is of a network that is not the Internet's.
func private(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || shared.Contains(a)
}
