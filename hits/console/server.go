// Package console is the operator's HTTP server. It gets what it shows handed
// over as functions, and knows neither lists nor resolver.
package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

// Options of [Listen].
type Options struct {
	Addr    netip.AddrPort
	Metrics http.Handler // nil: /metrics is not found here
	// Ready is nil when the resolver can take queries, else the reason why not.
	Ready  func() error
	Logger *zap.Logger
}

// maxConnections bounds the open connections: whoever reaches the address must
// not be able to take the descriptors that DNS needs.
const maxConnections = 64

// Server serves monitoring on one address.
type Server struct {
	http     http.Server
	listener net.Listener
	log      *zap.Logger
}

// Listen binds the address. Nothing is served before Serve.
func Listen(o Options) (*Server, error) {
	l, err := net.Listen("tcp", o.Addr.String())
	if err != nil {
		return nil, err
	}
	l = netutil.LimitListener(l, maxConnections)
	return &Server{
		listener: l, log: o.Logger,
		http: http.Server{
			Handler: handler(o), ErrorLog: zap.NewStdLog(o.Logger),
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
			IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		},
	}, nil
}

func handler(o Options) http.Handler {
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
	return mux
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

// Serve answers until Shutdown.
func (s *Server) Serve() {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("console stopped", zap.Stringer("address", s.Addr()), zap.Error(err))
	}
}

// Shutdown ends the service when the requests under way are answered or ctx
// ends, whichever is first.
func (s *Server) Shutdown(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close() // a client that says nothing would have us wait
	}
	s.listener.Close() // of a server that never served
}
