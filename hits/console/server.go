// Package console is the operator's HTTP server: pages and an API over the hits, the inventory
// of machines, the lists and the resolver's state. What is not of the hits it gets handed over
// as functions, and knows neither lists nor resolver.
package console

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

// Options of [Listen].
type Options struct {
	Addr    netip.AddrPort
	Metrics http.Handler // nil: /metrics is not found here
	// Ready is nil when the resolver can take queries, else the reason why not.
	Ready func() error
	Site  *Site // nil: monitoring alone

	// TokensFile says who may use the site; "": whoever reaches it, which must be a loopback
	// address then.
	TokensFile string
	// Certificate is that of the server; nil: no TLS.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCA    string // PEM file of the authorities of client certificates; "": none are asked for

	Logger *zap.Logger
}

// maxConnections bounds the open connections: whoever reaches the address must
// not be able to take the descriptors that DNS needs.
const maxConnections = 64

// writeWithin bounds an answer. What takes longer moves it on as it goes.
const writeWithin = 30 * time.Second

// Server serves monitoring, and perhaps the site, on one address.
type Server struct {
	http     http.Server
	listener net.Listener
	log      *zap.Logger
	secure   bool
	hasSite  bool
	count    *counters
	end      context.CancelFunc // of the requests that have no end by themselves
}

// Stats are the counts since the start.
type Stats struct {
	Logins   uint64 // tokens that were entered
	Denied   uint64 // requests with a token that is not known, or of a role that may not
	Forged   uint64 // requests that a page of another site made
	Exports  uint64
	Streams  int64  // open now
	Overload uint64 // requests refused since too many of their kind were under way
}

type counters struct {
	logins, denied, forged, exports, overload atomic.Uint64
	streams                                   atomic.Int64
}

// Listen binds the address. Nothing is served before Serve.
func Listen(o Options) (*Server, error) {
	s := &Server{log: o.Logger, secure: o.Certificate != nil, hasSite: o.Site != nil, count: new(counters)}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	handler, err := s.handler(&o)
	if err != nil {
		end()
		return nil, err
	}
	l, err := net.Listen("tcp", o.Addr.String())
	if err != nil {
		end()
		return nil, err
	}
	l = netutil.LimitListener(l, maxConnections)
	if s.secure {
		c, err := tlsConfig(&o)
		if err != nil {
			end()
			l.Close()
			return nil, err
		}
		l = tls.NewListener(l, c)
	}
	s.listener = l
	s.http = http.Server{
		Handler: handler, ErrorLog: zap.NewStdLog(o.Logger), BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writeWithin,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return s, nil
}

// errOpen refuses a site that strangers reach.
var errOpen = errors.New("other machines can reach this address, and no tokens file says who may use the console")

func (s *Server) handler(o *Options) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Site == nil {
		return mux, nil
	}
	var t *tokens
	if o.TokensFile != "" {
		var err error
		if t, err = openTokens(o.TokensFile, o.Logger); err != nil {
			return nil, err
		}
	} else if !o.Addr.Addr().IsLoopback() {
		return nil, errOpen
	}
	site := newSite(o, newGate(t, s.secure, s.count), s.count)
	mux.Handle("/", site.handler())
	return mux, nil
}

func tlsConfig(o *Options) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: o.Certificate, NextProtos: []string{"http/1.1"}}
	if o.ClientCA == "" {
		return c, nil
	}
	if _, err := readAuthorities(o.ClientCA); err != nil {
		return nil, err
	}
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		authorities, err := readAuthorities(o.ClientCA)
		if err != nil {
			o.Logger.Error("client certificates cannot be checked, and are not asked for", zap.Error(err))
			return nil, nil
		}
		with := c.Clone()
		with.GetConfigForClient, with.ClientAuth, with.ClientCAs = nil, tls.VerifyClientCertIfGiven, authorities
		with.SessionTicketsDisabled = true // each connection is checked by the authorities of its time
		return with, nil
	}
	return c, nil
}

// maxAuthorities bounds the file of authorities.
const maxAuthorities = 4 << 20

func readAuthorities(path string) (*x509.CertPool, error) {
	pem, _, err := readBounded(path, maxAuthorities)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: found no certificate, expected those of the authorities in PEM form", path)
	}
	return pool, nil
}

// CheckAuthorities tells what is wrong with a file of authorities of client certificates.
func CheckAuthorities(path string) error {
	_, err := readAuthorities(path)
	return err
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// Addr is the address that is served.
func (s *Server) Addr() netip.AddrPort {
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Secure tells whether it is served over TLS.
func (s *Server) Secure() bool { return s.secure }

// HasSite tells whether there is more than monitoring.
func (s *Server) HasSite() bool { return s.hasSite }

// Stats reads the counts.
func (s *Server) Stats() Stats {
	c := s.count
	return Stats{
		Logins: c.logins.Load(), Denied: c.denied.Load(), Forged: c.forged.Load(), Exports: c.exports.Load(),
		Streams: c.streams.Load(), Overload: c.overload.Load(),
	}
}

// Serve answers until Shutdown.
func (s *Server) Serve() {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("console stopped", zap.Stringer("address", s.Addr()), zap.Error(err))
	}
}

// Shutdown ends the service when the requests under way are answered or ctx
// ends, whichever is first.
func (s *Server) Shutdown(ctx context.Context) {
	s.end()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close() // a client that says nothing would have us wait
	}
	s.listener.Close() // of a server that never served
}
