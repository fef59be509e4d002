package feed

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a server of lists, and what it was asked.
type origin struct {
	*httptest.Server
	mu     sync.Mutex
	handle http.HandlerFunc
	asked  []http.Header // with the path under "Path"
}

func newOrigin(t testing.TB, handle http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{handle: handle}
	o.Server = httptest.NewUnstartedServer(o)
	o.EnableHTTP2 = true
	o.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.StartTLS()
	t.Cleanup(o.Close)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	header.Set("Path", r.URL.Path)
	o.mu.Lock()
	o.asked = append(o.asked, header)
	handle := o.handle
	o.mu.Unlock()
	handle(w, r)
}

func (o *origin) answer(handle http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handle = handle
}

// take is what was asked since the last call.
func (o *origin) take() []http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = nil
	return asked
}

func (o *origin) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(o.Certificate())
	return pool
}

// text answers with a list and its validators, as a file server does.
func text(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tag := `"` + sum([]byte(content))[7:15] + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, content)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// raw answers over HTTP/1 with just these octets, and closes the connection.
func raw(octets string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err) // the server speaks HTTP/2
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, octets)
	}
}

// owner judges candidates as blocklist does: it reads them whole.
type owner struct {
	mu    sync.Mutex
	judge func(Candidate) Judgement // nil: accept
	texts []string
}

func (o *owner) candidate(_ context.Context, c Candidate) Judgement {
	content, _, err := readAll(c.Path, Limits{})
	if err != nil {
		return Reject(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts = append(o.texts, content)
	if o.judge == nil {
		return Accept()
	}
	return o.judge(c)
}

func (o *owner) judges(judge func(Candidate) Judgement) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.judge = judge
}

// take is what was judged since the last call.
func (o *owner) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	texts := strings.Join(o.texts, "|")
	o.texts = nil
	return texts
}

// remotes are lists over HTTPS under test. They do not go by the schedule of a
// proxy that the machine may have.
type remotes struct {
	*Remotes
	*owner
	t      testing.TB
	store  *Store
	logged func() string
}

func newRemotes(t testing.TB, s *Store, o RemoteOptions) *remotes {
	t.Helper()
	r := &remotes{owner: &owner{}, t: t, store: s}
	o.Store = s
	if o.Candidate == nil {
		o.Candidate = r.candidate
	}
	o.Logger, r.logged = observe(t)
	var err error
	if r.Remotes, err = NewRemotes(o); err != nil {
		t.Fatal(err)
	}
	r.fetcher.client.transport.Proxy = nil
	t.Cleanup(func() { r.Close() })
	return r
}

// list sets one list and returns the outcome of its first fetch.
func (r *remotes) list(spec RemoteSpec) error {
	r.t.Helper()
	if spec.Name == "" {
		spec.Name = "feed"
	}
	if err := r.Set([]RemoteSpec{spec}); err != nil {
		r.t.Fatal(err)
	}
	return r.refresh()
}

func (r *remotes) refresh() error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return r.Refresh(ctx, "feed")
}

// good is the content of the last good copy.
func (r *remotes) good(spec RemoteSpec) string {
	r.t.Helper()
	return textOf(r.t, r.store, "feed", r.store.Entry("feed", spec.URL).Good)
}

func (r *remotes) state() RemoteStatus {
	r.t.Helper()
	s, found := r.Status("feed")
	if !found {
		r.t.Fatal("the list has no status")
	}
	return s
}

// cable is a network within the process, for tests in a bubble. It leads to a
// server without TLS: that waits for the other end while it holds locks, and
// then no time passes in the bubble.
type cable struct {
	conns   chan net.Conn
	unplug  chan struct{}
	server  *http.Server
	mu      sync.Mutex
	refused bool
	dials   []time.Time
}

// newCable is to be called within the bubble.
func newCable(t testing.TB, handle http.HandlerFunc) *cable {
	c := &cable{conns: make(chan net.Conn), unplug: make(chan struct{})}
	c.server = &http.Server{Handler: handle, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Hour}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.server.Serve(c)
	}()
	t.Cleanup(func() {
		c.server.Close()
		<-ended
	})
	return c
}

var errUnplugged = errors.New("connection refused")

func (c *cable) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	c.dials = append(c.dials, time.Now())
	refused := c.refused
	c.mu.Unlock()
	if refused {
		return nil, errUnplugged
	}
	here, there := net.Pipe()
	select {
	case c.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.unplug:
		return nil, errUnplugged
	}
}

// refuse makes the server unreachable, or reachable again.
func (c *cable) refuse(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = yes
}

// dialled is when connections were tried, in seconds from start.
func (c *cable) dialled(start time.Time) (at []float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.dials {
		at = append(at, d.Sub(start).Seconds())
	}
	c.dials = nil
	return at
}

func (c *cable) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.unplug:
		return nil, net.ErrClosed
	}
}

func (c *cable) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.unplug:
	default:
		close(c.unplug)
	}
	return nil
}

func (c *cable) Addr() net.Addr { return &net.TCPAddr{} }
