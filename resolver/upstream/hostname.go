package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// minKept and maxKept bound how long the addresses of a server are kept until
	// they are looked up again: their TTL, less a quarter.
	minKept = time.Minute
	maxKept = 24 * time.Hour
	// lookAgain is the pause after a look-up that found nothing, and between those
	// that failed connections cause.
	lookAgain = 30 * time.Second
	// maxAddresses is how many addresses of a server are used.
	maxAddresses = 8
	// finderSize is the UDP payload size of a look-up.
	finderSize = 1232
)

// hostname is the name of a server with its addresses. They are looked up when
// they are needed first, and from then on before their time is over; what was
// found serves on while nothing else is.
type hostname struct {
	name       string
	port       uint16
	encryption *encryption
	log        *zap.Logger

	mu      sync.Mutex
	known   []netip.Addr
	looking chan struct{} // closed at the end of the look-up under way; nil: none is
	looked  time.Time     // when the last one ended
	failure error         // why it found nothing; nil: it did
	timer   *time.Timer   // of the next one
}

func (h *hostname) addresses(ctx context.Context) ([]netip.AddrPort, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) == 0 {
		h.look()
		if looking := h.looking; looking != nil {
			h.mu.Unlock()
			select {
			case <-looking:
			case <-ctx.Done():
			}
			h.mu.Lock()
		}
	}
	switch {
	case len(h.known) > 0:
	case ctx.Err() != nil:
		return nil, explain(ctx, "look up "+h.name, ctx.Err())
	default:
		return nil, &failure{cause: causeNetwork, text: fmt.Sprintf("no address of %s was found: %v", h.name, h.failure), err: h.failure}
	}
	addrs := make([]netip.AddrPort, len(h.known))
	for i, a := range h.known {
		addrs[i] = netip.AddrPortFrom(a, h.port)
	}
	return addrs, nil
}

func (h *hostname) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.looked) >= lookAgain {
		h.look()
	}
}

// look begins a look-up if none is under way; the caller holds mu.
func (h *hostname) look() {
	if h.looking != nil {
		return
	}
	looking := make(chan struct{})
	if h.encryption.works.start(func() {
		addrs, ttl, err := h.encryption.find(h.name, h.port)
		h.found(addrs, ttl, err)
		close(looking)
	}) {
		h.looking = looking
	} else {
		h.failure = errClosed()
	}
}

func (h *hostname) found(addrs []netip.Addr, ttl time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looking, h.looked = nil, time.Now()
	again := min(max(ttl, minKept), maxKept) * 3 / 4
	switch {
	case err != nil:
		again = lookAgain
		if h.failure == nil && h.encryption.closing.Err() == nil {
			h.log.Warn("addresses of upstream server not found; those found before are used", zap.Int("known", len(h.known)), zap.Error(err))
		}
	case !slices.Equal(addrs, h.known):
		h.log.Info("addresses of upstream server", zap.Stringers("addresses", addrs))
		h.known = addrs
	}
	h.failure = err
	if len(h.known) == 0 {
		return // whoever needs them looks
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	h.timer = time.AfterFunc(again, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.look()
	})
}

// find asks the bootstrap servers for the addresses of a name, IPv6 and IPv4 in
// turn. Addresses at which we listen ourselves are left out.
func (e *encryption) find(name string, port uint16) ([]netip.Addr, time.Duration, error) {
	type outcome struct {
		addrs []netip.Addr
		ttl   time.Duration
		err   error
	}
	var outcomes [2]outcome
	var asking sync.WaitGroup
	for i, kind := range []uint16{typeAAAA, typeA} {
		asking.Go(func() {
			o := &outcomes[i]
			o.addrs, o.ttl, o.err = e.findType(name, port, kind)
		})
	}
	asking.Wait()
	six, four := outcomes[0], outcomes[1]
	var addrs []netip.Addr
	ttl := maxKept
	for i := range max(len(six.addrs), len(four.addrs)) {
		for _, o := range outcomes {
			if i < len(o.addrs) && len(addrs) < maxAddresses && !slices.Contains(addrs, o.addrs[i]) {
				addrs = append(addrs, o.addrs[i])
				ttl = min(ttl, o.ttl)
			}
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, ttl, nil
	case six.err != nil || four.err != nil:
		return nil, 0, cmp.Or(four.err, six.err)
	}
	return nil, 0, errors.New("it has none")
}

func (e *encryption) findType(name string, port, kind uint16) ([]netip.Addr, time.Duration, error) {
	reply, err := e.finder.Exchange(e.closing, addressQuery(name, kind))
	if err != nil {
		return nil, 0, err
	}
	if rcode := rcodeOf(reply.Msg); rcode != 0 {
		return nil, 0, fmt.Errorf("%s answered with RCODE %d", reply.Server, rcode)
	}
	addrs, ttl := addressesIn(reply.Msg, kind)
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		to := netip.AddrPortFrom(a, port)
		return checkServer(to) != nil || e.isOwn(to)
	}), ttl, nil
}

// isOwn is true for an address that we listen on ourselves.
func (e *encryption) isOwn(to netip.AddrPort) bool {
	return e.options.Own != nil && slices.ContainsFunc(e.options.Own(), func(l netip.AddrPort) bool { return answersAt(l, to) })
}

// addressQuery packs a question for the addresses of a name, with an OPT record.
// Its ID is given when it is sent.
func addressQuery(name string, kind uint16) []byte {
	msg := []byte{0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1} // RD
	for label := range strings.SplitSeq(name, ".") {
		msg = append(append(msg, byte(len(label))), label...)
	}
	msg = append(msg, 0, byte(kind>>8), byte(kind), 0, classIN)
	return append(msg, 0, 0, typeOPT, finderSize>>8, finderSize&0xff, 0, 0, 0, 0, 0, 0)
}
