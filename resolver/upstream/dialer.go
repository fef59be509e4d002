package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stagger is how long one address is tried alone (RFC 8305 section 5).
	stagger = 250 * time.Millisecond
	// redial is the pause after a failed connection, in which further ones fail
	// with the same words.
	redial = 250 * time.Millisecond
)

// dialer connects to one server, at whichever of its addresses it can be had. C is
// the kind of connection.
type dialer[C any] struct {
	book addressBook
	// connect sets up a connection to one address. Its error is a *failure.
	connect func(ctx context.Context, to netip.AddrPort) (C, error)
	discard func(C) // closes one that is not needed

	mu      sync.Mutex
	last    netip.AddrPort // where the last connection led: tried first
	until   time.Time      // of the pause after a failure
	failure error
}

// dial returns a connection. Its error is a *failure.
func (d *dialer[C]) dial(ctx context.Context) (C, error) {
	var none C
	d.mu.Lock()
	last, failure := d.last, d.failure
	paused := time.Now().Before(d.until)
	d.mu.Unlock()
	if paused {
		return none, failure
	}
	addrs, err := d.book.addresses(ctx)
	if err == nil {
		if i := slices.Index(addrs, last); i > 0 {
			addrs = slices.Concat(addrs[i:i+1], addrs[:i], addrs[i+1:])
		}
		var conn C
		if conn, last, err = d.inTurn(ctx, addrs); err == nil {
			d.mu.Lock()
			d.last = last
			d.mu.Unlock()
			return conn, nil
		}
		d.book.doubt()
	}
	d.mu.Lock()
	d.until, d.failure = time.Now().Add(redial), err
	d.mu.Unlock()
	return none, err
}

// inTurn tries the addresses one after the other, the next one early if one is
// slow. Whichever is connected first is taken.
func (d *dialer[C]) inTurn(ctx context.Context, addrs []netip.AddrPort) (C, netip.AddrPort, error) {
	type outcome struct {
		conn C
		at   netip.AddrPort
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome)
	running := 0
	try := func() {
		at := addrs[0]
		addrs = addrs[1:]
		running++
		go func() {
			conn, err := d.connect(ctx, at)
			outcomes <- outcome{conn, at, err}
		}()
	}
	several := len(addrs) > 1
	var failures []error
	try()
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	for {
		select {
		case o := <-outcomes:
			running--
			if o.err == nil {
				cancel()
				for range running {
					if late := <-outcomes; late.err == nil {
						d.discard(late.conn)
					}
				}
				return o.conn, o.at, nil
			}
			if several {
				o.err = at(o.at, o.err)
			}
			failures = append(failures, o.err)
			if len(addrs) > 0 {
				try()
				timer.Reset(stagger)
			} else if running == 0 {
				return o.conn, o.at, together(failures)
			}
		case <-timer.C:
			if len(addrs) > 0 {
				try()
				timer.Reset(stagger)
			}
		}
	}
}

// at puts the address before the words of a failure.
func at(addr netip.AddrPort, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return &failure{cause: f.cause, text: addr.String() + ": " + f.text, err: f}
	}
	return err
}

// together makes one failure of several. Silence is what to tell of first.
func together(failures []error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	all := &failure{cause: causeNetwork, err: errors.Join(failures...)}
	texts := make([]string, len(failures))
	for i, err := range failures {
		texts[i] = err.Error()
		if f, ok := errors.AsType[*failure](err); ok && (i == 0 || f.cause == causeTimeout) {
			all.cause = f.cause
		}
	}
	all.text = strings.Join(texts, ", ")
	return all
}

// connectTLS connects and proves who the server is.
func connectTLS(ctx context.Context, to netip.AddrPort, config *tls.Config, count *lineCounters) (*tls.Conn, error) {
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, explain(ctx, "connect", err)
	}
	count.open.Add(1)
	conn := tls.Client(&counted{Conn: plain, count: count}, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.NetConn().Close()
		return nil, explainTLS(ctx, err)
	}
	count.established(conn.ConnectionState().DidResume)
	return conn, nil
}

// explainTLS is explain for a handshake.
func explainTLS(ctx context.Context, err error) error {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && ctx.Err() == nil {
		return &failure{cause: causeNetwork, text: "its certificate does not prove who it is: " + invalid.Err.Error(), err: err}
	}
	return explain(ctx, "TLS handshake", err)
}

// counted is a connection that counts as open until it is closed.
type counted struct {
	net.Conn
	count  *lineCounters
	closed atomic.Bool
	lost   func() // told of the end; may be nil
}

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.count.open.Add(-1)
		if c.lost != nil {
			go c.lost() // who closes may hold what it takes
		}
	}
	return c.Conn.Close()
}
