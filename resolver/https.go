package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/zap"

	"sinkhole/hits"
)

// altSvcAge is how long a client may remember that HTTP/3 is offered.
const altSvcAge = 24 * time.Hour

// HTTPSListener serves DNS over HTTPS (RFC 8484) on one address: HTTP/2 and HTTP/1.1
// over TLS, and HTTP/3 over QUIC.
type HTTPSListener struct {
	addr netip.AddrPort
	tls  *tlsListener
	web  *http.Server
	quic *quicServer
	fail chan error

	serving atomic.Bool
	ending  sync.Once
	done    sync.WaitGroup // the servers
}

type guestKey struct{}

type connKey struct{}

// ListenHTTPS binds an address over TCP and UDP; port 0 takes a free one, the same for
// both. dualStack and given are as for ListenOn; of UDP sockets it takes one. Nothing is
// read before Serve.
func (r *Resolver) ListenHTTPS(addr netip.AddrPort, dualStack bool, given Sockets, certify Certify) (*HTTPSListener, error) {
	const tries = 20 // for a port that is free on both
	var err error
	for range tries {
		var l *HTTPSListener
		if l, err = r.listenHTTPS(addr, dualStack, given, certify); err == nil || addr.Port() != 0 {
			return l, err
		}
	}
	return nil, err
}

func (r *Resolver) listenHTTPS(addr netip.AddrPort, dualStack bool, given Sockets, certify Certify) (*HTTPSListener, error) {
	tcp, passed := given.Stream.(*net.TCPListener)
	if !passed {
		var err error
		if tcp, err = net.ListenTCP(network("tcp", addr, dualStack), net.TCPAddrFromAddrPort(addr)); err != nil {
			return nil, err
		}
	}
	addr = netip.AddrPortFrom(addr.Addr(), endpoint(tcp.Addr()).Port())
	l := &HTTPSListener{addr: addr, tls: &tlsListener{TCPListener: tcp, resolver: r}, fail: make(chan error, 2)}
	var err error
	l.quic, err = r.listenQUIC(network("udp", addr, dualStack), addr, given.Packets, http3.ConfigureTLSConfig(serverTLS(certify)), maxUniStreams)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	logged, err := zap.NewStdLogAt(r.log, zap.DebugLevel) // what clients do wrong is no concern of an operator
	if err != nil {
		return nil, errors.Join(err, l.quic.close(), tcp.Close())
	}
	l.web = &http.Server{
		Handler: &doh{
			answer: r.handler(hits.DoH, queueShare), encrypted: r.encrypted,
			altSvc: fmt.Sprintf(`h3=":%d"; ma=%d`, addr.Port(), altSvcAge/time.Second),
		},
		TLSConfig: serverTLS(certify, "h2", "http/1.1"), ErrorLog: logged, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: queryWait, IdleTimeout: encryptedIdleWait,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: quicWindow, MaxReceiveBufferPerConnection: quicWindow,
			SendPingTimeout: encryptedIdleWait, PingTimeout: queryWait, WriteByteTimeout: takeWait,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(context.WithValue(ctx, guestKey{}, guestOf(c)), connKey{}, c)
		},
	}
	h3 := &http3.Server{
		Handler:        &doh{answer: r.handler(hits.DoH3, queueShare), encrypted: r.encrypted, counted: true},
		MaxHeaderBytes: maxHeaderBytes, IdleTimeout: encryptedIdleWait, Logger: slog.New(slog.DiscardHandler),
	}
	l.quic.serve = func(ctx context.Context, c *quic.Conn, g *guest) quic.ApplicationErrorCode {
		return l.converse(ctx, h3, c, g)
	}
	r.log.Info("listening", zap.String("https", addr.String()), zap.String("http3", "udp port "+strconv.Itoa(int(addr.Port()))))
	return l, nil
}

// Addr is the address that is served.
func (l *HTTPSListener) Addr() netip.AddrPort { return l.addr }

// Serve starts to answer. An error after that comes over Failed. It is called once.
func (l *HTTPSListener) Serve() {
	l.serving.Store(true)
	l.done.Go(func() {
		if err := l.web.ServeTLS(l.tls, "", ""); !errors.Is(err, http.ErrServerClosed) {
			l.fail <- fmt.Errorf("serving DNS over HTTPS on %s: %w", l.addr, err)
		}
	})
	l.quic.serving(func(err error) { l.fail <- fmt.Errorf("serving DNS over HTTP/3 on %s: %w", l.addr, err) })
}

// Failed gives the error of a server that stopped by itself.
func (l *HTTPSListener) Failed() <-chan error { return l.fail }

// Shutdown answers what was read, tells clients to go away, and closes connections and
// sockets. When ctx ends first it closes them at once. Only the first call does anything.
func (l *HTTPSListener) Shutdown(ctx context.Context) (err error) {
	l.ending.Do(func() {
		if err = l.shutdown(ctx); err != nil {
			err = fmt.Errorf("closing %s: %w", l.addr, err)
		}
	})
	return err
}

func (l *HTTPSListener) shutdown(ctx context.Context) error {
	if !l.serving.Load() {
		return errors.Join(l.tls.Close(), l.quic.close())
	}
	over := make(chan error, 1)
	go func() { over <- l.quic.shutdown(ctx) }()
	err := l.web.Shutdown(ctx)
	if err != nil {
		busy := l.quic.resolver.encrypted.tls.queries.Load()
		l.web.Close()
		if busy == 0 { // those were connections that had asked nothing yet
			err = nil
		}
	}
	err = errors.Join(err, <-over)
	l.done.Wait()
	return err
}

// The error codes of RFC 9114 section 8.1 that are given here.
const (
	h3NoError         = 0x100
	h3InternalError   = 0x102
	h3RequestRejected = 0x10b
)

// converse answers the requests of an HTTP/3 connection. The streams are accepted here
// and not by the library, which waits for a request without an end.
func (l *HTTPSListener) converse(ctx context.Context, server *http3.Server, c *quic.Conn, g *guest) quic.ApplicationErrorCode {
	h, err := server.NewRawServerConn(c)
	if err != nil {
		return h3InternalError
	}
	go func() {
		for {
			s, err := c.AcceptUniStream(c.Context())
			if err != nil {
				return
			}
			go h.HandleUnidirectionalStream(s)
		}
	}()
	l.quic.streams(ctx, c, g, h.HandleRequestStream, func(s *quic.Stream) { abandon(s, h3RequestRejected) })
	return h3NoError
}
